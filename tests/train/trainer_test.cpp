#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/train/run_log.h"
#include "train/toy.h"

namespace micromind::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

struct Stopped {};  // thrown by a hook: the process "dies" there

struct Outcome {
  TrainResult result;
  Weights weights;
};

Outcome train_toy(const fs::path& folder, TrainSection train, TrainHooks hooks = {}, ToyTask task = {}) {
  GraphModule module(toy_graph(), {.seed = 4});
  hooks.log_every_steps = 1;
  const TrainResult result = Trainer(task, module, {train, 4, folder, hooks}).run();
  return {result, module.to_weights()};
}

bool all_finite(const Weights& weights) {
  for (const auto& [name, array] : weights)
    for (const float v : array.values<float>())
      if (!std::isfinite(v)) return false;
  return true;
}

// The log without what depends on the clock.
std::vector<nlohmann::json> timeless_log(const fs::path& folder) {
  std::vector<nlohmann::json> lines = read_log(folder / "log.jsonl");
  for (nlohmann::json& line : lines) {
    line.erase("images_per_second");
    line.erase("seconds");
    line.erase("waited_seconds");
  }
  return lines;
}

TEST(Trainer, LearnsAndLeavesCheckpointsLogAndEvents) {
  TemporaryFolder folder;
  TrainSection train = toy_section();
  train.epochs = 12;
  std::vector<TrainProgress> seen;
  const Outcome o = train_toy(folder.path(), train, {.progress = [&](const TrainProgress& p) { seen.push_back(p); }});
  EXPECT_EQ(o.result.steps, 60);
  EXPECT_EQ(o.result.best.at("top1"), 1.0);
  EXPECT_GT(o.result.images_per_second, 0);
  EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/last.pt"), o.weights);
  EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/best.pt").size(), o.weights.size());

  ASSERT_EQ(seen.size(), 72u);  // 60 steps and 12 epochs
  EXPECT_EQ(seen[0].step, 1);
  EXPECT_EQ(seen[0].total_steps, 60);
  EXPECT_GT(seen[1].eta_seconds, 0);
  EXPECT_TRUE(seen[5].epoch_ended && seen[5].best && seen[5].epoch == 1);
  EXPECT_FALSE(seen[4].epoch_ended);

  const auto lines = read_log(folder.path() / "log.jsonl");
  ASSERT_EQ(lines.size(), 72u);
  EXPECT_EQ(lines[0]["learning_rate"], 0.0);  // warm-up starts there
  EXPECT_EQ(lines[5]["kind"], "epoch");
  EXPECT_EQ(lines[5]["validation"]["top1"], seen[5].metrics.at("top1"));
  int event_files = 0;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    event_files += entry.path().filename().string().starts_with("events.out.tfevents.");
  EXPECT_EQ(event_files, 1);
}

TEST(Trainer, ResumesToTheSameBytesFromEveryStep) {
  for (const std::string optimizer : {"sgd", "adamw"}) {
    TrainSection train = toy_section();
    train.optimizer = optimizer;
    train.weight_decay = 0.01;
    train.checkpoint_every_steps = 2;
    TemporaryFolder whole_folder;
    const Outcome whole = train_toy(whole_folder.path(), train);
    for (std::int64_t stop = 1; stop <= 15; ++stop) {
      TemporaryFolder folder;
      TrainHooks hooks{.after_step = [&](std::int64_t step) { if (step == stop) throw Stopped{}; }};
      EXPECT_THROW(train_toy(folder.path(), train, hooks), Stopped);
      const Outcome resumed = train_toy(folder.path(), train, {.resume = true});
      EXPECT_EQ(resumed.weights, whole.weights) << optimizer << " stopped at step " << stop;
      EXPECT_EQ(resumed.result.best, whole.result.best);
      EXPECT_EQ(resumed.result.best_epoch, whole.result.best_epoch);
      EXPECT_EQ(resumed.result.loss, whole.result.loss);
      EXPECT_EQ(timeless_log(folder.path()), timeless_log(whole_folder.path()));
      EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/best.pt"),
                load_checkpoint(whole_folder.path() / "checkpoints/best.pt"));
    }
  }
}

ProcessResult child(const fs::path& folder, bool resume, int every, int stop_at, const std::string& how,
                    const std::string& what = "plain") {
  ::setenv("MICROMIND_TEST_CHILD",
           fmt::format("{}|{}|{}|{}|{}|{}", folder.string(), resume ? 1 : 0, every, stop_at, how, what).c_str(), 1);
  const ProcessResult result = run_process({fs::read_symlink("/proc/self/exe").string()});
  ::unsetenv("MICROMIND_TEST_CHILD");
  return result;
}

