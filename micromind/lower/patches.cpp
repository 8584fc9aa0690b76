#include "micromind/lower/patches.h"

#include <algorithm>
#include <optional>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// TakeRows begin … end − 1 of an image.
struct Range {
  std::int32_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
  std::int32_t count() const { return end - begin; }
  bool operator==(const Range&) const = default;
};
Range united(Range a, Range b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

// What an operator reads for some of its output's rows, and the padding that it keeps.
struct Reach {
  Range rows;
  std::int32_t top = 0, bottom = 0;
};
Reach window(Range out, std::int32_t height, std::int32_t kernel, std::int32_t stride, std::int32_t dilation, std::int32_t pad_top) {
  const std::int32_t begin = out.begin * stride - pad_top;
  const std::int32_t end = (out.end - 1) * stride - pad_top + dilation * (kernel - 1) + 1;
  return {{std::max(0, begin), std::min(height, end)}, std::max(0, -begin), std::max(0, end - height)};
}

bool all_images(const Graph& g, const Node& node) {
  const auto image = [&](int v) { return g.shape(v).rank() == 3; };
  return std::all_of(node.inputs.begin(), node.inputs.end(), image) && std::all_of(node.outputs.begin(), node.outputs.end(), image);
}

// Output rows depend on rows near them alone.
bool is_local(const Graph& g, const Node& node) {
  if (!all_images(g, node)) return false;
  return std::visit(Overloaded{
                        [](const Conv2d&) { return true; },
                        [](const MaxPool2d&) { return true; },
                        [](const AvgPool2d&) { return true; },
                        [](const Activation&) { return true; },
                        [](const Requantize&) { return true; },
                        [](const Add&) { return true; },
                        [](const Multiply&) { return true; },
                        [](const Upsample&) { return true; },
                        [](const Pad&) { return true; },
                        [](const Concat& o) { return o.axis != 1; },
                        [](const Split& o) { return o.axis != 1; },
                        [](const auto&) { return false; },  // whole images, vectors, or split already
                    },
                    node.op);
}

// TakeRows of input `k` that the given rows of the output take.
Reach reach(const Graph& g, const Node& node, std::size_t k, Range out) {
  const std::int32_t height = g.shape(node.inputs[k])[1];
  return std::visit(
      Overloaded{
          [&](const Conv2d& o) { return window(out, height, o.kernel.h, o.stride.h, o.dilation.h, o.padding.top); },
          [&](const MaxPool2d& o) { return window(out, height, o.kernel.h, o.stride.h, 1, o.padding.top); },
          [&](const AvgPool2d& o) { return window(out, height, o.kernel.h, o.stride.h, 1, o.padding.top); },
          [&](const Pad& o) { return window(out, height, 1, 1, 1, o.padding.top); },
          [&](const Upsample& o) { return Reach{{out.begin / o.scale.h, (out.end - 1) / o.scale.h + 1}, 0, 0}; },
          [&](const Multiply&) { return height == 1 ? Reach{{0, 1}, 0, 0} : Reach{out, 0, 0}; },  // one operand may be broadcast
          [&](const auto&) { return Reach{out, 0, 0}; },
      },
      node.op);
}

Op with_padding(Op op, const Reach& r) {
  std::visit(
      [&](auto& o) {
        if constexpr (requires { o.padding; }) {
          o.padding.top = r.top;
          o.padding.bottom = r.bottom;
        }
      },
      op);
  return op;
}

class Stretch {
 public:
  Stretch(const Graph& graph, const Patches& patches) : g_(graph), patches_(patches) { check(); }

  // Per value, the rows that strip `s` has of it; empty where it needs none.
  std::vector<Range> ranges(int s) const {
    std::vector<Range> rows(g_.values().size());
    const Node& end = g_.nodes()[at(patches_.last)];
    rows[at(end.outputs[0])] = band(s);
    for (int i = patches_.last; i >= patches_.first; --i) {
      const Node& node = g_.nodes()[at(i)];
      Range out;
      for (const int v : node.outputs) out = united(out, rows[at(v)]);
      if (out.empty()) continue;
      if (const auto* up = std::get_if<Upsample>(&node.op))
        out = {out.begin / up->scale.h * up->scale.h, (out.end + up->scale.h - 1) / up->scale.h * up->scale.h};
      for (const int v : node.outputs) rows[at(v)] = out;
      for (std::size_t k = 0; k < node.inputs.size(); ++k) {
        const Range in = reach(g_, node, k, out).rows;
        if (in.empty())
          fail_with_hint("patches", "fewer strips, or an end further in front", "{}: strip {} of {} would consist of padding alone", node.name,
                         s + 1, patches_.strips);
        rows[at(node.inputs[k])] = united(rows[at(node.inputs[k])], in);
      }
    }
    return rows;
  }

  const Patches& patches() const { return patches_; }
  bool within(int node) const { return node >= patches_.first && node <= patches_.last; }

 private:
  // Bands of equal height, one row more in the first ones.
  Range band(int s) const {
    const std::int32_t height = g_.shape(g_.nodes()[at(patches_.last)].outputs[0])[1];
    const std::int32_t each = height / patches_.strips, more = height % patches_.strips;
    return {s * each + std::min(s, more), (s + 1) * each + std::min(s + 1, more)};
  }

  void check() const {
    const std::vector<int> ends = patch_ends(g_, patches_.first);
    if (std::find(ends.begin(), ends.end(), patches_.last) == ends.end()) {
      const auto name = [&](int i) { return i >= 0 && at(i) < g_.nodes().size() ? g_.nodes()[at(i)].name : std::to_string(i); };
      fail("patches", "{}: the layers {} to {} cannot run in strips", g_.name, name(patches_.first), name(patches_.last));
    }
    const std::int32_t height = g_.shape(g_.nodes()[at(patches_.last)].outputs[0])[1];
    if (patches_.strips < 2 || patches_.strips > height)
      fail("patches", "{}: expected 2 to {} strips of its {} rows, found {}", g_.nodes()[at(patches_.last)].name, height, height, patches_.strips);
  }

  const Graph& g_;
  const Patches patches_;
};

// Copies a graph, the stretch strip by strip.
class Splitter {
 public:
  Splitter(const Graph& graph, const Stretch& stretch) : from_(graph), stretch_(stretch), whole_(graph.values().size(), -1) {}

  SplitGraph run() && {
    to_.graph.name = from_.name;
    to_.graph.reserve(from_.nodes().size() * at(stretch_.patches().strips));
    for (const Port& p : from_.inputs()) {
      whole_[at(p.value)] = to_.graph.add_input(p.name, from_.type(p.value));
      to_.source_value.push_back(p.value);
    }
    for (int i = 0; at(i) < from_.nodes().size(); ++i) {
      if (i == stretch_.patches().first) split();
      if (!stretch_.within(i)) copy(i);
    }
    for (const Port& p : from_.outputs()) to_.graph.add_output(p.name, whole_[at(p.value)]);
    const auto mapped = [&](std::vector<int> values) {
      for (int& v : values) v = v < 0 ? v : whole_[at(v)];
      return values;
    };
    for (const EntryPoint& e : from_.entry_points())
      if (usable(e)) to_.graph.add_entry_point({e.name, mapped(e.inputs), mapped(e.outputs)});
    for (const State& s : from_.states()) to_.graph.add_state({s.name, whole_[at(s.input)], whole_[at(s.output)]});
    for (const std::string& p : from_.mutable_parameters()) to_.graph.add_mutable_parameter(p);
    return std::move(to_);
  }

 private:
  static bool usable(const EntryPoint& e) {  // lowering may have fused one of its values away
    const auto known = [](int v) { return v >= 0; };
    return std::all_of(e.inputs.begin(), e.inputs.end(), known) && std::all_of(e.outputs.begin(), e.outputs.end(), known);
  }

  // Adds a node whose outputs stand for the given values of the source.
  std::vector<int> add(const std::string& name, Op op, std::vector<int> inputs, int source, const std::vector<int>& stands_for) {
    const int first = to_.graph.add(name, std::move(op), std::move(inputs));
    std::vector<int> outputs;
    for (std::size_t k = 0; k < stands_for.size(); ++k) {
      outputs.push_back(first + static_cast<int>(k));
      TensorType& type = to_.graph.type(outputs.back());
      type.element = from_.type(stands_for[k]).element;
      type.quantization = from_.type(stands_for[k]).quantization;
      to_.source_value.push_back(stands_for[k]);
    }
    to_.source_node.push_back(source);
    return outputs;
  }

  void copy(int i) {
    const Node& node = from_.nodes()[at(i)];
    std::vector<int> inputs;
    for (const int v : node.inputs) inputs.push_back(whole_[at(v)]);
    const std::vector<int> outputs = add(node.name, node.op, inputs, i, node.outputs);
    for (std::size_t k = 0; k < outputs.size(); ++k) whole_[at(node.outputs[k])] = outputs[k];
  }

  void split() {
    const Node& end = from_.nodes()[at(stretch_.patches().last)];
    std::vector<int> bands;
    for (int s = 0; s < stretch_.patches().strips; ++s) bands.push_back(strip(s));
    whole_[at(end.outputs[0])] = add(end.name + ".join", JoinRows{}, bands, -1, end.outputs)[0];
  }

  int strip(int s) {
    const std::vector<Range> rows = stretch_.ranges(s);
    std::vector<int> part(rows.size(), -1);  // the rows of each value that this strip has
    for (int i = stretch_.patches().first; i <= stretch_.patches().last; ++i) {
      const Node& node = from_.nodes()[at(i)];
      const Range out = rows[at(node.outputs[0])];
      if (out.empty()) continue;
      const std::string name = fmt::format("{}.strip{}", node.name, s);
      std::vector<int> inputs;
      Reach first;
      for (std::size_t k = 0; k < node.inputs.size(); ++k) {
        const Reach r = reach(from_, node, k, out);
        if (k == 0) first = r;
        inputs.push_back(view(part, rows, node.inputs[k], r.rows, fmt::format("{}.rows{}", name, k == 0 ? "" : std::to_string(k))));
      }
      const std::vector<int> outputs = add(name, with_padding(node.op, first), inputs, i, node.outputs);
      for (std::size_t k = 0; k < outputs.size(); ++k) part[at(node.outputs[k])] = outputs[k];
    }
    return part[at(from_.nodes()[at(stretch_.patches().last)].outputs[0])];
  }

  // TakeRows of a value as a value: of the strip's own part, or of a whole image from in front of the stretch.
  int view(const std::vector<int>& part, const std::vector<Range>& rows, int v, Range wanted, const std::string& name) {
    const int own = part[at(v)];
    const Range have = own >= 0 ? rows[at(v)] : Range{0, from_.shape(v)[1]};
    const int value = own >= 0 ? own : whole_[at(v)];
    if (have == wanted) return value;
    return add(name, TakeRows{.first = wanted.begin - have.begin, .count = wanted.count()}, {value}, -1, {v})[0];
  }

  const Graph& from_;
  const Stretch& stretch_;
  std::vector<int> whole_;  // per value of the source: the value that is all of it
  SplitGraph to_;
};

}  // namespace

