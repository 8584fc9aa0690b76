#include "micromind/deploy/emit.h"

#include <algorithm>
#include <limits>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/deploy/emit_names.h"
#include "micromind/deploy/emit_program.h"
#include "micromind/lower/lower.h"
#include "micromind/memory/views.h"

namespace micromind {
namespace {

constexpr std::string_view kKernelFolder = "runtime/kernels/";

std::optional<PackedWeights> packed_weights(const Model& model, const Node& node, const KernelCall& call) {
  return std::visit(
      [&](const auto& c) -> std::optional<PackedWeights> {
        using Call = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<Call, ConvCall> || std::is_same_v<Call, DepthwiseCall> || std::is_same_v<Call, LinearCall>)
          return pack_weights(c.params, c.requantization,
                              find(model.weights, node.name + ".weight").template values<std::int8_t>(),
                              find(model.weights, node.name + ".bias").template values<std::int32_t>());
        return std::nullopt;
      },
      call);
}

// Strips of a layer have equal weights and factors: they are written once.
bool same_constants(const Program& p, std::size_t a, std::size_t b) {
  if (p.calls[a].index() != p.calls[b].index()) return false;
  return std::visit(
      [&](const auto& call) {
        using Call = std::decay_t<decltype(call)>;
        const Call& other = std::get<Call>(p.calls[b]);
        if constexpr (std::is_same_v<Call, ConvCall> || std::is_same_v<Call, DepthwiseCall> || std::is_same_v<Call, LinearCall>) {
          const auto array = [&](std::size_t node, const char* suffix) -> const Array& {
            return find(p.model.weights, p.graph().nodes()[node].name + suffix);
          };
          return array(a, ".weight") == array(b, ".weight") && array(a, ".bias") == array(b, ".bias") &&
                 call.requantization == other.requantization && p.packed[a] == p.packed[b];
        } else if constexpr (std::is_same_v<Call, TableCall>) {
          return call.table == other.table;
        } else {
          return false;
        }
      },
      p.calls[a]);
}
std::size_t constants_holder(const Program& p, std::size_t node) {
  for (std::size_t i = 0; i < node; ++i)
    if (same_constants(p, i, node)) return i;
  return node;
}

// Views must lie where the memory plan says that their bytes are.
void check_views(const Program& p) {
  const std::vector<View> views = find_views(p.graph());
  for (std::size_t v = 0; v < views.size(); ++v)
    if (const Placement &own = p.place(static_cast<int>(v)), &host = p.place(views[v].host);
        own.offset != host.offset + views[v].offset || own.bank != host.bank)
      fail("emit", "{}: it should share memory with {}", p.graph().value_name(static_cast<int>(v)), p.graph().value_name(views[v].host));
}

// The header and those that it includes.
void add_with_includes(const std::string& file, std::set<std::string>& files) {
  if (!files.insert(file).second) return;
  const std::string_view content = resource(std::string(kKernelFolder) + file);
  static constexpr std::string_view key = "#include \"";
  for (std::size_t at = content.find(key); at != std::string_view::npos; at = content.find(key, at)) {
    at += key.size();
    add_with_includes(std::string(content.substr(at, content.find('"', at) - at)), files);
  }
}

}  // namespace

void check_emittable(const Model& model) {
  const Graph& g = model.graph;
  if (!is_quantized(model)) fail_with_hint("emit", "quantise it first", "{}: the model is not int8", g.name);
  if (g.nodes().empty()) fail("emit", "{}: the network has no operator", g.name);
  if (g.outputs().empty()) fail("emit", "{}: the network has no output", g.name);
  for (std::size_t v = 0; v < g.values().size(); ++v)
    if (const TensorType& type = g.values()[v].type; type.element != ElementType::int8 || !type.quantization)
      fail("emit", "{}: expected an int8 value with scale and zero point, found {}",
           g.value_name(static_cast<int>(v)),
           type.element == ElementType::int8 ? "no quantisation" : std::string(to_string(type.element)));
  const auto not_yet = [&](bool found, std::string_view what) {
    if (found)
      fail_with_hint("emit", "remove them from the graph", "{}: {} cannot be emitted as C yet", g.name, what);
  };
  not_yet(!g.states().empty(), "state tensors");
  not_yet(!g.mutable_parameters().empty(), "mutable parameters");
}

Program make_program(const Model& model, const EmitOptions& options) {
  check_prefix(options.prefix);
  for (const std::string& kind : options.projects)
    if (std::find(project_kinds().begin(), project_kinds().end(), kind) == project_kinds().end())
      fail_with_hint("emit", name_hint(kind, project_kinds()), "'{}' is no kind of project", kind);
  check_emittable(model);
  const Graph& g = model.graph;
  Program p{
      model, options, options.plan ? *options.plan : plan_memory(g), {}, {}, {}, {}, {}, options.prefix, upper_case(options.prefix), {}, {},
      0,     0, {}, {}};
  if (p.plan.placements.size() != g.values().size() || p.plan.bank_bytes.empty())
    fail("emit", "{}: the memory plan is of another graph", g.name);
  if (p.plan.arena_bytes > std::numeric_limits<std::int32_t>::max())
    fail("emit", "{}: an arena of {} bytes is more than 2^31 - 1", g.name, p.plan.arena_bytes);
  Identifiers node_ids, value_ids, inputs(Identifiers::Case::lower), outputs(Identifiers::Case::lower);
  std::set<std::string> kernels;
  for (std::size_t i = 0; i < g.nodes().size(); ++i) {
    const Node& node = g.nodes()[i];
    p.calls.push_back(kernel_call(model, node));
    p.nodes.push_back(node_ids.make(node.name));
    p.packed.push_back(pack_for_cores(model, node, p.calls.back()));
    p.macs += macs(node.op, g.input_shapes(node), g.output_shapes(node));
    p.holder.push_back(constants_holder(p, i));
    if (!std::holds_alternative<NoCall>(p.calls.back())) kernels.emplace(kernel_of(g, node));
  }
  check_views(p);
  p.entries = make_entries(g, p.plan);
  p.kernels.assign(kernels.begin(), kernels.end());
  for (std::size_t v = 0; v < g.values().size(); ++v)
    p.values.push_back(value_ids.make(g.value_name(static_cast<int>(v))));
  for (const Port& port : g.inputs()) p.inputs.push_back(inputs.make(port.name));
  for (const Port& port : g.outputs()) p.outputs.push_back(outputs.make(port.name));
  for (std::size_t i = 0; i < p.calls.size(); ++i) p.constant_bytes += constant_bytes(p, i);
  return p;
}

