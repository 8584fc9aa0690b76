// Networks of others, and our own files, through the ONNX reader.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "formats/sample_models.h"
#include "micromind/base/process.h"
#include "micromind/cost/count.h"
#include "micromind/formats/onnx.h"
#include "micromind/formats/onnx_builder.h"
#include "micromind/formats/tflite.h"
#include "micromind/lower/lower.h"
#include "micromind/networks/registry.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/quantize/executor.h"
#include "micromind/reference/reference.h"

namespace micromind {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kPython = "/usr/bin/python3";  // Debian's, which has python3-torch

std::vector<float> floats_of(const std::filesystem::path& file) {
  const Bytes bytes = read_bytes(file);
  std::vector<float> out(bytes.size() / 4);
  std::memcpy(out.data(), bytes.data(), out.size() * 4);
  return out;
}

std::vector<float> run_float(const Model& m, const std::vector<float>& input) {
  Array x(ElementType::float32, m.graph.shape(m.graph.inputs()[0].value));
  EXPECT_EQ(x.elements(), static_cast<std::int64_t>(input.size()));
  std::copy(input.begin(), input.end(), x.values<float>().begin());
  const Arrays out = run_reference(m.graph, m.weights, {{m.graph.inputs()[0].name, x}});
  const auto y = out.at(m.graph.outputs()[0].name).values<float>();
  return {y.begin(), y.end()};
}

std::vector<float> random_input(const Model& m) {
  Random random(4);
  std::vector<float> x(static_cast<std::size_t>(m.graph.shape(m.graph.inputs()[0].value).elements()));
  for (float& v : x) v = random.normal();
  return x;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::abs(double{a[i]} - b[i]) / std::max(1.0, std::abs(double{a[i]})));
  return largest;
}

int count(const Graph& g, std::string_view op) {
  int n = 0;
  for (const Node& node : g.nodes()) n += op_name(node.op) == op;
  return n;
}

int count(const Graph& g, Function f) {
  int n = 0;
  for (const Node& node : g.nodes())
    if (const auto* a = std::get_if<Activation>(&node.op)) n += a->function == f;
  return n;
}

// --- PyTorch's exports ---------------------------------------------------------------------------------------

TEST(OnnxFromPyTorch, ComputesWhatPyTorchComputes) {
  if (!std::filesystem::exists(kPython) || run_process({kPython, "-c", "import torch"}).exit_status != 0) GTEST_SKIP() << "no python3-torch";
  TemporaryFolder folder;
  const std::vector<std::string> opsets = {"9", "11", "13", "13d", "17"};  // d: with a free batch
  std::vector<std::string> arguments = {kPython, "tests/formats/torch_networks.py", folder.path()};
  arguments.insert(arguments.end(), opsets.begin(), opsets.end());
  const ProcessResult r = run_process(arguments);
  ASSERT_EQ(r.exit_status, 0) << r.err;
  for (const std::string& opset : opsets)
    for (const std::string name : {"Plain", "Mobile", "Paths", "Normalised", "Dense"}) {
      SCOPED_TRACE(opset + " " + name);
      const std::filesystem::path stem = folder.path() / opset / name;
      const Model m = read_onnx(stem.string() + ".onnx");
      EXPECT_FALSE(is_quantized(m));
      EXPECT_LT(distance(floats_of(stem.string() + ".output.bin"), run_float(m, floats_of(stem.string() + ".input.bin"))), 1e-4);
      EXPECT_NO_THROW(lower(m.graph));
      if (name == "Mobile") {
        EXPECT_EQ(count(m.graph, Function::hard_swish), 4);
        EXPECT_EQ(count(m.graph, Function::silu), 1);
        EXPECT_EQ(count(m.graph, "linear"), 1);  // the linear layers of squeeze-excite stay on images
        EXPECT_EQ(count(m.graph, "flatten"), 1);
        EXPECT_GE(m.graph.find_node("head"), 0);
      }
      if (name == "Paths") {
        EXPECT_EQ(count(m.graph, "split"), 3);  // slices of one tensor are one split
      }
    }
}

// --- our own files -------------------------------------------------------------------------------------------

