// The quantise stage on a run folder: what validation saw is what is written.
#include "micromind/tasks/quantization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/formats/tflite.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/quantize/folded_network.h"
#include "micromind/tasks/classification.h"
#include "micromind/tasks/int8_evaluation.h"
#include "micromind/train/qat.h"
#include "tasks/small_network.h"

namespace micromind {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Calibration that cuts off much of what the network computes: PTQ loses.
Recipe narrow_recipe() {
  Recipe r = testing::glyph_recipe(9, 40);
  r.run.name = "narrow";
  r.data.train_limit = 1600;
  r.data.test_limit = 200;
  r.train.learning_rate = 0.008;
  r.quantize.percentile = 80;
  r.quantize.samples = 100;
  r.quantize.qat = true;
  r.quantize.qat_epochs = 2;
  r.quantize.qat_learning_rate = 2e-3;
  return r;
}

Graph narrow_network(Function f = Function::relu6) {
  Graph g("narrow");
  int x = g.add_input("image", {3, 32, 32});
  const auto conv = [&](const std::string& name, Conv2d op, bool activated) {
    op.bias = false;
    x = g.add(name + ".conv", op, {x});
    x = g.add(name + ".norm", BatchNorm{}, {x});
    if (activated) x = g.add(name + ".act", Activation{f}, {x});
  };
  conv("stem", {.out_channels = 16, .kernel = 3, .stride = 2, .padding = 1}, true);
  conv("a.depthwise", {.out_channels = 16, .kernel = 3, .stride = 2, .padding = 1, .groups = 16}, true);
  conv("a.project", {.out_channels = 16}, false);
  conv("b.expand", {.out_channels = 48}, true);
  conv("b.depthwise", {.out_channels = 48, .kernel = 3, .stride = 2, .padding = 1, .groups = 48}, true);
  conv("b.project", {.out_channels = 16}, false);
  x = g.add("drop", Dropout{.p = 0.05f}, {x});
  x = g.add("flatten", Flatten{}, {x});
  g.add_output("scores", g.add("classifier", Linear{.out_features = 10}, {x}));
  return g;
}

RunFolder trained(const std::filesystem::path& path, const Recipe& recipe) {
  RunFolder run = RunFolder::create(path, recipe, IfPresent::fail);
  stage_network(run, {narrow_network(), nlohmann::json::object()});
  stage_train(run, false);
  return run;
}

TEST(QuantizeStage, QatValidatesExactlyWhatItWritesAndRecoversWhatPtqLost) {
  TemporaryFolder folder;
  const Recipe recipe = narrow_recipe();
  RunFolder run = trained(folder.path() / "run", recipe);
  const nlohmann::json q = stage_quantize(run);
  const nlohmann::json e = stage_evaluate(run);
  RecordProperty("accuracy", fmt::format("float {} PTQ {} QAT {}", e.at("top1").dump(), e.at("ptq_top1").dump(), e.at("int8_top1").dump()));
  // Without a hold-out, validation is the test set: the same images.
  EXPECT_EQ(q.at("qat").at("validation_top1").get<double>(), e.at("int8_top1").get<double>());
  EXPECT_EQ(q.at("qat").at("epochs"), 2);
  EXPECT_LT(e.at("ptq_top1").get<double>(), e.at("top1").get<double>() - 0.05) << "PTQ loses nothing, the test shows nothing";
  EXPECT_GT(e.at("int8_top1").get<double>(), e.at("ptq_top1").get<double>() + 0.03);

  // The file is the model that the best checkpoint stands for.
  const FoldedNetwork network = fold_network(load_graph(run.network_file().string()), load_checkpoint(run.checkpoints() / "best.pt"));
  const Model model = qat_model(network.graph, load_checkpoint(qat_folder(run) / "checkpoints/best.pt"));
  const auto test = open_dataset(dataset_options(recipe, DataSplit::test));
  EXPECT_EQ(evaluate_int8(model, *test, input_normalization(recipe, network.graph)).top1, e.at("int8_top1").get<double>());

  // Again: nothing is left to do, and the bytes are the same.
  const std::string bytes = read_text(run.tflite_file());
  stage_quantize(run);
  EXPECT_EQ(read_text(run.tflite_file()), bytes);

  // Other float weights: it starts anew.
  Checkpoint best = read_checkpoint(run.checkpoints() / "best.pt");
  best.weights.begin()->second.values<float>()[0] += 0.01f;
  write_checkpoint(run.checkpoints() / "best.pt", best);
  stage_quantize(run);
  EXPECT_NE(read_text(run.tflite_file()), bytes);
}

TEST(QuantizeStage, AStoppedQatGoesOnToTheSameBytes) {
  struct Stopped {};
  TemporaryFolder folder;
  Recipe recipe = narrow_recipe();
  recipe.train.epochs = 1;
  recipe.data.train_limit = 120;
  recipe.train.checkpoint_every_steps = 1;
  recipe.quantize.qat_epochs = 2;
  recipe.quantize.qat_ranges = "learned";
  RunFolder run = trained(folder.path() / "run", recipe);
  StageHooks stop;
  stop.train = [](const TrainProgress& p) { if (p.step == 4) throw Stopped{}; };
  EXPECT_THROW(stage_quantize(run, stop), Stopped);
  EXPECT_FALSE(run.has_result("quantize"));
  stage_quantize(run);
  const std::string resumed = read_text(run.tflite_file());
  std::filesystem::remove_all(qat_folder(run));
  stage_quantize(run);
  EXPECT_EQ(read_text(run.tflite_file()), resumed);
}

TEST(QuantizeStage, EqualisesAndCorrectsOnRequest) {
  TemporaryFolder folder;
  Recipe recipe = narrow_recipe();
  recipe.train.epochs = 1;
  recipe.data.train_limit = 120;
  recipe.quantize.qat = false;
  recipe.quantize.equalize = recipe.quantize.correct_bias = true;
  RunFolder run = trained(folder.path() / "run", recipe);
  const nlohmann::json q = stage_quantize(run);
  EXPECT_EQ(q.at("equalized_pairs"), 5);
  EXPECT_GT(q.at("bias_correction_steps").get<double>(), 0);
  EXPECT_FALSE(q.contains("qat"));
  EXPECT_FALSE(stage_evaluate(run).contains("ptq_top1"));
}

TEST(QuantizeStage, NeedsTrainedWeightsThatAreFinite) {
  TemporaryFolder folder;
  Recipe recipe = narrow_recipe();
  RunFolder run = RunFolder::create(folder.path() / "run", recipe, IfPresent::fail);
  stage_network(run, {narrow_network(), nlohmann::json::object()});
  EXPECT_THAT([&] { stage_quantize(run, {}, true); }, ThrowsMessage<Error>(HasSubstr("best.pt")));
  Weights weights = initial_weights(narrow_network(), 1);
  std::filesystem::create_directories(run.checkpoints());
  weights.begin()->second.values<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  write_checkpoint(run.checkpoints() / "best.pt", {weights, {}, {}});
  EXPECT_THAT([&] { stage_quantize(run, {}, true); }, ThrowsMessage<Error>(HasSubstr("not finite")));
}

}  // namespace
}  // namespace micromind