std::vector<int> patch_ends(const Graph& g, int first) {
  std::vector<int> ends;
  if (first < 0 || at(first) >= g.nodes().size()) return ends;
  std::vector<int> last_reader(g.values().size(), -1);  // a node, or the step behind the last for what leaves the graph
  const int behind = static_cast<int>(g.nodes().size());
  for (int i = 0; i < behind; ++i)
    for (const int v : g.nodes()[at(i)].inputs) last_reader[at(v)] = i;
  const auto leaves = [&](int v) {
    if (v >= 0) last_reader[at(v)] = behind;
  };
  for (const Port& p : g.outputs()) leaves(p.value);
  for (const State& s : g.states()) leaves(s.output);
  for (const EntryPoint& e : g.entry_points()) {
    for (const int v : e.inputs) leaves(v);
    for (const int v : e.outputs) leaves(v);
  }
  int furthest = -1;  // reader of what the stretch makes, its last node apart
  for (int i = first; i < behind; ++i) {
    const Node& node = g.nodes()[at(i)];
    if (!is_local(g, node)) break;
    if (furthest <= i && i > first && node.outputs.size() == 1 && last_reader[at(node.outputs[0])] > i && g.shape(node.outputs[0])[1] > 1 &&
        !std::holds_alternative<Upsample>(node.op))
      ends.push_back(i);
    for (const int v : node.outputs) furthest = std::max(furthest, last_reader[at(v)]);
  }
  return ends;
}

