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
  const std::pair<std::string_view, std::string> marks[] = {
      {"@model@", p.prefix}, {"@MODEL@", p.upper}, {"@title@", plain_text(p.graph().name)}, {"@arena@", std::to_string(p.plan.arena_bytes)},
      {"@input@", p.inputs[0]}, {"@INPUT@", upper_case(p.inputs[0])}, {"@output@", p.outputs[0]}, {"@OUTPUT@", upper_case(p.outputs[0])}};
  for (const auto& [mark, value] : marks)
    for (std::size_t at; (at = text.find(mark)) != std::string::npos;) text.replace(at, mark.size(), value);
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
    text += fmt::format("  {{\"{}\", {}, {}_OFFSET, {}_BYTES}},\n", plain_text(list[k].name), p.place(list[k].value).bank, macro, macro);
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
      "typedef struct {\n  const char* name;\n  int arena;\n  size_t offset, bytes; /* in that arena */\n} test_port;\n"
      "typedef struct {\n  const char* name;\n  uint32_t checksum[TEST_COUNT];\n} test_layer;\n\n"
      "extern const test_port test_inputs[TEST_INPUTS], test_outputs[TEST_OUTPUTS];\n"
      "extern const test_layer test_layers[TEST_LAYERS];\n";
  header += "\n/* The arenas beside the first, which a network has that lies in several RAM banks. */\n";
  std::string members, bases, arguments;
  for (int k = 1; k < p.banks(); ++k) {
    members += fmt::format(" {}_{} {};", p.prefix, p.arena(k), p.arena(k));
    bases += fmt::format(", (memory).{}.bytes", p.arena(k));
    arguments += fmt::format(", (memory).{0}.bytes, sizeof (memory).{0}.bytes", p.arena(k));
  }
  header += fmt::format("#define TEST_MORE_ARENAS {}\n#define TEST_MORE_BASES(memory) {}\n#define TEST_MORE_ARGUMENTS(memory) {}\n\n", members, bases, arguments);
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
        "| {} {} | {} | {} | {} | {} | `{}_{}_{}({})` |\n", input ? "input" : "output",
        plain_text(port.name), t.shape.elements(),
        t.shape.rank() == 3
            ? fmt::format("{} rows x {} columns x {} channels", t.shape[1], t.shape[2], t.shape[0])
            : ascii_shape(t.shape),
        t.quantization->scale, t.quantization->zero_point, p.prefix, input ? "input" : "output", id,
        p.arena(p.place(port.value).bank));
  };
  for (std::size_t i = 0; i < p.inputs.size(); ++i) row(p.graph().inputs()[i], p.inputs[i], true);
  for (std::size_t i = 0; i < p.outputs.size(); ++i) row(p.graph().outputs()[i], p.outputs[i], false);
  return text;
}

bool wants(const Program& p, std::string_view kind) {
  return std::find(p.options.projects.begin(), p.options.projects.end(), kind) != p.options.projects.end();
}

// How the folder gets into a build, and how the constants get into another memory.
std::string projects_text(const Program& p) {
  std::string text = fmt::format(
      "\n**CMake**: `add_subdirectory(DIR)`, `target_link_libraries(firmware PRIVATE {0})`. **make**: `make CC=… AR=… CFLAGS=…` gives `lib{0}.a`.\n", p.prefix);
  if (wants(p, "arduino")) text += fmt::format("**Arduino**: put this folder into `libraries/`, then `#include <{}.h>`; a sketch is among the examples.\n", p.prefix);
  if (wants(p, "zephyr"))
    text += fmt::format("**Zephyr**: name this folder in `EXTRA_ZEPHYR_MODULES` and set `CONFIG_MICROMIND_{}=y`; `west build -b BOARD zephyr/sample` runs the self test.\n", p.upper);
  return text + fmt::format(
                    "\n**Weights in another flash.** All constants are defined by the macro `{0}_CONSTANT`, `static const` unless defined otherwise. In a section of their "
                    "own, which the\nlinker script places (external flash, a slow bank):\n\n"
                    "    cmake -D{0}_CONSTANT_SECTION=.xflash …            make CONSTANT_SECTION=.xflash\n"
                    "    -D'{0}_CONSTANT=__attribute__((section(\".xflash\"))) static const'\n",
                    p.upper);
}

std::string readme(const Program& p) {
  std::string text = fmt::format("# {}\n\n", plain_text(p.graph().name));
  if (p.options.among_others)
    text += fmt::format("Called as the first lines of `{}.h` show.\n\n", p.prefix);
  else
    text += fmt::format(
        "An int8 neural network in plain C99, generated by micromind. Add `{0}.c` to a firmware's sources, or this folder with\n"
        "CMake's `add_subdirectory`, and call it as the first lines of `{0}.h` show. `make test` proves on this computer that it\n"
        "computes, byte for byte, what the toolkit computed.{1}\n\n",
        p.prefix, p.banks() == 1 ? " `serial/` proves\nthe same on a board, over its serial port." : "");
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
  if (!p.options.among_others) text += projects_text(p);
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
  if (wants(p, "arduino")) {  // the flat layout: sources stay in the folder's root
    files.push_back(from_template(p, "arduino/library.properties", "library.properties"));
    files.push_back(from_template(p, "arduino/Inference.ino", "examples/Inference/Inference.ino"));
  }
  if (wants(p, "zephyr")) {
    for (const char* name : {"module.yml", "CMakeLists.txt", "Kconfig"}) files.push_back(from_template(p, fmt::format("zephyr/{}", name), fmt::format("zephyr/{}", name)));
    files.push_back(from_template(p, "zephyr/sample_CMakeLists.txt", "zephyr/sample/CMakeLists.txt"));
    for (const char* name : {"prj.conf", "sample.yaml"}) files.push_back(from_template(p, fmt::format("zephyr/{}", name), fmt::format("zephyr/sample/{}", name)));
  }
  return files;
}

const std::vector<std::string>& project_kinds() {
  static const std::vector<std::string> kinds = {"arduino", "zephyr"};
  return kinds;
}

}  // namespace micromind