TEST(OnnxRead, FloatNetworksOfEveryFamilyComeBack) {
  for (const NetworkFamily& family : network_families()) {
    SCOPED_TRACE(family.name);
    Model m;
    nlohmann::json options = nlohmann::json::object();
    const bool image = family.defaults.contains("input_shape") && family.defaults.at("input_shape").size() == 3;
    if (image) options["input_shape"] = {3, 32, 32};
    if (family.defaults.contains("include_top")) options["include_top"] = true;
    m.graph = build_network(family.name, options);
    m.weights = initial_weights(m.graph, 3);
    const Model back = onnx_from_bytes(to_onnx(m), "back.onnx");
    EXPECT_EQ(count_parameters(back.graph), count_parameters(m.graph));
    const std::vector<float> x = random_input(m);
    EXPECT_LT(distance(run_float(m, x), run_float(back, x)), 1e-5);
    for (const auto& [name, array] : m.weights)
      EXPECT_TRUE(!name.ends_with(".weight") || back.weights.contains(name)) << name;
  }
}

TEST(OnnxRead, Int8ComesBackAsTheSameModel) {
  const Model m = every_int8_operator();
  const Model back = onnx_from_bytes(to_onnx(m), "back.onnx");
  ASSERT_TRUE(is_quantized(back));
  EXPECT_EQ(back.weights.size(), m.weights.size());
  for (const auto& [name, array] : m.weights) {
    ASSERT_TRUE(back.weights.contains(name)) << name;
    EXPECT_TRUE(back.weights.at(name) == array) << name;
  }
  ASSERT_EQ(back.graph.nodes().size(), m.graph.nodes().size());
  for (std::size_t i = 0; i < m.graph.nodes().size(); ++i) {
    const Node &a = m.graph.nodes()[i], &b = back.graph.nodes()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_TRUE(a.op == b.op) << a.name;
    EXPECT_EQ(a.inputs, b.inputs) << a.name;
  }
  for (std::size_t v = 0; v < m.graph.values().size(); ++v) EXPECT_TRUE(m.graph.values()[v].type == back.graph.values()[v].type) << m.graph.value_name(static_cast<int>(v));
  Int8Executor first(m), second(back);
  Random random(2);
  for (std::size_t i = 0; i < first.input(0).size(); ++i) first.input(0)[i] = second.input(0)[i] = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
  first.run();
  second.run();
  for (std::size_t k = 0; k < 2; ++k) EXPECT_TRUE(std::equal(first.output(k).begin(), first.output(k).end(), second.output(k).begin()));
}

TEST(OnnxRead, RealInt8ModelsKeepTheirBytes) {
  const auto folder = data_folder() / "mlperf_tiny" / "models";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no MLPerf Tiny models below " << data_folder();
  for (const char* name : {"ad01_int8", "kws_ref_model", "ic_pretrainedResnet_quant", "vww_96_int8"}) {
    SCOPED_TRACE(name);
    const Model m = read_tflite(folder / (std::string(name) + ".tflite"));
    const Model back = onnx_from_bytes(to_onnx(m), "back.onnx");
    EXPECT_EQ(to_tflite(back), to_tflite(m));
  }
}

// --- quantised networks of others ------------------------------------------------------------------------------