SplitGraph split_rows(const Graph& lowered, const Patches& patches) { return Splitter(lowered, Stretch(lowered, patches)).run(); }

Lowered split_rows(const Lowered& lowered, const Patches& patches) {
  SplitGraph split = split_rows(lowered.graph, patches);
  Lowered result;
  for (const int v : split.source_value) result.source_value.push_back(lowered.source_value[at(v)]);
  std::vector<int> first_strip(lowered.origin.size(), -1);
  for (std::size_t i = 0; i < split.source_node.size(); ++i) {
    NodeOrigin& origin = result.origin.emplace_back();
    const int source = split.source_node[i];
    if (source < 0) continue;
    origin = lowered.origin[at(source)];
    origin.shares = first_strip[at(source)];
    if (origin.shares < 0) first_strip[at(source)] = static_cast<int>(i);
  }
  result.graph = std::move(split.graph);
  return result;
}

Model split_rows(const Model& model, const Patches& patches) {
  SplitGraph split = split_rows(model.graph, patches);
  Model result;
  for (std::size_t i = 0; i < split.source_node.size(); ++i) {
    if (split.source_node[i] < 0) continue;
    const Node& source = model.graph.nodes()[at(split.source_node[i])];
    for (const char* suffix : {".weight", ".bias"})
      if (const auto found = model.weights.find(source.name + suffix); found != model.weights.end())
        result.weights[split.graph.nodes()[i].name + suffix] = found->second;
  }
  result.graph = std::move(split.graph);
  return result;
}

std::int64_t extra_macs(const Graph& g, const Patches& patches) {
  const Stretch stretch(g, patches);
  std::vector<std::int64_t> computed(g.nodes().size(), 0);  // rows, of all strips
  for (int s = 0; s < patches.strips; ++s) {
    const std::vector<Range> rows = stretch.ranges(s);
    for (int i = patches.first; i <= patches.last; ++i) computed[at(i)] += rows[at(g.nodes()[at(i)].outputs[0])].count();
  }
  std::int64_t extra = 0;
  for (int i = patches.first; i <= patches.last; ++i) {
    const Node& node = g.nodes()[at(i)];
    const std::int64_t height = g.shape(node.outputs[0])[1];
    extra += macs(node.op, g.input_shapes(node), g.output_shapes(node)) / height * (computed[at(i)] - height);
  }
  return extra;
}

}  // namespace micromind
