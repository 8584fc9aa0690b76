#include "micromind/cost/latency.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "micromind/base/error.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/cost/flash.h"

namespace micromind {
namespace {

constexpr std::string_view kFolder = "targets/latency/";

// Σ over output positions of the window's taps that lie inside [0, in).
double taps_inside(int in, int out, int kernel, int stride, int dilation, int pad) {
  double sum = 0;
  for (int k = 0; k < kernel; ++k) {  // 0 ≤ o·stride + shift < in
    const int shift = k * dilation - pad;
    const int first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    const int last = in - 1 - shift < 0 ? -1 : std::min(out - 1, (in - 1 - shift) / stride);
    sum += std::max(0, last - first + 1);
  }
  return sum;
}

double window_taps(const Shape& in, const Shape& out, Size kernel, Size stride, Size dilation,
                   const Padding& padding) {
  return taps_inside(in.height(), out.height(), kernel.h, stride.h, dilation.h, padding.top) *
         taps_inside(in.width(), out.width(), kernel.w, stride.w, dilation.w, padding.left);
}

double positions(const Shape& s) {
  return double(s.height()) * s.width();
}

std::string_view square_name(Size k) {
  if (k == Size(1)) return "1x1";
  if (k == Size(3)) return "3x3";
  if (k == Size(5)) return "5x5";
  if (k == Size(7)) return "7x7";
  return "";
}

struct Pixels {
  std::int64_t all = 0, at_edges = 0;
};

// Pixels of a convolution's output, `together` at a time: the last ones filled up, and those of groups with a window that
// leaves the image.
Pixels count_pixels(const Conv2d& op, const Shape& in, const Shape& out, int together) {
  const auto inside = [](int o, int stride, int pad, int kernel, int dilation, int extent) {
    return o * stride >= pad && o * stride - pad + (kernel - 1) * dilation < extent;
  };
  const int count = out.height() * out.width();
  if (count == 1) together = 1;
  Pixels pixels;
  for (int first = 0; first < count; first += together) {
    bool whole = true;
    for (int i = first; i < std::min(first + together, count); ++i)
      whole = whole && inside(i / out.width(), op.stride.h, op.padding.top, op.kernel.h, op.dilation.h, in.height()) &&
              inside(i % out.width(), op.stride.w, op.padding.left, op.kernel.w, op.dilation.w, in.width());
    pixels.all += together;
    if (!whole) pixels.at_edges += together;
  }
  return pixels;
}

CyclesByWidth filled_up(FilterRuns filter, const Lanes& lanes) {
  if (lanes.whole_window) filter = {1, filter.runs * filter.taps};
  return {{}, filter.runs, filter.taps, lanes.bytes, lanes.outputs};
}

double number(const nlohmann::json& json, const char* key, std::string_view where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) fail(where, "expected a number '{}'", key);
  const double value = found->get<double>();
  if (!(value >= 0) || !std::isfinite(value))
    fail(where, "{} = {}: expected a number of at least 0", key, found->dump());
  return value;
}

KernelLatency latency_from(const nlohmann::json& json, const std::string& where) {
  if (!json.is_object()) fail(where, "expected the coefficients, found {}", json.dump());
  const auto optional = [&](const char* key) { return json.contains(key) ? number(json, key, where) : 0; };
  return {number(json, "call", where),  number(json, "position", where), number(json, "output", where),
          number(json, "input", where), number(json, "mac", where),      optional("window"),
          optional("edge"),             optional("tap")};
}

nlohmann::json to_json(const KernelLatency& k) {
  nlohmann::json json = {
      {"call", k.call}, {"position", k.position}, {"output", k.output}, {"input", k.input}, {"mac", k.mac}};
  if (k.window > 0) json["window"] = k.window;
  if (k.edge > 0) json["edge"] = k.edge;
  if (k.tap > 0) json["tap"] = k.tap;
  return json;
}

constexpr std::array<Core, 7> kCores = {Core::kCortexM0, Core::kCortexM0Plus, Core::kCortexM3,
                                        Core::kCortexM4, Core::kCortexM7,     Core::kCortexM33,
                                        Core::kCortexM55};

Core core_from(const std::string& name, std::string_view where) {
  for (const Core core : kCores)
    if (core_name(core) == name) return core;
  fail(where, "unknown core '{}'", name);
}

}  // namespace

std::string_view kernel_variant(const Graph& g, const Node& node) {
  const Shape& in = g.shape(node.inputs[0]);
  return std::visit(Overloaded{
                        [&](const Conv2d& op) -> std::string_view {
                          if (op.depthwise(in)) return square_name(op.kernel);
                          if (op.pointwise()) return positions(g.shape(node.outputs[0])) == 1 ? "single" : "pointwise";
                          return op.groups > 1 ? "grouped" : square_name(op.kernel);
                        },
                        [&](const Multiply&) -> std::string_view {
                          return in == g.shape(node.inputs[1]) ? "" : "broadcast";
                        },
                        [](const auto&) -> std::string_view { return ""; },
                    },
                    node.op);
}

