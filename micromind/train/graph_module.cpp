#include "micromind/train/graph_module.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/train/autocast.h"
#include "micromind/train/compute.h"
#include "micromind/train/distributed/ranks.h"
#include "micromind/train/execution.h"
#include "micromind/train/fused/match.h"
#include "micromind/train/operators.h"
#include "micromind/train/streams.h"
#include "micromind/train/tensor_array.h"
#include "micromind/train/torch_error.h"

namespace micromind {

namespace {

void check_weights(const std::string& network, const std::vector<NamedParameter>& specs, const Weights& weights) {
  std::vector<std::string> known;
  for (const NamedParameter& p : specs) {
    known.push_back(p.name);
    const Array& array = find(weights, p.name);
    if (array.element() != ElementType::float32 || !(array.shape() == p.shape))
      fail("weights", "{}: expected float32 {}, found {} {}", p.name, to_string(p.shape), to_string(array.element()),
           to_string(array.shape()));
  }
  if (weights.size() == known.size()) return;
  const std::set<std::string> names(known.begin(), known.end());
  for (const auto& [name, array] : weights)
    if (!names.contains(name))
      fail_with_hint("weights", "these weights belong to another network", "the network '{}' has no parameter '{}'", network, name);
}

}  // namespace

void check_weights(const Graph& graph, const Weights& weights) { check_weights(graph.name, parameters(graph), weights); }

struct GraphModule::Impl {
  Graph graph;
  GraphModuleOptions options;
  at::Device device{at::kCPU};
  std::vector<TensorList> node_tensors;  ///< parameters of each node, in the operator's order
  std::vector<NamedParameter> specs;     ///< one for every tensor above, in the same order
  std::vector<char> frozen;              ///< nodes
  bool training = true;
  std::uint64_t step = 0;
  Ranks* ranks = nullptr;
  bool sync_batch_norm = false;
  std::function<void(int, const at::Tensor&)> observer;
  std::shared_ptr<Execution> execution;

  OpContext context(std::size_t node) const {
    const bool still = frozen[node] && std::holds_alternative<BatchNorm>(graph.nodes()[node].op);
    OpContext c{training && !still, options.seed, step, node};
    if (ranks == nullptr) return c;
    c.first_sample = static_cast<std::uint64_t>(ranks->rank());
    c.sample_step = static_cast<std::uint64_t>(ranks->size());
    c.ranks = sync_batch_norm ? ranks : nullptr;
    return c;
  }

  at::MemoryFormat format(std::int64_t rank) const {
    return options.channels_last && rank == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }

  void make_tensors() {
    node_tensors.assign(graph.nodes().size(), {});
    frozen.assign(graph.nodes().size(), 0);
    specs = parameters(graph);
    for (const NamedParameter& p : specs) {
      const auto sizes = sizes_of(p.shape);
      at::Tensor t = at::empty(sizes, at::TensorOptions().dtype(at::kFloat).device(device).memory_format(
                                          format(static_cast<std::int64_t>(sizes.size()))));
      if (p.trainable) t.set_requires_grad(true);
      node_tensors[static_cast<std::size_t>(p.node)].push_back(t);
    }
  }

  template <class Visit>
  void for_each_tensor(Visit&& visit) const {
    std::size_t i = 0;
    for (const TensorList& tensors : node_tensors)
      for (const at::Tensor& t : tensors) visit(specs[i++], t);
    if (execution)
      for (const Execution::Parameter& p : execution->parameters()) visit(specs[i++], p.tensor);
  }

  void check_input(int value, const at::Tensor& t) const {
    const Shape& shape = graph.shape(value);
    bool fits = t.defined() && t.dim() == shape.rank() + 1 && t.size(0) > 0;
    for (int i = 0; fits && i < shape.rank(); ++i) fits = t.size(i + 1) == shape[i];
    if (fits) return;
    const std::string found = t.defined() ? fmt::format("{}", fmt::join(t.sizes().vec(), "×")) : "nothing";
    fail("network", "{}: the input '{}' is N×{}, found {}", graph.name, graph.value_name(value), to_string(shape), found);
  }

