// A network as a value. Networks are functions that return a Graph; cost, training, quantisation, file formats and
// C code are walks over it.
//
//   Graph g("tiny");
//   int x = g.add_input("image", {3, 32, 32});
//   x = g.add("conv", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1}, {x});
//   x = g.add("relu", Activation{Function::relu}, {x});
//   g.add_output("features", x);
//
// Nodes are kept in an order in which they can run. A node's dotted name is stable: weights, checkpoints, tables,
// exported files and emitted C all use it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "micromind/graph/op.h"
#include "micromind/graph/weights.h"

namespace micromind {

struct Value {
  TensorType type;
  int producer = -1;  ///< index of the node that makes it, or −1 for an input
};

struct Node {
  std::string name;
  Op op;
  std::vector<int> inputs, outputs;  ///< indices of values
};

/// A named input or output of the graph.
struct Port {
  std::string name;
  int value = -1;
  bool operator==(const Port&) const = default;
};

/// A way to run a part of the graph: from `inputs` (any values) to `outputs`; continual learning enters at the
/// latent layer.
struct EntryPoint {
  std::string name;
  std::vector<int> inputs, outputs;
  bool operator==(const EntryPoint&) const = default;
};

/// An output that is the next call's input (streaming, recurrence). Both have one type.
struct State {
  std::string name;
  int input = -1, output = -1;
  bool operator==(const State&) const = default;
};

class Graph {
 public:
  Graph() = default;
  explicit Graph(std::string graph_name) : name(std::move(graph_name)) {}

  std::string name;

  /// Returns the index of the new value. Throws Error on a used name or a shape without elements.
  int add_input(std::string input_name, TensorType type);
  int add_input(std::string input_name, Shape shape) { return add_input(std::move(input_name), TensorType{shape, ElementType::float32, {}}); }

  /// Adds a node and infers its outputs' shapes; returns the first output. Throws Error that names the node when
  /// the name is used or the shapes do not fit.
  int add(std::string node_name, Op op, std::vector<int> inputs);

  void add_output(std::string output_name, int value);
  void add_entry_point(EntryPoint entry);
  void add_state(State state);
  void add_mutable_parameter(std::string parameter);  ///< "classifier.weight": kept in RAM on the chip

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Port>& inputs() const { return inputs_; }
  const std::vector<Port>& outputs() const { return outputs_; }
  const std::vector<EntryPoint>& entry_points() const { return entry_points_; }
  const std::vector<State>& states() const { return states_; }
  const std::vector<std::string>& mutable_parameters() const { return mutable_parameters_; }

  const TensorType& type(int value) const { return values_[static_cast<std::size_t>(value)].type; }
  TensorType& type(int value) { return values_[static_cast<std::size_t>(value)].type; }
  const Shape& shape(int value) const { return type(value).shape; }
  Shapes input_shapes(const Node& node) const;
  Shapes output_shapes(const Node& node) const;

  /// The name of a value: its input's, its node's, or "node:1" for a node's further outputs.
  std::string value_name(int value) const;

  /// How many nodes read each value; being a graph output counts once more.
  std::vector<int> use_counts() const;

  /// Index of the named node, or −1.
  int find_node(std::string_view node_name) const;

  void reserve(std::size_t nodes);

 private:
  void check_value(std::string_view what, int value) const;
  void take_name(const std::string& new_name);
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<Port> inputs_, outputs_;
  std::vector<EntryPoint> entry_points_;
  std::vector<State> states_;
  std::vector<std::string> mutable_parameters_;
  std::vector<std::size_t> name_hashes_;
};

/// All parameters of the graph with full names, in node order.
struct NamedParameter {
  std::string name;
  Shape shape;
  bool trainable;
  int node;
};
std::vector<NamedParameter> parameters(const Graph& graph);

/// Readable JSON, both ways. from_json throws Error that names what is missing or wrong.
nlohmann::json to_json(const Graph& graph);
Graph graph_from_json(const nlohmann::json& json);
void save_graph(const Graph& graph, const std::string& path);
Graph load_graph(const std::string& path);

}  // namespace micromind
