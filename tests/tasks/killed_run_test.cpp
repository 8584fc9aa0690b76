// A classification that is killed at random steps and resumed, with all that a checkpoint must remember and with loader
// threads: the same last.pt, byte for byte. The same program plays the part of the process that is killed:
//   MICROMIND_TEST_CHILD="FOLDER|resume|stop_at"
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"
#include "micromind/tasks/classification.h"

namespace micromind {
namespace {

constexpr int kSteps = 16;  // of 8 an epoch, each of two batches

Recipe recipe_with_everything(int loader_threads) {
  Recipe r;
  r.run.seed = 5;
  r.data.name = "glyphs";
  r.data.train_limit = 60;
  r.data.test_limit = 20;
  r.augment.horizontal_flip = true;
  r.augment.crop_padding = 4;
  r.augment.mixup = 0.3;
  r.augment.randaugment = 1;
  TrainSection& t = r.train;
  t.epochs = 2;
  t.batch_size = 4;  // 15 batches: the last step of an epoch has one
  t.accumulate = 2;
  t.optimizer = "adamw";
  t.weight_decay = 0.05;
  t.learning_rate = 0.01;
  t.schedule = "plateau";
  t.plateau_patience = 0;
  t.clip_norm = 0.5;
  t.clip_value = 0.1;
  t.ema_decay = 0.95;
  t.validate_every_steps = 3;
  t.checkpoint_every_steps = 5;
  t.keep_best = 2;
  t.threads = 2;
  t.loader_threads = loader_threads;
  return r;
}

Graph network() {
  Graph g("small");
  int x = g.add_input("image", {3, 32, 32});
  x = g.add("conv", Conv2d{.out_channels = 8, .kernel = 3, .stride = 2, .padding = 1, .bias = false}, {x});
  x = g.add("norm", BatchNorm{}, {x});
  x = g.add("act", Activation{Function::relu6}, {x});
  x = g.add("drop", Dropout{.p = 0.1f}, {x});
  x = g.add("pool", AdaptiveAvgPool2d{.output = 4}, {x});
  g.add_output("scores", g.add("classifier", Linear{.out_features = 10}, {g.add("flatten", Flatten{}, {x})}));
  return g;
}

int play_child(const std::string& what) {
  std::istringstream stream(what);
  std::string folder, resume, stop_at;
  std::getline(stream, folder, '|');
  std::getline(stream, resume, '|');
  std::getline(stream, stop_at, '|');
  TrainHooks hooks{.resume = resume == "1", .log_every_steps = 1};
  hooks.after_step = [&](std::int64_t step) {
    if (step == std::stoi(stop_at)) std::raise(SIGKILL);
  };
  try {
    train_classification(recipe_with_everything(resume == "1" ? 2 : 1), network(), folder, hooks);
  } catch (const Error& e) {
    std::fputs(e.what(), stderr);
    return 1;
  }
  return 0;
}

int run_child(const std::filesystem::path& folder, bool resume, int stop_at) {
  ::setenv("MICROMIND_TEST_CHILD", fmt::format("{}|{}|{}", folder.string(), resume ? 1 : 0, stop_at).c_str(), 1);
  const ProcessResult result = run_process({std::filesystem::read_symlink("/proc/self/exe").string()});
  ::unsetenv("MICROMIND_TEST_CHILD");
  EXPECT_EQ(result.err, "");
  return result.exit_status;
}

TEST(KilledRun, EndsWithTheSameBytesWhereverItWasKilled) {
  TemporaryFolder whole;
  ASSERT_EQ(run_child(whole.path(), false, 0), 0);
  Random random(4711);
  for (int trial = 0; trial < 3; ++trial) {
    TemporaryFolder folder;
    const int first = 1 + static_cast<int>(random.below(kSteps)), second = 1 + static_cast<int>(random.below(kSteps));
    ASSERT_EQ(run_child(folder.path(), false, first), 128 + SIGKILL);
    const int status = run_child(folder.path(), true, second);  // a step that the checkpoint lies behind does not come again
    ASSERT_TRUE(status == 0 || status == 128 + SIGKILL) << status;
    ASSERT_EQ(run_child(folder.path(), true, 0), 0);
    for (const char* file : {"checkpoints/last.pt", "checkpoints/best.pt"})
      EXPECT_TRUE(read_bytes(folder.path() / file) == read_bytes(whole.path() / file)) << file << ", killed at " << first << " and " << second;
  }
}

}  // namespace
}  // namespace micromind

int main(int argc, char** argv) {
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);  // checkpoints are flushed
  if (const char* child = std::getenv("MICROMIND_TEST_CHILD")) return micromind::play_child(child);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
