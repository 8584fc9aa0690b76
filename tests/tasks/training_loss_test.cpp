// What the recipe's [augment], [distill] and data.damaged_share do to the training of a classifier.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "micromind/base/file.h"
#include "micromind/data/image.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/run/run_folder.h"
#include "micromind/tasks/classification.h"
#include "micromind/tasks/teacher.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/loss.h"
#include "tasks/small_network.h"

namespace micromind {
namespace {

using ::testing::HasSubstr;

using testing::small_network;

Recipe glyph_recipe() { return testing::glyph_recipe(3, 8); }

// A run folder as training leaves it.
void write_run(const std::filesystem::path& path, const Recipe& recipe, const Graph& graph, const Weights& weights) {
  RunFolder run = RunFolder::create(path, recipe, IfPresent::fail);
  save_graph(graph, run.network_file().string());
  write_checkpoint(run.checkpoints() / "best.pt", {weights, {}, {}});
}

Weights random_weights(const Graph& graph, std::uint64_t seed) { return GraphModule(graph, {.seed = seed}).to_weights(); }

TEST(Augmentation, EverythingOnResumesToTheSameBytesWhateverTheLoaderThreads) {
  struct Stopped {};
  TemporaryFolder whole, parts, teacher;
  Recipe recipe = glyph_recipe();
  write_run(teacher.path() / "run", recipe, small_network(), random_weights(small_network(), 77));
  recipe.train.checkpoint_every_steps = 2;
  recipe.train.loss = "bce";
  recipe.train.label_smoothing = 0.1;
  recipe.augment = {.horizontal_flip = true, .crop_padding = 4, .rotation_degrees = 10, .zoom = 0.1, .brightness = 0.2, .contrast = 0.2,
                    .saturation = 0.2, .randaugment = 2, .erase_probability = 0.25, .mixup = 0.2, .cutmix = 1, .mix_probability = 0.8,
                    .plain_epochs = 1};
  recipe.distill.teacher = (teacher.path() / "run").string();
  train_classification(recipe, small_network(), whole.path());
  TrainHooks stop{.after_step = [](std::int64_t step) { if (step == 9) throw Stopped{}; }};
  recipe.train.loader_threads = 3;
  EXPECT_THROW(train_classification(recipe, small_network(), parts.path(), stop), Stopped);
  recipe.train.loader_threads = 0;
  train_classification(recipe, small_network(), parts.path(), {.resume = true});
  EXPECT_EQ(load_checkpoint(parts.path() / "checkpoints/last.pt"), load_checkpoint(whole.path() / "checkpoints/last.pt"));
}

TEST(Augmentation, EveryKeyChangesTheTraining) {
  const Graph graph = small_network();
  const auto first_loss = [&](auto&& change) {
    Recipe recipe = glyph_recipe();
    change(recipe);
    const std::unique_ptr<Task> task = classification_task(recipe, graph);
    GraphModule module(graph, {.seed = 1});
    std::int64_t images = 0;
    task->start_epoch(2, 0);
    return task->next_loss(module, images).item<double>();
  };
  const double plain = first_loss([](Recipe&) {});
  const auto differs = [&](const char* key, auto&& change) { EXPECT_NE(first_loss(change), plain) << key; };
  differs("horizontal_flip", [](Recipe& r) { r.augment.horizontal_flip = true; });
  differs("crop_padding", [](Recipe& r) { r.augment.crop_padding = 4; });
  differs("rotation_degrees", [](Recipe& r) { r.augment.rotation_degrees = 20; });
  differs("zoom", [](Recipe& r) { r.augment.zoom = 0.2; });
  differs("brightness", [](Recipe& r) { r.augment.brightness = 0.2; });
  differs("contrast", [](Recipe& r) { r.augment.contrast = 0.2; });
  differs("saturation", [](Recipe& r) { r.augment.saturation = 0.2; });
  differs("randaugment", [](Recipe& r) { r.augment.randaugment = 2; });
  differs("erase_probability", [](Recipe& r) { r.augment.erase_probability = 0.5; });
  differs("mixup", [](Recipe& r) { r.augment.mixup = 1; });
  differs("cutmix", [](Recipe& r) { r.augment.cutmix = 1; });
  differs("loss", [](Recipe& r) { r.train.loss = "bce"; });
  differs("label_smoothing", [](Recipe& r) { r.train.label_smoothing = 0.1; });
  EXPECT_EQ(first_loss([](Recipe& r) { r.augment.mixup = 1; r.augment.mix_probability = 0; }), plain);
  EXPECT_EQ(first_loss([](Recipe& r) { r.augment.mixup = 1; r.augment.plain_epochs = 1; }), plain) << "the last of three epochs";
  EXPECT_NE(first_loss([](Recipe& r) { r.augment.randaugment = 2; }), first_loss([](Recipe& r) { r.augment.randaugment = 2; r.augment.randaugment_magnitude = 20; }));
}

TEST(Augmentation, TrainingTop1CountsTheLabelOfTheLargerShare) {
  // A network whose scores do not depend on the image: it always says class 3.
  const Graph graph = small_network();
  GraphModule module(graph, {.seed = 1});
  Weights weights = module.to_weights();
  for (auto& [name, array] : weights)
    if (name.starts_with("classifier."))
      for (std::size_t i = 0; i < array.values<float>().size(); ++i) array.values<float>()[i] = name == "classifier.bias" && i == 3 ? 1.0f : 0.0f;
  module.load(weights);
  Recipe recipe = glyph_recipe();
  recipe.augment.mixup = 1;
  recipe.train.batch_size = 40;  // the whole set: four of each class
  const std::unique_ptr<Task> task = classification_task(recipe, graph);
  double sum = 0;
  for (int epoch = 0; epoch < 30; ++epoch) {
    std::int64_t images = 0;
    task->start_epoch(epoch, 0);
    task->next_loss(module, images);
    sum += task->training_metrics()->values().at("top1");
    task->training_metrics()->reset();
  }
  EXPECT_NEAR(sum / 30, 0.1, 0.025);
}

TEST(Distillation, OfTheTeacherAloneNeedsNoLabels) {
  TemporaryFolder folder;
  Recipe recipe = glyph_recipe();
  recipe.train.batch_size = 20;
  recipe.train.epochs = 40;
  const Graph graph = small_network();
  train_classification(recipe, graph, folder.path() / "first");
  write_run(folder.path() / "teacher", recipe, graph, load_checkpoint(folder.path() / "first/checkpoints/last.pt"));
  recipe.run.seed = 6;  // other weights at first, another order
  recipe.distill = {.teacher = (folder.path() / "teacher").string(), .weight = 1, .temperature = 2};
  Recipe data = glyph_recipe();  // the seed chooses the images too: those of the teacher are asked for below
  const TrainResult trained = train_classification(recipe, graph, folder.path() / "student");
  EXPECT_LT(trained.loss, 0.2);
  const Weights student = load_checkpoint(folder.path() / "student/checkpoints/last.pt");
  GraphModule module(graph, {.seed = 1});
  module.load(student);
  module.eval();
  Teacher teacher(recipe, graph, open_dataset(dataset_options(data, DataSplit::train))->class_names());
  at::Tensor images = at::empty({16, 3, 32, 32}, at::kFloat);
  const auto dataset = open_dataset(dataset_options(recipe, DataSplit::train));
  for (std::int64_t i = 0; i < 16; ++i)
    to_float(dataset->get(i).image, known_normalization("glyphs", 3), images[i].data_ptr<float>());
  EXPECT_GE(module.forward(images).argmax(1).eq(teacher.logits(images).argmax(1)).sum().item<std::int64_t>(), 14);
}

TEST(Distillation, ATeacherSeesImagesAsItKnowsThem) {
  TemporaryFolder folder;
  const Graph graph = small_network();
  Recipe its = glyph_recipe(), ours = glyph_recipe();
  its.data.mean = {0.1, 0.2, 0.3};
  its.data.deviation = {0.5, 0.6, 0.7};
  const Weights weights = random_weights(graph, 3);
  write_run(folder.path() / "t", its, graph, weights);
  ours.distill.teacher = (folder.path() / "t").string();
  const auto dataset = open_dataset(dataset_options(ours, DataSplit::train));
  Teacher teacher(ours, graph, dataset->class_names());
  GraphModule module(graph, {});
  module.load(weights);
  module.eval();
  at::Tensor mine = at::empty({1, 3, 32, 32}, at::kFloat), theirs = at::empty({1, 3, 32, 32}, at::kFloat);
  const Image image = dataset->get(0).image;
  to_float(image, input_normalization(ours, graph), mine.data_ptr<float>());
  to_float(image, input_normalization(its, graph), theirs.data_ptr<float>());
  const at::Tensor seen = teacher.logits(mine);
  EXPECT_FALSE(seen.requires_grad());
  EXPECT_LT((seen - module.forward(theirs)).abs().max().item<float>(), 1e-4f);
}

TEST(Distillation, RefusesTeachersThatDoNotFit) {
  TemporaryFolder folder;
  Recipe recipe = glyph_recipe();
  const auto error = [&](const std::string& name) {
    recipe.distill.teacher = (folder.path() / name).string();
    return error_of([&] { classification_task(recipe, small_network()); });
  };
  EXPECT_THAT(error("absent"), HasSubstr("absent"));
  write_run(folder.path() / "classes", recipe, small_network(7), random_weights(small_network(7), 1));
  EXPECT_THAT(error("classes"), HasSubstr("gives 7 scores, the data have 10 classes"));
  const Graph other = small_network(10, {3, 16, 16});
  write_run(folder.path() / "shape", recipe, other, random_weights(other, 1));
  EXPECT_THAT(error("shape"), HasSubstr("takes 3×16×16, the network 'small' takes 3×32×32"));
  write_run(folder.path() / "names", recipe, small_network(), random_weights(small_network(), 1));
  RunFolder::open(folder.path() / "names").set_result("network", {{"class_names", std::vector<std::string>(10, "cat")}});
  EXPECT_THAT(error("names"), HasSubstr("class 0 of the teacher"));
  RunFolder empty = RunFolder::create(folder.path() / "empty", recipe, IfPresent::fail);
  EXPECT_THAT(error("empty"), HasSubstr("micromind train"));
  recipe.distill.weight = 0;
  EXPECT_EQ(error("absent"), "no error") << "it would not be asked";
}

// Pictures of two classes that differ in brightness; every file of `damaged` is cut short.
void write_pictures(const std::filesystem::path& folder, int count, const std::vector<int>& damaged) {
  for (const char* part : {"train", "test"})
    for (int i = 0; i < count; ++i) {
      Image image(3, 16, 16);
      std::fill(image.pixels.begin(), image.pixels.end(), static_cast<std::uint8_t>(i % 2 != 0 ? 200 + i % 50 : i % 50));
      const auto path = folder / part / (i % 2 != 0 ? "light" : "dark") / fmt::format("{:02}.jpg", i);
      write_image(path, image);
      if (std::find(damaged.begin(), damaged.end(), i) == damaged.end()) continue;
      Bytes bytes = read_bytes(path);
      bytes.resize(bytes.size() - 4);
      write_atomic(path, bytes);
    }
}

TEST(DamagedImages, AreLeftOutNotedOnceAndBoundedByTheShare) {
  TemporaryFolder folder;
  write_pictures(folder.path() / "data", 40, {0, 17});
  Recipe recipe = glyph_recipe();
  recipe.data = {.name = "folder", .folder = (folder.path() / "data").string(), .damaged_share = 0.05};
  const Graph graph = small_network(2, {3, 16, 16});
  std::vector<std::string> notes;
  TrainHooks hooks{.note = [&](const std::string& line) { notes.push_back(line); }};
  train_classification(recipe, graph, folder.path() / "run", hooks);
  const auto count = [&](const std::string& text) { return std::count_if(notes.begin(), notes.end(), [&](const std::string& n) { return n.find(text) != std::string::npos; }); };
  EXPECT_EQ(count("00.jpg: truncated JPEG"), 2) << "in training and in validation, once each";
  EXPECT_EQ(count("17.jpg: truncated JPEG"), 2);
  EXPECT_EQ(count("2 training images of this epoch"), 3) << "every epoch";
  const Weights weights = load_checkpoint(folder.path() / "run/checkpoints/best.pt");
  EXPECT_EQ(evaluate_classification(recipe, graph, weights, DataSplit::test).samples, 38);
  recipe.data.damaged_share = 0.04;
  EXPECT_THAT(error_of([&] { train_classification(recipe, graph, folder.path() / "run2"); }), HasSubstr("data.damaged_share"));
  EXPECT_THAT(error_of([&] { evaluate_classification(recipe, graph, weights, DataSplit::test); }), HasSubstr("2 of the epoch's 40 images"));
}

TEST(MissingClasses, AreAnErrorUnlessALimitAskedForThem) {
  TemporaryFolder folder;
  Recipe recipe = glyph_recipe();
  recipe.data.train_limit = 4;
  std::unique_ptr<Task> task = classification_task(recipe, small_network());
  EXPECT_THAT(task->take_notes(), ::testing::ElementsAre(HasSubstr("6 of 10 classes have no training image")));
  EXPECT_TRUE(task->take_notes().empty());
  // CIFAR-10's files with labels below 9 alone.
  Bytes batch;
  for (int i = 0; i < 10000; ++i) {
    batch.push_back(static_cast<std::uint8_t>(i % 9));
    batch.resize(batch.size() + 3072, 100);
  }
  for (const char* file : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"})
    write_atomic(folder.path() / "cifar-10-batches-bin" / file, batch);
  recipe.data = {.name = "cifar10", .folder = folder.path().string()};
  EXPECT_THAT(error_of([&] { classification_task(recipe, small_network()); }), HasSubstr("1 of 10 classes have no training image: 'truck'"));
}

}  // namespace
}  // namespace micromind