std::string ascii_shape(const Shape& shape) {
  std::string text;
  for (const std::int32_t d : shape) text += (text.empty() ? "" : "x") + std::to_string(d);
  return text;
}

std::string c_float(float value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text + "f";
}

std::string describe(const Graph& graph, const Node& node) {
  const auto size = [](std::string_view what, Size s) { return fmt::format("{}{}x{}", what, s.h, s.w); };
  const auto stride = [&](Size s) { return s == Size(1) ? "" : size(", stride ", s); };
  const auto padding = [](const Padding& p) {
    return p.any() ? fmt::format(", padding {} {} {} {} (top, bottom, left, right)", p.top, p.bottom, p.left,
                                 p.right)
                   : "";
  };
  const auto activation = [](Function f) {
    return f == Function::none ? "" : fmt::format(", {}", to_string(f));
  };
  return std::visit(
      Overloaded{
          [&](const Conv2d& op) {
            const Shape& in = graph.shape(node.inputs[0]);
            return std::string(op.depthwise(in) ? "depthwise conv2d "
                               : op.pointwise() ? "pointwise conv2d "
                                                : "conv2d ") +
                   size("", op.kernel) + stride(op.stride) +
                   (op.dilation == Size(1) ? "" : size(", dilation ", op.dilation)) + padding(op.padding) +
                   (op.groups > 1 && !op.depthwise(in) ? fmt::format(", {} groups", op.groups) : "") +
                   activation(op.activation);
          },
          [&](const Linear& op) { return "linear" + activation(op.activation); },
          [&](const Activation& op) { return fmt::format("{}, a table", to_string(op.function)); },
          [&](const Add& op) { return "add" + activation(op.activation); },
          [&](const MaxPool2d& op) {
            return size("maximum pool ", op.kernel) + stride(op.stride) + padding(op.padding);
          },
          [&](const AvgPool2d& op) {
            return size("average pool ", op.kernel) + stride(op.stride) + padding(op.padding);
          },
          [&](const AdaptiveAvgPool2d&) { return std::string("adaptive average pool"); },
          [&](const Upsample& op) { return size("upsample by ", op.scale); },
          [&](const Pad& op) { return "pad" + padding(op.padding); },
          [&](const TakeRows& op) { return fmt::format("rows {} to {}", op.first, op.first + op.count - 1); },
          [&](const JoinRows&) { return std::string("the strips' rows joined"); },
          [&](const auto&) { return std::string(op_name(node.op)); },
      },
      node.op);
}

std::string with_prefix(std::string text, const Program& program) {
  return with_prefix(std::move(text), program.prefix);
}

std::string with_prefix(std::string text, const std::string& prefix) {
  const auto in_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  const auto replace = [&](const std::string& from, const std::string& to) {
    std::string out;
    std::size_t done = 0;
    for (std::size_t at; (at = text.find(from, done)) != std::string::npos; done = at + from.size()) {
      out.append(text, done, at - done);
      out += at > 0 && in_word(text[at - 1]) ? from : to;
    }
    text = out.append(text, done);
  };
  if (prefix == "model") return text;
  replace("MODEL_", upper_case(prefix) + "_");
  for (const char* end : {"_", ".h", ".c", ".o", ".a"})
    replace(std::string("model") + end, prefix + end);
  return text;
}

std::vector<EmittedFile> emit_c(const Model& model, const EmitOptions& options) {
  const Program program = make_program(model, options);
  std::vector<EmittedFile> files;
  files.push_back({program.prefix + ".h", emit_header(program)});
  files.push_back({program.prefix + ".c", emit_source(program)});
  std::set<std::string> headers;
  for (const std::string& kernel : program.kernels) add_with_includes(kernel + ".h", headers);
  for (const std::string& header : variant_headers(program)) add_with_includes(header, headers);
  for (const std::string& header : headers)
    files.push_back({"kernels/" + header, std::string(resource(std::string(kKernelFolder) + header))});
  for (EmittedFile& file : emit_project(program)) files.push_back(std::move(file));
  if (program.banks() == 1)  // the protocol knows one arena
    for (EmittedFile& file : emit_serial(program)) files.push_back(std::move(file));
  return files;
}

void write_files(const std::vector<EmittedFile>& files, const std::filesystem::path& folder) {
  for (const CarriedFile& r : resources()) {  // kernels that an earlier model left there
    if (!r.name.starts_with(kKernelFolder)) continue;
    const std::string name = "kernels/" + std::string(r.name.substr(kKernelFolder.size()));
    std::error_code absent;
    if (std::none_of(files.begin(), files.end(), [&](const EmittedFile& f) { return f.name == name; }))
      std::filesystem::remove(folder / name, absent);
  }
  for (const EmittedFile& file : files) write_atomic(folder / file.name, file.content);
}

void write_c(const Model& model, const std::filesystem::path& folder, const EmitOptions& options) {
  write_files(emit_c(model, options), folder);
}

}  // namespace micromind
