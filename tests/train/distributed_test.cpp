// Ranks are processes of their own: this program, started again with a part to play.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/process.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/metrics/classification.h"
#include "micromind/train/distributed/launch.h"
#include "micromind/train/distributed/ranks.h"
#include "micromind/train/distributed/reducer.h"
#include "train/rank_program.h"
#include "train/toy.h"

namespace micromind::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

Environment environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(Launch, IsReadFromEveryLauncher) {
  EXPECT_TRUE(launch_from_environment(environment({})).alone());
  const Launch torchrun = launch_from_environment(
      environment({{"RANK", "3"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "1234"}, {"OMPI_COMM_WORLD_SIZE", "2"}}));
  EXPECT_EQ(torchrun.rank, 3);
  EXPECT_EQ(torchrun.world_size, 8);
  EXPECT_EQ(torchrun.local_rank, 1);
  EXPECT_EQ(torchrun.address, "10.0.0.1");
  EXPECT_EQ(torchrun.port, 1234);
  const Launch mpirun = launch_from_environment(
      environment({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}}));
  EXPECT_EQ(mpirun.rank, 1);
  EXPECT_EQ(mpirun.address, "127.0.0.1");
  const Launch srun = launch_from_environment(environment(
      {{"SLURM_PROCID", "2"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_LOCALID", "0"}, {"SLURM_STEP_NODELIST", "gpu[03-04,9]"}, {"SLURM_JOB_ID", "20007"}}));
  EXPECT_EQ(srun.rank, 2);
  EXPECT_EQ(srun.address, "gpu03");
  EXPECT_EQ(srun.port, 20007);
  // A batch script's own shell: Slurm tells its tasks, but it is one process.
  EXPECT_TRUE(launch_from_environment(environment({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}})).alone());
}

TEST(Launch, FirstHostOfSlurmsLists) {
  EXPECT_EQ(first_slurm_host("login"), "login");
  EXPECT_EQ(first_slurm_host("a1,b2"), "a1");
  EXPECT_EQ(first_slurm_host("gpu[12,14-16],cpu1"), "gpu12");
  EXPECT_EQ(first_slurm_host("gpu[7]"), "gpu7");
}

TEST(Launch, WhatIsMissingIsNamed) {
  const auto message = [](std::map<std::string, std::string> variables) {
    try {
      launch_from_environment(environment(std::move(variables)));
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message({{"RANK", "0"}}), HasSubstr("WORLD_SIZE is not set"));
  EXPECT_THAT(message({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "x"}}), HasSubstr("RANK = '2': expected a number from 0 to 1"));
  EXPECT_THAT(message({{"RANK", "one"}, {"WORLD_SIZE", "2"}}), HasSubstr("'one'"));
  EXPECT_THAT(message({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}}), HasSubstr("MASTER_ADDR"));
  EXPECT_THAT(message({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "x"}, {"MASTER_PORT", "99999"}}), HasSubstr("MASTER_PORT"));
}

int free_port() {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  const bool bound = ::bind(s, reinterpret_cast<sockaddr*>(&a), size) == 0 && ::getsockname(s, reinterpret_cast<sockaddr*>(&a), &size) == 0;
  ::close(s);
  return bound ? ntohs(a.sin_port) : 0;
}

// Starts a process a rank that plays `part`, and returns how each ended.
std::vector<ProcessResult> run_ranks(const std::string& part, const fs::path& folder, int size, double timeout_s = 60) {
  const int port = free_port();
  std::vector<ProcessResult> results(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      results[static_cast<std::size_t>(r)] = run_process(
          {"env", "MICROMIND_TEST_RANK=" + part, "MICROMIND_TEST_FOLDER=" + folder.string(), fmt::format("RANK={}", r), fmt::format("WORLD_SIZE={}", size),
           "MASTER_ADDR=127.0.0.1", fmt::format("MASTER_PORT={}", port), fs::read_symlink("/proc/self/exe").string()},
          {.timeout_s = timeout_s});
    });
  for (std::thread& t : threads) t.join();
  return results;
}