// A QDQ network written by hand: uint8 activations, a float interface, a float bias, linear weights (in, out), flatten in
// (C, H, W) order.
TEST(OnnxRead, QdqOfOthersBecomesInt8) {
  OnnxBuilder b("theirs");
  Random random(1);
  const auto scalar = [&](const std::string& name, float v) { return b.constant(name, {}, std::span<const float>(&v, 1)); };
  std::vector<float> conv(2 * 3 * 3 * 3), fc(4 * 8), bias = {0.5f, -0.25f};
  for (float& v : conv) v = 0.2f * random.normal();
  for (float& v : fc) v = 0.2f * random.normal();
  const std::vector<float> scales = {0.005f, 0.004f};
  const std::vector<std::int8_t> zeros = {0, 0}, zero = {0};
  b.input("x", {{3, 4, 4}, ElementType::float32, {}});
  b.output("y", {{4}, ElementType::float32, {}});
  const auto pair = [&](const std::string& from, const std::string& to, float scale, std::int8_t z) {
    const std::vector<std::int8_t> zp = {z};
    const std::string s = scalar(to + ".s", scale), zn = b.constant(to + ".z", {}, std::span<const std::int8_t>(zp));
    b.node("QuantizeLinear", to + ".q", {from, s, zn}, {to + ".i"});
    b.node("DequantizeLinear", to + ".dq", {to + ".i", s, zn}, {to});
  };
  pair("x", "xq", 0.02f, 3);
  const std::string cs = b.constant("cs", {2}, std::span<const float>(scales)), cz = b.constant("cz", {2}, std::span<const std::int8_t>(zeros));
  b.node("QuantizeLinear", "cq", {b.constant("conv.weight", {2, 3, 3, 3}, std::span<const float>(conv)), cs, cz}, {"cwi"}, {{"axis", std::int64_t{0}}});
  b.node("DequantizeLinear", "cdq", {"cwi", cs, cz}, {"cw"}, {{"axis", std::int64_t{0}}});
  b.node("Conv", "conv", {"xq", "cw", b.constant("conv.bias", {2}, std::span<const float>(bias))}, {"c"});
  b.node("Relu", "relu", {"c"}, {"r"});
  pair("r", "rq", 0.03f, -128);
  b.node("Flatten", "flat", {"rq"}, {"f"});
  const std::string fs = scalar("fs", 0.006f), fz = b.constant("fz", {}, std::span<const std::int8_t>(zero));
  b.node("QuantizeLinear", "fq", {b.constant("fc.w", {8, 4}, std::span<const float>(fc)), fs, fz}, {"fwi"});
  b.node("DequantizeLinear", "fdq", {"fwi", fs, fz}, {"fw"});
  b.node("MatMul", "fc", {"f", "fw"}, {"m"});
  pair("m", "y", 0.05f, 1);
  const Model m = onnx_from_bytes(b.finish(), "theirs.onnx");
  ASSERT_TRUE(is_quantized(m));
  EXPECT_EQ(std::get<Conv2d>(m.graph.nodes()[0].op).activation, Function::relu);
  // By hand, in float, rounding where the file rounds.
  std::vector<float> x(48);
  for (float& v : x) v = random.normal();
  const auto through = [](double v, double s, int z) { return (std::clamp(std::nearbyint(v / s) + z, -128.0, 127.0) - z) * s; };
  std::vector<double> r;
  for (int o = 0; o < 2; ++o)
    for (int y = 0; y < 2; ++y)
      for (int w = 0; w < 2; ++w) {
        double sum = bias[static_cast<std::size_t>(o)];
        for (int c = 0; c < 3; ++c)
          for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j)
              sum += through(x[static_cast<std::size_t>((c * 4 + y + i) * 4 + w + j)], 0.02f, 3) * through(conv[static_cast<std::size_t>(((o * 3 + c) * 3 + i) * 3 + j)], scales[static_cast<std::size_t>(o)], 0);
        r.push_back(through(std::max(0.0, sum), 0.03f, -128));
      }
  Int8Executor executor(m);
  executor.set_input(0, x);
  executor.run();
  const std::vector<float> found = executor.output_as_float(0);
  for (int o = 0; o < 4; ++o) {
    double sum = 0;
    for (int i = 0; i < 8; ++i) sum += r[static_cast<std::size_t>(i)] * through(fc[static_cast<std::size_t>(i * 4 + o)], 0.006f, 0);
    EXPECT_NEAR(found[static_cast<std::size_t>(o)], through(sum, 0.05f, 1), 0.0501) << o;
  }
}

// --- what cannot be read ----------------------------------------------------------------------------------------

TEST(OnnxRead, ListsEverythingAtOnce) {
  OnnxBuilder b("odd");
  const std::vector<float> w(4 * 3 * 9, 0.1f);
  b.input("x", {{3, 8, 8}, ElementType::float32, {}});
  b.output("y", {{4, 6, 6}, ElementType::float32, {}});
  b.node("Tanh", "first", {"x"}, {"a"});
  b.node("Conv", "second", {"x", b.constant("w", {4, 3, 3, 3}, std::span<const float>(w))}, {"b"}, {{"group", std::int64_t{1}}});
  b.node("LeakyRelu", "third", {"b"}, {"c"});
  b.node("MaxPool", "fourth", {"x"}, {"d"}, {{"kernel_shape", OnnxInts{3, 3}}, {"dilations", OnnxInts{2, 2}}, {"pads", OnnxInts{2, 2, 2, 2}}});
  b.node("Conv", "fifth", {"a", "w"}, {"e"});
  b.node("Conv", "sixth", {"d", "w"}, {"s"});
  b.node("Add", "join", {"c", "e"}, {"j"});
  b.node("Add", "join2", {"j", "s"}, {"y"});
  const std::string error = error_of([&] { onnx_from_bytes(b.finish(), "odd.onnx"); });
  EXPECT_THAT(error, HasSubstr("3 things cannot be read"));
  EXPECT_THAT(error, HasSubstr("Tanh 'first': no such operator in micromind"));
  EXPECT_THAT(error, HasSubstr("LeakyRelu 'third'"));
  EXPECT_THAT(error, HasSubstr("MaxPool 'fourth': its dilations are not 1"));
  EXPECT_THAT(error, Not(HasSubstr("fifth")));  // what only follows from the others is not listed
}

