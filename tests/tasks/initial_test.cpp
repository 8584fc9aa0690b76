// train.initial: a run that starts from the weights of another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "micromind/base/file.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/tasks/pipeline.h"
#include "micromind/run/subject.h"
#include "micromind/tasks/classification.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Initial : public ::testing::Test {
 protected:
  Initial() {
    recipe.data.name = "glyphs";
    recipe.data.train_limit = 64;
    recipe.data.test_limit = 32;
    recipe.network.options = {{"alpha", 0.2}, {"num_layers", 4}};
    recipe.train.epochs = 1;
    recipe.train.batch_size = 32;
    recipe.train.learning_rate = 1e-12;  // the weights stay where they began
    recipe.train.threads = 1;
    recipe.train.initial = (folder.path() / "from.pt").string();
  }
  TemporaryFolder folder;
  Recipe recipe;
};

TEST_F(Initial, IsWhereTrainingBegins) {
  std::string notes;
  const StageHooks hooks{.note = [&](const std::string& line) { notes += line + "\n"; }};
  EXPECT_THAT(error_of([&] { prepare_network(recipe, Goal::train, hooks); }), HasSubstr("from.pt"));
  Recipe plain = recipe;
  plain.train.initial.clear();
  const Graph graph = prepare_network(plain, Goal::train, hooks).graph;
  const Weights from = initial_weights(graph, 77);
  write_checkpoint(folder.path() / "from.pt", {from, {}, {}});
  prepare_network(recipe, Goal::train, hooks);
  EXPECT_THAT(notes, HasSubstr("starting from " + recipe.train.initial));

  recipe.train.initial_except = {"classifier."};
  train_classification(recipe, graph, folder.path() / "run");
  const Weights last = load_checkpoint(folder.path() / "run/checkpoints/last.pt"), random = initial_weights(graph, recipe.run.seed);
  const auto near = [&](const std::string& name, const Weights& expected) {
    const auto a = last.at(name).values<float>(), b = expected.at(name).values<float>();
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-6) << name;
  };
  int convolutions = 0;
  for (const auto& [name, array] : last)
    if (name.ends_with("conv.weight")) near(name, from), ++convolutions;
  EXPECT_GT(convolutions, 5);
  near("classifier.weight", random);

  // Resuming needs the file no more; anew, it is an error before anything is trained.
  std::filesystem::remove(folder.path() / "from.pt");
  EXPECT_NO_THROW(train_classification(recipe, graph, folder.path() / "run", {.resume = true}));
  EXPECT_THAT(error_of([&] { train_classification(recipe, graph, folder.path() / "other"); }), HasSubstr("from.pt"));
}

TEST_F(Initial, AnotherNetworksFileStopsBeforeTraining) {
  const Graph graph = prepare_network([&] { Recipe r = recipe; r.train.initial.clear(); return r; }(), Goal::train, {}).graph;
  Weights from = initial_weights(graph, 1);
  from["classifier.weight"] = Array(ElementType::float32, {3, from.at("classifier.weight").shape()[1]});
  write_checkpoint(folder.path() / "from.pt", {from, {}, {}});
  const auto error = [&] { return error_of([&] { prepare_network(recipe, Goal::train, {}); }); };
  EXPECT_THAT(error(), AllOf(HasSubstr("classifier.weight is 3×"), HasSubstr("train.initial_except = [\"classifier.\"]")));
  recipe.train.initial_except = {"classifier."};
  EXPECT_EQ(error(), "no error");
}

}  // namespace
}  // namespace micromind
