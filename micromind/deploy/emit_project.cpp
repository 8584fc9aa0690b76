// What makes the emitted folder a project: Makefile, CMakeLists.txt, README.md and the self test with its
// data.
#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/deploy/emit_names.h"
#include "micromind/deploy/emit_program.h"
#include "micromind/lower/lower.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

constexpr std::int64_t kStoredBytes = 100'000;  // of random test inputs, about
constexpr int kMostTests = 3;
constexpr std::uint64_t kSeed = 0x5e1f7e57;

EmittedFile from_template(const Program& p, std::string_view file, std::string name) {
  std::string text = with_prefix(std::string(resource(fmt::format("runtime/emit/{}", file))), p);
  static constexpr std::string_view mark = "@model@";
  for (std::size_t at; (at = text.find(mark)) != std::string::npos;) text.replace(at, mark.size(), p.prefix);
  return {std::move(name), std::move(text)};
}

std::int64_t input_bytes(const Program& p) {
  std::int64_t total = 0;
  for (const Port& port : p.graph().inputs()) total += p.bytes(port.value);
  return total;
}

std::vector<std::vector<std::int8_t>> test_inputs(const Program& p) {
  const std::int64_t bytes = input_bytes(p);
  if (!p.options.test_inputs.empty()) {
    for (const auto& input : p.options.test_inputs)
      if (static_cast<std::int64_t>(input.size()) != bytes)
        fail("emit", "a test input has {} bytes; the inputs of {} take {}", input.size(), p.graph().name,
             bytes);
    return p.options.test_inputs;
  }
  std::vector<std::vector<std::int8_t>> inputs(
      static_cast<std::size_t>(std::clamp<std::int64_t>(kStoredBytes / bytes, 1, kMostTests)));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Random random(kSeed, {i});
    inputs[i].resize(static_cast<std::size_t>(bytes));
    for (std::int8_t& b : inputs[i]) b = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
  }
  return inputs;
}

std::uint32_t checksum(std::span<const std::int8_t> bytes) {  // FNV-1a, as in self_test.c
  std::uint32_t hash = 2166136261u;
  for (const std::int8_t b : bytes) hash = (hash ^ static_cast<std::uint8_t>(b)) * 16777619u;
  return hash;
}

struct Vectors {
  std::vector<std::vector<std::int8_t>> inputs, outputs;
  std::vector<std::vector<std::uint32_t>> checksums;  ///< [layer output][test]
  std::vector<std::string> layers;
};

Vectors make_vectors(const Program& p) {
  Vectors v;
  v.inputs = test_inputs(p);
  for (const Node& node : p.graph().nodes())
    for (const int value : node.outputs) v.layers.push_back(plain_text(p.graph().value_name(value)));
  v.checksums.resize(v.layers.size());
  Int8Executor executor(p.model);
  for (const auto& input : v.inputs) {
    auto from = input.begin();
    for (std::size_t k = 0; k < p.inputs.size(); ++k) {
      const std::span<std::int8_t> to = executor.input(k);
      std::copy_n(from, to.size(), to.begin());
      from += static_cast<std::ptrdiff_t>(to.size());
    }
    std::size_t event = 0;
    executor.run(
        [&](int, std::span<const std::int8_t> bytes) { v.checksums[event++].push_back(checksum(bytes)); });
    std::vector<std::int8_t>& outputs = v.outputs.emplace_back();
    for (std::size_t k = 0; k < p.outputs.size(); ++k) {
      const std::span<const std::int8_t> out = executor.output(k);
      outputs.insert(outputs.end(), out.begin(), out.end());
    }
  }
  return v;
}

std::string ports(const Program& p, std::string_view array, std::string_view count, bool inputs) {
  std::string text = fmt::format("const test_port {}[{}] = {{\n", array, count);
  const auto& list = inputs ? p.graph().inputs() : p.graph().outputs();
  for (std::size_t k = 0; k < list.size(); ++k) {
    const std::string macro = fmt::format("{}_{}_{}", p.upper, inputs ? "INPUT" : "OUTPUT",
                                          upper_case((inputs ? p.inputs : p.outputs)[k]));
    text += fmt::format("  {{\"{}\", {}_OFFSET, {}_BYTES}},\n", plain_text(list[k].name), macro, macro);
  }
  return text + "};\n";
}

std::string arrays(std::string_view name, const std::vector<std::vector<std::int8_t>>& rows) {
  std::string text = fmt::format("const int8_t {}[TEST_COUNT][{}] = {{\n", name, rows.front().size());
  for (const auto& row : rows) text += "{\n" + number_lines(row.data(), row.size(), 32) + "},\n";
  return text + "};\n";
}

