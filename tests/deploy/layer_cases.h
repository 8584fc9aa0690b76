// Random layers for kernels of one kind of core, and the guest that compares them with the portable kernels' bytes: shapes,
// strides, dilations, paddings, offsets, factors, limits and extremes. One guest holds all cases.
#pragma once

#include <gmock/gmock.h>

#include <cstdlib>

#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"
#include "micromind/deploy/pack.h"
#include "micromind/quantize/calls.h"
#include "runtime/naive.h"

namespace micromind::layer_cases {

using naive::pick;

// C text of one guest: a function a case, which returns the number of wrong bytes.
class Cases {
 public:
  std::string prefix;                // of the kernels that are tested: "packed"
  std::string macro;                 // that must be 1 on the core: "MM_HAS_DSP"
  std::vector<std::string> headers;  // of runtime/kernels
  std::string prelude;               // C that defines run_<kernel>, one copy of each kernel's code
  bool tables = false;               // convolutions take one
  int count = 0, refused = 0, wide = 0;
  bool overlapping = false;  // outputs lie over what of the input no pixel from theirs on reads (README.md, the order of pixels)

  Cases(std::string kernel_prefix, std::string core_macro, std::vector<std::string> kernel_headers, std::string functions)
      : prefix(std::move(kernel_prefix)), macro(std::move(core_macro)), headers(std::move(kernel_headers)), prelude(std::move(functions)) {}

  template <class T>
  std::string array(std::string_view name, const std::vector<T>& values, std::string_view attribute = "") const {
    std::string text = fmt::format("static const {} {}{}_{}[] = {{", sizeof(T) == 1 ? "int8_t" : "int32_t", attribute, name, count);
    for (const T v : values) text += sizeof(T) == 1 || v != INT32_MIN ? fmt::format("{},", v) : "INT32_MIN,";
    return text + "};\n";
  }
  void add(const std::string& constants, const std::string& call, std::int64_t column_words, const std::vector<std::int8_t>& expected) {
    text_ += constants + array("expected", expected);
    text_ += fmt::format(
        "static int case_{0}(void) {{\n  static uint32_t scratch[{1}];\n  static int8_t output[{2}];\n"
        "  memset(output, 0x5a, sizeof output);\n  memset(scratch, 0x5a, sizeof scratch);\n  {{ int8_t* const out = output + 16; "
        "uint32_t* const columns = scratch + 4; (void)columns;\n  {3} }}\n"
        "  return check(output, expected_{0}, {4}) || check_scratch(scratch, {5});\n}}\n",
        count, column_words + 8, expected.size() + 32, call, expected.size(), column_words);
    ++count;
  }
  std::string source() const {
    std::string text = "#include \"board/print.h\"\n";
    for (const std::string& header : headers) text += fmt::format("#include \"kernels/{}.h\"\n", header);
    text += fmt::format("#if !{}\n#error \"expected another core\"\n#endif\n", macro);
    text += R"(#define ONCE(kernel, type, more, arguments) \
  static __attribute__((noinline, noclone)) void run_##kernel(const type* p, const int8_t* x, int8_t* y more) { mm_##kernel arguments; }
#define TABLE , const int8_t* table, uint32_t* columns
#define COLUMNS , uint32_t* columns
)" + prelude + R"(static int check(const int8_t* output, const int8_t* expected, int32_t n) {
  for (int32_t i = 0; i < 16; ++i) if (output[i] != 0x5a || output[16 + n + i] != 0x5a) return 1;
  for (int32_t i = 0; i < n; ++i) if (output[16 + i] != expected[i]) return 1;
  return 0;
}
static int check_scratch(const uint32_t* scratch, int32_t n) {
  for (int32_t i = 0; i < 4; ++i) if (scratch[i] != 0x5a5a5a5au || scratch[4 + n + i] != 0x5a5a5a5au) return 1;
  return 0;
}
)" + text_ + "static int (*const cases[])(void) = {";
    for (int i = 0; i < count; ++i) text += fmt::format("case_{},", i);
    return text + R"(};
int main(void) {
  int wrong = 0, ran = 0;
  for (uint32_t i = 0; i < sizeof cases / sizeof *cases; ++i, ++ran) {
    if (!cases[i]()) continue;
    if (++wrong <= 8) mm_report("wrong", i);
  }
  mm_report("ran", (uint32_t)ran);
  return wrong ? 1 : 0;
}
)";
  }

