#include "micromind/deploy/emit_variants.h"

#include <algorithm>
#include <map>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/deploy/emit_program.h"
#include "micromind/deploy/pack_mve.h"
#include "micromind/lower/lower.h"

namespace micromind {
namespace {

// What a variant's function is called, but for the kernel's name; empty for the portable one.
std::string prefix_of(const Program& p, std::size_t node, std::size_t variant) {
  const std::optional<PackedWeights>& form = p.packed[node][variant];
  if (!form) return "";
  return fmt::format("{}{}", kCoreVariants[variant].prefix, form->wide ? "wide_" : "");
}

// Whether the kernels of `kernel` that a variant has take a table.
bool takes_table(const std::string& kernel, std::size_t variant) {
  return kCoreVariants[variant].tables && (kernel == "conv2d_s8" || kernel == "depthwise_conv2d_s8");
}

std::vector<std::size_t> nodes_of(const Program& p, const std::string& kernel) {
  std::vector<std::size_t> nodes;
  for (std::size_t i = 0; i < p.packed.size(); ++i)
    if (kernel_of(p.graph(), p.graph().nodes()[i]) == kernel) nodes.push_back(i);
  return nodes;
}

// One copy a kernel, shared by the layers that call it, so flash is predictable.
std::string portable_function(const Program& p, const std::string& kernel) {
  const bool two_inputs = kernel == "add_s8" || kernel == "mul_s8";
  return fmt::format(
      "{0}_KERNEL void {1}_kernel(const mm_{1}_params* p, {2}int8_t* output) {{\n  mm_{1}(p, {3}output);\n}}\n",
      p.upper, kernel, two_inputs ? "const int8_t* input1, const int8_t* input2, " : "const int8_t* input, ",
      two_inputs ? "input1, input2, " : "input, ");
}

std::string packed_function(const Program& p, const std::string& kernel, const std::string& prefix, std::int64_t words, bool table) {
  return fmt::format("{0}_KERNEL void {2}{1}_kernel(const mm_{1}_params* p, const int8_t* input, int8_t* output{6}) {{\n"
                     "{3}  mm_{2}{1}(p, input, output{4}{5});\n}}\n",
                     p.upper, kernel, prefix, words > 0 ? fmt::format("  uint32_t columns[{}];\n", words) : "", table ? ", table" : "",
                     words > 0 ? ", columns" : "", table ? ", const int8_t* table" : "");
}

}  // namespace

PackedForms pack_for_cores(const Model& model, const Node& node, const KernelCall& call) {
  return std::visit(
      [&](const auto& c) -> PackedForms {
        using Call = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<Call, ConvCall> || std::is_same_v<Call, DepthwiseCall> || std::is_same_v<Call, LinearCall>) {
          const auto weights = find(model.weights, node.name + ".weight").template values<std::int8_t>();
          const auto bias = find(model.weights, node.name + ".bias").template values<std::int32_t>();
          return {pack_mve(c.params, c.requantization, weights, bias), pack_weights(c.params, c.requantization, weights, bias)};
        }
        return {};
      },
      call);
}

std::vector<std::string> variant_headers(const Program& p) {
  std::vector<std::string> headers;
  for (const std::string& kernel : p.kernels)
    for (std::size_t v = 0; v < kCoreVariants.size(); ++v) {
      const std::vector<std::size_t> nodes = nodes_of(p, kernel);
      if (std::any_of(nodes.begin(), nodes.end(), [&](std::size_t i) { return p.packed[i][v].has_value(); }))
        headers.push_back(std::string(kCoreVariants[v].prefix) + kernel + ".h");
    }
  return headers;
}

std::string call_name(const Program& p, std::size_t node) {
  std::string name;
  for (std::size_t v = 0; v < kCoreVariants.size(); ++v) name += prefix_of(p, node, v);
  return name + std::string(kernel_of(p.graph(), p.graph().nodes()[node])) + "_kernel";
}

bool passes_table(const Program& p, std::size_t node) {
  const std::string kernel(kernel_of(p.graph(), p.graph().nodes()[node]));
  for (std::size_t v = 0; v < kCoreVariants.size(); ++v)
    if (p.packed[node][v] && takes_table(kernel, v)) return true;
  return false;
}

std::string kernel_definitions(const Program& p, const std::string& kernel) {
  struct Function {
    std::int64_t words = 0;  // of scratch
    bool table = false;
  };
  struct Target {
    std::string function;
    bool drops_table = false;  // the call has a table that the function does not take
  };
  const std::vector<std::size_t> nodes = nodes_of(p, kernel);
  const std::string portable = kernel + "_kernel";
  const auto branch = [&](const std::string& condition, const std::map<std::string, Function>& functions,
                          const std::map<std::string, Target>& targets) {
    std::string text = condition + "\n";
    for (const auto& [prefix, f] : functions)
      text += prefix.empty() ? portable_function(p, kernel) : packed_function(p, kernel, prefix, f.words, f.table);
    for (const auto& [name, target] : targets) {
      if (target.drops_table) text += fmt::format("#define {}(p, input, output, table) {}(p, input, output)\n", name, target.function);
      else if (name != target.function) text += fmt::format("#define {} {}\n", name, target.function);
    }
    return text;
  };
  std::string text;
  std::map<std::string, Target> portable_targets;
  for (std::size_t v = 0; v < kCoreVariants.size(); ++v) {
    std::map<std::string, Function> functions;  // by prefix
    std::map<std::string, Target> targets;      // of calls
    bool any = false;
    for (const std::size_t i : nodes) {
      const std::string prefix = prefix_of(p, i, v), name = call_name(p, i);
      const auto& form = p.packed[i][v];
      any = any || form;
      Function& f = functions[prefix];
      f.words = std::max(f.words, form ? form->column_words : 0);
      f.table = form && takes_table(kernel, v);
      targets[name] = {prefix + portable, passes_table(p, i) && !f.table};
      portable_targets[name] = {portable, passes_table(p, i)};
    }
    if (any) text += branch(fmt::format("#{} {}", text.empty() ? "if" : "elif", kCoreVariants[v].macro), functions, targets);
  }
  if (text.empty()) return portable_function(p, kernel);
  return text + branch("#else", {{"", {}}}, portable_targets) + "#endif\n";
}

}  // namespace micromind
