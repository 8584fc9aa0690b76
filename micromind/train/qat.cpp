#include "micromind/train/qat.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <memory>
#include <optional>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/quantize/execute.h"
#include "micromind/quantize/quantize.h"
#include "micromind/train/execution.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/qat_operators.h"
#include "micromind/train/qat_ranges.h"
#include "micromind/train/tensor_array.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Operators whose float result on int8 numbers is exact already: they move or select.
bool moves(const Op& op) {
  return std::holds_alternative<Concat>(op) || std::holds_alternative<Split>(op) || std::holds_alternative<MaxPool2d>(op) ||
         std::holds_alternative<Pad>(op) || std::holds_alternative<Upsample>(op) || is_view(op);
}

// In memory an image's bytes are (H, W, C), in libtorch its flattened form is (C, H, W): such a value may only go into a linear
// layer, whose columns are permuted.
void check_flattened(const Graph& lowered) {
  std::vector<bool> permuted(lowered.values().size(), false);
  for (const Port& p : lowered.inputs())
    if (lowered.shape(p.value).rank() == 2) fail("qat", "'{}': sequences are not supported", p.name);
  for (const Node& node : lowered.nodes()) {
    const Shape& in = lowered.shape(node.inputs[0]);
    const bool read = permuted[at(node.inputs[0])];
    if (read && !std::holds_alternative<Linear>(node.op))
      fail("qat", "{}: a flattened image may only be read by a linear layer", node.name);
    if (std::holds_alternative<Flatten>(node.op)) permuted[at(node.outputs[0])] = in.channels() > 1 && in.height() * in.width() > 1;
  }
  for (const Port& p : lowered.outputs())
    if (permuted[at(p.value)]) fail("qat", "'{}': a flattened image may only be read by a linear layer", p.name);
}

class Int8Execution : public Execution {
 public:
  Int8Execution(const Graph& graph, const std::vector<Range>& ranges, const QatOptions& options)
      : graph_(graph), lowered_(lower(graph)), groups_(scale_groups(lowered_.graph)), options_(options) {
    check_flattened(lowered_.graph);
    const bool learned = options.ranges == QatRanges::learned;
    const auto values = static_cast<std::int64_t>(ranges.size());
    ranges_ = at::empty({values, 2}, at::kFloat);
    float* r = ranges_.data_ptr<float>();
    for (const Range& range : starting_ranges(lowered_, groups_, ranges, learned)) *r++ = range.min, *r++ = range.max;
    parameters_.push_back({kRangesName, ranges_, false});
    if (learned) {
      logs_ = at::zeros({values, 2}, at::kFloat);
      logs_.set_requires_grad(true);
      parameters_.push_back({kLogRangesName, logs_, true});
    }
    for (const Node& node : lowered_.graph.nodes()) {
      const bool weighted = std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Linear>(node.op);
      source_node_.push_back(weighted ? graph_.find_node(node.name) : -1);
    }
  }

  const std::vector<Parameter>& parameters() const override { return parameters_; }
  void weights_changed() override { model_.reset(); }

  std::map<int, at::Tensor> forward(const std::map<int, at::Tensor>& given, std::span<const int> wanted,
                                    const std::vector<TensorList>& node_parameters, bool training) override {
    const Graph& graph = lowered_.graph;
    const int input = graph_.inputs()[0].value, output = graph_.outputs()[0].value;
    if (given.size() != 1 || given.begin()->first != input || wanted.size() != 1 || wanted[0] != output)
      fail("qat", "{}: only whole passes run as int8, from the input to the output", graph.name);
    const bool learning = training && c10::GradMode::is_enabled();
    if (learning || !model_) make_model(node_parameters);

    Pass pass{learning, graph.use_counts(), std::vector<at::Tensor>(graph.values().size()), {}, {}};
    pass.bytes.resize(graph.values().size());
    start(pass, given.begin()->second.to(at::kFloat));
    for (std::size_t n = 0; n < graph.nodes().size(); ++n) run_node(n, pass, node_parameters);
    if (!pass.seen.empty()) average(pass.seen);
    if (learning) model_.reset();  // the step that follows changes the weights
    return {{output, pass.real[at(graph.outputs()[0].value)]}};
  }

