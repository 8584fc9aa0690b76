#include "micromind/bench/deployments.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/random.h"
#include "micromind/bench/mlperf_inputs.h"
#include "micromind/deploy/cross.h"
#include "micromind/deploy/cycle_model.h"
#include "micromind/formats/tflite.h"
#include "micromind/run/recipe.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kInputs = 4;  // compared on every core

struct Candidate {
  std::string file, name;
  bool own = false;
  Model model;
};

std::int64_t input_bytes(const Model& model) {
  std::int64_t bytes = 0;
  for (const Port& p : model.graph.inputs()) bytes += model.graph.shape(p.value).elements();
  return bytes;
}

std::vector<std::vector<std::int8_t>> random_inputs(const Model& model) {
  std::vector<std::vector<std::int8_t>> inputs(kInputs, std::vector<std::int8_t>(static_cast<std::size_t>(input_bytes(model))));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Random random(1, {i});
    for (std::int8_t& b : inputs[i]) b = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
  }
  return inputs;
}

void say(const Progress& progress, const std::string& line) {
  if (progress) progress(line);
}

fs::path model_folder(const std::string& folder) {
  std::error_code ignored;
  const fs::path inner = fs::path(folder) / "models";
  return fs::is_directory(inner, ignored) ? inner : fs::path(folder);
}

std::vector<Candidate> read_models(const std::string& folder, const Progress& progress) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(model_folder(folder), error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".tflite") files.push_back(it->path());
  if (error) fail("bench", "cannot read the folder {}: {}", model_folder(folder).string(), error.message());
  std::sort(files.begin(), files.end());
  std::vector<Candidate> models;
  for (const fs::path& file : files) try {
      Model model = read_tflite(file);
      if (!is_quantized(model)) continue;  // the float originals lie beside the int8 models
      const std::string stem = file.stem().string();
      const PeerModel* peer = peers().model(stem);
      models.push_back({stem, peer != nullptr ? peer->name : stem, false, std::move(model)});
    } catch (const Error& e) {
      say(progress, fmt::format("left out: {}: {}", file.filename().string(), e.what()));
    }
  if (models.empty()) fail("bench", "{} has no int8 .tflite model that can be read", model_folder(folder).string());
  return models;
}

// Runs the tasks, `jobs` at once; the first failure stops the rest and is thrown.
void in_parallel(const std::vector<std::function<void()>>& tasks, int jobs) {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t workers = std::min<std::size_t>(tasks.size(), jobs > 0 ? static_cast<unsigned>(jobs) : cores);
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto work = [&] {
    for (std::size_t i; (i = next.fetch_add(1)) < tasks.size();) try {
        if (interrupted()) throw Interrupted("bench", "interrupted");
        tasks[i]();
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = tasks.size();
      }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < workers; ++i) threads.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

DeployRow measure(const Candidate& candidate, const Target& machine) {
  const TemporaryFolder folder("micromind-bench");
  return {candidate.file, candidate.name, candidate.own, deploy(candidate.model, machine, folder.path() / "c", random_inputs(candidate.model))};
}

int largest(const std::vector<std::int8_t>& scores) { return static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin()); }

bool has_inputs(const std::string& folder, const PeerModel& peer) {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / (peer.inputs + ".tar.xz"), ignored);
}

AccuracyRow measure_accuracy(const Candidate& candidate, const PeerModel& peer, const DeployBenchOptions& options) {
  const Target target = load_target(options.accuracy_target);
  const MlperfInputs labelled = mlperf_inputs(options.models, candidate.file, static_cast<std::size_t>(input_bytes(candidate.model)), static_cast<std::size_t>(options.accuracy_inputs));
  const TemporaryFolder folder("micromind-bench");
  const Deployment d = deploy(candidate.model, target, folder.path() / "c", labelled.inputs);
  AccuracyRow row{candidate.file, candidate.name, target.name, d.core, d.outputs_compared, 0, d.outputs_identical, peer.quality_target};
  for (std::size_t i = 0; i < d.outputs.size(); ++i) row.correct += largest(d.outputs[i]) == labelled.labels[i];
  return row;
}

