#include "micromind/graph/graph.h"

#include <algorithm>
#include <array>
#include <functional>

#include "micromind/base/error.h"

namespace micromind {

void Graph::check_value(std::string_view what, int value) const {
  if (value < 0 || static_cast<std::size_t>(value) >= values_.size())
    fail("graph", "{}: value {} does not exist among {}", what, value, values_.size());
}

void Graph::take_name(const std::string& new_name) {
  if (new_name.empty()) fail("graph", "a node or input without a name");
  const std::size_t hash = std::hash<std::string>{}(new_name);
  if (std::find(name_hashes_.begin(), name_hashes_.end(), hash) != name_hashes_.end())
    fail("graph", "the name '{}' is used twice", new_name);
  name_hashes_.push_back(hash);
}

int Graph::add_input(std::string input_name, TensorType type) {
  take_name(input_name);
  if (type.shape.rank() < 1 || std::any_of(type.shape.begin(), type.shape.end(), [](int d) { return d < 1; }))
    fail("graph", "input '{}': the shape {} has no elements", input_name, to_string(type.shape));
  const int value = static_cast<int>(values_.size());
  values_.push_back({type, -1});
  inputs_.push_back({std::move(input_name), value});
  return value;
}

int Graph::add(std::string node_name, Op op, std::vector<int> inputs) {
  take_name(node_name);
  for (const int v : inputs) check_value(node_name, v);
  std::array<Shape, 4> few;  // most operators have one or two inputs: no allocation for them
  Shapes many;
  std::span<Shape> in(few.data(), std::min(inputs.size(), few.size()));
  if (inputs.size() > few.size()) {
    many.resize(inputs.size());
    in = many;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) in[i] = shape(inputs[i]);
  Shapes out;
  try {
    out = infer(op, in);
  } catch (const Error& e) {
    throw Error(e.where(), fmt::format("{}: {}", node_name, e.message()), e.hint());
  }
  const ElementType element = inputs.empty() ? ElementType::float32 : type(inputs[0]).element;
  const int index = static_cast<int>(nodes_.size()), first = static_cast<int>(values_.size());
  Node node{std::move(node_name), std::move(op), std::move(inputs), {}};
  node.outputs.reserve(out.size());
  for (const Shape& s : out) {
    node.outputs.push_back(static_cast<int>(values_.size()));
    values_.push_back({{s, element, {}}, index});
  }
  nodes_.push_back(std::move(node));
  return first;
}

void Graph::add_output(std::string output_name, int value) {
  check_value("output '" + output_name + "'", value);
  for (const Port& o : outputs_)
    if (o.name == output_name) fail("graph", "the output '{}' is named twice", output_name);
  outputs_.push_back({std::move(output_name), value});
}

void Graph::add_entry_point(EntryPoint entry) {
  for (const int v : entry.inputs) check_value("entry point '" + entry.name + "'", v);
  for (const int v : entry.outputs) check_value("entry point '" + entry.name + "'", v);
  entry_points_.push_back(std::move(entry));
}

void Graph::add_state(State state) {
  check_value("state '" + state.name + "'", state.input);
  check_value("state '" + state.name + "'", state.output);
  if (!(shape(state.input) == shape(state.output)))
    fail("graph", "state '{}': the input is {}, the output {}", state.name, to_string(shape(state.input)),
         to_string(shape(state.output)));
  states_.push_back(std::move(state));
}

void Graph::add_mutable_parameter(std::string parameter) { mutable_parameters_.push_back(std::move(parameter)); }

Shapes Graph::input_shapes(const Node& node) const {
  Shapes shapes;
  shapes.reserve(node.inputs.size());
  for (const int v : node.inputs) shapes.push_back(shape(v));
  return shapes;
}

Shapes Graph::output_shapes(const Node& node) const {
  Shapes shapes;
  shapes.reserve(node.outputs.size());
  for (const int v : node.outputs) shapes.push_back(shape(v));
  return shapes;
}

std::string Graph::value_name(int value) const {
  const int producer = values_[static_cast<std::size_t>(value)].producer;
  if (producer < 0) {
    for (const Port& p : inputs_)
      if (p.value == value) return p.name;
    return "?";
  }
  const Node& node = nodes_[static_cast<std::size_t>(producer)];
  for (std::size_t i = 1; i < node.outputs.size(); ++i)
    if (node.outputs[i] == value) return fmt::format("{}:{}", node.name, i);
  return node.name;
}

std::vector<int> Graph::use_counts() const {
  std::vector<int> counts(values_.size(), 0);
  for (const Node& node : nodes_)
    for (const int v : node.inputs) ++counts[static_cast<std::size_t>(v)];
  for (const Port& o : outputs_) ++counts[static_cast<std::size_t>(o.value)];
  for (const State& s : states_) ++counts[static_cast<std::size_t>(s.output)];
  for (const EntryPoint& e : entry_points_) {
    for (const int v : e.inputs) ++counts[static_cast<std::size_t>(v)];
    for (const int v : e.outputs) ++counts[static_cast<std::size_t>(v)];
  }
  return counts;
}

int Graph::find_node(std::string_view node_name) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].name == node_name) return static_cast<int>(i);
  return -1;
}

void Graph::reserve(std::size_t nodes) {
  nodes_.reserve(nodes);
  values_.reserve(nodes + 4);
  name_hashes_.reserve(nodes + 4);
}

std::vector<NamedParameter> parameters(const Graph& graph) {
  std::vector<NamedParameter> list;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    for (const ParameterSpec& p : parameters(node.op, graph.input_shapes(node)))
      list.push_back({fmt::format("{}.{}", node.name, p.suffix), p.shape, p.trainable, static_cast<int>(i)});
  }
  return list;
}

}  // namespace micromind
