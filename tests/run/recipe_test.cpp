#include "micromind/run/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "error_of.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

using micromind::error_of;
std::string error_of(std::string_view toml, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { parse_recipe(toml, "r.toml", overrides); });
}

TEST(Recipe, ReadsEverySection) {
  const Recipe r = parse_recipe(R"([run]
name = "a"
seed = 7
[data]
name = "cifar10"
mean = [0.5, 0.5, 0.5]
deviation = [0.25, 0.25, 0.25]
[network]
family = "phinet"
alpha = 3
downsampling_layers = [5, 7]
[train]
learning_rate = 1
[deploy]
emulate = false
)", "r.toml");
  EXPECT_EQ(r.run.name, "a");
  EXPECT_EQ(r.run.seed, 7u);
  EXPECT_EQ(r.data.mean, (std::vector<double>{0.5, 0.5, 0.5}));
  EXPECT_EQ(r.network.family, "phinet");
  EXPECT_EQ(r.network.options, (nlohmann::json{{"alpha", 3}, {"downsampling_layers", {5, 7}}}));
  EXPECT_EQ(r.train.learning_rate, 1.0);
  EXPECT_EQ(r.train.epochs, TrainSection{}.epochs);
  EXPECT_FALSE(r.deploy.emulate);
}

TEST(Recipe, NamesFileLineAndNearestKey) {
  EXPECT_THAT(error_of("[train]\nepochs = 3\nlearning_rat = 0.1\n"),
              AllOf(HasSubstr("r.toml:3"), HasSubstr("learning_rat"), HasSubstr("did you mean 'learning_rate'")));
  EXPECT_THAT(error_of("\n[trian]\nepochs = 3\n"), AllOf(HasSubstr("r.toml:2"), HasSubstr("did you mean 'train'")));
  EXPECT_THAT(error_of("[run]\nepochs = 3\n"), AllOf(HasSubstr("r.toml:2"), HasSubstr("it belongs to [train]")));
  EXPECT_THAT(error_of("epochs = 3\n"), AllOf(HasSubstr("r.toml:1"), HasSubstr("outside a section"), HasSubstr("[train]")));
  EXPECT_THAT(error_of("train = 3\n"), HasSubstr("expected [train]"));
}

TEST(Recipe, ChecksTheNetworksOptionsAgainstItsFamily) {
  EXPECT_THAT(error_of("[network]\nalpha = 1\nt_zer = 4\n"), AllOf(HasSubstr("r.toml:3"), HasSubstr("did you mean 't_zero'")));
  EXPECT_THAT(error_of("[network]\nfamily = \"phinett\"\n"), AllOf(HasSubstr("r.toml:2"), HasSubstr("did you mean 'phinet'")));
  EXPECT_THAT(error_of("[network]\nalpha = \"wide\"\n"), AllOf(HasSubstr("r.toml:2"), HasSubstr("alpha")));
  EXPECT_THAT(error_of("", {"network.alph=1"}), AllOf(HasSubstr("--set network.alph=1"), HasSubstr("did you mean 'alpha'")));
}

TEST(Recipe, RejectsWrongTypesAndRanges) {
  EXPECT_THAT(error_of("[train]\n\nepochs = \"many\"\n"), AllOf(HasSubstr("r.toml:3"), HasSubstr("expected a whole number")));
  EXPECT_THAT(error_of("[train]\nepochs = 2.5\n"), HasSubstr("expected a whole number"));
  EXPECT_THAT(error_of("[deploy]\nemulate = 1\n"), HasSubstr("expected true or false"));
  EXPECT_THAT(error_of("[data]\nmean = 0.5\n"), HasSubstr("mean"));
  EXPECT_THAT(error_of("[run]\nseed = -1\n"), HasSubstr("at least 0"));
  EXPECT_THAT(error_of("[run]\nname = 1979-05-27\n"), HasSubstr("date"));
  EXPECT_THAT(error_of("[run]\nname = \"../x\"\n"), HasSubstr("not a path"));
  EXPECT_THAT(error_of("[train]\nepochs = 0\n"), HasSubstr("train.epochs = 0: expected 1 to 1000000"));
  EXPECT_THAT(error_of("[train]\nlearning_rate = nan\n"), HasSubstr("finite"));
  EXPECT_THAT(error_of("[quantize]\npercentile = 40\n"), HasSubstr("quantize.percentile"));
  EXPECT_THAT(error_of("[data]\nmean = [0.5]\n"), HasSubstr("data.deviation"));
  EXPECT_THAT(error_of("[network]\nfamily = 3\n"), HasSubstr("expected a text"));
  EXPECT_THAT(error_of("[train\nepochs = 1"), AllOf(HasSubstr("r.toml:1"), HasSubstr("not valid TOML")));
  EXPECT_THAT(error_of(std::string("\x00\xff[", 3)), HasSubstr("not valid TOML"));
}

