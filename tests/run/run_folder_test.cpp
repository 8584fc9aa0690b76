#include "micromind/run/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "error_of.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

Recipe recipe(std::int64_t epochs) {
  Recipe r;
  r.run.name = "demo";
  r.train.epochs = epochs;
  r.network.options["alpha"] = 0.5;
  return r;
}

TEST(RunFolder, CreatesAndOpens) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "runs" / "demo";
  RunFolder::create(path, recipe(3), IfPresent::fail);
  const RunFolder run = RunFolder::open(path);
  EXPECT_EQ(run.recipe().train.epochs, 3);
  EXPECT_EQ(run.recipe().network.options["alpha"], 0.5);
  EXPECT_TRUE(run.result("train").is_null());
  EXPECT_THAT(error_of([&] { run.need(run.tflite_file(), "quantize"); }),
              AllOf(HasSubstr("has not run yet"), HasSubstr("micromind quantize " + path.string())));
}

TEST(RunFolder, NeverOverwritesSilently) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "demo";
  RunFolder::create(path, recipe(3), IfPresent::fail);
  write_atomic(path / "notes.txt", "mine");
  write_atomic(path / "model.tflite", "old");

  EXPECT_THAT(error_of([&] { RunFolder::create(path, recipe(3), IfPresent::fail); }), HasSubstr("--force"));
  EXPECT_EQ(RunFolder::create(path, recipe(3), IfPresent::numbered).path(), folder.path() / "demo-2");
  EXPECT_EQ(RunFolder::create(path, recipe(3), IfPresent::numbered).path(), folder.path() / "demo-3");

  EXPECT_EQ(RunFolder::create(path, recipe(3), IfPresent::resume).path(), path);
  EXPECT_TRUE(fs::exists(path / "model.tflite"));
  EXPECT_THAT(error_of([&] { RunFolder::create(path, recipe(4), IfPresent::resume); }),
              AllOf(HasSubstr("another recipe"), HasSubstr("train.epochs: 3 → 4")));

  EXPECT_EQ(RunFolder::create(path, recipe(4), IfPresent::replace).recipe().train.epochs, 4);
  EXPECT_FALSE(fs::exists(path / "model.tflite"));
  EXPECT_EQ(read_text(path / "notes.txt"), "mine");
}

TEST(RunFolder, RefusesOtherFolders) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "photos";
  write_atomic(path / "cat.jpg", "x");
  for (const IfPresent how : {IfPresent::fail, IfPresent::resume, IfPresent::replace})
    EXPECT_THAT(error_of([&] { RunFolder::create(path, recipe(1), how); }), HasSubstr("no run folder"));
  EXPECT_THAT(error_of([&] { RunFolder::open(path); }), HasSubstr("no recipe.toml"));
  EXPECT_THAT(error_of([&] { RunFolder::open(folder.path() / "none"); }), HasSubstr("no such folder"));
  EXPECT_THAT(error_of([&] { RunFolder::create(path / "cat.jpg" / "x", recipe(1), IfPresent::fail); }), HasSubstr("cat.jpg"));
}

TEST(RunFolder, ResultsForgetWhatWasBuiltOnAnOlderOne) {
  TemporaryFolder folder;
  RunFolder run = RunFolder::create(folder.path() / "demo", recipe(1), IfPresent::fail);
  for (const std::string& stage : stage_names()) run.set_result(stage, {{"stage", stage}});
  run.set_result("evaluate", {{"top1", 0.5}});
  EXPECT_TRUE(run.has_result("export"));
  EXPECT_TRUE(run.has_result("deploy"));
  run.set_result("quantize", {{"samples", 1}});
  EXPECT_TRUE(run.has_result("train"));
  EXPECT_FALSE(run.has_result("evaluate"));
  EXPECT_FALSE(run.has_result("deploy"));
  EXPECT_THROW(run.set_result("deplyo", {}), Error);
  write_atomic(run.results_file(), "{\"train\": ");
  EXPECT_THAT(error_of([&] { run.result("train"); }), HasSubstr("damaged"));
}

TEST(RunFolder, DifferencesNameSectionAndKey) {
  Recipe other = recipe(3);
  other.network.options["beta"] = 2;
  other.deploy.target = "nrf52840";
  EXPECT_THAT(differences(recipe(3), other), ElementsAre("deploy.target: \"stm32h743\" → \"nrf52840\"", "network.beta: (default) → 2"));
}

}  // namespace
}  // namespace micromind
