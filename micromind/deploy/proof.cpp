#include "micromind/deploy/proof.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/executor.h"
#include "micromind/reference/reference.h"

namespace micromind {
namespace {

class Host {
 public:
  explicit Host(const Model& model) : model_(model), executor_(model) {}

  ByteTensor run(const ByteTensor& input, const Int8Executor::Observer& observer = {}) {
    auto from = input.begin();
    for (std::size_t k = 0; k < model_.graph.inputs().size(); ++k) {
      const std::span<std::int8_t> to = executor_.input(k);
      std::copy_n(from, to.size(), to.begin());
      from += static_cast<std::ptrdiff_t>(to.size());
    }
    executor_.run(observer);
    ByteTensor all;
    for (std::size_t k = 0; k < model_.graph.outputs().size(); ++k) {
      const std::span<const std::int8_t> out = executor_.output(k);
      all.insert(all.end(), out.begin(), out.end());
    }
    return all;
  }

 private:
  const Model& model_;
  Int8Executor executor_;
};

std::string difference(const std::string& where, std::span<const std::int8_t> host, std::span<const std::int8_t> chip) {
  const auto [h, c] = std::mismatch(host.begin(), host.end(), chip.begin(), chip.end());
  if (h == host.end() || c == chip.end())
    return fmt::format("{}: {} bytes on the host, {} on the core", where, host.size(), chip.size());
  return fmt::format("{}, byte {}: {} on the host, {} on the core", where, h - host.begin(), *h, *c);
}

std::size_t total_bytes(const Graph& graph, const std::vector<Port>& ports) {
  std::int64_t total = 0;
  for (const Port& port : ports) total += graph.shape(port.value).elements();
  return static_cast<std::size_t>(total);
}

// All outputs of one inference as real numbers, (C, H, W) each.
std::vector<float> real_outputs(const Model& model, std::span<const std::int8_t> bytes) {
  std::vector<float> all;
  for (const Port& port : model.graph.outputs()) {
    const TensorType& type = model.graph.type(port.value);
    const auto count = static_cast<std::size_t>(type.shape.elements());
    const std::vector<float> part = dequantize_image(bytes.first(count), type);
    all.insert(all.end(), part.begin(), part.end());
    bytes = bytes.subspan(count);
  }
  return all;
}

void append(std::vector<float>& to, const std::vector<float>& from) { to.insert(to.end(), from.begin(), from.end()); }

// The outputs of one who computed them, over all inputs.
struct Column {
  std::vector<float> values;
  std::vector<std::size_t> best;  // argmax of the first output
  std::optional<ClassificationMeter> meter;

  void add(const std::vector<float>& outputs, std::size_t classes, const std::int64_t* label) {
    append(values, outputs);
    const std::span<const float> scores = std::span(outputs).first(classes);
    best.push_back(argmax(scores));
    if (label == nullptr) return;
    if (!meter) meter.emplace(static_cast<int>(classes));
    meter->add(scores, *label);
  }
  std::optional<ClassificationResult> accuracy() const {
    return meter ? std::optional(meter->result()) : std::nullopt;
  }
};

Agreement agreement(const Column& expected, const Column& found) {
  Agreement a{compare_outputs(expected.values, found.values), 0};
  RunningMean same;
  for (std::size_t i = 0; i < expected.best.size(); ++i) same.add(expected.best[i] == found.best[i] ? 1 : 0);
  a.argmax = same.value();
  return a;
}

// Values of one output of a node over the traced inputs.
struct LayerColumn {
  std::vector<float> host, chip, real;
};

void set_differences(LayerMeasurement& layer, const std::vector<LayerColumn>& columns, std::size_t first, std::size_t count) {
  LayerColumn all;
  for (std::size_t e = first; e < first + count; ++e) {
    append(all.host, columns[e].host);
    append(all.chip, columns[e].chip);
    append(all.real, columns[e].real);
  }
  if (all.host.empty()) return;
  layer.to_host = compare_outputs(all.host, all.chip);
  if (all.real.size() == all.chip.size()) layer.to_float = compare_outputs(all.real, all.chip);
}

void check(const Model& model, const std::vector<ByteTensor>& inputs, const ChipValues& chip, const ProofOptions& options) {
  if (chip.outputs.size() != inputs.size() || chip.layers.size() > inputs.size())
    fail("proof", "{} inputs, but outputs of {} and layers of {} from the core", inputs.size(), chip.outputs.size(), chip.layers.size());
  if (!options.labels.empty() && options.labels.size() != inputs.size())
    fail("proof", "{} inputs, but {} labels", inputs.size(), options.labels.size());
  const std::size_t expected = total_bytes(model.graph, model.graph.inputs());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].size() != expected)
      fail("proof", "input {} has {} bytes; the inputs of {} take {}", i, inputs[i].size(), model.graph.name, expected);
}

}  // namespace

