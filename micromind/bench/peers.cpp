#include "micromind/bench/peers.h"

#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

using Json = nlohmann::json;

PeerModel model_from(const Json& j) {
  PeerModel m{j.at("file"), j.at("name"), j.at("inputs"), j.at("quality_target"), {}};
  for (const Json& r : j.at("rows"))
    m.figures.push_back({r.at("core"), r.at("kernels"), r.at("instructions"), r.at("arena_bytes"), r.at("flash_bytes")});
  return m;
}

PeerLayer layer_from(const Json& j) {
  PeerLayer l{j.at("name"), j.at("kernel"), j.at("stride"), j.at("size"), j.at("in"), j.at("out"), {}};
  for (const auto& [key, value] : j.items())
    if (key.starts_with("cortex-")) l.per_mac.emplace_back(key, value.get<double>());
  return l;
}

PeerBoard board_from(const Json& j) {
  PeerBoard b{j.at("board"), j.at("core"), j.at("clock_hz"), {}};
  for (const Json& r : j.at("results")) b.results.push_back({r.at("file"), r.at("milliseconds"), r.at("microjoules")});
  return b;
}

}  // namespace

Graph PeerLayer::graph() const {
  Graph g(name);
  if (kernel == 0) {
    g.add_output("out", g.add("layer", Linear{.out_features = out}, {g.add_input("in", Shape{in})}));
    return g;
  }
  const bool depthwise = out == 0;
  const Conv2d conv{.out_channels = depthwise ? in : out, .kernel = kernel, .stride = stride, .padding = kernel / 2, .groups = depthwise ? in : 1};
  g.add_output("out", g.add("layer", conv, {g.add_input("in", Shape{in, size, size})}));
  return g;
}

const PeerModel* Peers::model(std::string_view file) const {
  for (const PeerModel& m : models)
    if (m.file == file) return &m;
  return nullptr;
}

const PeerFigure* Peers::figure(std::string_view file, std::string_view core) const {
  if (const PeerModel* m = model(file))
    for (const PeerFigure& f : m->figures)
      if (f.core == core && f.kernels == "CMSIS-NN") return &f;
  return nullptr;
}

Peers parse_peers(std::string_view text, std::string_view origin) {
  try {
    const Json j = Json::parse(text);
    Peers p{j.at("runtime"), j.at("method"), j.at("boards_source"), {}, {}, {}};
    for (const Json& m : j.at("models")) p.models.push_back(model_from(m));
    for (const Json& l : j.at("layers")) p.layers.push_back(layer_from(l));
    for (const Json& b : j.at("boards")) p.boards.push_back(board_from(b));
    return p;
  } catch (const Json::exception& e) {
    fail("bench", "{}: {}", origin, without_tag(e.what()));
  }
}

const Peers& peers() {
  static const Peers all = parse_peers(resource("bench/peers.json"), "bench/peers.json");
  return all;
}

}  // namespace micromind
