// model.c: constants, the memory plan, one call a layer.
#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/deploy/emit_names.h"
#include "micromind/deploy/emit_program.h"
#include "micromind/lower/lower.h"

namespace micromind {
namespace {

constexpr int kPictureColumns = 64;

// One row a tensor, one column a layer (or several layers): where in the arena it lies, and when.
std::string memory_picture(const Program& p) {
  const int steps = static_cast<int>(p.graph().nodes().size());
  const int columns = std::min(steps, kPictureColumns);
  std::vector<int> order(p.values.size());
  for (std::size_t v = 0; v < order.size(); ++v) order[v] = static_cast<int>(v);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return std::tuple(p.place(a).bank, p.place(a).offset, p.place(a).first) < std::tuple(p.place(b).bank, p.place(b).offset, p.place(b).first);
  });
  std::string text = p.banks() > 1 ? " * Tensors lie in the arenas in the order of the list; each begins anew at offset 0.\n" : "";
  text += fmt::format(" *   {:>8} {:>8}  life, layers 0 to {}", "offset", "bytes", steps - 1);
  text +=
      fmt::format("{}  tensor\n",
                  std::string(static_cast<std::size_t>(std::max(0, columns - (steps > 10 ? 19 : 18))), ' '));
  const std::size_t width = static_cast<std::size_t>(std::max(columns, steps > 10 ? 19 : 18));
  for (const int v : order) {
    const Placement& place = p.place(v);
    std::string life(width, ' ');
    for (int c = 0; c < columns; ++c) life[static_cast<std::size_t>(c)] = '.';
    for (int s = place.first; s <= place.last && s < steps; ++s)
      life[static_cast<std::size_t>(s * columns / steps)] = '#';
    text += fmt::format(" *   {:>8} {:>8}  {}  {}\n", place.offset, place.bytes, life,
                        plain_text(p.graph().value_name(v), 60));
  }
  return text;
}

// A port's offset is defined in the header; another tensor's here.
std::string offset_text(const Program& p, int value) {
  for (std::size_t i = 0; i < p.inputs.size(); ++i)
    if (p.graph().inputs()[i].value == value)
      return fmt::format("{}_INPUT_{}_OFFSET", p.upper, upper_case(p.inputs[i]));
  for (std::size_t i = 0; i < p.outputs.size(); ++i)
    if (p.graph().outputs()[i].value == value)
      return fmt::format("{}_OUTPUT_{}_OFFSET", p.upper, upper_case(p.outputs[i]));
  return std::to_string(p.place(value).offset);
}

std::string memory_plan(const Program& p) {
  std::string text =
      "/* --- Memory -------------------------------------------------------------------------------------\n";
  text += fmt::format(
      " * {} bytes; no placement of these tensors in this order of layers does with less than {}.\n",
      format_count(p.plan.arena_bytes), format_count(p.plan.lower_bound_bytes));
  text +=
      " * Tensors of one offset share memory: an operator works in place, or the former is not needed any "
      "more.\n *\n";
  text += memory_picture(p) + " */\nenum {\n";
  for (std::size_t v = 0; v < p.values.size(); ++v)
    text += fmt::format("  {}_offset = {},\n", p.values[v], offset_text(p, static_cast<int>(v)));
  text.erase(text.size() - 2, 1);
  text += fmt::format(
      "}};\n\n/* Does not compile when a tensor leaves the arena. */\ntypedef char "
      "{}_arena_holds_every_tensor[(",
      p.prefix);
  for (std::size_t v = 0; v < p.values.size(); ++v)
    text += fmt::format("{}{}_offset + {} <= {}_BYTES", v == 0 ? "" : " &&\n    ", p.values[v],
                        p.plan.placements[v].bytes, p.arena_macro(p.plan.placements[v].bank));
  return text + ") ? 1 : -1];\n\n";
}

// Where a value lies: "a + image_offset", "a_1 + image_offset" in the second arena.
std::string address(const Program& p, int value) {
  const int bank = p.place(value).bank;
  return fmt::format("a{} + {}_offset", bank == 0 ? "" : fmt::format("_{}", bank), p.id(value));
}

class Calls {
 public:
  // `nodes`: those that run; a table is applied by another node's kernel only where both do.
  Calls(const Program& p, std::size_t node, const std::vector<int>& nodes)
      : p_(p),
        node_(p.graph().nodes()[node]),
        index_(node),
        nodes_(nodes),
        function_(call_name(p, node)) {}
  std::string text;

  void operator()(const NoCall&) {}
  void operator()(const AddCall&) { two_inputs(); }
  void operator()(const MulCall&) { two_inputs(); }
  void operator()(const ConcatCall& c) {
    for (std::size_t k = 0; k < c.params.size(); ++k)
      call(fmt::format("_{}", k), {node_.inputs[k]}, node_.outputs[0]);
  }
  void operator()(const SplitCall& c) {
    for (std::size_t k = 0; k < c.params.size(); ++k)
      call(fmt::format("_{}", k), {node_.inputs[0]}, node_.outputs[k]);
  }
  template <class Call>
  void operator()(const Call&) {
    call("", {node_.inputs[0]}, node_.outputs[0]);
  }