std::vector<EmittedFile> test_files(const Program& p) {
  const Vectors v = make_vectors(p);
  std::string header = fmt::format(
      "/* Stored inputs, the outputs they must give, and a checksum of every layer's output. */\n"
      "#ifndef TEST_VECTORS_H\n#define TEST_VECTORS_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
      "enum {{ TEST_COUNT = {}, TEST_INPUTS = {}, TEST_OUTPUTS = {}, TEST_LAYERS = {} }};\n\n",
      v.inputs.size(), p.inputs.size(), p.outputs.size(), v.layers.size());
  header +=
      "typedef struct {\n  const char* name;\n  size_t offset, bytes; /* in the arena */\n} test_port;\n"
      "typedef struct {\n  const char* name;\n  uint32_t checksum[TEST_COUNT];\n} test_layer;\n\n"
      "extern const test_port test_inputs[TEST_INPUTS], test_outputs[TEST_OUTPUTS];\n"
      "extern const test_layer test_layers[TEST_LAYERS];\n";
  header += fmt::format(
      "extern const int8_t test_input_bytes[TEST_COUNT][{}], test_output_bytes[TEST_COUNT][{}];\n\n#endif\n",
      v.inputs.front().size(), v.outputs.front().size());
  std::string source = fmt::format("#include \"test_vectors.h\"\n\n#include \"../{}.h\"\n\n", p.prefix);
  source +=
      ports(p, "test_inputs", "TEST_INPUTS", true) + "\n" + ports(p, "test_outputs", "TEST_OUTPUTS", false);
  source += "\nconst test_layer test_layers[TEST_LAYERS] = {\n";
  for (std::size_t i = 0; i < v.layers.size(); ++i) {
    std::string list;
    for (const std::uint32_t sum : v.checksums[i])
      list += fmt::format("{}0x{:08x}u", list.empty() ? "" : ", ", sum);
    source += fmt::format("  {{\"{}\", {{{}}}}},\n", v.layers[i], list);
  }
  source += "};\n\n" + arrays("test_input_bytes", v.inputs) + "\n" + arrays("test_output_bytes", v.outputs);
  return {{"test/test_vectors.h", std::move(header)}, {"test/test_vectors.c", std::move(source)}};
}

std::string ports_table(const Program& p) {
  std::string text = "| port | bytes | order | scale | zero point | access |\n|---|---|---|---|---|---|\n";
  const auto row = [&](const Port& port, const std::string& id, bool input) {
    const TensorType& t = p.graph().type(port.value);
    text += fmt::format(
        "| {} {} | {} | {} | {} | {} | `{}_{}_{}(arena)` |\n", input ? "input" : "output",
        plain_text(port.name), t.shape.elements(),
        t.shape.rank() == 3
            ? fmt::format("{} rows x {} columns x {} channels", t.shape[1], t.shape[2], t.shape[0])
            : ascii_shape(t.shape),
        t.quantization->scale, t.quantization->zero_point, p.prefix, input ? "input" : "output", id);
  };
  for (std::size_t i = 0; i < p.inputs.size(); ++i) row(p.graph().inputs()[i], p.inputs[i], true);
  for (std::size_t i = 0; i < p.outputs.size(); ++i) row(p.graph().outputs()[i], p.outputs[i], false);
  return text;
}

std::string readme(const Program& p) {
  std::string text = fmt::format(
      "# {0}\n\nAn int8 neural network in plain C99, generated by micromind. Add `{1}.c` to a firmware's "
      "sources, or this folder with\n"
      "CMake's `add_subdirectory`, and call it as the first lines of `{1}.h` show. `make test` proves on "
      "this computer that it\n"
      "computes, byte for byte, what the toolkit computed.\n\n",
      plain_text(p.graph().name), p.prefix);
  text += fmt::format(
      "| | |\n|---|---|\n| RAM: the arena that the caller passes | {} B |\n| flash: weights, tables, "
      "parameters | {} B |\n",
      format_count(p.plan.arena_bytes), format_count(p.constant_bytes));
  text += fmt::format("| multiply-accumulates of an inference | {} |\n", format_count(p.macs));
  if (const auto& f = p.options.figures) {
    text += fmt::format("| flash, linked for {} with start-up code | {} B, of these code {} B |\n",
                        plain_text(f->target), format_count(f->flash_bytes), format_count(f->code_bytes));
    if (f->stack_bytes > 0)
      text += fmt::format("| stack of `{}_run`, measured | {} B |\n", p.prefix, format_count(f->stack_bytes));
    if (f->instructions > 0)
      text += fmt::format("| instructions of an inference, measured | {} |\n", format_count(f->instructions));
    text += fmt::format("| compiler | {} |\n", plain_text(f->compiler));
  }
  text +=
      "\nNo heap, no floating point, no static variables. The inputs lie in the arena and are overwritten by "
      "the layers: fill them\n"
      "before every run.\n\n" +
      ports_table(p);
  text += "\n| | layer | operator | kernel | output | MACs |\n|---|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < p.calls.size(); ++i) {
    const Node& node = p.graph().nodes()[i];
    text +=
        fmt::format("| {} | {} | {} | {} | {} | {} |\n", i, plain_text(node.name), describe(p.graph(), node),
                    kernel_of(p.graph(), node), ascii_shape(p.graph().shape(node.outputs[0])),
                    format_count(macs(node.op, p.graph().input_shapes(node), p.graph().output_shapes(node))));
  }
  return text;
}

}  // namespace

std::vector<EmittedFile> emit_project(const Program& p) {
  std::vector<EmittedFile> files = test_files(p);
  files.push_back(from_template(p, "self_test.c", "test/self_test.c"));
  files.push_back(from_template(p, "Makefile", "Makefile"));
  files.push_back(from_template(p, "CMakeLists.txt", "CMakeLists.txt"));
  files.push_back({"README.md", readme(p)});
  return files;
}

}  // namespace micromind
