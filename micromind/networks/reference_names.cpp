#include "micromind/networks/reference_names.h"

#include <array>
#include <set>
#include <utility>

#include "micromind/base/error.h"

namespace micromind {
namespace {

using Names = std::map<std::string, std::string>;
using Row = std::pair<std::string_view, std::string_view>;

template <std::size_t N>
std::string_view look_up(const std::array<Row, N>& table, std::string_view key) {
  for (const auto& [ours, theirs] : table)
    if (ours == key) return theirs;
  return "";
}

constexpr std::array<Row, 1> kTop = {{{"classifier", "classifier.2"}}};
constexpr std::array<Row, 3> kSeparableStem = {{{"depthwise", "0"}, {"pointwise", "1"}, {"norm", "2"}}};

// "blocks.3.expand.conv" → {"blocks.3", "expand.conv"}
std::pair<std::string_view, std::string_view> cut(std::string_view name) {
  const std::size_t first = name.find('.');
  const std::size_t dot = first == std::string_view::npos ? first : name.find('.', first + 1);
  return dot == std::string_view::npos ? std::pair{name, std::string_view()} : std::pair{name.substr(0, dot), name.substr(dot + 1)};
}

// Index inside a PhiNet block's `_layers`: [conv, norm, act,] dropout, depthwise, norm, act, [squeeze,] project, norm.
std::string phinet_block_reference(std::string_view node, bool expands, bool squeezes) {
  const int base = expands ? 3 : 0, project = base + (squeezes ? 5 : 4);
  if (node == "expand.conv") return "0";
  if (node == "expand.norm") return "1";
  if (node == "depthwise.conv") return std::to_string(base + 1);
  if (node == "depthwise.norm") return std::to_string(base + 2);
  if (node == "squeeze.reduce") return std::to_string(base + 4) + ".se_conv";
  if (node == "squeeze.expand") return std::to_string(base + 4) + ".se_conv2";
  if (node == "project.conv") return std::to_string(project);
  if (node == "project.norm") return std::to_string(project + 1);
  return "";
}

}  // namespace

Names phinet_reference_nodes(const Graph& graph, std::string_view prefix) {
  std::set<std::string, std::less<>> known;
  for (const Node& node : graph.nodes()) known.insert(node.name);
  const auto has = [&](std::string_view group, std::string_view node) { return known.contains(fmt::format("{}{}.{}", prefix, group, node)); };
  const bool separable = known.contains(fmt::format("{}stem.pad", prefix));
  Names names;
  int layer = separable ? 1 : 2;  // the stem's last entry; each further block or pooling is one more
  std::string_view current;
  for (const Node& node : graph.nodes()) {
    if (!node.name.starts_with(prefix)) continue;
    const std::string_view name = std::string_view(node.name).substr(prefix.size());
    const auto [group, inside] = cut(name);
    std::string path;
    if (name.starts_with("stem.")) {
      const std::string_view part = name.substr(5);
      if (separable) path = look_up(kSeparableStem, part).empty() ? "" : fmt::format("_layers.1._layers.{}", look_up(kSeparableStem, part));
      else path = part == "conv" ? "_layers.0" : part == "norm" ? "_layers.2" : "";
    } else if (name.starts_with("blocks.") || name.starts_with("pools.")) {
      if (group != current) ++layer;
      current = group;
      const std::string index = phinet_block_reference(inside, has(group, "expand.conv"), has(group, "squeeze.reduce"));
      if (!index.empty()) path = fmt::format("_layers.{}._layers.{}", layer, index);
    } else {
      path = look_up(kTop, name);
    }
    if (!path.empty()) names[node.name] = path;
  }
  return names;
}

std::string_view xi_conv_reference(std::string_view node) {
  static constexpr std::array<Row, 6> table = {{{"compress", "compression_conv"},
                                                {"skip.conv", "skip_conv"},
                                                {"conv", "main_conv"},
                                                {"norm", "bn"},
                                                {"attention.reduce", "att_pw_conv"},
                                                {"attention.conv", "att_conv"}}};
  return look_up(table, node);
}

Names xinet_reference_nodes(const Graph& graph, std::string_view prefix) {
  Names names;
  for (const Node& node : graph.nodes()) {
    if (!node.name.starts_with(prefix)) continue;
    const std::string_view name = std::string_view(node.name).substr(prefix.size());
    const auto [group, inside] = cut(name);
    if (name == "stem.conv") names[node.name] = "conv1.0";
    else if (name == "stem.norm") names[node.name] = "conv1.1";
    else if (name == "classifier") names[node.name] = "classifier.2";
    else if (name.starts_with("layers.") && !xi_conv_reference(inside).empty())
      names[node.name] = fmt::format("_{}.{}", group, xi_conv_reference(inside));
  }
  return names;
}

}  // namespace micromind