 private:
  std::string text_;
};

struct Layer {
  std::vector<std::int8_t> input, weights;
  std::vector<std::int32_t> bias;
  Requantization scales;

  // Now and then dead channels, wild biases, factors of 1/2 and more, and weights of -128.
  template <class Params>
  void fill(Random& random, Params& p, std::size_t in, int channels, int filter, bool shared = false) {
    input = naive::bytes(random, in);
    weights = naive::bytes(random, static_cast<std::size_t>(channels * filter));
    for (auto& w : weights)
      if (w == -128 && random.below(8) != 0) w = -127;
    bias = naive::biases(random, channels);
    if (bias.empty()) bias.assign(static_cast<std::size_t>(channels), 0);
    if (random.below(8) != 0)
      for (auto& b : bias) b = pick(random, -200000, 200000);
    for (int o = 0; o < (shared ? 1 : channels); ++o) {
      scales.multiplier.push_back(naive::multiplier(random));
      scales.shift.push_back(static_cast<std::int8_t>(std::clamp(naive::shift(random, filter * 2000.0), -31, -1)));
      if (random.below(40) == 0) scales.shift.back() = static_cast<std::int8_t>(pick(random, -31, 2));
    }
    if (!shared && random.below(4) == 0) {  // a dead channel
      const auto o = random.below(static_cast<std::uint32_t>(channels));
      bias[o] = random.below(2) != 0 ? 1073741824 : -1073741824;
      scales.shift[o] = static_cast<std::int8_t>(pick(random, -31, -20));
    }
    p.input_offset = pick(random, -127, 128);
    p.output_offset = pick(random, -128, 127);
    naive::limits(random, &p.act_min, &p.act_max);
    if (random.below(3) == 0) {  // as behind a ReLU
      p.act_min = p.output_offset;
      p.act_max = 127;
    }
    p.weights = weights.data();
    p.bias = bias.data();
    p.multiplier = scales.multiplier.data();
    p.shift = scales.shift.data();
  }
};

template <class Params>
void geometry(Random& random, Params& p) {
  p.in_h = pick(random, 1, 9);
  p.in_w = pick(random, 1, 9);
  const bool three = random.below(2) != 0;
  p.kernel_h = three ? 3 : pick(random, 1, 5);
  p.kernel_w = three ? 3 : pick(random, 1, 5);
  p.stride_h = pick(random, 1, 3);
  p.stride_w = pick(random, 1, 3);
  p.dilation_h = random.below(4) == 0 ? pick(random, 2, 3) : 1;
  p.dilation_w = random.below(4) == 0 ? pick(random, 2, 3) : 1;
  p.pad_top = pick(random, 0, p.kernel_h + 1);
  p.pad_left = pick(random, 0, p.kernel_w + 1);
  const auto size = [&](int in, int kernel, int stride, int dilation, int before) {
    return std::max(1, (in + before + pick(random, 0, kernel + 1) - dilation * (kernel - 1) - 1) / stride + 1);
  };
  p.out_h = size(p.in_h, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top);
  p.out_w = size(p.in_w, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left);
}