double rank_seed(int rank) { return 1.0 + rank; }

// --- the parts ---------------------------------------------------------------------------------------------------

int play_collectives(Ranks& ranks) {
  const at::Tensor t = at::full({3}, rank_seed(ranks.rank()));
  ranks.sum(t);
  for (int i = 0; i < 3; ++i)
    if (t[i].item<double>() != 6) return 11;  // 1 + 2 + 3
  const at::Tensor s = at::full({2}, rank_seed(ranks.rank()));
  ranks.share(s);
  if (s[1].item<double>() != 1) return 12;
  if (ranks.share(Bytes(static_cast<std::size_t>(5 * (ranks.rank() + 1)), static_cast<std::uint8_t>(ranks.rank() + 7))) != Bytes(5, 7)) return 13;
  ranks.check_same("recipe", "a\nb\n");
  try {
    ranks.check_same("recipe", ranks.rank() == 2 ? "a\nb = 2\n" : "a\nb = 1\n");
    return 14;
  } catch (const RankLost&) {
    return 15;
  } catch (const Error& e) {
    return std::string(e.what()).find("the recipe of rank 2 differs from rank 0's: 'b = 2' there, 'b = 1' here") == std::string::npos ? 16 : 0;
  }
}

// Gradients of a toy network whose batch is spread over the ranks, written by rank 0.
int play_gradients(Ranks& ranks, const fs::path& folder) {
  GraphModule module(toy_graph(), {.seed = 4});
  module.join(ranks, /*sync_batch_norm=*/true);
  module.set_step(5);
  GradientReducer reducer(ranks, module.trainable(), 256);
  if (reducer.buckets() < 2) return 21;
  ToyTask task;
  task.fill(1);
  const at::Tensor rows = at::arange(ranks.rank(), ToyTask::kBatch, ranks.size(), at::kLong);
  for (int pass = 0; pass < 2; ++pass) {  // accumulated: the first pass must not set off a sum
    if (pass == 1) reducer.expect();
    cross_entropy(module.forward(task.images.index_select(0, rows)), task.labels.index_select(0, rows), 0.1).backward();
  }
  if (reducer.finish({1.0, 2.0 * ranks.rank(), 0.5}) != std::array<double, 3>{2, 2, 1}) return 22;
  Weights gradients;
  for (const auto& [name, tensor] : module.trainable()) {
    const at::Tensor g = tensor.grad().contiguous();
    Array array(ElementType::float32, Shape{static_cast<int>(g.numel())});
    std::copy_n(g.data_ptr<float>(), g.numel(), array.values<float>().begin());
    gradients.emplace(name, std::move(array));
  }
  write_checkpoint(folder / fmt::format("gradients-{}.pt", ranks.rank()), {gradients, {}, {}});
  return 0;
}

// A toy whose batch is dealt out to the ranks: row n is row rank + n·size of ToyTask's.
struct SharedToy : ToyTask {
  int rank = 0, size = 1;
  at::Tensor next_loss(GraphModule& module, std::int64_t& count) override {
    fill(1);
    ++step;
    const at::Tensor rows = at::arange(rank, kBatch, size, at::kLong);
    count = rows.numel();
    const at::Tensor mine = labels.index_select(0, rows), scores = module.forward(images.index_select(0, rows));
    const at::Tensor numbers = scores.detach().contiguous();
    for (std::int64_t n = 0; n < count; ++n) metrics.add({numbers.data_ptr<float>() + 3 * n, 3}, mine[n].item<std::int64_t>());
    return cross_entropy(scores, mine, 0.1);
  }
  MetricSet* training_metrics() override { return &metrics; }
  ClassificationMetrics metrics{{"top1"}, {"rows", "columns", "nothing"}};
};

TrainSection shared_section(int size) {
  TrainSection t = toy_section();
  t.batch_size = ToyTask::kBatch / size;
  t.epochs = 4;
  t.accumulate = 2;
  t.ema_decay = 0.9;
  t.clip_norm = 1;
  t.optimizer = "sgd";
  t.learning_rate = 0.05;
  return t;
}