  // Which nodes lie between the given and the wanted values.
  std::vector<char> needed_nodes(const Numbered& given, std::span<const int> wanted) const {
    std::vector<char> needed(graph.nodes().size(), 0);
    std::vector<int> open(wanted.begin(), wanted.end());
    while (!open.empty()) {
      const int value = open.back();
      open.pop_back();
      if (value < 0 || static_cast<std::size_t>(value) >= graph.values().size())
        fail("network", "{}: value {} does not exist among {}", graph.name, value, graph.values().size());
      if (given.contains(value)) continue;
      const int node = graph.values()[static_cast<std::size_t>(value)].producer;
      if (node < 0) fail("network", "{}: the input '{}' is missing", graph.name, graph.value_name(value));
      if (std::exchange(needed[static_cast<std::size_t>(node)], 1)) continue;
      const auto& inputs = graph.nodes()[static_cast<std::size_t>(node)].inputs;
      open.insert(open.end(), inputs.begin(), inputs.end());
    }
    return needed;
  }

  Numbered forward(const Numbered& given, std::span<const int> wanted) {
    if (execution) {
      for (const auto& [value, tensor] : given) check_input(value, tensor);
      return execution->forward(given, wanted, node_tensors, training);
    }
    const std::vector<char> needed = needed_nodes(given, wanted);
    std::vector<int> readers(graph.values().size(), 0);  // a value is let go after its last reader
    for (std::size_t n = 0; n < needed.size(); ++n)
      if (needed[n])
        for (const int v : graph.nodes()[n].inputs) ++readers[static_cast<std::size_t>(v)];
    for (const int v : wanted) ++readers[static_cast<std::size_t>(v)];

    TensorList values(graph.values().size());
    const auto set = [&](int value, at::Tensor tensor) {
      if (observer) observer(value, tensor);
      if (readers[static_cast<std::size_t>(value)] > 0) values[static_cast<std::size_t>(value)] = std::move(tensor);
    };
    for (const auto& [value, tensor] : given) {
      check_input(value, tensor);
      set(value, tensor.to(device, at::kFloat).contiguous(format(tensor.dim())));
    }
    std::vector<fused::Match> matches(needed.size());
    const Autocast mixed(device.type(), options.bfloat16);
    if (options.fused && options.channels_last && device.is_cpu() && !options.bfloat16)
      matches = fused::find_matches(graph, needed, readers, frozen, training, /*whole=*/!observer, /*norms=*/!(training && sync_batch_norm));
    std::vector<char> done(needed.size(), 0);  // inside a stretch that has run
    std::vector<std::pair<std::size_t, at::Tensor>> means;  // XiNet makes the same of its skip again and again
    for (std::size_t n = 0; n < needed.size(); ++n) {
      if (!needed[n] || done[n]) continue;
      const Node& node = graph.nodes()[n];
      const bool mean = std::holds_alternative<AdaptiveAvgPool2d>(node.op) && matches[n].nodes.size() <= 1;
      if (mean) {
        const auto same = std::find_if(means.begin(), means.end(), [&](const auto& m) {
          const Node& other = graph.nodes()[m.first];
          return other.inputs == node.inputs && other.op == node.op;
        });
        if (same != means.end()) {
          read(node.inputs[0], values, readers);
          set(node.outputs[0], same->second);
          continue;
        }
      }
      if (matches[n].kind == fused::Kind::none) run_node(n, values, readers, set);
      else run_fused(matches[n], values, readers, set);
      for (const std::size_t m : matches[n].nodes) done[m] = 1;
      if (mean) means.emplace_back(n, values[static_cast<std::size_t>(node.outputs[0])]);
    }
    Numbered results;
    for (const int v : wanted) results[v] = values[static_cast<std::size_t>(v)].to(at::kFloat);
    return results;
  }

  // A value for a reader, let go when it is the last one.
  at::Tensor read(int value, TensorList& values, std::vector<int>& readers) {
    const auto i = static_cast<std::size_t>(value);
    const at::Tensor tensor = values[i];
    if (--readers[i] == 0) values[i] = at::Tensor();
    return tensor;
  }

  // All values that a stretch reads from outside are there when its first node's turn comes.
  template <class Set>
  void run_fused(const fused::Match& match, TensorList& values, std::vector<int>& readers, Set&& set) {
    TensorList inputs;
    std::set<int> inside;
    for (const std::size_t n : match.nodes) {
      for (const int v : graph.nodes()[n].inputs)
        if (!inside.contains(v)) inputs.push_back(read(v, values, readers));
      inside.insert(graph.nodes()[n].outputs[0]);
    }
    if (match.kind == fused::Kind::sigmoid_gate) std::swap(inputs[0], inputs[1]);  // the gate's input came first
    const Node& first = graph.nodes()[match.nodes.front()];
    at::Tensor output;
    try {
      output = fused::run(graph, match, inputs, node_tensors, context(match.nodes.front()));
    } catch (const Error& e) {
      throw Error(e.where(), fmt::format("{}: {}", first.name, e.message()), e.hint());
    }
    set(graph.nodes()[match.nodes.back()].outputs[0], std::move(output));
  }

