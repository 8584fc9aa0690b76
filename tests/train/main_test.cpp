// The tests' own main: the same program also plays the part of a training process that is killed or interrupted.
//   MICROMIND_TEST_CHILD="FOLDER|resume|checkpoint_every|stop_at|how|what", how = none, kill or interrupt; what = plain or
//   everything.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "train/rank_program.h"
#include "train/toy.h"

namespace micromind::testing {

int run_child(const std::string& what) {
  std::istringstream stream(what);
  std::vector<std::string> part;
  for (std::string s; std::getline(stream, s, '|');) part.push_back(s);
  catch_interrupts();
  TrainSection train = toy_section();
  train.threads = 2;
  train.checkpoint_every_steps = std::stoi(part.at(2));
  if (part.at(5) == "everything") switch_everything_on(train);
  const std::int64_t stop_at = std::stoi(part.at(3));
  const int signal = part.at(4) == "kill" ? SIGKILL : part.at(4) == "interrupt" ? SIGINT : 0;
  TrainHooks hooks{.resume = part.at(1) == "1", .log_every_steps = 1};
  hooks.after_step = [&](std::int64_t step) {
    if (step == stop_at && signal != 0) std::raise(signal);
  };
  ToyTask task;
  GraphModule module(toy_graph(), {.seed = 4});
  try {
    Trainer(task, module, {train, 4, part.at(0), hooks}).run();
  } catch (const Interrupted& e) {
    std::fputs(e.what(), stderr);
    return 7;
  }
  return 0;
}

}  // namespace micromind::testing

int main(int argc, char** argv) {
  // Checkpoints are flushed to the disk, which may take a while each: in memory, where there is such a folder.
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);
  if (const char* child = std::getenv("MICROMIND_TEST_CHILD")) return micromind::testing::run_child(child);
  if (const char* part = std::getenv("MICROMIND_TEST_RANK")) return micromind::testing::run_rank(part);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