struct FloatNetwork::State {
  const Model& model;
  const Graph& graph;
  ReferenceExecutor executor;
  std::map<int, std::size_t> events;  // value of `graph` → output of a node of the model, in node order
  std::size_t event_count = 0;
};

FloatNetwork::~FloatNetwork() = default;

FloatNetwork::FloatNetwork(const Model& model, const Graph& graph, const Weights& weights, bool layers)
    : state_(new State{model, graph, ReferenceExecutor(graph, weights), {}, 0}) {
  const auto same = [&](const std::vector<Port>& ours, const std::vector<Port>& theirs, std::string_view what) {
    if (ours.size() != theirs.size()) fail("float network", "it has {} {}, the int8 model {}", theirs.size(), what, ours.size());
    for (std::size_t k = 0; k < ours.size(); ++k)
      if (graph.shape(theirs[k].value) != model.graph.shape(ours[k].value))
        fail("float network", "the shapes of {} {} differ: {} in it, {} in the int8 model", what, k,
             to_string(graph.shape(theirs[k].value)), to_string(model.graph.shape(ours[k].value)));
  };
  same(model.graph.inputs(), graph.inputs(), "inputs");
  same(model.graph.outputs(), graph.outputs(), "outputs");
  std::map<std::string, std::size_t> names;
  for (const Node& node : model.graph.nodes())
    for (const int value : node.outputs) names.emplace(model.graph.value_name(value), state_->event_count++);
  if (!layers) return;
  const Lowered lowered = lower(graph);  // whose names an int8 model of this network has
  for (const Node& node : lowered.graph.nodes())
    for (const int value : node.outputs)
      if (const auto found = names.find(lowered.graph.value_name(value)); found != names.end())
        state_->events.emplace(lowered.source_value[static_cast<std::size_t>(value)], found->second);
}

FloatNetwork::Values FloatNetwork::run(const ByteTensor& input) const {
  const State& s = *state_;
  Arrays arrays;
  std::span<const std::int8_t> rest = input;
  for (std::size_t k = 0; k < s.graph.inputs().size(); ++k) {
    const TensorType& type = s.model.graph.type(s.model.graph.inputs()[k].value);
    const auto count = static_cast<std::size_t>(type.shape.elements());
    const Port& port = s.graph.inputs()[k];
    Array array(ElementType::float32, s.graph.shape(port.value));
    const std::vector<float> numbers = dequantize_image(rest.first(count), type);
    std::copy(numbers.begin(), numbers.end(), array.values<float>().begin());
    arrays[port.name] = std::move(array);
    rest = rest.subspan(count);
  }
  Values values;
  values.layers.resize(s.event_count);
  const Arrays out = s.executor.run(arrays, [&](int value, std::span<const float> numbers) {
    if (const auto event = s.events.find(value); event != s.events.end())
      values.layers[event->second].emplace(numbers.begin(), numbers.end());
  });
  for (const Port& port : s.graph.outputs()) {
    const auto numbers = out.at(port.name).values<float>();
    values.outputs.emplace_back(numbers.begin(), numbers.end());
  }
  return values;
}

std::vector<LayerMeasurement> describe_layers(const Graph& graph) {
  std::vector<LayerMeasurement> layers;
  for (const Node& node : graph.nodes()) {
    LayerMeasurement layer;
    layer.name = node.name;
    layer.kernel = kernel_of(graph, node);
    layer.macs = macs(node.op, graph.input_shapes(node), graph.output_shapes(node));
    layers.push_back(std::move(layer));
  }
  return layers;
}