void measure_accuracies(const std::vector<Candidate>& models, const Progress& progress, DeployBench& bench) {
  if (bench.options.accuracy_inputs < 0) return;
  for (const Candidate& c : models) {
    const PeerModel* peer = peers().model(c.file);
    if (peer == nullptr || peer->inputs.empty() || !has_inputs(bench.options.models, *peer)) continue;
    say(progress, fmt::format("accuracy of {} on {}", c.file, bench.options.accuracy_target));
    bench.accuracy.push_back(measure_accuracy(c, *peer, bench.options));  // uses every processor by itself
  }
}

// Single layers beside the peers': on the cores of which the peers have figures.
void measure_layers(const std::vector<Target>& machines, const Progress& progress, DeployBench& bench) {
  std::vector<Graph> graphs;
  for (const PeerLayer& layer : peers().layers) {
    graphs.push_back(layer.graph());
    bench.layers.push_back({layer.name, 0, {}, {}});
  }
  for (const Target& machine : machines) {
    const CycleTable* table = cycle_table(machine.core);
    if (table == nullptr || !is_cortex_m(machine.core)) continue;
    const auto counted = count_layers(graphs, machine, progress);
    bench.layer_cores.emplace_back(core_name(machine.core));
    for (std::size_t i = 0; i < graphs.size(); ++i) {
      LayerRow& row = bench.layers[i];
      InstructionCounts total;
      row.macs = 0;
      for (const CountedLayer& layer : counted[i]) total += layer.counts, row.macs += layer.macs;
      const auto macs = static_cast<double>(row.macs);
      row.instructions.push_back(static_cast<double>(total.total()) / macs);
      row.cycles.push_back(estimate_cycles(total, *table) / macs);
    }
  }
}

}  // namespace

std::vector<std::string> emulated_machines() {
  std::vector<std::string> names;
  for (const std::string& name : target_names())
    if (load_target(name).emulator) names.push_back(name);
  std::stable_sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return load_target(a).core < load_target(b).core;  // from the smallest core to the largest
  });
  return names;
}

std::vector<OwnNetwork> own_networks() {
  std::vector<OwnNetwork> networks;
  const auto add = [&](const char* recipe, const char* name, const Shape& input, int classes) {
    networks.push_back({recipe, name, recipe_network(load_recipe(recipe).network, input, classes)});
  };
  add("mnist-phinet", "PhiNet α=0.5 t0=6 N=4, 28×28", {1, 28, 28}, 10);
  add("cifar10-phinet", "PhiNet α=1 t0=5 N=7, 32×32", {3, 32, 32}, 10);
  add("cifar10-xinet", "XiNet α=1 γ=4 N=5, 32×32", {3, 32, 32}, 10);
  return networks;
}

DeployBench bench_deployments(const DeployBenchOptions& options, const Progress& progress) {
  DeployBench bench{options, {}, {}, {}, {}, {}};
  if (bench.options.targets.empty()) bench.options.targets = emulated_machines();
  std::vector<Target> machines;
  for (const std::string& name : bench.options.targets) {
    machines.push_back(roomy_machine(load_target(name)));
    check_deploy_tools(machines.back(), true);
    const std::string compiler = cross_compiler_version(machines.back());
    if (bench.compiler.find(compiler) == std::string::npos) bench.compiler += (bench.compiler.empty() ? "" : "; ") + compiler;
  }
  std::vector<Candidate> candidates;
  if (!options.models.empty()) candidates = read_models(options.models, progress);
  const std::size_t given = candidates.size();
  if (options.own_networks)
    for (const OwnNetwork& own : own_networks()) candidates.push_back({own.recipe, own.name, true, random_model(own.graph)});
  if (candidates.empty()) fail("bench", "there is nothing to measure");

  std::vector<std::function<void()>> tasks;
  bench.rows.resize(candidates.size() * machines.size());
  for (std::size_t c = 0; c < candidates.size(); ++c)
    for (std::size_t m = 0; m < machines.size(); ++m)
      tasks.emplace_back([&, c, m] {
        say(progress, fmt::format("{} on {}", candidates[c].file, machines[m].name));
        bench.rows[c * machines.size() + m] = measure(candidates[c], machines[m]);
      });
  in_parallel(tasks, options.jobs);
  if (options.layers) measure_layers(machines, progress, bench);
  if (given > 0) {
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(given), candidates.end());
    measure_accuracies(candidates, progress, bench);
  }
  return bench;
}

}  // namespace micromind