// The largest offset(output) - offset(input) at which pixels may be written as soon as their own and earlier windows are read.
template <class Params>
int overlap(const Params& p) {
  const auto first = [](int origin, int dilation) { return origin < 0 ? (-origin + dilation - 1) / dilation * dilation + origin : origin; };
  int most = p.in_h * p.in_w * p.in_c;
  for (int q = 0; q < p.out_h * p.out_w; ++q) {
    const int y = first(q / p.out_w * p.stride_h - p.pad_top, p.dilation_h), x = first(q % p.out_w * p.stride_w - p.pad_left, p.dilation_w);
    if (y < p.in_h && x < p.in_w) most = std::min(most, (y * p.in_w + x) * p.in_c - q * p.out_c);
  }
  return std::max(most, -p.out_h * p.out_w * p.out_c);
}

template <class Pack, class Params>
void add_case(const Pack& pack, Cases& cases, std::string_view kernel, const Params& p, const Layer& layer,
              std::string_view geometry_text, const std::vector<std::int8_t>& expected, std::string more = "",
              const std::string& constants_more = "") {
  const std::optional<PackedWeights> packed = pack(p, layer.scales, layer.weights, layer.bias);
  if (!packed) {
    ++cases.refused;
    return;
  }
  cases.wide += packed->wide;
  const int n = cases.count;
  const std::string constants = constants_more + cases.array("input", layer.input) +
                                cases.array("weights", packed->bytes, "__attribute__((aligned(4))) ") +
                                (packed->bias.empty()
                                     ? fmt::format("#define bias_{0} NULL\n#define multiplier_{0} NULL\n#define shift_{0} NULL\n", n)
                                     : cases.array("bias", packed->bias) + cases.array("multiplier", packed->requantization.multiplier) +
                                           cases.array("shift", packed->requantization.shift));
  std::string input = fmt::format("input_{}", n), output = "out", before, after;
  if constexpr (requires { p.stride_h; }) {
    if (cases.overlapping) {
      const int d = overlap(p), at = std::max(0, -d), to = std::max(0, d);
      const auto in_bytes = layer.input.size(), out_bytes = expected.size();
      before = fmt::format("static int8_t arena[{}];\n  memcpy(arena + {}, input_{}, {});\n  ",
                           std::max(in_bytes + static_cast<std::size_t>(at), out_bytes + static_cast<std::size_t>(to)), at, n, in_bytes);
      input = fmt::format("arena + {}", at);
      output = fmt::format("arena + {}", to);
      after = fmt::format("\n  memcpy(out, {}, {});", output, out_bytes);
    }
  }
  cases.add(constants,
            fmt::format("static const mm_{0}_params p = {{{1}, .input_offset = {2}, .output_offset = {3}, .act_min = {4}, "
                        ".act_max = {5}, .weights = weights_{6}, .bias = bias_{6}, .multiplier = multiplier_{6}, .shift = shift_{6}}};\n"
                        "  {9}run_{8}_{13}{0}(&p, {10}, {11}{7});{12}",
                        kernel, geometry_text, p.input_offset, p.output_offset, p.act_min, p.act_max, n,
                        more + (packed->column_words > 0 ? ", columns" : ""), cases.prefix, before, input, output, after,
                        packed->wide ? "wide_" : ""),
            packed->column_words, expected);
}

template <class Params>
std::string window_text(const Params& p) {
  return fmt::format(
      ".in_h = {}, .in_w = {}, .in_c = {}, .out_h = {}, .out_w = {}, .out_c = {}, .kernel_h = {}, .kernel_w = {}, .stride_h = {}, "
      ".stride_w = {}, .dilation_h = {}, .dilation_w = {}, .pad_top = {}, .pad_left = {}",
      p.in_h, p.in_w, p.in_c, p.out_h, p.out_w, p.out_c, p.kernel_h, p.kernel_w, p.stride_h, p.stride_w, p.dilation_h, p.dilation_w,
      p.pad_top, p.pad_left);
}

