#include "micromind/memory/views.h"

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

std::int64_t bytes(const Graph& graph, int v) { return graph.shape(v).elements() * byte_size(graph.type(v).element); }

}  // namespace

std::vector<View> find_views(const Graph& graph) {
  std::vector<View> views(graph.values().size());
  for (std::size_t v = 0; v < views.size(); ++v) views[v].host = static_cast<int>(v);
  const auto put = [&](int v, int host, std::int64_t offset) {
    if (views[at(v)].host != v)
      fail("plan", "'{}' would have to be in two places: a band of rows belongs to one join_rows only and is no view", graph.value_name(v));
    views[at(v)] = {host, offset};
  };
  for (const Node& node : graph.nodes()) {
    if (std::holds_alternative<JoinRows>(node.op)) {
      std::int64_t offset = 0;
      for (const int v : node.inputs) {
        put(v, node.outputs[0], offset);
        offset += bytes(graph, v);
      }
    } else if (const auto* rows = std::get_if<TakeRows>(&node.op)) {
      put(node.outputs[0], node.inputs[0], bytes(graph, node.outputs[0]) / rows->count * rows->first);
    } else if (std::holds_alternative<Flatten>(node.op)) {
      put(node.outputs[0], node.inputs[0], 0);
    }
  }
  for (View& view : views)  // views of views
    while (views[at(view.host)].host != view.host) {
      view.offset += views[at(view.host)].offset;
      view.host = views[at(view.host)].host;
    }
  return views;
}

}  // namespace micromind