// Trains the toy; rank `dies_on` is killed after step `dies_at`, and `interrupted_on` gets a SIGINT there.
int play_training(Ranks* ranks, const fs::path& folder, bool resume, int dies_on = -1, int signal = SIGKILL) {
  GraphModule module(toy_graph(), {.seed = 4});
  SharedToy task;
  if (ranks != nullptr) {
    task.rank = ranks->rank();
    task.size = ranks->size();
    module.join(*ranks, /*sync_batch_norm=*/true);
  }
  const bool first = ranks == nullptr || ranks->first();
  TrainHooks hooks{.resume = resume, .log_every_steps = 1, .ranks = ranks};
  hooks.after_step = [&](std::int64_t step) {
    if (step == 7 && ranks != nullptr && ranks->rank() == dies_on) std::raise(signal);
  };
  try {
    Trainer(task, module, {shared_section(task.size), 4, first ? folder : folder / "nobody writes here", hooks}).run();
  } catch (const Interrupted& e) {
    std::fputs(e.what(), stderr);
    return 7;
  } catch (const RankLost& e) {
    std::fputs(e.what(), stderr);
    return 9;
  }
  return 0;
}

int play_lost(Ranks& ranks) {
  const at::Tensor t = at::full({3}, 1.0);
  ranks.sum(t);
  if (ranks.rank() == 1) std::raise(SIGKILL);
  try {
    for (int i = 0; i < 3; ++i) ranks.sum(t);
  } catch (const RankLost& e) {
    std::fputs(e.what(), stderr);
    return 9;
  }
  return 31;
}

}  // namespace

int run_rank(const std::string& part) {
  try {
    catch_interrupts();
    const std::unique_ptr<Ranks> ranks = join_ranks(launch_from_environment(), "cpu", 20);
    const fs::path folder = std::getenv("MICROMIND_TEST_FOLDER");
    if (part == "collectives") return play_collectives(*ranks);
    if (part == "gradients") return play_gradients(*ranks, folder);
    if (part == "lost") return play_lost(*ranks);
    if (part == "train") return play_training(ranks.get(), folder, false);
    if (part == "resume") return play_training(ranks.get(), folder, true);
    if (part == "killed") return play_training(ranks.get(), folder, false, 1);
    if (part == "interrupted") return play_training(ranks.get(), folder, false, 1, SIGINT);
  } catch (const Error& e) {
    std::fputs(e.what(), stderr);
    return 8;
  }
  return 99;
}

namespace {

TEST(Ranks, SumShareAndAgree) {
  TemporaryFolder folder;
  for (const ProcessResult& r : run_ranks("collectives", folder.path(), 3)) EXPECT_EQ(r.exit_status, 0) << r.err;
}

TEST(Ranks, GradientsOfASharedBatchAreThoseOfOneProcess) {
  TemporaryFolder folder;
  for (const ProcessResult& r : run_ranks("gradients", folder.path(), 2)) ASSERT_EQ(r.exit_status, 0) << r.err;
  GraphModule module(toy_graph(), {.seed = 4});
  module.set_step(5);
  ToyTask task;
  task.fill(1);
  for (int pass = 0; pass < 2; ++pass) cross_entropy(module.forward(task.images), task.labels, 0.1).backward();
  const Weights first = load_checkpoint(folder.path() / "gradients-0.pt"), second = load_checkpoint(folder.path() / "gradients-1.pt");
  EXPECT_EQ(first, second);
  for (const auto& [name, tensor] : module.trainable()) {
    const at::Tensor g = tensor.grad().contiguous();
    const auto found = first.at(name).values<float>();
    const double size = g.abs().max().item<double>();
    for (std::int64_t i = 0; i < g.numel(); ++i)
      EXPECT_NEAR(found[static_cast<std::size_t>(i)], g.data_ptr<float>()[i], 1e-6 + 2e-5 * size) << name << ' ' << i;
  }
}

TEST(Ranks, ADeadOneEndsTheOthersSoon) {
  TemporaryFolder folder;
  const auto began = std::chrono::steady_clock::now();
  const std::vector<ProcessResult> results = run_ranks("lost", folder.path(), 3);
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), 40);  // the timeout is 20 s
  EXPECT_EQ(results[1].exit_status, 128 + SIGKILL);
  for (const int r : {0, 2}) {
    EXPECT_EQ(results[static_cast<std::size_t>(r)].exit_status, 9);
    EXPECT_THAT(results[static_cast<std::size_t>(r)].err, HasSubstr("lost contact with another rank"));
  }
}