TEST(Trainer, SurvivesBeingKilled) {
  TemporaryFolder whole;
  ASSERT_EQ(child(whole.path(), false, 3, 0, "none").exit_status, 0);
  const Weights expected = load_checkpoint(whole.path() / "checkpoints/last.pt");
  for (const int stop : {1, 4, 10, 14}) {  // before any checkpoint, in an epoch, at an epoch's end, near the end
    TemporaryFolder folder;
    ASSERT_EQ(child(folder.path(), false, 3, stop, "kill").exit_status, 128 + SIGKILL);
    ASSERT_EQ(child(folder.path(), true, 3, 0, "none").exit_status, 0);
    EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/last.pt"), expected) << "killed at step " << stop;
  }
}

TEST(Trainer, SurvivesBeingKilledAtRandomStepsWithEverythingOn) {
  TemporaryFolder whole;
  ASSERT_EQ(child(whole.path(), false, 0, 0, "none", "everything").exit_status, 0);
  Random random(2026);
  for (int trial = 0; trial < 3; ++trial) {
    TemporaryFolder folder;
    const int first = 1 + static_cast<int>(random.below(8)), second = first + static_cast<int>(random.below(9 - static_cast<std::uint32_t>(first)));
    ASSERT_EQ(child(folder.path(), false, 0, first, "kill", "everything").exit_status, 128 + SIGKILL);
    ASSERT_EQ(child(folder.path(), true, 0, second, "kill", "everything").exit_status, 128 + SIGKILL);
    ASSERT_EQ(child(folder.path(), true, 0, 0, "none", "everything").exit_status, 0);
    std::set<std::string> files;
    for (const auto& entry : fs::directory_iterator(whole.path() / "checkpoints")) {
      const std::string name = entry.path().filename().string();
      files.insert(name);
      EXPECT_TRUE(read_bytes(folder.path() / "checkpoints" / name) == read_bytes(entry.path())) << name << ", killed at steps " << first << " and " << second;
    }
    EXPECT_EQ(files.size(), 5u);  // last, best and three by step
    EXPECT_EQ(timeless_log(folder.path()), timeless_log(whole.path()));
  }
}

TEST(Trainer, CtrlCWritesACheckpointAndSaysHowToGoOn) {
  TemporaryFolder whole, folder;
  ASSERT_EQ(child(whole.path(), false, 0, 0, "none").exit_status, 0);
  const ProcessResult stopped = child(folder.path(), false, 0, 7, "interrupt");
  EXPECT_EQ(stopped.exit_status, 7);
  EXPECT_THAT(stopped.err, HasSubstr("stopped after step 7 of 15"));
  EXPECT_THAT(stopped.err, HasSubstr("--resume"));
  const auto lines = read_log(folder.path() / "log.jsonl");
  EXPECT_EQ(lines.back()["step"], 7);
  ASSERT_EQ(child(folder.path(), true, 0, 0, "none").exit_status, 0);
  EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/last.pt"), load_checkpoint(whole.path() / "checkpoints/last.pt"));
}

TEST(Trainer, ResumeWithoutACheckpointStartsAndAFinishedRunHasNothingToDo) {
  TemporaryFolder folder;
  const Outcome first = train_toy(folder.path(), toy_section(), {.resume = true});
  int steps = 0;
  const Outcome again = train_toy(folder.path(), toy_section(), {.resume = true, .after_step = [&](std::int64_t) { ++steps; }});
  EXPECT_EQ(steps, 0);
  EXPECT_EQ(again.weights, first.weights);
  EXPECT_EQ(again.result.last, first.result.last);
}

TEST(Trainer, ANewRunForgetsTheOldOne) {
  TemporaryFolder folder;
  train_toy(folder.path(), toy_section());
  TrainHooks hooks{.after_step = [](std::int64_t) { throw Stopped{}; }};
  EXPECT_THROW(train_toy(folder.path(), toy_section(), hooks), Stopped);
  EXPECT_FALSE(fs::exists(folder.path() / "checkpoints/last.pt"));
  EXPECT_FALSE(fs::exists(folder.path() / "checkpoints/best.pt"));
  EXPECT_EQ(read_log(folder.path() / "log.jsonl").size(), 1u);
}

TEST(Trainer, StopsAtNaNAndKeepsTheLastGoodCheckpoint) {
  TemporaryFolder folder;
  ToyTask task;
  task.nan_at_call = 7;
  try {
    train_toy(folder.path(), toy_section(), {}, task);
    FAIL() << "a NaN loss went unnoticed";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("step 8"));
    EXPECT_THAT(e.what(), HasSubstr("learning_rate"));
    EXPECT_THAT(e.what(), HasSubstr("last.pt"));
  }
  EXPECT_TRUE(all_finite(load_checkpoint(folder.path() / "checkpoints/last.pt")));
  EXPECT_EQ(read_log(folder.path() / "log.jsonl").back()["step"], 7);
}

