#include "micromind/lower/lower.h"

#include <numeric>

#include "micromind/base/error.h"
#include "micromind/memory/order.h"

namespace micromind {
namespace {

bool fusable(Function f) { return f == Function::relu || f == Function::relu6; }

class Lowering {
 public:
  explicit Lowering(const Graph& source) : source_(source), uses_(source.use_counts()) {
    const std::size_t values = source.values().size();
    lowered_of_.assign(values, -1);
    reader_.assign(values, -1);
    absorbed_.assign(source.nodes().size(), false);
    for (std::size_t i = 0; i < source.nodes().size(); ++i)
      for (const int v : source.nodes()[i].inputs) reader_[at(v)] = static_cast<int>(i);
    out_.graph.name = source.name;
    out_.graph.reserve(source.nodes().size());
    out_.source_value.reserve(values);
    out_.origin.reserve(source.nodes().size());
  }

  Lowered run() && {
    for (const Port& p : source_.inputs()) {
      TensorType type = source_.type(p.value);
      type.element = ElementType::int8;
      lowered_of_[at(p.value)] = out_.graph.add_input(p.name, type);
      out_.source_value.push_back(p.value);
      fixed_scale_.push_back(false);
    }
    for (std::size_t i = 0; i < source_.nodes().size(); ++i)
      if (!absorbed_[i]) {
        node_ = static_cast<int>(i);
        const Node& node = source_.nodes()[i];
        std::visit([&](const auto& op) { lower(op, node); }, node.op);
      }
    for (const Port& p : source_.outputs()) out_.graph.add_output(p.name, mapped(p.value));
    for (const EntryPoint& e : source_.entry_points()) out_.graph.add_entry_point({e.name, mapped(e.inputs), mapped(e.outputs)});
    for (const State& s : source_.states()) out_.graph.add_state({s.name, mapped(s.input), mapped(s.output)});
    for (const std::string& p : source_.mutable_parameters()) out_.graph.add_mutable_parameter(p);
    return std::move(out_);
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  int mapped(int v) const { return lowered_of_[at(v)]; }
  std::vector<int> mapped(const std::vector<int>& values) const {
    std::vector<int> list;
    list.reserve(values.size());
    for (const int v : values) list.push_back(mapped(v));
    return list;
  }

  // Adds a node whose outputs stand for the given source values.
  void emit(const std::string& name, Op op, std::vector<int> inputs, const std::vector<int>& stands_for, NodeOrigin origin = {},
            bool fixed_scale = false) {
    const int first = out_.graph.add(name, std::move(op), std::move(inputs));
    for (std::size_t k = 0; k < stands_for.size(); ++k) {
      lowered_of_[at(stands_for[k])] = first + static_cast<int>(k);
      out_.source_value.push_back(stands_for[k]);
      fixed_scale_.push_back(fixed_scale);
    }
    out_.origin.push_back(origin);
  }
  void emit_as_is(const Op& op, const Node& node, bool fixed_scale = false) {
    emit(node.name, op, mapped(node.inputs), node.outputs, {}, fixed_scale);
  }
  void drop(const Node& node) { lowered_of_[at(node.outputs[0])] = mapped(node.inputs[0]); }

  // The node that alone reads a value, if it is an operator of type T; a value that leaves the graph has none.
  template <class T>
  const T* sole_reader(int value) const {
    return uses_[at(value)] == 1 && reader_[at(value)] >= 0 ? std::get_if<T>(&source_.nodes()[at(reader_[at(value)])].op) : nullptr;
  }
  int absorb_reader(int value) {
    absorbed_[at(reader_[at(value)])] = true;
    return source_.nodes()[at(reader_[at(value)])].outputs[0];
  }
  // Fuses a relu or relu6 that alone reads `value`; returns the value behind it.
  int fuse_activation(int value, Function& activation) {
    const Activation* next = sole_reader<Activation>(value);
    if (next == nullptr || activation != Function::none || !fusable(next->function)) return value;
    activation = next->function;
    return absorb_reader(value);
  }

  // A convolution or linear layer with the batch norm and activation behind it.
  template <class T>
  void lower_weighted(T op, const Node& node, NodeOrigin origin) {
    op.bias = true;
    int value = node.outputs[0];
    if (op.activation == Function::none && origin.batch_norm < 0 && sole_reader<BatchNorm>(value) != nullptr) {
      origin.batch_norm = reader_[at(value)];
      value = absorb_reader(value);
    }
    value = fuse_activation(value, op.activation);
    emit(node.name, op, mapped(node.inputs), {value}, origin);
  }

  void lower(Conv2d op, const Node& node) {
    if (const Padding* pad = pending_padding(node.inputs[0])) {
      op.padding.top += pad->top;
      op.padding.bottom += pad->bottom;
      op.padding.left += pad->left;
      op.padding.right += pad->right;
    }
    lower_weighted(op, node, {.parameters = node_, .batch_norm = -1, .flattened = {}});
  }
  void lower(Linear op, const Node& node) {
    NodeOrigin origin{.parameters = node_, .batch_norm = -1, .flattened = {}};
    // Look through dropouts for the flatten of an image: its columns are in CHW order, memory is HWC.
    for (int v = node.inputs[0], p; (p = source_.values()[at(v)].producer) >= 0; v = source_.nodes()[at(p)].inputs[0]) {
      const Node& before = source_.nodes()[at(p)];
      if (std::holds_alternative<Dropout>(before.op)) continue;
      if (std::holds_alternative<Flatten>(before.op))
        if (const Shape& image = source_.shape(before.inputs[0]); image.height() * image.width() > 1) origin.flattened = image;
      break;
    }
    lower_weighted(op, node, origin);
  }
  void lower(const BatchNorm&, const Node& node) {
    const Shape& shape = source_.shape(node.inputs[0]);
    if (shape.rank() != 3)
      fail_with_hint("lower", "put it directly behind a linear layer", "{}: a batch norm of a vector that follows no linear layer", node.name);
    lower_weighted(Conv2d{.out_channels = shape.channels(), .groups = shape.channels()}, node,
                   {.parameters = -1, .batch_norm = node_, .flattened = {}});
  }
  void lower(const Activation& op, const Node& node) {
    if (op.function == Function::none) return drop(node);
    emit_as_is(op, node, op.function == Function::sigmoid);
  }
  void lower(Add op, const Node& node) {
    const int value = fuse_activation(node.outputs[0], op.activation);
    emit(node.name, op, mapped(node.inputs), {value});
  }
  void lower(const Multiply& op, const Node& node) { emit_as_is(op, node); }
  void lower(const Concat& op, const Node& node) {
    std::vector<int> inputs = mapped(node.inputs);
    for (std::size_t k = 0; k < inputs.size(); ++k)
      if (fixed_scale_[at(inputs[k])]) {
        const int stands_for = out_.source_value[at(inputs[k])];
        const int kept = mapped(stands_for);
        emit(fmt::format("{}.requantize{}", node.name, k), Requantize{}, {inputs[k]}, {stands_for});
        inputs[k] = mapped(stands_for);
        lowered_of_[at(stands_for)] = kept;  // other readers keep the exact one
      }
    emit(node.name, op, std::move(inputs), node.outputs);
  }
  void lower(const Split& op, const Node& node) { emit_as_is(op, node, fixed_scale_[at(mapped(node.inputs[0]))]); }
  void lower(const MaxPool2d& op, const Node& node) { pass_through(op, node); }
  void lower(const AvgPool2d& op, const Node& node) { pass_through(op, node); }
  void lower(const AdaptiveAvgPool2d& op, const Node& node) {
    const Shape& in = source_.shape(node.inputs[0]);
    if (in[1] == op.output.h && in[2] == op.output.w) return drop(node);
    if (op.global()) return emit_as_is(op, node);
    if (in[1] % op.output.h != 0 || in[2] % op.output.w != 0) return pass_through(op, node);
    const Size ratio(in[1] / op.output.h, in[2] / op.output.w);
    pass_through(AvgPool2d{.kernel = ratio, .stride = ratio, .padding = {}}, node);
  }
  void lower(const Upsample& op, const Node& node) {
    if (op.scale == Size(1)) return drop(node);
    pass_through(op, node);
  }
  void lower(const Pad& op, const Node& node) {
    if (!op.padding.any()) return drop(node);
    if (sole_reader<Conv2d>(node.outputs[0]) == nullptr) return pass_through(op, node);
    drop(node);
    pending_.emplace_back(node.outputs[0], op.padding);
  }
  void lower(const Dropout&, const Node& node) { drop(node); }
  void lower(const Flatten& op, const Node& node) { pass_through(op, node); }
  void lower(const Softmax& op, const Node& node) { emit_as_is(op, node, true); }
  void lower(const Requantize& op, const Node& node) { emit_as_is(op, node); }
  void lower(const TakeRows& op, const Node& node) { pass_through(op, node); }
  void lower(const JoinRows& op, const Node& node) { pass_through(op, node); }

  template <class T>
  void pass_through(const T& op, const Node& node) {
    emit_as_is(op, node, fixed_scale_[at(mapped(node.inputs[0]))]);
  }
  const Padding* pending_padding(int value) const {
    for (const auto& [v, padding] : pending_)
      if (v == value) return &padding;
    return nullptr;
  }

  const Graph& source_;
  std::vector<int> uses_, reader_, lowered_of_;
  std::vector<bool> absorbed_, fixed_scale_;
  std::vector<std::pair<int, Padding>> pending_;  // paddings on their way into the convolution behind them
  int node_ = 0;
  Lowered out_;
};

}  // namespace

namespace {

// Branches run in the order that needs the least memory; where none gains, as the source has them.
void order_nodes(Lowered& lowered) {
  const std::vector<int> nodes = order_for_arena(lowered.graph);
  if (nodes.empty()) return;
  std::vector<int> value_of;
  Lowered ordered{reorder(lowered.graph, nodes, &value_of), std::vector<int>(value_of.size()), {}};
  for (std::size_t v = 0; v < value_of.size(); ++v) ordered.source_value[static_cast<std::size_t>(value_of[v])] = lowered.source_value[v];
  for (const int n : nodes) ordered.origin.push_back(lowered.origin[static_cast<std::size_t>(n)]);
  lowered = std::move(ordered);
}

}  // namespace

Lowered lower(const Graph& graph, const LowerOptions& options) {
  Lowered lowered = Lowering(graph).run();
  if (options.order) order_nodes(lowered);
  return lowered;
}

Lowered as_lowered(const Graph& int8_graph) {
  Lowered lowered{int8_graph, std::vector<int>(int8_graph.values().size()), std::vector<NodeOrigin>(int8_graph.nodes().size())};
  std::iota(lowered.source_value.begin(), lowered.source_value.end(), 0);
  for (std::size_t i = 0; i < lowered.origin.size(); ++i) {
    const Op& op = int8_graph.nodes()[i].op;
    if (std::holds_alternative<Conv2d>(op) || std::holds_alternative<Linear>(op)) lowered.origin[i].parameters = static_cast<int>(i);
  }
  return lowered;
}

std::string_view kernel_of(const Graph& lowered, const Node& node) {
  return std::visit(
      Overloaded{
          [&](const Conv2d& op) -> std::string_view {
            return op.depthwise(lowered.shape(node.inputs[0])) ? "depthwise_conv2d_s8" : "conv2d_s8";
          },
          [](const Linear&) -> std::string_view { return "linear_s8"; },
          [](const Activation&) -> std::string_view { return "table_s8"; },
          [](const Add&) -> std::string_view { return "add_s8"; },
          [](const Multiply&) -> std::string_view { return "mul_s8"; },
          [](const Concat&) -> std::string_view { return "concat_s8"; },
          [](const Split&) -> std::string_view { return "split_s8"; },
          [](const MaxPool2d&) -> std::string_view { return "max_pool2d_s8"; },
          [](const AvgPool2d&) -> std::string_view { return "average_pool2d_s8"; },
          [](const AdaptiveAvgPool2d& op) -> std::string_view { return op.global() ? "mean_s8" : "adaptive_average_pool2d_s8"; },
          [](const Upsample&) -> std::string_view { return "upsample_nearest2d_s8"; },
          [](const Pad&) -> std::string_view { return "pad_s8"; },
          [](const Flatten&) -> std::string_view { return ""; },
          [](const TakeRows&) -> std::string_view { return ""; },
          [](const JoinRows&) -> std::string_view { return ""; },
          [](const Softmax&) -> std::string_view { return "softmax_s8"; },
          [](const Requantize&) -> std::string_view { return "table_s8"; },
          [&](const BatchNorm&) -> std::string_view { fail("lower", "{}: batch norm in a lowered graph", node.name); },
          [&](const Dropout&) -> std::string_view { fail("lower", "{}: dropout in a lowered graph", node.name); },
      },
      node.op);
}

}  // namespace micromind
