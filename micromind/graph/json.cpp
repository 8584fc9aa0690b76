// Graphs as readable JSON. Values are named after what makes them, attributes that keep their default are left out.
#include <map>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/base/file.h"
#include "micromind/base/reflect.h"
#include "micromind/graph/graph.h"

namespace micromind {

void to_json(nlohmann::json& j, const Shape& s) { j = std::vector<std::int32_t>(s.begin(), s.end()); }
void from_json(const nlohmann::json& j, Shape& s) {
  if (!j.is_array() || j.empty() || j.size() > 4) fail("graph", "{}: expected a shape of 1 to 4 extents, such as [3, 32, 32]", j.dump());
  s = Shape();
  for (const nlohmann::json& d : j) s.append(d.get<std::int32_t>());
}
void to_json(nlohmann::json& j, const Size& s) { j = s.h == s.w ? nlohmann::json(s.h) : nlohmann::json{s.h, s.w}; }
void from_json(const nlohmann::json& j, Size& s) {
  s = j.is_array() ? Size(j.at(0).get<std::int32_t>(), j.at(1).get<std::int32_t>()) : Size(j.get<std::int32_t>());
}
void to_json(nlohmann::json& j, const Padding& p) { j = {p.top, p.bottom, p.left, p.right}; }
void from_json(const nlohmann::json& j, Padding& p) {
  const auto side = [&](std::size_t i) { return j.at(i).get<std::int32_t>(); };
  p = j.is_array() ? Padding(side(0), side(1), side(2), side(3)) : Padding(j.get<std::int32_t>());
}
void to_json(nlohmann::json& j, Function f) { j = std::string(to_string(f)); }
void from_json(const nlohmann::json& j, Function& f) { f = function_from(j.get<std::string>()); }

namespace {

using nlohmann::json;
constexpr int kVersion = 1;

json write_attributes(const Op& op) {
  return std::visit([](const auto& o) { return members_to_json(o, false); }, op);
}

void read_attributes(const json& attributes, Op& op) {
  std::visit([&](auto& o) { members_from_json(attributes, o, o.kName); }, op);
}

json write_type(const TensorType& type) {
  json j = {{"shape", std::vector<std::int32_t>(type.shape.begin(), type.shape.end())}, {"type", to_string(type.element)}};
  if (type.quantization) j["quantization"] = {{"scale", member_to_json(type.quantization->scale)}, {"zero_point", type.quantization->zero_point}};
  return j;
}

TensorType read_type(const json& j) {
  TensorType type;
  if (j.at("shape").size() > 4) fail("graph", "a shape of rank {}; expected 1 to 4", j.at("shape").size());
  for (const json& d : j.at("shape")) type.shape.append(d.get<std::int32_t>());
  type.element = element_type_from(j.at("type").get<std::string>());
  if (j.contains("quantization"))
    type.quantization = Quantization{j["quantization"].at("scale").get<float>(), j["quantization"].at("zero_point").get<std::int32_t>()};
  return type;
}

json names_of(const Graph& graph, const std::vector<int>& values) {
  json names = json::array();
  for (const int v : values) names.push_back(graph.value_name(v));
  return names;
}

Graph read_graph(const json& j) {
  if (j.value("format", "") != "micromind-graph") fail("graph", "this is no graph: expected \"format\": \"micromind-graph\"");
  if (j.at("version").get<int>() > kVersion)
    fail_with_hint("graph", "update micromind", "graph format version {} is newer than {}", j.at("version").get<int>(), kVersion);
  Graph graph(j.at("name").get<std::string>());
  std::map<std::string, int> by_name;
  const auto value = [&](const json& name) {
    const auto it = by_name.find(name.get<std::string>());
    if (it == by_name.end()) fail("graph", "'{}' is read before it is made", name.get<std::string>());
    return it->second;
  };
  const auto values = [&](const json& names) {
    std::vector<int> list;
    for (const json& n : names) list.push_back(value(n));
    return list;
  };
  for (const json& i : j.at("inputs")) by_name[i.at("name")] = graph.add_input(i.at("name").get<std::string>(), read_type(i));
  for (const json& n : j.at("nodes")) {
    const std::string name = n.at("name").get<std::string>();
    try {
      Op op = op_from_name(n.at("op").get<std::string>());
      read_attributes(n.value("attributes", json::object()), op);
      graph.add(name, std::move(op), values(n.at("inputs")));
    } catch (const json::exception& e) {
      fail("graph", "node '{}': {}", name, without_tag(e.what()));
    }
    const std::vector<int> outputs = graph.nodes().back().outputs;
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      by_name[graph.value_name(outputs[k])] = outputs[k];
      if (!n.contains("outputs")) continue;
      const TensorType type = read_type(n.at("outputs").at(k));
      if (!(type.shape == graph.shape(outputs[k])))
        fail("graph", "node '{}': the file says {}, its inputs give {}", name, to_string(type.shape), to_string(graph.shape(outputs[k])));
      graph.type(outputs[k]) = type;
    }
  }
  for (const json& o : j.at("outputs")) graph.add_output(o.at("name").get<std::string>(), value(o.at("value")));
  for (const json& e : j.value("entry_points", json::array()))
    graph.add_entry_point({e.at("name").get<std::string>(), values(e.at("inputs")), values(e.at("outputs"))});
  for (const json& s : j.value("states", json::array()))
    graph.add_state({s.at("name").get<std::string>(), value(s.at("input")), value(s.at("output"))});
  for (const json& p : j.value("mutable_parameters", json::array())) graph.add_mutable_parameter(p.get<std::string>());
  return graph;
}

}  // namespace