 private:
  void two_inputs() { call("", {node_.inputs[0], node_.inputs[1]}, node_.outputs[0]); }
  void call(const std::string& suffix, const std::vector<int>& inputs, int output) {
    text += fmt::format("  {}(&{}_params{}", function_, p_.nodes[index_], suffix);
    for (const int v : inputs) text += ", " + address(p_, v);
    text += ", " + address(p_, output);
    if (passes_table(p_, index_)) {
      const int table = p_.table_of(index_);
      const bool applied = table >= 0 && std::find(nodes_.begin(), nodes_.end(), table) != nodes_.end();
      text += applied ? fmt::format(", {}_APPLIED({}_table)", p_.upper, p_.nodes[p_.holder[static_cast<std::size_t>(table)]]) : ", NULL";
    }
    text += ");\n";
  }
  const Program& p_;
  const Node& node_;
  const std::size_t index_;
  const std::vector<int>& nodes_;
  const std::string function_;
};

// Tables that another node's kernel applies are looked up by themselves on cores without the DSP extension only.
std::string with_condition(const Program& p, std::size_t i, const std::vector<int>& nodes, const std::string& call) {
  for (const int other : nodes)
    if (p.table_of(static_cast<std::size_t>(other)) == static_cast<int>(i))
      return fmt::format("  {}_UNLESS_APPLIED({}", p.upper, std::string(call).replace(0, call.find('(') + 1, "table_s8_kernel, "));
  return call;
}

std::string layer_title(const Program& p, std::size_t i) {
  const Node& node = p.graph().nodes()[i];
  return fmt::format("{}: {}", i, plain_text(node.name));
}

std::string layer_comment(const Program& p, std::size_t i) {
  const Node& node = p.graph().nodes()[i];
  std::string shapes;
  for (const int v : node.inputs) shapes += (shapes.empty() ? "" : " and ") + ascii_shape(p.graph().shape(v));
  shapes += " to ";
  for (std::size_t k = 0; k < node.outputs.size(); ++k)
    shapes += (k == 0 ? "" : " and ") + ascii_shape(p.graph().shape(node.outputs[k]));
  const Shapes in = p.graph().input_shapes(node), out = p.graph().output_shapes(node);
  const std::int64_t n = macs(node.op, in, out);
  return fmt::format("/* {}\n * {}; {}{} */\n", layer_title(p, i), describe(p.graph(), node), shapes,
                     n > 0 ? fmt::format("; {} multiply-accumulates", format_count(n)) : "");
}

std::string run_function(const Program& p, const std::string& name, const std::vector<int>& nodes) {
  std::string text = fmt::format("{}_status {}({}) {{\n", p.prefix, name, p.run_parameters());
  const auto used = [&](int bank) {  // an entry point may do without one
    return std::any_of(nodes.begin(), nodes.end(), [&](int i) {
      const Node& node = p.graph().nodes()[static_cast<std::size_t>(i)];
      const auto there = [&](int v) { return p.place(v).bank == bank; };
      return std::any_of(node.inputs.begin(), node.inputs.end(), there) || std::any_of(node.outputs.begin(), node.outputs.end(), there);
    });
  };
  for (int k = 0; k < p.banks(); ++k)
    if (k == 0 || used(k)) text += fmt::format("  int8_t* const a{} = (int8_t*){};\n", k == 0 ? "" : fmt::format("_{}", k), p.arena(k));
  for (int k = 0; k < p.banks(); ++k)
    text += fmt::format(
        "  if ({0} == NULL || (uintptr_t){0} % {1}_ARENA_ALIGNMENT != 0) return {1}_ERROR_ALIGNMENT;\n"
        "  if ({0}_bytes < {2}_BYTES) return {1}_ERROR_ARENA_BYTES;\n",
        p.arena(k), p.upper, p.arena_macro(k));
  text += p.banks() > 1 && !used(0) ? "  (void)a;\n\n" : "\n";
  for (const int index : nodes) {
    const auto i = static_cast<std::size_t>(index);
    const Node& node = p.graph().nodes()[i];
    Calls calls(p, i, nodes);
    std::visit(calls, p.calls[i]);
    text += fmt::format("  /* {}{} */\n{}", layer_title(p, i),
                        calls.text.empty() ? " (the bytes stay where they are)" : "", with_condition(p, i, nodes, calls.text));
    for (const int v : node.outputs)
      text += fmt::format("  {}_AFTER_LAYER({}, {}, {});\n", p.upper, i, address(p, v), p.bytes(v));
  }
  return text + fmt::format("  return {}_OK;\n}}\n", p.upper);
}

constexpr std::string_view kMacros =
    R"(/* Where constants go. Define it to put them elsewhere: -D'MODEL_CONSTANT=__attribute__((section(".xflash"))) static const' */