// Now and then every output byte goes through a table.
template <class Params>
void with_table(Random& random, const Cases& cases, const Params& p, std::vector<std::int8_t>& expected, std::string& argument,
                std::string& constants) {
  if (!cases.tables) return;
  argument = ", NULL";
  if (p.act_min > -128 || p.act_max < 127 || random.below(2) == 0) return;
  const auto bytes = naive::bytes(random, 256);
  for (auto& v : expected) v = bytes[static_cast<std::size_t>(v + 128)];
  constants = cases.array("table", bytes);
  argument = fmt::format(", table_{} + 128", cases.count);
}

template <class Pack>
void convolution(const Pack& pack, Random& random, Cases& cases, bool pointwise, bool grouped = false) {
  mm_conv2d_s8_params p{};
  if (pointwise) {
    p.in_h = p.out_h = pick(random, 1, 5);
    p.in_w = p.out_w = pick(random, 1, 5);
    p.kernel_h = p.kernel_w = p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = 1;
    p.in_c = random.below(6) == 0 ? pick(random, 250, 800) : pick(random, 1, 70);  // several chunks
  } else {
    geometry(random, p);
    p.in_c = random.below(2) == 0 ? 4 * pick(random, 1, 8) : pick(random, 1, 13);
    if (random.below(12) == 0) p.in_c = pick(random, 30, 90);  // windows of which only one is held, or none
  }
  p.groups = 1;
  p.out_c = random.below(2) == 0 ? 4 * pick(random, 1, 3) : pick(random, 1, 11);
  if (random.below(25) == 0) p.out_c = pick(random, 60, 140);  // sums of several runs of channels
  if (grouped) {
    p.groups = pick(random, 2, 4);
    p.in_c = p.groups * pick(random, 1, 20);
    p.out_c *= p.groups;
  }
  Layer layer;
  layer.fill(random, p, static_cast<std::size_t>(p.in_h * p.in_w * p.in_c), p.out_c, p.kernel_h * p.kernel_w * p.in_c / p.groups);
  std::vector<std::int8_t> expected(static_cast<std::size_t>(p.out_h * p.out_w * p.out_c));
  mm_conv2d_s8(&p, layer.input.data(), expected.data());
  std::string more, table;
  with_table(random, cases, p, expected, more, table);
  add_case(pack, cases, "conv2d_s8", p, layer, window_text(p) + fmt::format(", .groups = {}", p.groups), expected, more, table);
}

template <class Pack>
void depthwise(const Pack& pack, Random& random, Cases& cases) {
  mm_depthwise_conv2d_s8_params p{};
  geometry(random, p);
  p.in_c = p.out_c = random.below(2) == 0 ? 4 * pick(random, 1, 6) : pick(random, 1, 19);
  if (random.below(20) == 0) p.in_c = p.out_c = pick(random, 120, 300);
  Layer layer;
  layer.fill(random, p, static_cast<std::size_t>(p.in_h * p.in_w * p.in_c), p.out_c, p.kernel_h * p.kernel_w);
  std::vector<std::int8_t> expected(static_cast<std::size_t>(p.out_h * p.out_w * p.out_c));
  mm_depthwise_conv2d_s8(&p, layer.input.data(), expected.data());
  std::string more, table;
  with_table(random, cases, p, expected, more, table);
  add_case(pack, cases, "depthwise_conv2d_s8", p, layer, window_text(p), expected, more, table);
}

template <class Pack>
void linear(const Pack& pack, Random& random, Cases& cases) {
  mm_linear_s8_params p{};
  p.in_features = random.below(3) == 0 ? pick(random, 250, 1600) : pick(random, 1, 90);
  p.out_features = random.below(10) == 0 ? pick(random, 60, 140) : pick(random, 1, 14);
  p.per_channel = pick(random, 0, 1);
  Layer layer;
  layer.fill(random, p, static_cast<std::size_t>(p.in_features), p.out_features, p.in_features, p.per_channel == 0);
  std::vector<std::int8_t> expected(static_cast<std::size_t>(p.out_features));
  mm_linear_s8(&p, layer.input.data(), expected.data());
  add_case(pack, cases, "linear_s8", p, layer,
           fmt::format(".in_features = {}, .out_features = {}, .per_channel = {}", p.in_features, p.out_features, p.per_channel),
           expected);
}

