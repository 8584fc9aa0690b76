// micromind design, from a budget to a chip that keeps to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "micromind/base/file.h"
#include "micromind/deploy/deploy.h"
#include "micromind/targets/target.h"
#include "error_of.h"

namespace micromind {
namespace {

using ::testing::HasSubstr;
using nlohmann::json;

std::string why_not_emulated() {
  return error_of([] { check_deploy_tools(load_target("stm32l4r5"), true); });
}

// Designed, trained for an epoch, made int8, built and emulated: the arena has the designed size to the byte, the linked
// image within 2 %, and both are within the budget.
TEST(DesignVerb, ThePromiseIsKeptOnTheChip) {
  if (const std::string why = why_not_emulated(); why != "no error") GTEST_SKIP() << why;
  TemporaryFolder folder;
  for (const std::string family : {"phinet", "xinet"}) {
    const json d = json_of(micromind({"design", family, "--input", "3x32x32", "--classes", "10", "--target", "stm32l4r5", "--ram", "24kB", "--flash",
                                      "80kB", "--macs", "2M", "--output", family + ".toml", "--json"},
                                     folder.path()));
    ASSERT_TRUE(d.contains("used")) << d;
    EXPECT_EQ(d["gap"], 0) << family;
    EXPECT_LE(d["used"]["ram_bytes"], 24 * 1024);
    EXPECT_GT(d["share"]["macs"].get<double>() + d["share"]["ram_bytes"].get<double>() + d["share"]["flash_bytes"].get<double>(), 2) << d;
    const json run = json_of(micromind({"run", family + ".toml", "--set", "train.epochs=1", "--set", "data.train_limit=200", "--set",
                                        "data.test_limit=20", "--set", "deploy.inputs=2", "--json"},
                                       folder.path()));
    ASSERT_TRUE(run.contains("deploy")) << run;
    const json& chip = run["deploy"];
    EXPECT_EQ(chip["arena_bytes"], d["used"]["ram_bytes"]) << family;
    EXPECT_EQ(chip["macs"], d["used"]["macs"]) << family;
    EXPECT_NEAR(chip["flash_bytes"].get<double>(), d["used"]["flash_bytes"].get<double>(), 0.02 * d["used"]["flash_bytes"].get<double>()) << family;
    EXPECT_LE(chip["flash_bytes"], 80 * 1024) << family;
    EXPECT_EQ(chip["outputs_identical"], 2);
  }
}

// [design] in a recipe: the run folder's recipe holds the network, the same one that the verb finds.
TEST(DesignVerb, ARecipeMayAskForADesign) {
  TemporaryFolder folder;
  write_atomic(folder.path() / "ask.toml",
               "[design]\nram = \"24kB\"\nflash = \"80kB\"\nmacs = \"2M\"\nspace = {num_layers = [4, 5], beta = 1}\n[network]\nfamily = \"phinet\"\ndivisor = 4\n"
               "[train]\nepochs = 1\n[data]\ntrain_limit = 100\ntest_limit = 20\n[deploy]\ntarget = \"stm32l4r5\"\n");
  const json d = json_of(micromind({"design", "phinet", "--input", "3x32x32", "--classes", "10", "--target", "stm32l4r5", "--ram", "24kB", "--flash", "80kB",
                                    "--macs", "2M", "--space", "num_layers=4:5", "--space", "beta=1", "--set", "divisor=4", "--quick", "--json"}));
  json_of(micromind({"train", "ask.toml", "--output", "asked", "--json"}, folder.path()));
  const std::string recipe = read_text(folder.path() / "asked" / "recipe.toml");
  EXPECT_THAT(recipe, Not(HasSubstr("[design]")));
  for (const char* knob : {"alpha", "t_zero", "num_layers", "divisor"})
    EXPECT_THAT(recipe, HasSubstr(fmt::format("{} = {}\n", knob, d["hyperparameters"][knob].dump()))) << d;
  // The same question again is the same run.
  EXPECT_EQ(micromind({"train", "ask.toml", "--output", "asked", "--resume"}, folder.path()).exit_status, 0);
}

TEST(DesignVerb, EveryFamilyAnswers) {
  for (const std::string family : {"phinet", "xinet", "mobilenet-v2", "efficientnet"}) {
    const json d = json_of(micromind({"design", family, "--input", "3x96x96", "--classes", "10", "--ram", "300kB", "--flash", "1MB", "--macs", "30M", "--json"}));
    for (const char* key : {"family", "hyperparameters", "budget", "used", "share", "binding", "next_better_needs", "solve_ms", "gap", "recipe"})
      EXPECT_TRUE(d.contains(key)) << family << " " << key;
    // What the table says is what inspect says of these hyperparameters.
    std::vector<std::string> inspect = {"inspect", family, "--json"};
    for (const auto& [key, value] : d["hyperparameters"].items()) {
      inspect.push_back("--set");
      inspect.push_back(key + "=" + value.dump());
    }
    const json cost = json_of(micromind(inspect));
    EXPECT_EQ(cost["peak_ram_bytes"], d["used"]["ram_bytes"]) << family;
    EXPECT_EQ(cost["flash_bytes"], d["used"]["flash_bytes"]) << family;
    EXPECT_EQ(cost["macs"], d["used"]["macs"]) << family;
  }
}

TEST(DesignVerb, BadQuestionsGetOneClearMessage) {
  struct Case {
    std::vector<std::string> arguments;
    const char* expected;
  };
  const std::vector<std::string> whole = {"--input", "3x96x96", "--classes", "10", "--ram", "64kB", "--flash", "256kB", "--macs", "5M"};
  const std::vector<Case> cases = {
      {{"phinet", "--ram", "0"}, "[design.ram]"},
      {{"phinet", "--ram", "-64kB"}, "[design.ram]"},
      {{"phinet", "--flash", "1XB"}, "[design.flash]"},
      {{"phinet", "--macs", "many"}, "[design.macs]"},
      {{"phinet", "--input", "3x96"}, "expected an image"},
      {{"phinet", "--input", "0x96x96"}, "is no shape"},
      {{"phint"}, "did you mean 'phinet'"},
      {{"resnet-8"}, "nothing to scale"},
      {{"xinet", "--input", "3x2x2"}, "does not fit"},
      {{"phinet", "--target", "stm32h743", "--ram", "2MB"}, "contradiction"},
      {{"phinet", "--least-macs", "6M"}, "contradiction"},
      {{"phinet", "--objective", "latency"}, "say how large it must be"},
      {{"phinet", "--objective", "speed"}, "unknown objective"},
      {{"phinet", "--solver", "gurobi"}, "unknown solver"},
      {{"phinet", "--space", "alpha"}, "knob=value"},
      {{"phinet", "--space", "alpha=2:1"}, "reversed"},
      {{"phinet", "--space", "aplha=1"}, "did you mean 'alpha'"},
      {{"phinet", "--space", "num_layers=true"}, "wrong kind"},
      {{"phinet", "--space", "alpha=0"}, "more than 0"},
      {{"phinet", "--set", "alpha=1"}, "is a knob"},
      {{"phinet", "--set", "num_classes=5"}, "cannot be set"},
      {{"phinet", "--set", "family=xinet"}, "given already"},
      {{"efficientnet", "--set", "width=2"}, "follows from phi"},
      {{"phinet", "--space", "alpha=0.1:1e9"}, "at most 100"},
      {{"phinet", "--ram", ""}, "found nothing"},
      {{"phinet", "--macs", "100G", "--flash", "100MB", "--ram", "100MB", "--least-macs", "99G"}, "the largest phinet of the space has"},
      {{"phinet", "--pareto", "--solver", "bonmin"}, "exact search alone"},
      {{"phinet", "--set", "divsor=8"}, "did you mean 'divisor'"},
      {{"phinet", "--ram", "1kB"}, "RAM 1.0 kB cannot be met, the smallest budget that could is"},
      {{"mobilenet-v2", "--macs", "100k"}, "MACs 100,000 cannot be met, the smallest budget that could is"},
      {{"phinet", "--target", "stm32h7"}, "did you mean 'stm32h743'"},
      {{"phinet", "--output", "/dev/null/x.toml"}, "/dev/null"},
  };
  for (const Case& c : cases) {
    std::vector<std::string> arguments = {"design", c.arguments.front()};
    // What the case does not say itself comes from a request that is right.
    for (std::size_t i = 0; i < whole.size(); i += 2)
      if (std::find(c.arguments.begin(), c.arguments.end(), whole[i]) == c.arguments.end()) arguments.insert(arguments.end(), {whole[i], whole[i + 1]});
    arguments.insert(arguments.end(), c.arguments.begin() + 1, c.arguments.end());
    const ProcessResult result = micromind(arguments);
    EXPECT_NE(result.exit_status, 0) << testing::PrintToString(arguments);
    EXPECT_THAT(result.err, HasSubstr(c.expected)) << testing::PrintToString(arguments);
    EXPECT_EQ(result.out, "");
  }
}

TEST(DesignVerb, KnobsAreListed) {
  const json knobs = json_of(micromind({"design", "xinet", "--knobs", "--json"}));
  std::vector<std::string> names;
  for (const json& knob : knobs["knobs"]) names.push_back(knob["name"]);
  EXPECT_THAT(names, testing::IsSupersetOf({"alpha", "beta", "gamma", "num_layers", "resolution"}));
  EXPECT_EQ(micromind({"design", "xinet", "--classes", "10", "--ram", "64kB"}).exit_status, 2);
}

// A budget that no network meets says how much would do; that much does.
TEST(DesignVerb, TheSmallestBudgetIsEnough) {
  const ProcessResult none = micromind({"design", "xinet", "--input", "3x96x96", "--classes", "10", "--ram", "16kB", "--flash", "1MB", "--macs", "50M"});
  EXPECT_EQ(none.exit_status, 1);
  const std::string mark = "the smallest budget that could is ";
  const auto at = none.err.find(mark);
  ASSERT_NE(at, std::string::npos) << none.err;
  std::string amount = none.err.substr(at + mark.size(), none.err.find_first_of("\n;", at) - at - mark.size());
  EXPECT_THAT(amount, HasSubstr(" B)"));
  const std::string bytes = amount.substr(amount.find('(') + 1, amount.find(" B)") - amount.find('(') - 1);
  std::string digits;
  for (const char c : bytes)
    if (c != ',') digits += c;
  const json d = json_of(micromind({"design", "xinet", "--input", "3x96x96", "--classes", "10", "--ram", digits, "--flash", "1MB", "--macs", "50M", "--json"}));
  EXPECT_LE(d["used"]["ram_bytes"], std::stoll(digits));  // less: the search counts tensors that lie apart
  const ProcessResult less = micromind({"design", "xinet", "--input", "3x96x96", "--classes", "10", "--ram", std::to_string(std::stoll(digits) - 1), "--flash",
                                        "1MB", "--macs", "50M"});
  EXPECT_EQ(less.exit_status, 1);
}

}  // namespace
}  // namespace micromind