#ifndef MODEL_CONSTANT
#define MODEL_CONSTANT static const
#endif
@external@
/* One copy of each kernel's code, shared by the layers that call it. */
#if defined(__GNUC__) && !defined(__clang__)
#define MODEL_KERNEL static __attribute__((noinline, noclone))
#elif defined(__clang__)
#define MODEL_KERNEL static __attribute__((noinline))
#else
#define MODEL_KERNEL static
#endif

/* Packed kernels apply the table of the layer behind them as they store, unless every layer's output is to be seen. */
#if MM_HAS_DSP && !defined(MODEL_TRACE)
#define MODEL_APPLIED(table) ((table) + 128)
#define MODEL_UNLESS_APPLIED(kernel, params, input, output) ((void)(kernel), (void)(params))
#else
#define MODEL_APPLIED(table) NULL
#define MODEL_UNLESS_APPLIED(kernel, params, input, output) kernel(params, input, output)
#endif

/* Kernels that several models of one firmware share: the name holds a checksum of the text, so of one name there is one function. */
#if defined(__GNUC__)
#define MODEL_SHARED_KERNEL __attribute__((weak, noinline))
#else
#define MODEL_SHARED_KERNEL static
#endif

#ifdef MODEL_TRACE
#define MODEL_AFTER_LAYER(layer, output, bytes) model_trace((layer), (output), (bytes))
#else
#define MODEL_AFTER_LAYER(layer, output, bytes) ((void)0)
#endif

)";

constexpr std::string_view kExternal = R"(
/* Where weights go that the internal flash has no room for, or that are read least. */
#ifndef MODEL_EXTERNAL_CONSTANT
#if defined(__GNUC__) && (defined(__arm__) || defined(__riscv))
#define MODEL_EXTERNAL_CONSTANT __attribute__((section(".xflash"))) static const
#else
#define MODEL_EXTERNAL_CONSTANT MODEL_CONSTANT
#endif
#endif
)";

}  // namespace

int Program::table_of(std::size_t i) const {
  if (!passes_table(*this, i)) return -1;
  const int value = graph().nodes()[i].outputs[0];
  int reader = -1;
  for (const Port& port : graph().outputs())
    if (port.value == value) return -1;
  for (const EntryProgram& entry : entries)
    for (const std::vector<int>* ports : {&entry.inputs, &entry.outputs})
      if (std::find(ports->begin(), ports->end(), value) != ports->end()) return -1;
  for (std::size_t k = 0; k < graph().nodes().size(); ++k) {
    const std::vector<int>& in = graph().nodes()[k].inputs;
    if (std::find(in.begin(), in.end(), value) == in.end()) continue;
    if (reader >= 0) return -1;
    reader = static_cast<int>(k);
  }
  if (reader < 0 || !std::holds_alternative<TableCall>(calls[static_cast<std::size_t>(reader)])) return -1;
  const Placement& to = place(graph().nodes()[static_cast<std::size_t>(reader)].outputs[0]);
  if (to.offset != place(value).offset || to.bank != place(value).bank) return -1;
  const bool limited = std::visit(
      [](const auto& c) {
        if constexpr (requires { c.params.act_min; }) return c.params.act_min > -128 || c.params.act_max < 127;
        return true;
      },
      calls[i]);
  return limited ? -1 : reader;
}

std::string emit_source(const Program& p) {
  std::string text = fmt::format(
      "/* {}: the layers and their constants. Generated; {}.h says how to call it. */\n#include \"{}.h\"\n\n",
      plain_text(p.graph().name), p.prefix, p.prefix);
  for (const std::string& kernel : p.kernels) text += fmt::format("#include \"kernels/{}.h\"\n", kernel);
  for (const std::string& header : variant_headers(p)) text += fmt::format("#include \"kernels/{}\"\n", header);
  std::string macros(kMacros);
  constexpr std::string_view mark = "@external@";
  macros.replace(macros.find(mark), mark.size(), p.options.external_weights.empty() ? "" : kExternal);
  text += "\n" + with_prefix(std::move(macros), p) + memory_plan(p);
  text +=
      "/* --- Constants ---------------------------------------------------------------------------------- "
      "*/\n\n";
  for (std::size_t i = 0; i < p.calls.size(); ++i)
    if (const std::string constants = emit_constants(p, i); !constants.empty())
      text += layer_comment(p, i) + constants + "\n";
  text +=
      "/* --- Kernels ------------------------------------------------------------------------------------ "
      "*/\n\n";
  for (const std::string& kernel : p.kernels) text += kernel_definitions(p, kernel);
  text +=
      "\n/* --- Layers ------------------------------------------------------------------------------------- "
      "*/\n\n";
  std::vector<int> all(p.calls.size());
  std::iota(all.begin(), all.end(), 0);
  text += run_function(p, p.prefix + "_run", all);
  for (const EntryProgram& entry : p.entries)
    text += "\n" + run_function(p, fmt::format("{}_run_{}", p.prefix, entry.id), entry.nodes);
  return text;
}

}  // namespace micromind
