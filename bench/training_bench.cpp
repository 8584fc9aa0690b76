// Images a second of training: plain libtorch in its default layout and in channels-last beside the fused path, in
// one program on the same random batch, threads and weights.
//
//   bench_training                              the two networks of our measurements, all cores
//   bench_training --network phinet --threads 1 --rounds 9 --seconds 1
//   bench_training --threads 1 --processor-time    seconds of the processor, where others use the machine too
//   perf record bench_training --threads 1 --only phinet 2    one path alone (0, 1, 2: as in the table)
//
// The plain paths stand there twice: as they come, each in a process of its own, and with the short waits of OpenMP's threads that
// `micromind train` and this program ask for.
//
// A round times every path once, one after the other, so that a neighbour's load falls on all of them; a figure is the
// median of its rounds, a ratio the median of the rounds' ratios. GMAC/s counts three times the forward pass's MACs
// (forward, gradient of the input, gradient of the weights) and stands beside what a 2048³ float matrix product does
// in the same program.
#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <fmt/core.h>
#include <torch/optim/adam.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "micromind/cost/count.h"
#include "micromind/networks/phinet.h"
#include "micromind/networks/xinet.h"
#include "micromind/train/compute.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/loss.h"
#include "micromind/train/parameter_groups.h"

namespace micromind {
namespace {

using Clock = std::chrono::steady_clock;

// Seconds on the wall, or of this process on the processor: with one thread, a figure that neighbours leave alone.
bool g_processor_time = false;
double now() {
  if (!g_processor_time) return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Case {
  std::string name;
  Graph graph;
  std::int64_t batch;
};

struct Path {
  const char* name;
  bool channels_last, fused;
};
constexpr Path kPaths[] = {{"libtorch, default layout", false, false}, {"libtorch, channels-last", true, false}, {"fused", true, true}};

struct Options {
  std::string network;  ///< empty: all
  std::string alone;    ///< --only or --peak: one path of one network
  std::size_t path = 0;
  int threads = 0, rounds = 7;
  double seconds = 1.5;  ///< of one path in one round
};

std::vector<Case> cases() {
  std::vector<Case> list;
  const auto phi = [](double alpha, int divisor) {
    return phinet({.input = {3, 32, 32}, .num_layers = 7, .alpha = alpha, .beta = 1, .t_zero = 5, .include_top = true,
                   .num_classes = 100, .divisor = divisor});
  };
  const auto xi = [](int extent, int layers) {
    return xinet({.input = {3, extent, extent}, .alpha = 1, .gamma = 4, .num_layers = layers, .num_classes = 100, .include_top = true});
  };
  list.push_back({"phinet", phi(1, 8), 128});
  list.push_back({"xinet", xi(64, 5), 32});
  return list;
}

std::int64_t forward_macs(const Graph& g) {
  std::int64_t sum = 0;
  for (const Node& node : g.nodes()) sum += macs(node.op, g.input_shapes(node), g.output_shapes(node));
  return sum;
}

// One training step of the recipe's kind: Adam, cross entropy. The plain paths take libtorch's own optimiser.
class Subject {
 public:
  Subject(const Case& c, const Path& path)
      : module_(c.graph, {.seed = 1, .channels_last = path.channels_last, .fused = path.fused}),
        images_(at::randn({c.batch, 3, c.graph.shape(0)[1], c.graph.shape(0)[2]})),
        labels_(at::randint(100, {c.batch}, at::kLong)) {
    if (path.channels_last) images_ = images_.contiguous(at::MemoryFormat::ChannelsLast);
    if (path.fused) {
      fused_ = std::make_unique<Optimizer>(section(), optimizer_parameters(module_, section()));
    } else {
      std::vector<at::Tensor> list;
      for (const auto& [name, tensor] : module_.trainable()) list.push_back(tensor);
      plain_ = std::make_unique<torch::optim::Adam>(list, torch::optim::AdamOptions(1e-3));
    }
  }

  void step() {
    module_.set_step(step_++);
    if (fused_) fused_->zero_grad();
    else plain_->zero_grad();
    cross_entropy(module_.forward(images_), labels_, 0).backward();
    if (fused_) fused_->step(1e-3);
    else plain_->step();
  }

  double images_per_second(double seconds) {
    const double start = now();
    std::int64_t steps = 0;
    for (; now() - start < seconds; ++steps) step();
    return static_cast<double>(steps * labels_.size(0)) / (now() - start);
  }

 private:
  static TrainSection section() {
    TrainSection t;
    t.optimizer = "adam";
    t.weight_decay = 0;
    return t;
  }
  GraphModule module_;
  at::Tensor images_, labels_;
  std::unique_ptr<Optimizer> fused_;
  std::unique_ptr<torch::optim::Adam> plain_;
  std::uint64_t step_ = 0;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// GMAC/s of a 2048³ matrix product; the best of some, since a neighbour only takes away.
double product_peak() {
  const at::Tensor a = at::rand({2048, 2048}), b = at::rand({2048, 2048});
  double best = 0;
  for (int i = 0; i < 6; ++i) {
    const double start = now();
    at::mm(a, b);
    best = std::max(best, 2048.0 * 2048 * 2048 / (now() - start) / 1e9);
  }
  return best;
}

// The number that a command prints; 0 where it prints none.
double number_from(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  double value = 0;
  if (pipe == nullptr) return 0;
  if (std::fscanf(pipe, "%lf", &value) != 1) value = 0;
  ::pclose(pipe);
  return value;
}

// Peak resident memory of a few steps, in a process of its own: MiB.
double peak_memory(const std::string& program, const Case& c, std::size_t path) {
  return number_from(fmt::format("{} --peak {} {}", program, c.name, path));
}

double resident_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmHWM:") {
      double kib = 0;
      status >> kib;
      return kib / 1024;
    }
  return 0;
}

// Images a second of a path in a process of its own, whose threads wait as libtorch's do where nobody says otherwise.
double rate_as_it_comes(const std::string& program, const Case& c, std::size_t path, const Options& options) {
  return number_from(fmt::format("env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY {} --as-it-comes --threads {} --seconds {}{} --only {} {}", program,
                                 options.threads, options.seconds, g_processor_time ? " --processor-time" : "", c.name, path));
}

double median_ratio(const std::vector<double>& rates, const std::vector<double>& references) {
  std::vector<double> list;
  for (std::size_t r = 0; r < rates.size(); ++r) list.push_back(rates[r] / references[r]);
  return median(list);
}

// Rows: the plain paths as they come, the same with our short waits, and ours.
void compare(const std::string& program, const Case& c, const Options& options, double peak) {
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const Path& path : kPaths) {
    subjects.push_back(std::make_unique<Subject>(c, path));
    for (int i = 0; i < 3; ++i) subjects.back()->step();
  }
  std::vector<std::vector<double>> rates(5);
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t p = 0; p < 2; ++p) rates[p].push_back(rate_as_it_comes(program, c, p, options));
    for (std::size_t p = 0; p < std::size(kPaths); ++p) rates[2 + p].push_back(subjects[p]->images_per_second(options.seconds));
  }
  const double giga = 3.0 * static_cast<double>(forward_macs(c.graph)) / 1e9;
  fmt::print("\n{}: {:.2f} M MACs, batch {}, {} rounds of {} s\n", c.name, giga * 1000 / 3, c.batch, options.rounds, options.seconds);
  fmt::print("{:<38}{:>10}{:>10}{:>9}{:>10}{:>24}{:>24}\n", "", "", "", "", "", "ratio to as it comes", "ratio to short waits");
  fmt::print("{:<38}{:>10}{:>10}{:>9}{:>10}{:>11}{:>13}{:>11}{:>13}\n", "", "images/s", "GMAC/s", "of peak", "peak MiB", "default", "ch.-last", "default", "ch.-last");
  for (std::size_t row = 0; row < rates.size(); ++row) {
    const std::size_t path = row < 2 ? row : row - 2;
    const double rate = median(rates[row]);
    fmt::print("{:<38}{:>10.0f}{:>10.1f}{:>8.1f}%{:>10.0f}{:>11.2f}{:>13.2f}{:>11.2f}{:>13.2f}\n",
               fmt::format("{}{}", kPaths[path].name, row < 2 ? ", as it comes" : row < 4 ? ", short waits" : ""), rate, rate * giga, 100 * rate * giga / peak,
               peak_memory(program, c, path), median_ratio(rates[row], rates[0]), median_ratio(rates[row], rates[1]), median_ratio(rates[row], rates[2]),
               median_ratio(rates[row], rates[3]));
  }
}