TEST(Recipe, OverridesAreTomlValuesOrBareWords) {
  const Recipe r = parse_recipe("[train]\nepochs = 3\n", "r.toml",
                                {"train.epochs=5", "train.optimizer=sgd", "data.folder=/some/where else", "network.alpha=0.25",
                                 "network.family=xinet", "data.mean=[0.1, 0.2]", "data.deviation=[1, 1]", "deploy.emulate=false", "run.name="});
  EXPECT_EQ(r.train.epochs, 5);
  EXPECT_EQ(r.train.optimizer, "sgd");
  EXPECT_EQ(r.data.folder, "/some/where else");
  EXPECT_EQ(r.network.options["alpha"], 0.25);
  EXPECT_EQ(r.network.family, "xinet");
  EXPECT_EQ(r.data.deviation, (std::vector<double>{1, 1}));
  EXPECT_FALSE(r.deploy.emulate);
  EXPECT_EQ(r.run.name, "");
}

TEST(Recipe, RejectsBadOverrides) {
  EXPECT_THAT(error_of("", {"train.epoch=5"}), AllOf(HasSubstr("--set train.epoch=5"), HasSubstr("did you mean 'epochs'")));
  EXPECT_THAT(error_of("", {"trai.epochs=5"}), HasSubstr("did you mean 'train'"));
  EXPECT_THAT(error_of("", {"train.epochs=ten"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(error_of("", {"data.mean=[0.1"}), HasSubstr("no TOML value"));
  for (const char* text : {"train.epochs", "epochs=5", ".epochs=5", "train.=5", "", "a=b.c"})
    EXPECT_THAT(error_of("", {text}), HasSubstr("expected section.key=value")) << text;
  // A line break cannot smuggle in a second key.
  EXPECT_THAT(error_of("", {"train.epochs=5\nx=1"}), HasSubstr("expected a whole number"));
}

TEST(Recipe, WritesTomlThatReadsBackEqual) {
  Recipe r;
  r.run.name = "quote \" back \\ tab \t line \n del \x7f ü";
  r.run.seed = 123456789012345;
  r.data.mean = {0.1, 1.0 / 3};
  r.data.deviation = {1e-8, 2};
  r.train.epsilon = 1e-20;
  r.train.learning_rate = 3;
  r.network.options = {{"alpha", 3.0}, {"downsampling_layers", {1, 2, 3}}, {"pool", true}, {"num_layers", 9}};
  const std::string text = to_toml(r);
  const Recipe back = parse_recipe(text, "back");
  EXPECT_EQ(to_toml(back), text);
  EXPECT_EQ(back.run.name, r.run.name);
  EXPECT_EQ(back.run.seed, r.run.seed);
  EXPECT_EQ(back.data.mean, r.data.mean);
  EXPECT_EQ(back.train.epsilon, r.train.epsilon);
  EXPECT_EQ(back.network.options, r.network.options);
}

TEST(Recipe, LoadsWhatTheBinaryCarriesAndFiles) {
  EXPECT_THAT(recipe_names(), Contains("demo"));
  for (const std::string& name : recipe_names()) {
    const Recipe r = load_recipe(name);
    EXPECT_EQ(r.run.name, name);
    EXPECT_FALSE(r.network.options.empty()) << name;
  }
  EXPECT_THAT(error_of([] { load_recipe("dem"); }), HasSubstr("did you mean 'demo'"));
  EXPECT_THAT(error_of([] { load_recipe("nowhere/x.toml"); }), HasSubstr("no such file"));
  TemporaryFolder folder;
  write_atomic(folder.path() / "mine.toml", "[train]\nepochs = 2\n");
  const Recipe mine = load_recipe((folder.path() / "mine.toml").string(), {"train.epochs=4"});
  EXPECT_EQ(mine.run.name, "mine");
  EXPECT_EQ(mine.train.epochs, 4);
}

}  // namespace
}  // namespace micromind
