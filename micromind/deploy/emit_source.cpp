// model.c: constants, the memory plan, one call a layer.
#include <algorithm>
#include <numeric>

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
    return std::pair(p.place(a).offset, p.place(a).first) < std::pair(p.place(b).offset, p.place(b).first);
  });
  std::string text = fmt::format(" *   {:>8} {:>8}  life, layers 0 to {}", "offset", "bytes", steps - 1);
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
    text += fmt::format("{}{}_offset + {} <= {}_ARENA_BYTES", v == 0 ? "" : " &&\n    ", p.values[v],
                        p.plan.placements[v].bytes, p.upper);
  return text + ") ? 1 : -1];\n\n";
}

// The C functions that layers call. Here is decided whether a layer shares its kernel's code with the others
// (as now: one copy a kernel, so flash is predictable) or gets a copy of its own in which its constants are
// known.
struct KernelFunction {
  std::string name, definition;
};
KernelFunction kernel_function(const Program& p, const std::string& kernel) {
  const bool two_inputs = kernel == "add_s8" || kernel == "mul_s8";
  KernelFunction f{kernel + "_kernel", {}};
  f.definition = fmt::format(
      "{0}_KERNEL void {1}(const mm_{2}_params* p, {3}int8_t* output) {{\n  mm_{2}(p, {4}output);\n}}\n",
      p.upper, f.name, kernel,
      two_inputs ? "const int8_t* input1, const int8_t* input2, " : "const int8_t* input, ",
      two_inputs ? "input1, input2, " : "input, ");
  return f;
}

class Calls {
 public:
  Calls(const Program& p, std::size_t node)
      : p_(p),
        node_(p.graph().nodes()[node]),
        index_(node),
        function_(std::string(kernel_of(p.graph(), node_)) + "_kernel") {}
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
    for (const int v : inputs) text += fmt::format(", a + {}_offset", p_.id(v));
    text += fmt::format(", a + {}_offset);\n", p_.id(output));
  }
  const Program& p_;
  const Node& node_;
  const std::size_t index_;
  const std::string function_;
};

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
  std::string text = fmt::format(
      "{0}_status {2}(uint8_t* arena, size_t arena_bytes) {{\n"
      "  int8_t* const a = (int8_t*)arena;\n"
      "  if (arena == NULL || (uintptr_t)arena % {1}_ARENA_ALIGNMENT != 0) return {1}_ERROR_ALIGNMENT;\n"
      "  if (arena_bytes < {1}_ARENA_BYTES) return {1}_ERROR_ARENA_BYTES;\n\n",
      p.prefix, p.upper, name);
  for (const int index : nodes) {
    const auto i = static_cast<std::size_t>(index);
    const Node& node = p.graph().nodes()[i];
    Calls calls(p, i);
    std::visit(calls, p.calls[i]);
    text += fmt::format("  /* {}{} */\n{}", layer_title(p, i),
                        calls.text.empty() ? " (the bytes stay where they are)" : "", calls.text);
    for (const int v : node.outputs)
      text += fmt::format("  {}_AFTER_LAYER({}, a + {}_offset, {});\n", p.upper, i, p.id(v), p.bytes(v));
  }
  return text + fmt::format("  return {}_OK;\n}}\n", p.upper);
}

constexpr std::string_view kMacros =
    R"(/* Where constants go. Define it to put them elsewhere: -D'MODEL_CONSTANT=__attribute__((section(".xflash"))) static const' */
#ifndef MODEL_CONSTANT
#define MODEL_CONSTANT static const
#endif

/* One copy of each kernel's code, shared by the layers that call it. */
#if defined(__GNUC__) && !defined(__clang__)
#define MODEL_KERNEL static __attribute__((noinline, noclone))
#elif defined(__clang__)
#define MODEL_KERNEL static __attribute__((noinline))
#else
#define MODEL_KERNEL static
#endif

#ifdef MODEL_TRACE
#define MODEL_AFTER_LAYER(layer, output, bytes) model_trace((layer), (output), (bytes))
#else
#define MODEL_AFTER_LAYER(layer, output, bytes) ((void)0)
#endif

)";

}  // namespace

std::string emit_source(const Program& p) {
  std::string text = fmt::format(
      "/* {}: the layers and their constants. Generated; {}.h says how to call it. */\n#include \"{}.h\"\n\n",
      plain_text(p.graph().name), p.prefix, p.prefix);
  for (const std::string& kernel : p.kernels) text += fmt::format("#include \"kernels/{}.h\"\n", kernel);
  text += "\n" + with_prefix(std::string(kMacros), p) + memory_plan(p);
  text +=
      "/* --- Constants ---------------------------------------------------------------------------------- "
      "*/\n\n";
  for (std::size_t i = 0; i < p.calls.size(); ++i)
    if (const std::string constants = emit_constants(p, i); !constants.empty())
      text += layer_comment(p, i) + constants + "\n";
  text +=
      "/* --- Kernels ------------------------------------------------------------------------------------ "
      "*/\n\n";
  for (const std::string& kernel : p.kernels) text += kernel_function(p, kernel).definition;
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