inline void addition(Random& random, Cases& cases) {
  mm_add_s8_params p{};
  p.count = pick(random, 1, 200);
  p.left_shift = 20;
  p.input1_multiplier = p.input2_multiplier = 1 << 30;
  if (const auto kind = random.below(8); kind > 0) {  // the other scale is smaller, or (rarely) no scale is the larger
    (kind & 1 ? p.input1_multiplier : p.input2_multiplier) = naive::multiplier(random);
    (kind & 1 ? p.input1_shift : p.input2_shift) = pick(random, -9, random.below(4) == 0 ? 0 : -1);
  }
  p.input1_offset = pick(random, -127, 128);
  p.input2_offset = pick(random, -127, 128);
  p.output_offset = pick(random, -128, 127);
  p.output_multiplier = naive::multiplier(random);
  p.output_shift = pick(random, -21, -17);
  naive::limits(random, &p.act_min, &p.act_max);
  const auto a = naive::bytes(random, static_cast<std::size_t>(p.count)), b = naive::bytes(random, static_cast<std::size_t>(p.count));
  std::vector<std::int8_t> expected(a.size());
  mm_add_s8(&p, a.data(), b.data(), expected.data());
  const int n = cases.count;
  cases.add(cases.array("a", a) + cases.array("b", b),
            fmt::format("static const mm_add_s8_params p = {{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, 20}};\n  "
                        "mm_add_s8(&p, a_{}, b_{}, out);",
                        p.count, p.input1_offset, p.input1_multiplier, p.input1_shift, p.input2_offset, p.input2_multiplier,
                        p.input2_shift, p.output_offset, p.output_multiplier, p.output_shift, p.act_min, p.act_max, n, n),
            0, expected);
}