Lanes lanes_of(Core core) {
  switch (core) {
    case Core::kCortexM4:
    case Core::kCortexM7:
    case Core::kCortexM33: return {4, 4, 2};
    case Core::kCortexM55: return {16, 4, 2, true};
    default: return {};
  }
}

LatencyFeatures latency_features(const Graph& g, const Node& node, const Lanes& lanes) {
  if (kernel_of(g, node).empty()) return {};
  const Shape &in = g.shape(node.inputs[0]), &out = g.shape(node.outputs[0]);
  LatencyFeatures f{1, positions(out), double(out.elements()), double(in.elements()), 0, 0, 0, 0};
  std::visit(Overloaded{
                 [&](const Conv2d& op) {
                   f.work = window_taps(in, out, op.kernel, op.stride, op.dilation, op.padding) *
                            (in.channels() / op.groups) * op.out_channels;
                   if (!op.depthwise(in)) f.positions *= op.groups;
                   const CyclesByWidth filled = filled_up(filter_runs(op, op.depthwise(in)), lanes);
                   if (op.groups == 1 || op.depthwise(in)) f.outputs = positions(out) * double(filled.outputs(op.out_channels));
                   if (op.groups == 1) {
                     const Pixels pixels = count_pixels(op, in, out, lanes.pixels);
                     f.windows = double(filled.window(in.channels()) * pixels.all);
                     f.edges = double(filled.window(in.channels()) * pixels.at_edges);
                     f.taps = f.windows * double(filled.outputs(op.out_channels));
                   }
                 },
                 [&](const Linear& op) {
                   f.work = double(in.elements()) * op.out_features;
                   const CyclesByWidth filled = filled_up({}, lanes);
                   f.outputs = double(filled.outputs(op.out_features));
                   f.windows = double(filled.window(in.elements()));
                   f.taps = f.windows * f.outputs;
                 },
                 [&](const MaxPool2d& op) {
                   f.work = window_taps(in, out, op.kernel, op.stride, 1, op.padding) * in.channels();
                 },
                 [&](const AvgPool2d& op) {
                   f.work = window_taps(in, out, op.kernel, op.stride, 1, op.padding) * in.channels();
                 },
                 [&](const Concat&) {
                   f.calls = static_cast<double>(node.inputs.size());
                   f.positions *= f.calls;
                 },
                 [&](const Split&) {
                   f.calls = static_cast<double>(node.outputs.size());
                   f.positions *= f.calls;
                   f.outputs = f.inputs;
                 },
                 [](const auto&) {},
             },
             node.op);
  return f;
}

LatencyModel::LatencyModel(Core core, std::vector<LatencyRow> rows) : core_(core), rows_(std::move(rows)) {
  std::sort(rows_.begin(), rows_.end(), [](const LatencyRow& a, const LatencyRow& b) {
    return std::tie(a.kernel, a.variant) < std::tie(b.kernel, b.variant);
  });
}

const LatencyRow* LatencyModel::find(std::string_view kernel, std::string_view variant) const {
  const auto at = std::lower_bound(
      rows_.begin(), rows_.end(), std::pair(kernel, variant), [](const LatencyRow& row, const auto& key) {
        return std::pair<std::string_view, std::string_view>(row.kernel, row.variant) < key;
      });
  return at != rows_.end() && at->kernel == kernel && at->variant == variant ? &*at : nullptr;
}

const LatencyRow& LatencyModel::row(const Graph& g, const Node& node, std::string_view kernel) const {
  const LatencyRow* found = find(kernel, kernel_variant(g, node));
  if (found == nullptr) found = find(kernel, "");
  if (found == nullptr)
    fail_with_hint("latency",
                   "micromind bench operators --target MACHINE --fit targets/latency makes it anew",
                   "{}: the latency model of {} has no row for {}", node.name, core_name(core_), kernel);
  return *found;
}

LayerLatency LatencyModel::layer(const Graph& g, const Node& node) const {
  const std::string_view kernel = kernel_of(g, node);
  if (kernel.empty()) return {};
  const LatencyRow& r = row(g, node, kernel);
  const LatencyFeatures f = latency_features(g, node, lanes_of(core_));
  return {r.instructions.at(f), r.cycles.at(f)};
}

