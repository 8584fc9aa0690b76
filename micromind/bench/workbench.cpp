#include "micromind/bench/workbench.h"

#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/random.h"
#include "micromind/deploy/emit.h"
#include "micromind/deploy/profile.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/quantize/quantize.h"

namespace micromind {
namespace {

constexpr std::uint64_t kSeed = 1;
constexpr Range kRange{-2, 2};
constexpr double kShare = 0.4;  // of flash and of the first bank that a batch may take

std::int64_t port_bytes(const Graph& g) {
  std::int64_t bytes = 0;
  for (const Port& p : g.inputs()) bytes += g.shape(p.value).elements();
  for (const Port& p : g.outputs()) bytes += g.shape(p.value).elements();
  return bytes;
}

std::int64_t weight_bytes(const Graph& g) {
  std::int64_t bytes = 0;
  for (const NamedParameter& p : parameters(g)) bytes += p.shape.elements();
  return bytes;
}

// Consecutive graphs that fit one image together.
std::vector<std::vector<std::size_t>> batches(const std::vector<Graph>& graphs, const Target& target) {
  const auto most_ram = static_cast<std::int64_t>(kShare * static_cast<double>(target.main_bank().bytes));
  const auto most_flash = static_cast<std::int64_t>(kShare * static_cast<double>(target.flash.bytes));
  std::vector<std::vector<std::size_t>> all;
  std::int64_t ram = 0, flash = 0;
  for (std::size_t i = 0; i < graphs.size(); ++i) {
    const std::int64_t r = port_bytes(graphs[i]), f = weight_bytes(graphs[i]) + 4096;
    if (all.empty() || ram + r > most_ram || flash + f > most_flash) {
      all.emplace_back();
      ram = flash = 0;
    }
    all.back().push_back(i);
    ram += r;
    flash += f;
  }
  return all;
}

// Every kernel twice. A kernel that an image calls from one place alone is compiled for that call, as no
// network's is that has several layers of its kind.
Graph companion() {
  Graph g("companion");
  const int image = g.add_input("image", Shape{6, 5, 7});
  for (const int i : {0, 1}) {
    const auto name = [&](const char* what) { return fmt::format("{}{}", what, i); };
    int x =
        g.add(name("conv"),
              Conv2d{.out_channels = 6 + i, .kernel = 3 - i, .stride = 1 + i, .padding = 1 - i, .groups = 1},
              {image});
    x = g.add(name("point"), Conv2d{.out_channels = 7 - i}, {x});
    x = g.add(name("depthwise"),
              Conv2d{.out_channels = 7 - i, .kernel = 2, .padding = {0, 1, 0, 1}, .groups = 7 - i}, {x});
    const int swish = g.add(name("swish"), Activation{Function::hard_swish}, {x});
    int gate = g.add(name("mean"), AdaptiveAvgPool2d{1}, {swish});
    gate = g.add(name("gate"), Activation{Function::sigmoid}, {gate});
    x = g.add(name("scale"), Multiply{}, {swish, gate});
    x = g.add(name("product"), Multiply{}, {x, swish});
    x = g.add(name("sum"), Add{}, {x, swish});
    x = g.add(name("pad"), Pad{{1, 0, 0, 1}}, {x});
    x = g.add(name("most"), MaxPool2d{.kernel = 2, .stride = 1}, {x});
    x = g.add(name("average"), AvgPool2d{.kernel = 2, .stride = 1}, {x});
    x = g.add(name("up"), Upsample{2}, {x});
    const int part = g.add(name("split"), Split{.axis = 0, .sizes = {3, 4 - i}}, {x});
    x = g.add(name("join"), Concat{.axis = 0}, {part, part + 1});
    x = g.add(name("bins"), AdaptiveAvgPool2d{{2, 3}}, {x});
    x = g.add(name("flat"), Flatten{}, {x});
    x = g.add(name("linear"), Linear{.out_features = 5 + i}, {x});
    g.add_output(name("out"), g.add(name("softmax"), Softmax{}, {x}));
  }
  return g;
}

std::string prefix(std::size_t i) {
  return "g" + std::to_string(i) + ".";
}

void count_batch(const std::vector<Graph>& graphs, const std::vector<std::size_t>& batch,
                 const Target& target, std::vector<std::vector<CountedLayer>>& all) {
  Graph bench("workbench");
  for (const std::size_t i : batch) append_graph(bench, graphs[i], prefix(i));
  append_graph(bench, companion(), "companion.");
  const Model model = random_model(bench, {.order = false});  // one network after another
  const TemporaryFolder folder("micromind-bench");
  const MemoryPlan plan = plan_memory(model.graph, {.search_rounds = 0});
  write_c(model, folder.path() / "c", {.plan = plan});
  const std::vector<InstructionCounts> counts =
      profile_layers({model, plan, folder.path() / "c", folder.path()}, target, random_input(model));
  for (std::size_t n = 0; n < counts.size(); ++n) {
    const Node& node = model.graph.nodes()[n];
    const auto owner = std::find_if(batch.begin(), batch.end(),
                                    [&](std::size_t i) { return node.name.starts_with(prefix(i)); });
    if (owner == batch.end()) continue;  // the companion's
    const std::size_t i = *owner;
    all[i].push_back({node.name.substr(prefix(i).size()), std::string(kernel_of(model.graph, node)),
                      std::string(kernel_variant(model.graph, node)), latency_features(model.graph, node, lanes_of(target.core)),
                      macs(node.op, model.graph.input_shapes(node), model.graph.output_shapes(node)),
                      counts[n]});
  }
}

}  // namespace

Target roomy_machine(const Target& board) {
  if (board.emulator) return board;
  emulation_target(board);  // throws where nothing emulates it
  const Target machine = load_target(board.emulated_by);
  Target roomy = board;
  roomy.flash = machine.flash;
  roomy.ram = machine.ram;
  roomy.vectors_address = machine.vectors_address;
  roomy.emulator = machine.emulator;
  return roomy;
}

void append_graph(Graph& to, const Graph& from, const std::string& name_prefix) {
  std::vector<int> value(from.values().size(), -1);
  for (const Port& p : from.inputs())
    value[static_cast<std::size_t>(p.value)] = to.add_input(name_prefix + p.name, from.type(p.value));
  for (const Node& node : from.nodes()) {
    std::vector<int> inputs;
    for (const int v : node.inputs) inputs.push_back(value[static_cast<std::size_t>(v)]);
    const int first = to.add(name_prefix + node.name, node.op, std::move(inputs));
    for (std::size_t k = 0; k < node.outputs.size(); ++k)
      value[static_cast<std::size_t>(node.outputs[k])] = first + static_cast<int>(k);
  }
  for (const Port& p : from.outputs())
    to.add_output(name_prefix + "out." + p.name, value[static_cast<std::size_t>(p.value)]);
}

Model random_model(const Graph& network, const LowerOptions& options) {
  return quantize(network, lower(network, options), initial_weights(network, kSeed),
                  std::vector<Range>(network.values().size(), kRange));
}

std::vector<std::int8_t> random_input(const Model& model) {
  std::vector<std::int8_t> bytes;
  Random random(kSeed, {2});
  for (const Port& p : model.graph.inputs())
    for (std::int64_t k = 0; k < model.graph.shape(p.value).elements(); ++k)
      bytes.push_back(static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128));
  return bytes;
}

std::vector<std::vector<CountedLayer>> count_layers(const std::vector<Graph>& graphs, const Target& target,
                                                    const Progress& progress) {
  std::vector<std::vector<CountedLayer>> all(graphs.size());
  const auto parts = batches(graphs, target);
  for (std::size_t b = 0; b < parts.size(); ++b) {
    if (interrupted()) throw Interrupted("bench", "interrupted");
    if (progress)
      progress(
          fmt::format("{}: image {} of {}, {} networks", target.name, b + 1, parts.size(), parts[b].size()));
    count_batch(graphs, parts[b], target, all);
  }
  return all;
}

}  // namespace micromind
