// micromind design --pareto as a user meets it, with real trainings on the embedded data set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/program.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using nlohmann::json;
namespace fs = std::filesystem;

ProcessResult pareto(const std::vector<std::string>& more, const fs::path& folder) {
  std::vector<std::string> command = {"design", "phinet",  "--input", "3x32x32", "--classes",   "10",
                                      "--ram",          "32kB",   "--flash", "200kB",   "--macs",  "1M",          "--pareto",
                                      "--recipe-set", "train.threads=1", "--recipe-set", "data.train_limit=96", "--recipe-set", "train.batch_size=32", "--json"};
  if (std::find(more.begin(), more.end(), "--points") == more.end()) command.insert(command.end(), {"--points", "2"});
  command.insert(command.end(), more.begin(), more.end());
  return micromind(command, folder);
}

TEST(ParetoCli, TrainsRanksAndGoesOn) {
  TemporaryFolder folder;
  const std::vector<std::string> proxy = {"--proxy-train", "glyphs", "--epochs", "2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), proxy.begin(), proxy.end());
    return pareto(more, folder.path());
  };
  // Nothing is trained: the first rung waits. One of it is trained as a scheduler would, by `micromind train`.
  const json waiting = json_of(with({"--collect"}));
  EXPECT_EQ(waiting["complete"], false);
  ASSERT_EQ(waiting["pending"].size(), waiting["points"].size());
  const auto recipe = waiting["pending"][1].get<std::string>();
  const std::string name = fs::path(recipe).stem().string();
  ASSERT_EQ(micromind({"train", recipe, "--resume", "--output", "pareto/runs/" + name}, folder.path()).exit_status, 0);
  EXPECT_EQ(json_of(with({"--collect"}))["pending"].size(), waiting["points"].size() - 1);

  const ProcessResult run = with({});
  const json all = json_of(run);
  EXPECT_THAT(run.err, HasSubstr(name.substr(0, name.size() - 3) + "  1 epoch  top-1"));
  EXPECT_THAT(run.err, HasSubstr("(trained already)"));
  EXPECT_EQ(all["complete"], true);
  int trained_long = 0;
  for (const json& point : all["points"]) {
    EXPECT_TRUE(point["top1"].is_number());
    EXPECT_TRUE(point["undominated"].is_boolean());
    trained_long += point["epochs"] == 2 ? 1 : 0;
    EXPECT_TRUE(fs::exists(folder.path() / "pareto" / point["recipe"].get<std::string>()));
  }
  EXPECT_EQ(trained_long, static_cast<int>(all["points"].size() + 1) / 2);

  const ProcessResult again = with({});
  EXPECT_THAT(again.err, Not(HasSubstr("training (")));
  json same = json_of(again);
  EXPECT_EQ(same["points"], all["points"]);
  EXPECT_EQ(json_of(pareto({}, folder.path()))["points"][0]["top1"], all["points"][0]["top1"]) << "without --proxy-train the scores stay";
}

TEST(ParetoCli, FailuresAreOneMessageAndMakeNothing) {
  TemporaryFolder folder;
  write_atomic(folder.path() / "file", "x");
  write_atomic(folder.path() / "full" / "x", "x");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--proxy-train", "glyfs", "--epochs", "1"}, "did you mean 'glyphs'"},
      {{"--proxy-train", "glyphs", "--epochs", "0"}, "0 epochs"},
      {{"--proxy-train", "glyphs", "--epochs", "1", "--eta", "1"}, "2 to 100"},
      {{"--proxy-train", "glyphs"}, "0 epochs"},
      {{"--proxy-train", "./none", "--epochs", "1"}, "none"},
      {{"--proxy-train", "glyphs", "--epochs", "1", "--recipe-set", "train.learning_rat=1"}, "did you mean 'learning_rate'"},
      {{"--output", "file/x"}, "file"},
      {{"--output", "file"}, "is no folder"},
      {{"--output", "full"}, "holds no front"},
      {{"--target", "rp2041"}, "did you mean 'rp2040'"},
  };
  for (const auto& [more, expected] : cases) {
    const ProcessResult r = pareto(more, folder.path());
    EXPECT_EQ(r.exit_status, 1) << more.back() << r.err;
    EXPECT_TRUE(r.out.empty()) << more.back();
    EXPECT_THAT(r.err, AllOf(HasSubstr("micromind: "), HasSubstr(expected), Not(HasSubstr("internal error")))) << more.back();
    EXPECT_FALSE(fs::exists(folder.path() / "pareto")) << more.back();
  }
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{{"--points", "0"}, {"--points", "17"}, {"--epochs", "1"}, {"--collect"}})
    EXPECT_EQ(pareto(more, folder.path()).exit_status, 2) << more[0];
}

}  // namespace
}  // namespace micromind