TEST(Trainer, NeverSavesWeightsThatOverflowed) {
  TemporaryFolder folder;
  TrainSection train = toy_section();
  train.optimizer = "sgd";
  train.schedule = "constant";
  train.warmup_epochs = 0;
  train.learning_rate = 3e38;
  train.checkpoint_every_steps = 1;
  EXPECT_THROW(train_toy(folder.path(), train), Error);
  const fs::path last = folder.path() / "checkpoints/last.pt";
  EXPECT_TRUE(!fs::exists(last) || all_finite(load_checkpoint(last)));
}

TEST(Trainer, AFullDiskLeavesTheOldCheckpoint) {
  TemporaryFolder folder;
  TrainSection train = toy_section();
  train.checkpoint_every_steps = 4;
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ::getrlimit(RLIMIT_FSIZE, &old_limit);
  Weights at_four;
  TrainHooks hooks{.after_step = [&](std::int64_t step) {
    if (step != 5) return;
    at_four = load_checkpoint(folder.path() / "checkpoints/last.pt");
    rlimit small = old_limit;
    small.rlim_cur = 4096;  // the log fits, the checkpoint does not
    ::setrlimit(RLIMIT_FSIZE, &small);
  }};
  std::string message;
  try {
    train_toy(folder.path(), train, hooks);
  } catch (const Error& e) {
    message = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, HasSubstr("cannot write"));
  EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/last.pt"), at_four);
  for (const auto& entry : fs::directory_iterator(folder.path() / "checkpoints"))
    EXPECT_EQ(entry.path().extension(), ".pt") << "a temporary file was left";
  TemporaryFolder whole;  // with room again, the run goes on from there
  EXPECT_EQ(train_toy(folder.path(), train, {.resume = true}).weights, train_toy(whole.path(), train).weights);
}

TEST(Trainer, RefusesToResumeAnotherRun) {
  TemporaryFolder folder;
  train_toy(folder.path(), toy_section());
  const TrainHooks resume{.resume = true};
  TrainSection other = toy_section();
  other.batch_size = 16;
  EXPECT_THAT([&] { train_toy(folder.path(), other, resume); }, ::testing::ThrowsMessage<Error>(HasSubstr("batch_size = 8")));
  other = toy_section();
  other.ema_decay = 0.9;
  EXPECT_THAT([&] { train_toy(folder.path(), other, resume); }, ::testing::ThrowsMessage<Error>(HasSubstr("average = false")));
  other = toy_section();
  other.optimizer = "sgd";
  EXPECT_THAT([&] { train_toy(folder.path(), other, resume); }, ::testing::ThrowsMessage<Error>(HasSubstr("optimizer")));
  fs::copy_file(folder.path() / "checkpoints/best.pt", folder.path() / "checkpoints/last.pt",
                fs::copy_options::overwrite_existing);
  EXPECT_THAT([&] { train_toy(folder.path(), toy_section(), resume); }, ::testing::ThrowsMessage<Error>(HasSubstr("position")));
  write_atomic(folder.path() / "checkpoints/last.pt", std::string_view("PK not a checkpoint"));
  EXPECT_THROW(train_toy(folder.path(), toy_section(), resume), Error);
}

TEST(Trainer, RefusesRecipesOutOfRange) {
  const auto refused = [](auto change) {
    TemporaryFolder folder;
    TrainSection train = toy_section();
    change(train);
    EXPECT_THROW(train_toy(folder.path(), train), Error);
  };
  refused([](TrainSection& t) { t.optimizer = "adm"; });
  refused([](TrainSection& t) { t.schedule = "cosin"; });
  refused([](TrainSection& t) { t.epochs = 0; });
  refused([](TrainSection& t) { t.learning_rate = -1; });
  refused([](TrainSection& t) { t.learning_rate = NAN; });
  refused([](TrainSection& t) { t.momentum = 1; });
  refused([](TrainSection& t) { t.beta2 = 1.5; });
  refused([](TrainSection& t) { t.weight_decay = -0.1; });
  refused([](TrainSection& t) { t.warmup_epochs = 4; });
  refused([](TrainSection& t) { t.threads = -1; });
  refused([](TrainSection& t) { t.checkpoint_every_steps = -1; });
  refused([](TrainSection& t) { t.accumulate = 0; });
  refused([](TrainSection& t) { t.ema_decay = 1; });
  refused([](TrainSection& t) { t.keep_best = 0; });
  refused([](TrainSection& t) { t.clip_norm = -1; });
  refused([](TrainSection& t) { t.layer_decay = 0; });
  refused([](TrainSection& t) { t.freeze = {"convolution"}; });
  refused([](TrainSection& t) { t.freeze = {"conv", "norm", "depthwise", "classifier"}; });
  refused([](TrainSection& t) { t.validate_every_epochs = 0; t.early_stop = 1; });
  refused([](TrainSection& t) { t.validate_every_epochs = 0; t.schedule = "plateau"; });
}

}  // namespace
}  // namespace micromind::testing