TEST(Ranks, OneThatNeverComesIsWaitedForSoLong) {
  Launch launch{.rank = 0, .world_size = 2, .address = "127.0.0.1", .port = free_port()};
  try {
    join_ranks(launch, "cpu", 1);
    FAIL() << "nobody else was there";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("rank 0 of 2 did not meet the others"));
  }
}

void expect_near(const Weights& a, const Weights& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, array] : a) {
    const auto x = array.values<float>(), y = b.at(name).values<float>();
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], tolerance * (1 + std::abs(x[i]))) << name << ' ' << i;
  }
}

TEST(DataParallel, TwoProcessesReachTheWeightsOfOne) {
  TemporaryFolder one, two, again;
  ASSERT_EQ(play_training(nullptr, one.path(), false), 0);
  for (const ProcessResult& r : run_ranks("train", two.path(), 2)) ASSERT_EQ(r.exit_status, 0) << r.err;
  const Checkpoint a = read_checkpoint(one.path() / "checkpoints/last.pt"), b = read_checkpoint(two.path() / "checkpoints/last.pt");
  expect_near(a.weights, b.weights, 1e-4);
  expect_near(a.average, b.average, 1e-4);
  expect_near(load_checkpoint(one.path() / "checkpoints/best.pt"), load_checkpoint(two.path() / "checkpoints/best.pt"), 1e-4);
  EXPECT_FALSE(fs::exists(two.path() / "nobody writes here"));
  for (const ProcessResult& r : run_ranks("train", again.path(), 2)) ASSERT_EQ(r.exit_status, 0) << r.err;
  EXPECT_EQ(read_bytes(two.path() / "checkpoints/last.pt"), read_bytes(again.path() / "checkpoints/last.pt")) << "the same ranks, other bytes";
}

TEST(DataParallel, AKilledRankLeavesACheckpointToGoOnFrom) {
  TemporaryFolder whole, killed;
  for (const ProcessResult& r : run_ranks("train", whole.path(), 2)) ASSERT_EQ(r.exit_status, 0) << r.err;
  const std::vector<ProcessResult> results = run_ranks("killed", killed.path(), 2);
  EXPECT_EQ(results[1].exit_status, 128 + SIGKILL);
  EXPECT_EQ(results[0].exit_status, 9);
  EXPECT_THAT(results[0].err, HasSubstr("lost contact with another rank"));
  EXPECT_THAT(results[0].err, HasSubstr("up to step 7: the same command with --resume goes on"));
  for (const ProcessResult& r : run_ranks("resume", killed.path(), 2)) ASSERT_EQ(r.exit_status, 0) << r.err;
  EXPECT_EQ(read_bytes(whole.path() / "checkpoints/last.pt"), read_bytes(killed.path() / "checkpoints/last.pt"));
}

TEST(DataParallel, ASignalToAnyRankStopsAllOfThemInOrder) {
  TemporaryFolder whole, stopped;
  for (const ProcessResult& r : run_ranks("train", whole.path(), 2)) ASSERT_EQ(r.exit_status, 0) << r.err;
  for (const ProcessResult& r : run_ranks("interrupted", stopped.path(), 2)) EXPECT_EQ(r.exit_status, 7) << r.err;
  for (const ProcessResult& r : run_ranks("resume", stopped.path(), 2)) ASSERT_EQ(r.exit_status, 0) << r.err;
  EXPECT_EQ(read_bytes(whole.path() / "checkpoints/last.pt"), read_bytes(stopped.path() / "checkpoints/last.pt"));
}

}  // namespace
}  // namespace micromind::testing