  template <class Set>
  void run_node(std::size_t n, TensorList& values, std::vector<int>& readers, Set&& set) {
    const Node& node = graph.nodes()[n];
    TensorList inputs;
    for (const int v : node.inputs) inputs.push_back(read(v, values, readers));
    TensorList outputs;
    try {
      outputs = apply(node.op, inputs, node_tensors[n], context(n));
    } catch (const RankLost&) {
      throw;
    } catch (const Error& e) {
      throw Error(e.where(), fmt::format("{}: {}", node.name, e.message()), e.hint());
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) set(node.outputs[i], std::move(outputs[i]));
  }
};

GraphModule::GraphModule(Graph graph, const GraphModuleOptions& options) : impl_(std::make_unique<Impl>()) {
  check_device(options.device);
  for (std::size_t v = 0; v < graph.values().size(); ++v)
    if (graph.values()[v].type.element != ElementType::float32)
      fail("network", "{}: '{}' is {}; only float networks train", graph.name, graph.value_name(static_cast<int>(v)),
           to_string(graph.values()[v].type.element));
  impl_->graph = std::move(graph);
  impl_->options = options;
  guard_torch("network", [&] {
    impl_->device = at::Device(options.device);
    impl_->make_tensors();
    load(initial_weights(impl_->graph, options.seed));
  });
}

GraphModule::~GraphModule() = default;
GraphModule::GraphModule(GraphModule&&) noexcept = default;
GraphModule& GraphModule::operator=(GraphModule&&) noexcept = default;

const Graph& GraphModule::graph() const { return impl_->graph; }
const GraphModuleOptions& GraphModule::options() const { return impl_->options; }
void GraphModule::train(bool on) {
  impl_->training = on;
  if (impl_->execution) impl_->execution->weights_changed();
}
bool GraphModule::training() const { return impl_->training; }
void GraphModule::set_step(std::uint64_t step) { impl_->step = step; }
void GraphModule::join(Ranks& ranks, bool sync_batch_norm) {
  impl_->ranks = &ranks;
  impl_->sync_batch_norm = sync_batch_norm;
}

GraphModule::Numbered GraphModule::forward(const Numbered& given, std::span<const int> wanted) {
  return guard_torch("network", [&] { return impl_->forward(given, wanted); });
}

GraphModule::Named GraphModule::forward(const Named& inputs) {
  std::vector<std::string> known;
  Numbered given;
  for (const Port& port : graph().inputs()) {
    known.push_back(port.name);
    if (const auto it = inputs.find(port.name); it != inputs.end()) given[port.value] = it->second;
  }
  for (const auto& [name, tensor] : inputs)
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail_with_hint("network", name_hint(name, known), "{}: no input '{}'", graph().name, name);
  std::vector<int> wanted;
  for (const Port& port : graph().outputs()) wanted.push_back(port.value);
  const Numbered results = forward(given, wanted);
  Named outputs;
  for (const Port& port : graph().outputs()) outputs[port.name] = results.at(port.value);
  return outputs;
}

at::Tensor GraphModule::forward(const at::Tensor& input) {
  if (graph().inputs().size() != 1 || graph().outputs().size() != 1)
    fail("network", "{}: expected one input and one output, found {} and {}", graph().name, graph().inputs().size(),
         graph().outputs().size());
  const int wanted[] = {graph().outputs()[0].value};
  return forward(Numbered{{graph().inputs()[0].value, input}}, wanted).at(wanted[0]);
}

std::vector<float> GraphModule::run(std::span<const float> inputs, std::int64_t batch) {
  if (graph().inputs().size() != 1 || graph().outputs().empty()) fail("network", "{}: expected one input", graph().name);
  const Shape& shape = graph().shape(graph().inputs()[0].value);
  if (batch < 1 || static_cast<std::int64_t>(inputs.size()) != batch * shape.elements())
    fail("network", "{}: expected {} inputs of {}, found {} values", graph().name, batch, to_string(shape), inputs.size());
  return guard_torch("network", [&] {
    const c10::NoGradGuard no_grad;
    std::vector<std::int64_t> sizes = sizes_of(shape);
    sizes.insert(sizes.begin(), batch);
    const at::Tensor x = at::from_blob(const_cast<float*>(inputs.data()), sizes, at::kFloat);
    const int wanted[] = {graph().outputs()[0].value};
    const at::Tensor y =
        impl_->forward(Numbered{{graph().inputs()[0].value, x}}, wanted).at(wanted[0]).contiguous().to(at::kCPU);
    return std::vector<float>(y.data_ptr<float>(), y.data_ptr<float>() + y.numel());
  });
}

void GraphModule::observe(std::function<void(int, const at::Tensor&)> observer) { impl_->observer = std::move(observer); }

void GraphModule::observe_values(std::function<void(int, std::span<const float>)> observer) {
  if (!observer) return observe({});
  observe([observer = std::move(observer)](int value, const at::Tensor& tensor) {
    const at::Tensor t = tensor.detach().to(at::kCPU).contiguous();
    observer(value, {t.data_ptr<float>(), static_cast<std::size_t>(t.numel())});
  });
}

void GraphModule::freeze(std::span<const std::string> entries) {
  std::set<std::string> layers;  // and the beginnings of their names, as an entry may have them
  std::vector<char> met(graph().nodes().size(), 0);
  for (std::size_t n = 0; n < met.size(); ++n)
    if (const std::string& name = graph().nodes()[n].name; !impl_->node_tensors[n].empty())
      for (std::size_t end = 0; end != name.npos;) layers.insert(name.substr(0, end = name.find('.', end + 1)));
  for (const std::string& entry : entries) {
    const std::string beginning = entry.ends_with('.') ? entry : entry + ".";
    bool found = false;
    for (std::size_t n = 0; n < met.size(); ++n) {
      const std::string& name = graph().nodes()[n].name;
      if (impl_->node_tensors[n].empty() || !(name == entry || name.starts_with(beginning))) continue;
      met[n] = found = true;
    }
    if (!found)
      fail_with_hint("recipe", name_hint(entry, std::vector<std::string>(layers.begin(), layers.end())), "train.freeze: no layer of '{}' with parameters is or begins with '{}'", graph().name, entry);
  }
  for (std::size_t n = 0; n < met.size(); ++n) {
    if (!met[n]) continue;
    impl_->frozen[n] = 1;
    for (const at::Tensor& t : impl_->node_tensors[n]) t.set_requires_grad(false);
  }
}

std::vector<at::Tensor> GraphModule::tensors() const {
  std::vector<at::Tensor> list;
  impl_->for_each_tensor([&](const NamedParameter&, const at::Tensor& t) { list.push_back(t); });
  return list;
}

void GraphModule::swap(std::span<at::Tensor> others) {
  guard_torch("weights", [&] {
    std::size_t i = 0;
    impl_->for_each_tensor([&](const NamedParameter& p, const at::Tensor& t) {
      if (i >= others.size() || others[i].sizes() != t.sizes() || others[i].strides() != t.strides())
        fail("weights", "{}: the tensor to swap with is of another shape or layout", p.name);
      ++i;
    });
    i = 0;
    impl_->for_each_tensor([&](const NamedParameter&, const at::Tensor& t) {
      const at::Tensor mine = t.detach();  // set_data exchanges what a tensor refers to
      t.set_data(others[i]);
      others[i++] = mine;
    });
  });
}

void GraphModule::set_execution(std::shared_ptr<Execution> execution) {
  impl_->specs = parameters(graph());
  impl_->execution = std::move(execution);
  if (!impl_->execution) return;
  for (const Execution::Parameter& p : impl_->execution->parameters()) {
    for (const NamedParameter& known : impl_->specs)
      if (known.name == p.name) fail("network", "{}: there are two parameters '{}'", graph().name, p.name);
    Shape shape;
    for (const std::int64_t d : p.tensor.sizes()) shape.append(static_cast<std::int32_t>(d));
    impl_->specs.push_back({p.name, shape, p.trainable, -1});
  }
}

std::vector<std::pair<std::string, at::Tensor>> GraphModule::trainable() const {
  std::vector<std::pair<std::string, at::Tensor>> list;
  impl_->for_each_tensor([&](const NamedParameter& p, const at::Tensor& t) {
    if (p.trainable && t.requires_grad()) list.emplace_back(p.name, t);
  });
  return list;
}

Weights GraphModule::to_weights() const {
  return guard_torch("weights", [&] {
    Weights weights;
    impl_->for_each_tensor([&](const NamedParameter& p, const at::Tensor& tensor) {
      weights.emplace(p.name, to_array(tensor));
    });
    return weights;
  });
}

void GraphModule::load(const Weights& weights) {
  check_weights(graph().name, impl_->specs, weights);
  if (impl_->execution) impl_->execution->weights_changed();
  guard_torch("weights", [&] {
    const c10::NoGradGuard no_grad;
    impl_->for_each_tensor([&](const NamedParameter& p, const at::Tensor& tensor) {
      tensor.copy_(view_of(weights.at(p.name)));
    });
  });
}

}  // namespace micromind
