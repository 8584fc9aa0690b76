#include "micromind/tasks/classification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/train/graph_module.h"
#include "tasks/small_network.h"

namespace micromind {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

using testing::small_network;

Recipe glyph_recipe() { return testing::glyph_recipe(40, 20); }

TEST(Classification, LearnsATinySetByHeart) {
  TemporaryFolder folder;
  const Recipe recipe = glyph_recipe();
  const TrainResult trained = train_classification(recipe, small_network(), folder.path());
  EXPECT_EQ(trained.steps, 80);
  EXPECT_LT(trained.loss, 0.05);
  const Weights last = load_checkpoint(folder.path() / "checkpoints/last.pt");
  const ClassificationResult seen = evaluate_classification(recipe, small_network(), last, DataSplit::train);
  EXPECT_EQ(seen.samples, 40);
  EXPECT_EQ(seen.top1, 1.0);
  const ClassificationResult unseen = evaluate_classification(recipe, small_network(), last, DataSplit::test);
  EXPECT_EQ(unseen.samples, 30);
  EXPECT_EQ(unseen.top1, trained.last.at("top1"));  // without a hold-out, validation is the test set
  EXPECT_NEAR(unseen.loss, trained.last.at("loss"), 1e-6);
  std::int64_t counted = 0, right = 0;
  for (std::size_t i = 0; i < unseen.confusion.size(); ++i) {
    counted = std::accumulate(unseen.confusion[i].begin(), unseen.confusion[i].end(), counted);
    right += unseen.confusion[i][i];
  }
  EXPECT_EQ(counted, 30);
  EXPECT_DOUBLE_EQ(static_cast<double>(right) / 30, unseen.top1);
}

TEST(Classification, ResumesToTheSameBytesWhateverTheLoaderThreads) {
  struct Stopped {};
  Recipe recipe = glyph_recipe();
  recipe.train.epochs = 3;
  recipe.train.batch_size = 8;
  recipe.train.checkpoint_every_steps = 2;
  recipe.augment.horizontal_flip = true;
  recipe.augment.crop_padding = 4;
  TemporaryFolder whole, parts;
  train_classification(recipe, small_network(), whole.path());
  TrainHooks stop{.after_step = [](std::int64_t step) { if (step == 9) throw Stopped{}; }};
  EXPECT_THROW(train_classification(recipe, small_network(), parts.path(), stop), Stopped);
  recipe.train.loader_threads = 2;
  train_classification(recipe, small_network(), parts.path(), {.resume = true});
  EXPECT_EQ(load_checkpoint(parts.path() / "checkpoints/last.pt"), load_checkpoint(whole.path() / "checkpoints/last.pt"));
}

TEST(Classification, TrainsWithoutAValidationSet) {
  TemporaryFolder folder;
  Recipe recipe = glyph_recipe();
  recipe.train.epochs = 1;
  recipe.train.validate_every_epochs = 0;
  const TrainResult result = train_classification(recipe, small_network(), folder.path());
  EXPECT_TRUE(result.best.empty());
  EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/best.pt"), load_checkpoint(folder.path() / "checkpoints/last.pt"));
}

TEST(Classification, HoldsOutAShareForValidation) {
  Recipe recipe = glyph_recipe();
  recipe.data.validation_share = 0.25;
  EXPECT_EQ(dataset_options(recipe, DataSplit::validation).limit, 0);
  EXPECT_EQ(dataset_options(recipe, DataSplit::train).limit, 40);
  EXPECT_EQ(dataset_options(recipe, DataSplit::test).limit, 30);
  recipe.data.validation_share = 0;
  EXPECT_EQ(dataset_options(recipe, DataSplit::validation).limit, 30);
}

TEST(Classification, RefusesNetworksThatDoNotFitTheData) {
  TemporaryFolder folder;
  const Recipe recipe = glyph_recipe();
  const auto train = [&](const Graph& g) { return [&] { train_classification(recipe, g, folder.path()); }; };
  const Graph classes = small_network(7), shape = small_network(10, {3, 28, 28}), grey = small_network(10, {1, 32, 32});
  EXPECT_THAT(train(classes), ThrowsMessage<Error>(HasSubstr("the data have 10 classes")));
  EXPECT_THAT(train(shape), ThrowsMessage<Error>(HasSubstr("takes 3×28×28, the data are 3×32×32")));
  EXPECT_THAT(train(grey), ThrowsMessage<Error>(HasSubstr("takes 1×32×32")));
  Graph features("features");
  features.add_output("y", features.add("conv", Conv2d{.out_channels = 10}, {features.add_input("x", {3, 32, 32})}));
  EXPECT_THAT(train(features), ThrowsMessage<Error>(HasSubstr("10 classes")));
  Graph two = small_network();
  two.add_output("again", two.outputs()[0].value);
  EXPECT_THAT(train(two), ThrowsMessage<Error>(HasSubstr("2 outputs")));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "log.jsonl")) << "nothing starts before everything is checked";
  EXPECT_THROW(evaluate_classification(recipe, small_network(), {}, DataSplit::test), Error);
}

TEST(Classification, RefusesRecipesOutOfRange) {
  const auto refused = [](auto change) {
    TemporaryFolder folder;
    Recipe recipe = glyph_recipe();
    change(recipe);
    EXPECT_THROW(train_classification(recipe, small_network(), folder.path()), Error);
  };
  refused([](Recipe& r) { r.data.mean = {0.5}; });
  refused([](Recipe& r) { r.data.mean = {0.5, 0.5, 0.5}; r.data.deviation = {1, 0, 1}; });
  refused([](Recipe& r) { r.train.batch_size = 0; });
  refused([](Recipe& r) { r.train.label_smoothing = 1; });
  refused([](Recipe& r) { r.train.device = "tpu"; });
  refused([](Recipe& r) { r.data.name = "cifar11"; });
}

}  // namespace
}  // namespace micromind