 private:
  struct Prepared {
    explicit Prepared(Model m) : model(std::move(m)), calls(model) {}
    Model model;
    KernelCalls calls;
  };
  // Values of one forward pass, by index in the lowered graph.
  struct Pass {
    bool learning;
    std::vector<int> readers;
    std::vector<at::Tensor> real, bytes;           // dequantised [N, C, H, W]; int8 [N, elements]
    std::vector<std::pair<int, at::Tensor>> seen;  // float results of a few images, for the moving average
  };

  void make_model(const std::vector<TensorList>& node_parameters) {
    Weights weights;
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& node = graph_.nodes()[n];
      const Shapes in = graph_.input_shapes(node);
      const auto specs = micromind::parameters(node.op, in);
      for (std::size_t i = 0; i < specs.size(); ++i)
        weights[fmt::format("{}.{}", node.name, specs[i].suffix)] = to_array(node_parameters[n][i]);
    }
    model_ = std::make_unique<Prepared>(
        quantize(graph_, lowered_, weights, effective_ranges(lowered_, groups_, numbers(ranges_), numbers(logs_))));
  }
  static std::span<const float> numbers(const at::Tensor& t) {
    return t.defined() ? std::span<const float>(t.data_ptr<float>(), static_cast<std::size_t>(t.numel())) : std::span<const float>();
  }

  const Quantization& quantization(int value) const { return *model_->model.graph.type(value).quantization; }

  void observe(int value, const at::Tensor& real, Pass& pass) const {
    if (!pass.learning || options_.ranges != QatRanges::average) return;
    pass.seen.emplace_back(value, real.detach().narrow(0, 0, std::min<std::int64_t>(options_.observed_images, real.size(0))).clone());
  }

  // The trainable range of a value, or nothing.
  at::Tensor log_range(int value) const {
    if (!logs_.defined() || groups_.fixed[at(value)]) return {};
    return logs_.select(0, lowered_.source_value[at(groups_.root[at(value)])]);
  }

  void start(Pass& pass, const at::Tensor& image) const {
    const int v = lowered_.graph.inputs()[0].value;
    observe(v, image, pass);
    pass.bytes[at(v)] = quantize_batch(image, quantization(v));
    pass.real[at(v)] = straight_through(image, pass.bytes[at(v)], quantization(v), pass.learning ? log_range(v) : at::Tensor());
  }

  void run_node(std::size_t n, Pass& pass, const std::vector<TensorList>& node_parameters) const {
    const Node& node = lowered_.graph.nodes()[n];
    run_kernel(n, pass);
    TensorList inputs;
    for (const int v : node.inputs) inputs.push_back(pass.real[at(v)]);
    const bool is_output = node.outputs[0] == lowered_.graph.outputs()[0].value;
    if (pass.learning || moves(node.op)) {
      TensorList weights;
      if (source_node_[n] >= 0) weights = learning_weights(n, node_parameters[at(source_node_[n])]);
      const TensorList results =
          std::holds_alternative<Conv2d>(node.op) ? TensorList{float_result(node.op, inputs, weights)} : apply(node.op, inputs, weights, {});
      for (std::size_t k = 0; k < results.size(); ++k) {
        const int v = node.outputs[k];
        observe(v, results[k], pass);
        pass.real[at(v)] = moves(node.op) ? results[k] : straight_through(results[k], pass.bytes[at(v)], quantization(v), log_range(v));
      }
    } else if (is_output) {  // without gradients only the bytes flow
      const int v = node.outputs[0];
      pass.real[at(v)] = straight_through(image_like(v, pass.bytes[at(v)]), pass.bytes[at(v)], quantization(v), {});
    } else {
      for (const int v : node.outputs) pass.real[at(v)] = image_like(v, pass.bytes[at(v)]);
    }
    for (const int v : node.inputs)
      if (--pass.readers[at(v)] == 0) pass.real[at(v)] = pass.bytes[at(v)] = at::Tensor();
  }

  // An unfilled float tensor of the value's shape.
  at::Tensor image_like(int value, const at::Tensor& bytes) const {
    std::vector<std::int64_t> sizes = sizes_of(lowered_.graph.shape(value));
    sizes.insert(sizes.begin(), bytes.size(0));
    return at::empty(sizes, at::TensorOptions().dtype(at::kFloat).memory_format(sizes.size() == 4 ? at::MemoryFormat::ChannelsLast
                                                                                                  : at::MemoryFormat::Contiguous));
  }

  // The node's parameters as the kernel has them; gradients go to the float ones.
  TensorList learning_weights(std::size_t n, const TensorList& real) const {
    const Node& node = lowered_.graph.nodes()[n];
    const Array& weight = model_->model.weights.at(node.name + ".weight");
    const Array& bias = model_->model.weights.at(node.name + ".bias");
    const auto values = bias.values<std::int32_t>();
    const double in_scale = quantization(node.inputs[0]).scale;
    at::Tensor b = at::empty({static_cast<std::int64_t>(values.size())}, at::kFloat);
    for (std::size_t i = 0; i < values.size(); ++i)
      b.data_ptr<float>()[i] = static_cast<float>(values[i] * in_scale * static_cast<double>(weight.scales[weight.scales.size() == 1 ? 0 : i]));
    const at::Tensor w = dequantized_weight(weight, node.op, lowered_.graph.shape(node.inputs[0]), lowered_.origin[n].flattened);
    return {straight_through(real[0], w), straight_through(real[1], b)};
  }

  void run_kernel(std::size_t n, Pass& pass) const {
    const Node& node = lowered_.graph.nodes()[n];
    const std::int64_t batch = pass.bytes[at(node.inputs[0])].size(0);
    if (std::holds_alternative<Flatten>(node.op)) {
      pass.bytes[at(node.outputs[0])] = pass.bytes[at(node.inputs[0])];
      return;
    }
    std::vector<std::pair<const std::int8_t*, std::int64_t>> inputs;
    std::vector<std::pair<std::int8_t*, std::int64_t>> outputs;
    for (const int v : node.inputs) inputs.emplace_back(pass.bytes[at(v)].data_ptr<std::int8_t>(), pass.bytes[at(v)].size(1));
    for (const int v : node.outputs) {
      at::Tensor& bytes = pass.bytes[at(v)] = at::empty({batch, lowered_.graph.shape(v).elements()}, at::kChar);
      outputs.emplace_back(bytes.data_ptr<std::int8_t>(), bytes.size(1));
    }
    at::parallel_for(0, batch, 1, [&](std::int64_t first, std::int64_t last) {
      std::vector<const std::int8_t*> in(inputs.size());
      std::vector<std::int8_t*> out(outputs.size());
      for (std::int64_t i = first; i < last; ++i) {
        for (std::size_t k = 0; k < in.size(); ++k) in[k] = inputs[k].first + i * inputs[k].second;
        for (std::size_t k = 0; k < out.size(); ++k) out[k] = outputs[k].first + i * outputs[k].second;
        execute(model_->calls[n], in, out);
      }
    });
  }

  // range ← decay · range + (1 − decay) · the range that calibration chooses for what was seen.
  void average(const std::vector<std::pair<int, at::Tensor>>& seen) {
    std::vector<std::optional<Range>> found(seen.size());
    at::parallel_for(0, static_cast<std::int64_t>(seen.size()), 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const at::Tensor numbers = seen[static_cast<std::size_t>(i)].second.contiguous();
        Calibrator calibrator(1);
        calibrator.observe(0, {numbers.data_ptr<float>(), static_cast<std::size_t>(numbers.numel())});
        try {
          found[static_cast<std::size_t>(i)] = calibrator.ranges(options_.calibration)[0];
        } catch (const Error&) {  // not finite: the loss will tell
        }
      }
    });
    float* const r = ranges_.data_ptr<float>();
    std::vector<bool> done(static_cast<std::size_t>(ranges_.size(0)), false);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const std::size_t v = at(lowered_.source_value[at(seen[i].first)]);
      if (!found[i] || done[v]) continue;
      done[v] = true;  // a requantised value stands for the same one
      r[2 * v] = static_cast<float>(options_.decay * r[2 * v] + (1 - options_.decay) * found[i]->min);
      r[2 * v + 1] = static_cast<float>(options_.decay * r[2 * v + 1] + (1 - options_.decay) * found[i]->max);
    }
  }

  Graph graph_;
  Lowered lowered_;
  ScaleGroups groups_;
  QatOptions options_;
  at::Tensor ranges_, logs_;
  std::vector<Parameter> parameters_;
  std::vector<int> source_node_;  // per lowered node with weights: the node of graph_ that holds them
  std::unique_ptr<Prepared> model_;
};