TEST(OnnxRead, NamesLayersThatAreNotQuantised) {
  OnnxBuilder b("half");
  const std::vector<float> w(2 * 3, 0.1f);
  const float scale = 0.1f;
  const std::vector<std::int8_t> zero = {0};
  b.input("x", {{3}, ElementType::float32, {}});
  b.output("y", {{2}, ElementType::float32, {}});
  const std::string s = b.constant("s", {}, std::span<const float>(&scale, 1)), z = b.constant("z", {}, std::span<const std::int8_t>(zero));
  b.node("QuantizeLinear", "q", {"x", s, z}, {"i"});
  b.node("DequantizeLinear", "dq", {"i", s, z}, {"d"});
  b.node("Gemm", "fc", {"d", b.constant("fc.weight", {2, 3}, std::span<const float>(w))}, {"y"}, {{"transB", std::int64_t{1}}});
  const std::string error = error_of([&] { onnx_from_bytes(b.finish(), "half.onnx"); });
  EXPECT_THAT(error, HasSubstr("Gemm 'fc': its weights are not quantised"));
  EXPECT_THAT(error, HasSubstr("every operator must be quantised"));
}

TEST(OnnxRead, SaysWhatIsDamaged) {
  EXPECT_THAT(error_of([] { onnx_from_bytes({}, "empty.onnx"); }), HasSubstr("empty.onnx is no .onnx file"));
  const Bytes noise = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_THAT(error_of([&] { onnx_from_bytes(noise, "noise.onnx"); }), HasSubstr("noise.onnx"));
  const Bytes good = to_onnx(every_int8_operator());
  for (std::size_t n = 0; n < good.size(); n += n < 200 ? 1 : 211)
    EXPECT_THROW(onnx_from_bytes(std::span(good).first(n), "cut.onnx"), Error) << n;
  EXPECT_THAT(error_of([] { read_onnx("/nowhere/model.onnx"); }), HasSubstr("/nowhere/model.onnx"));
}

TEST(OnnxRead, RefusesTensorsOutsideTheFolder) {
  if (!std::filesystem::exists(kPython) || run_process({kPython, "-c", "import onnx"}).exit_status != 0) GTEST_SKIP() << "no python3-onnx";
  TemporaryFolder folder;
  Graph g("dense");
  const int x = g.add_input("x", {8});
  g.add_output("y", g.add("fc", Linear{.out_features = 64}, {x}));
  const Model m{g, random_weights(g)};
  write_onnx(m, folder.path() / "inside.onnx");
  const char* script = R"(
import sys, onnx
from onnx.external_data_helper import convert_model_to_external_data
f = sys.argv[1]
m = onnx.load(f + "/inside.onnx")
convert_model_to_external_data(m, all_tensors_to_one_file=True, location="weights.bin", size_threshold=0)
onnx.save(m, f + "/model.onnx")
for name, place in (("up", "../weights.bin"), ("absolute", "/etc/passwd"), ("link", "link.bin"), ("absent", "none.bin"), ("far", "weights.bin")):
    for t in m.graph.initializer:
        for e in t.external_data:
            if e.key == "location": e.value = place
            if e.key == "offset" and name == "far": e.value = "99999999"
    open(f + "/" + name + ".onnx", "wb").write(m.SerializeToString())
)";
  const ProcessResult r = run_process({kPython, "-c", script, folder.path()});
  ASSERT_EQ(r.exit_status, 0) << r.err;
  std::filesystem::create_symlink("/etc/hostname", folder.path() / "link.bin");
  const Model back = read_onnx(folder.path() / "model.onnx");
  EXPECT_TRUE(back.weights.at("fc.weight") == m.weights.at("fc.weight"));
  EXPECT_THAT(error_of([&] { onnx_from_bytes(read_bytes(folder.path() / "model.onnx"), "model.onnx"); }), HasSubstr("stored in another file"));
  for (const char* name : {"up", "absolute"}) EXPECT_THAT(error_of([&] { read_onnx(folder.path() / (std::string(name) + ".onnx")); }), HasSubstr("expected the name of a file in the model's folder"));
  for (const char* name : {"link", "absent"}) EXPECT_THAT(error_of([&] { read_onnx(folder.path() / (std::string(name) + ".onnx")); }), HasSubstr("no file in the model's folder"));
  EXPECT_THAT(error_of([&] { read_onnx(folder.path() / "far.onnx"); }), HasSubstr("behind the end"));
}

}  // namespace
}  // namespace micromind