Proof prove(const Model& model, const std::vector<ByteTensor>& inputs, const ChipValues& chip, const ProofOptions& options) {
  check(model, inputs, chip, options);
  const Graph& g = model.graph;
  Host host(model);
  Proof p;
  p.layers = describe_layers(g);
  std::vector<int> values;              // of every layer output, in the order of the trace
  std::vector<std::size_t> layer_of;
  for (std::size_t i = 0; i < g.nodes().size(); ++i)
    for (const int value : g.nodes()[i].outputs) {
      values.push_back(value);
      layer_of.push_back(i);
    }
  for (LayerMeasurement& layer : p.layers) layer.identical = !chip.layers.empty();
  for (std::size_t e = 0; e < chip.instructions.size(); ++e) p.layers[layer_of.at(e)].instructions += chip.instructions[e];

  std::vector<LayerColumn> columns(values.size());
  std::string layer_difference, output_difference;
  const auto compare_layer = [&](std::size_t i, std::size_t e, const ByteTensor& expected, const FloatNetwork::Values* real) {
    const ByteTensor& found = chip.layers[i].at(e);
    LayerMeasurement& layer = p.layers[layer_of[e]];
    layer.bytes += static_cast<std::int64_t>(expected.size());
    const TensorType& type = g.type(values[e]);
    if (expected.size() == found.size()) {
      for (std::size_t b = 0; b < found.size(); ++b) layer.differing += expected[b] != found[b];
      append(columns[e].host, dequantize_image(expected, type));
      append(columns[e].chip, dequantize_image(found, type));
      if (real != nullptr && real->layers[e] && real->layers[e]->size() == found.size()) append(columns[e].real, *real->layers[e]);
    }
    if (expected == found) return;
    layer.identical = false;
    if (layer_difference.empty()) {
      std::size_t k = 0;
      while (e > k && layer_of[e - k - 1] == layer_of[e]) ++k;
      layer_difference = difference(fmt::format("layer {} '{}' ({}), output {}", layer_of[e], layer.name, layer.kernel, k), expected, found);
      if (i > 0) layer_difference = fmt::format("input {}, {}", i, layer_difference);
    }
  };

  Column on_host, on_chip, in_float;
  const auto classes = static_cast<std::size_t>(g.shape(g.outputs().front().value).elements());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::int64_t* label = options.labels.empty() ? nullptr : &options.labels[i];
    std::optional<FloatNetwork::Values> real;
    if (options.real != nullptr) real = options.real->run(inputs[i]);
    std::size_t event = 0;
    const bool traced = i < chip.layers.size();
    const ByteTensor expected = traced ? host.run(inputs[i],
                                                  [&](int, std::span<const std::int8_t> bytes) {
                                                    compare_layer(i, event++, ByteTensor(bytes.begin(), bytes.end()), real ? &*real : nullptr);
                                                  })
                                       : host.run(inputs[i]);
    ++p.outputs_compared;
    if (expected == chip.outputs[i])
      ++p.outputs_identical;
    else if (output_difference.empty())
      output_difference = difference(fmt::format("outputs of input {}", i), expected, chip.outputs[i]);
    if (chip.outputs[i].size() != expected.size()) fail("proof", "{}", output_difference);
    on_host.add(real_outputs(model, expected), classes, label);
    on_chip.add(real_outputs(model, chip.outputs[i]), classes, label);
    if (!real) continue;
    std::vector<float> outputs;
    for (const std::vector<float>& out : real->outputs) append(outputs, out);
    in_float.add(outputs, classes, label);
  }
  p.first_difference = layer_difference.empty() ? output_difference : layer_difference;
  for (std::size_t i = 0, e = 0; i < p.layers.size(); e += g.nodes()[i].outputs.size(), ++i)
    set_differences(p.layers[i], columns, e, g.nodes()[i].outputs.size());
  if (inputs.empty()) return p;
  p.to_host = agreement(on_host, on_chip);
  if (options.real != nullptr) {
    p.to_float = agreement(in_float, on_chip);
    p.host_to_float = agreement(in_float, on_host);
  }
  p.chip_accuracy = on_chip.accuracy();
  p.host_accuracy = on_host.accuracy();
  p.float_accuracy = in_float.accuracy();
  return p;
}

nlohmann::json to_json(const OutputDifference& d) {
  const auto number = [](double x) { return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json(nullptr); };
  return {{"rmse", number(d.rmse)}, {"mae", number(d.mae)}, {"largest", number(d.largest)},
          {"relative_l2", number(d.relative_l2)}, {"cosine", number(d.cosine)}};
}

nlohmann::json to_json(const LayerMeasurement& l) {
  nlohmann::json json = {{"name", l.name}, {"kernel", l.kernel}, {"macs", l.macs}, {"instructions", l.instructions}, {"identical", l.identical}};
  if (l.cycles) json["cycles_estimate"] = *l.cycles;
  if (l.to_host) json["to_host"] = to_json(*l.to_host);
  if (l.to_float) json["to_float"] = to_json(*l.to_float);
  return json;
}

}  // namespace micromind