CyclesByWidth LatencyModel::cycles_by_width(const Graph& g, const Node& node) const {
  const std::string_view kernel = kernel_of(g, node);
  if (kernel.empty()) return {};
  const LatencyFeatures f = latency_features(g, node, lanes_of(core_));
  const Shape &in = g.shape(node.inputs[0]), &out = g.shape(node.outputs[0]);
  const std::int64_t macs_of_node = macs(node.op, g.input_shapes(node), g.output_shapes(node));
  const auto* conv = std::get_if<Conv2d>(&node.op);
  const bool depthwise = conv != nullptr && conv->depthwise(in), linear = std::holds_alternative<Linear>(node.op);
  CyclesByWidth c;
  if (linear || depthwise || (conv != nullptr && conv->groups == 1))
    c = filled_up(conv != nullptr ? filter_runs(*conv, depthwise) : FilterRuns{}, lanes_of(core_));
  KernelLatency& k = c.at;
  k = row(g, node, kernel).cycles;
  k.call *= f.calls;
  k.position *= f.positions / positions(out);
  k.output *= f.outputs / (positions(out) * double(c.outputs(out.channels())));
  if (macs_of_node > 0)
    k.mac *= f.work / static_cast<double>(macs_of_node);
  else
    k.output += std::exchange(k.mac, 0) * f.work / double(out.elements());
  const double windows = positions(out) * double(c.window(in.channels()));  // before pixels are filled up
  k.window = f.windows > 0 ? (k.window * f.windows + k.edge * f.edges) / windows : 0;
  k.tap *= f.windows > 0 ? f.windows / windows : 0;
  k.edge = 0;
  return c;
}

std::vector<std::string> latency_model_cores() {
  return resource_stems(kFolder, ".json");
}

bool has_latency_model(Core core) {
  const std::vector<std::string> known = latency_model_cores();
  return std::find(known.begin(), known.end(), core_name(core)) != known.end();
}

const LatencyModel& load_latency_model(Core core) {
  static std::mutex mutex;
  static std::map<Core, LatencyModel> models;
  const std::lock_guard lock(mutex);
  if (const auto found = models.find(core); found != models.end()) return found->second;
  const std::string name(core_name(core));
  if (!has_latency_model(core)) {
    const std::vector<std::string> known = latency_model_cores();
    std::string list;
    for (const std::string& other : known) list += (list.empty() ? "" : ", ") + other;
    fail_with_hint(
        "latency",
        "micromind bench operators --target MACHINE --fit targets/latency makes one on an emulated core",
        "there is no latency model of {}; there is one of {}", name, list.empty() ? "no core" : list);
  }
  const std::string origin = std::string(kFolder) + name + ".json";
  const nlohmann::json json = nlohmann::json::parse(resource(origin), nullptr, false);
  LatencyModel model = latency_model_from_json(json, origin);
  if (model.core() != core) fail(origin, "it is of {}", core_name(model.core()));
  return models.emplace(core, std::move(model)).first->second;
}

Latency estimate_latency(const Graph& g, const LatencyModel& model, std::int64_t clock_hz) {
  Latency total;
  total.layers.reserve(g.nodes().size());
  for (const Node& node : g.nodes()) {
    const LayerLatency layer = model.layer(g, node);
    total.instructions += layer.instructions;
    total.cycles += layer.cycles;
    total.layers.push_back(layer);
  }
  total.seconds = total.cycles / static_cast<double>(clock_hz);
  return total;
}

Latency estimate_latency(const Lowered& lowered, const Target& target) {
  return estimate_latency(lowered.graph, load_latency_model(target.core), target.clock_hz);
}

nlohmann::json to_json(const LatencyModel& model) {
  nlohmann::json rows = nlohmann::json::array();
  for (const LatencyRow& row : model.rows())
    rows.push_back({{"kernel", row.kernel},
                    {"variant", row.variant},
                    {"instructions", to_json(row.instructions)},
                    {"cycles", to_json(row.cycles)}});
  return {{"core", core_name(model.core())}, {"rows", rows}};
}

LatencyModel latency_model_from_json(const nlohmann::json& json, std::string_view origin) {
  if (!json.is_object() || !json.contains("core") || !json["core"].is_string() || !json.contains("rows") ||
      !json["rows"].is_array())
    fail(origin, "expected a latency model: an object with 'core' and 'rows'");
  std::vector<LatencyRow> rows;
  for (const nlohmann::json& entry : json["rows"]) {
    LatencyRow row;
    for (const auto& [key, to] : {std::pair("kernel", &row.kernel), std::pair("variant", &row.variant)}) {
      if (!entry.is_object() || !entry.contains(key) || !entry[key].is_string())
        fail(origin, "row {}: expected a text '{}'", rows.size(), key);
      *to = entry[key].get<std::string>();
    }
    const std::string where =
        fmt::format("{}: {}{}{}", origin, row.kernel, row.variant.empty() ? "" : " ", row.variant);
    row.instructions = latency_from(entry.value("instructions", nlohmann::json()), where);
    row.cycles = latency_from(entry.value("cycles", nlohmann::json()), where);
    for (const LatencyRow& other : rows)
      if (other.kernel == row.kernel && other.variant == row.variant) fail(where, "there are two rows of it");
    rows.push_back(std::move(row));
  }
  return {core_from(json["core"].get<std::string>(), origin), std::move(rows)};
}

}  // namespace micromind