// One of the kernels without weights: pools, mean, mul, table. They have no form of their own, only faster loops.
inline void weightless(Random& random, Cases& cases) {
  const int h = pick(random, 1, 7), w = pick(random, 1, 7), c = pick(random, 1, 40);
  const auto input = naive::bytes(random, static_cast<std::size_t>(h * w * c));
  const int n = cases.count;
  const std::string constants = cases.array("input", input);
  const auto add = [&](const std::string& kernel, const std::string& params, const std::vector<std::int8_t>& expected,
                       const std::string& more = "", const std::string& inputs = "") {
    cases.add(constants + more,
              fmt::format("static const mm_{0}_params p = {{{1}}};\n  mm_{0}(&p, {2}, out);", kernel, params,
                          inputs.empty() ? fmt::format("input_{}", n) : inputs),
              0, expected);
  };
  const auto pool = [&](auto p, const std::string& kernel, auto run) {
    p.in_h = h, p.in_w = w, p.channels = c;
    p.kernel_h = pick(random, 1, 5), p.kernel_w = pick(random, 1, 5);
    p.stride_h = pick(random, 1, 3), p.stride_w = pick(random, 1, 3);
    p.pad_top = pick(random, 0, p.kernel_h), p.pad_left = pick(random, 0, p.kernel_w);
    p.out_h = pick(random, 1, 6), p.out_w = pick(random, 1, 6);
    naive::limits(random, &p.act_min, &p.act_max);
    std::vector<std::int8_t> expected(static_cast<std::size_t>(p.out_h * p.out_w * c));
    run(&p, input.data(), expected.data());
    add(kernel,
        fmt::format("{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}", h, w, c, p.out_h, p.out_w, p.kernel_h, p.kernel_w, p.stride_h,
                    p.stride_w, p.pad_top, p.pad_left, p.act_min, p.act_max),
        expected);
  };
  switch (random.below(6)) {
    case 0: return pool(mm_max_pool2d_s8_params{}, "max_pool2d_s8", mm_max_pool2d_s8);
    case 1: return pool(mm_average_pool2d_s8_params{}, "average_pool2d_s8", mm_average_pool2d_s8);
    case 2: {
      const mm_adaptive_average_pool2d_s8_params p = {h, w, c, pick(random, 1, 8), pick(random, 1, 8)};
      std::vector<std::int8_t> expected(static_cast<std::size_t>(p.out_h * p.out_w * c));
      mm_adaptive_average_pool2d_s8(&p, input.data(), expected.data());
      return add("adaptive_average_pool2d_s8", fmt::format("{}, {}, {}, {}, {}", h, w, c, p.out_h, p.out_w), expected);
    }
    case 3: {
      const mm_mean_s8_params p = {h, w, c, pick(random, -128, 127), pick(random, -128, 127), naive::multiplier(random), pick(random, -6, 2)};
      std::vector<std::int8_t> expected(static_cast<std::size_t>(c));
      mm_mean_s8(&p, input.data(), expected.data());
      return add("mean_s8",
                 fmt::format("{}, {}, {}, {}, {}, {}, {}", h, w, c, p.input_zero_point, p.output_zero_point, p.multiplier, p.shift), expected);
    }
    case 4: {
      const auto table = naive::bytes(random, 256);
      std::vector<std::int8_t> expected(input.size());
      const mm_table_s8_params p = {static_cast<std::int32_t>(input.size()), table.data()};
      mm_table_s8(&p, input.data(), expected.data());
      return add("table_s8", fmt::format("{}, table_{}", input.size(), n), expected, cases.array("table", table));
    }
    default: {
      mm_mul_s8_params p{};
      p.out_h = h, p.out_w = w, p.out_c = c;
      p.stride1_h = w * c, p.stride1_w = c, p.stride1_c = 1;
      if (const auto kind = random.below(4); kind == 0) {
        p.stride2_h = w * c, p.stride2_w = c, p.stride2_c = 1;
      } else if (kind == 1) {  // a gate
        p.stride2_c = 1;
      } else if (kind == 2) {  // spatial attention
        p.stride2_h = w, p.stride2_w = 1;
      }
      p.input1_offset = pick(random, -127, 128), p.input2_offset = pick(random, -127, 128), p.output_offset = pick(random, -128, 127);
      p.multiplier = naive::multiplier(random), p.shift = pick(random, -12, random.below(4) == 0 ? 3 : -4);
      naive::limits(random, &p.act_min, &p.act_max);
      const auto other = naive::bytes(random, input.size());
      std::vector<std::int8_t> expected(input.size());
      mm_mul_s8(&p, input.data(), other.data(), expected.data());
      return add("mul_s8",
                 fmt::format("{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}", h, w, c, p.stride1_h, p.stride1_w, p.stride1_c,
                             p.stride2_h, p.stride2_w, p.stride2_c, p.input1_offset, p.input2_offset, p.output_offset, p.multiplier,
                             p.shift, p.act_min, p.act_max),
                 expected, cases.array("other", other), fmt::format("input_{0}, other_{0}", n));
    }
  }
}

// Runs them on an emulated core.
inline void run_cases(const Cases& cases, const std::string& core) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "c");
  write_atomic(folder.path() / "c/cases.c", cases.source());
  const Target target = emulation_target(load_target(core));
  BuildOptions options;
  options.include_folders = {std::filesystem::path(MICROMIND_SOURCE_DIR) / "runtime"};
  options.optimisation = "-O1";
  const BuildResult built = build_image(target, folder.path() / "c", folder.path() / "build", options);
  const EmulatorResult result = run_on_emulator(target, built.elf, {.folder = folder.path()});
  EXPECT_EQ(result.exit_status, 0) << result.output;
  if (result.exit_status != 0)
    if (const char* keep = std::getenv("MICROMIND_KEEP_CASES")) write_atomic(keep, cases.source());
  EXPECT_EQ(result.report("ran"), cases.count);
}

}  // namespace micromind::layer_cases