void check(const GraphModule& module, const std::vector<Range>& ranges, const QatOptions& options) {
  const Graph& graph = module.graph();
  for (const Node& node : graph.nodes())
    if (std::holds_alternative<BatchNorm>(node.op) || std::holds_alternative<Dropout>(node.op))
      fail_with_hint("qat", "fold_network() first", "{}: {} in a network that is to run as int8", node.name, op_name(node.op));
  if (graph.inputs().size() != 1 || graph.outputs().size() != 1)
    fail("qat", "{}: expected one input and one output, found {} and {}", graph.name, graph.inputs().size(), graph.outputs().size());
  if (module.options().device != "cpu")
    fail_with_hint("qat", "set train.device = \"cpu\" for it", "the int8 kernels run on the CPU, not on {}", module.options().device);
  if (ranges.size() != graph.values().size())
    fail("qat", "{} ranges for a network of {} values", ranges.size(), graph.values().size());
  if (!(options.decay >= 0 && options.decay < 1)) fail("qat", "decay = {}: expected 0 to below 1", options.decay);
  if (options.observed_images < 1) fail("qat", "observed_images = {}: expected at least 1", options.observed_images);
  if (!(options.calibration.percentile > 50 && options.calibration.percentile <= 100))
    fail("qat", "percentile {} is outside (50, 100]", options.calibration.percentile);
}

}  // namespace