json to_json(const Graph& graph) {
  json j = {{"format", "micromind-graph"}, {"version", kVersion}, {"name", graph.name}};
  for (const Port& i : graph.inputs()) {
    json entry = write_type(graph.type(i.value));
    entry["name"] = i.name;
    j["inputs"].push_back(entry);
  }
  j["nodes"] = json::array();
  for (const Node& node : graph.nodes()) {
    json entry = {{"name", node.name}, {"op", op_name(node.op)}, {"inputs", names_of(graph, node.inputs)}};
    if (json attributes = write_attributes(node.op); !attributes.empty()) entry["attributes"] = std::move(attributes);
    for (const int v : node.outputs) entry["outputs"].push_back(write_type(graph.type(v)));
    j["nodes"].push_back(entry);
  }
  j["outputs"] = json::array();
  for (const Port& o : graph.outputs()) j["outputs"].push_back({{"name", o.name}, {"value", graph.value_name(o.value)}});
  for (const EntryPoint& e : graph.entry_points())
    j["entry_points"].push_back({{"name", e.name}, {"inputs", names_of(graph, e.inputs)}, {"outputs", names_of(graph, e.outputs)}});
  for (const State& s : graph.states())
    j["states"].push_back({{"name", s.name}, {"input", graph.value_name(s.input)}, {"output", graph.value_name(s.output)}});
  if (!graph.mutable_parameters().empty()) j["mutable_parameters"] = graph.mutable_parameters();
  return j;
}

Graph graph_from_json(const json& j) {
  try {
    return read_graph(j);
  } catch (const json::exception& e) {
    fail("graph", "not a graph: {}", without_tag(e.what()));
  }
}

void save_graph(const Graph& graph, const std::string& path) {
  std::string text = "{\n";  // one node a line
  const json j = to_json(graph);
  bool first = true;
  for (const auto& [key, value] : j.items()) {
    text += fmt::format("{}\"{}\": ", first ? "" : ",\n", key);
    first = false;
    if (!value.is_array()) {
      text += value.dump();
      continue;
    }
    text += "[";
    for (std::size_t i = 0; i < value.size(); ++i) text += fmt::format("{}\n  {}", i > 0 ? "," : "", value[i].dump());
    text += "]";
  }
  write_atomic(path, text + "\n}\n");
}

Graph load_graph(const std::string& path) {
  json j;
  try {
    j = json::parse(read_text(path));
  } catch (const json::exception& e) {
    fail_with_hint("graph", "the file is damaged: put a copy back, or run the recipe anew", "{} is no JSON: {}", path, without_tag(e.what()));
  }
  try {
    return graph_from_json(j);
  } catch (const Error& e) {
    throw Error(e.where(), fmt::format("{}: {}", path, e.message()), e.hint());
  }
}

}  // namespace micromind