void run_alone(const Case& c, const Options& options) {
  Subject subject(c, kPaths[options.path]);
  for (int s = 0; s < 4; ++s) subject.step();
  if (options.alone == "--peak") fmt::print("{}\n", resident_peak());
  else fmt::print("{:.0f} images/s\n", subject.images_per_second(options.seconds));
}

int run(int argc, char** argv) {
  Options options;
  const std::vector<Case> list = cases();
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::string(argv[++i]) : std::string(); };
    if (key == "--network") options.network = value();
    else if (key == "--threads") options.threads = std::atoi(value().c_str());
    else if (key == "--rounds") options.rounds = std::max(1, std::atoi(value().c_str()));
    else if (key == "--seconds") options.seconds = std::atof(value().c_str());
    else if (key == "--processor-time") g_processor_time = true;
    else if (key == "--as-it-comes") continue;  // short_waits() has seen it
    else if (key == "--peak" || key == "--only") {  // one path alone: its peak memory, or its steps for a profiler
      options.alone = key;
      options.network = value();
      options.path = static_cast<std::size_t>(std::atoi(value().c_str()));
    } else {
      fmt::print(stderr, "bench_training [--network phinet|xinet] [--threads N] [--rounds N] [--seconds S] [--processor-time] [--only NETWORK PATH]\n");
      return 2;
    }
  }
  const int threads = set_compute_threads(options.threads);
  if (!options.alone.empty()) {
    for (const Case& c : list)
      if (c.name == options.network && options.path < std::size(kPaths)) run_alone(c, options);
    return 0;
  }
  const double peak = product_peak();
  fmt::print("{} threads; a 2048³ float matrix product: {:.0f} GMAC/s\n", threads, peak);
  for (const Case& c : list)
    if (options.network.empty() || options.network == c.name) compare(argv[0], c, options, peak);
  return 0;
}

}  // namespace
}  // namespace micromind

// As the program does for everything that trains (cli/training/threads.cpp): OpenMP's threads soon sleep when they wait, instead of
// taking the core's other half from the one that works. Read when the library is loaded, hence the second start.
static void short_waits(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]) == "--as-it-comes") return;
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("GOMP_SPINCOUNT", "2000", 1);
  ::execv("/proc/self/exe", argv);
}

int main(int argc, char** argv) {
  short_waits(argc, argv);
  try {
    return micromind::run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