QatRanges qat_ranges_from(std::string_view name) {
  if (name == "average") return QatRanges::average;
  if (name == "learned") return QatRanges::learned;
  const std::vector<std::string> known = {"average", "learned"};
  fail_with_hint("qat", name_hint(name, known), "unknown kind of ranges '{}'; expected average or learned", name);
}

void train_as_int8(GraphModule& module, const Weights& weights, const std::vector<Range>& ranges, const QatOptions& options) {
  check(module, ranges, options);
  check_weights(module.graph(), weights);
  auto execution = std::make_shared<Int8Execution>(module.graph(), ranges, options);
  module.set_execution(nullptr);
  module.load(weights);
  module.set_execution(std::move(execution));
}

Model qat_model(const Graph& folded, const Weights& weights) {
  const Lowered lowered = lower(folded);
  const auto array = [&](const char* name) {
    const Array& a = find(weights, name);
    if (a.shape() != Shape{static_cast<std::int32_t>(folded.values().size()), 2})
      fail("qat", "{} is {}, the network has {} values", name, to_string(a.shape()), folded.values().size());
    return a.values<float>();
  };
  const auto ranges = array(kRangesName);
  const auto logs = weights.contains(kLogRangesName) ? array(kLogRangesName) : std::span<const float>();
  return quantize(folded, lowered, weights, effective_ranges(lowered, scale_groups(lowered.graph), ranges, logs));
}

}  // namespace micromind
