#include "micromind/formats/onnx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "formats/sample_models.h"
#include "micromind/base/process.h"
#include "micromind/formats/tflite.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/registry.h"
#include "micromind/quantize/executor.h"
#include "micromind/quantize/post_training.h"
#include "micromind/reference/reference.h"

namespace micromind {
namespace {

using testing::HasSubstr;
using nlohmann::json;

constexpr const char* kPython = "/usr/bin/python3";  // Debian's, which has python3-onnx and python3-torch

constexpr const char* kNoRuntime = "no onnxruntime-node: scripts/test_packages.sh build fetches it (npm)";

bool python_has(const char* module) {
  return std::filesystem::exists(kPython) && run_process({kPython, "-c", std::string("import ") + module}).exit_status == 0;
}

bool node_has_onnxruntime() {
  setenv("NODE_PATH", (std::filesystem::path(MICROMIND_BINARY).parent_path() / "node" / "node_modules").c_str(), /*overwrite=*/0);
  return find_program("node") && run_process({"node", "-e", "require('onnxruntime-node')"}).exit_status == 0;
}

Model every_float_operator() {
  Graph g("every");
  const int image = g.add_input("image", {3, 17, 16});
  int x = g.add("pad", Pad{{0, 1, 0, 1}}, {image});
  x = g.add("conv", Conv2d{.out_channels = 8, .kernel = {3, 5}, .stride = 2, .padding = {1, 1, 2, 2}, .bias = false}, {x});  // 9×9
  x = g.add("norm", BatchNorm{.eps = 1e-3f}, {x});
  x = g.add("act", Activation{Function::hard_swish}, {x});
  x = g.add("drop", Dropout{.p = 0.05f}, {x});
  const int skip = x;
  x = g.add("depthwise", Conv2d{.out_channels = 16, .kernel = 3, .dilation = 2, .padding = 2, .groups = 8, .activation = Function::relu6}, {x});
  x = g.add("grouped", Conv2d{.out_channels = 8, .kernel = 1, .groups = 4, .activation = Function::relu}, {x});
  x = g.add("silu", Activation{Function::silu}, {x});
  int s = g.add("se.pool", AdaptiveAvgPool2d{}, {x});
  s = g.add("se.conv", Conv2d{.out_channels = 8}, {s});
  s = g.add("se.gate", Activation{Function::hard_sigmoid}, {s});
  x = g.add("se.scale", Multiply{}, {x, s});
  x = g.add("residual", Add{Function::relu}, {x, skip});
  const int half = g.add("split", Split{.axis = 0, .sizes = {3, 5}}, {x});
  x = g.add("concat", Concat{}, {half + 1, half});
  const int up = g.add("up", Upsample{{2, 1}}, {x});  // 18×9
  x = g.add("max", MaxPool2d{.kernel = 3, .stride = 2, .padding = 1}, {up});
  x = g.add("avg", AvgPool2d{.kernel = 3, .stride = 1, .padding = 1}, {x});  // 9×5
  const int uneven = g.add("uneven", AdaptiveAvgPool2d{{4, 3}}, {x});
  x = g.add("even", AdaptiveAvgPool2d{{3, 1}}, {x});
  x = g.add("sigmoid", Activation{Function::sigmoid}, {x});
  x = g.add("requantize", Requantize{}, {x});
  x = g.add("relu6", Activation{Function::relu6}, {x});
  x = g.add("relu", Activation{Function::relu}, {x});
  x = g.add("flatten", Flatten{}, {x});
  x = g.add("classifier", Linear{.out_features = 10}, {x});
  const int last = g.add("last_drop", Dropout{}, {x});
  x = g.add("softmax", Softmax{}, {x});
  g.add_output("probabilities", x);
  g.add_output("features", up);
  g.add_output("pooled", uneven);
  g.add_output("logits", last);  // its node vanishes
  Model model;
  model.weights = random_weights(g);
  model.graph = std::move(g);
  return model;
}

// What torch_oracle.py reads.
Bytes write_case(const Model& m, const std::filesystem::path& folder) {
  write_onnx(m, folder / "model.onnx");
  save_graph(m.graph, folder / "network.json");
  json list = json::object();
  int index = 0;
  for (const auto& [name, array] : m.weights) {
    const std::string file = fmt::format("weight{}.bin", index++);
    Bytes bytes(static_cast<std::size_t>(array.elements() * byte_size(array.element())));
    const void* data = array.element() == ElementType::float32 ? static_cast<const void*>(array.values<float>().data())
                       : array.element() == ElementType::int8  ? static_cast<const void*>(array.values<std::int8_t>().data())
                                                               : array.values<std::int32_t>().data();
    std::memcpy(bytes.data(), data, bytes.size());
    write_atomic(folder / file, std::span<const std::uint8_t>(bytes));
    list[name] = {{"file", file}, {"shape", std::vector<int>(array.shape().begin(), array.shape().end())}, {"type", to_string(array.element())}, {"scales", array.scales}};
  }
  write_atomic(folder / "weights.json", list.dump());
  Random random(3);
  const TensorType& type = m.graph.type(m.graph.inputs()[0].value);
  Bytes input(static_cast<std::size_t>(type.shape.elements() * byte_size(type.element)));
  if (type.element == ElementType::int8)
    for (auto& b : input) b = static_cast<std::uint8_t>(random.below(256));
  else
    for (std::size_t i = 0; i < input.size(); i += 4) {
      const float v = random.normal();
      std::memcpy(&input[i], &v, 4);
    }
  write_atomic(folder / "input.bin", std::span<const std::uint8_t>(input));
  return input;
}

// Largest difference between ONNX Runtime and PyTorch over all outputs, and the largest value.
struct Difference {
  double largest = 0, magnitude = 0, share = 0;  ///< share of elements that differ
  std::size_t elements = 0;
};

Difference compare(const Model& m) {
  TemporaryFolder folder;
  write_case(m, folder.path());
  const TensorType& type = m.graph.type(m.graph.inputs()[0].value);
  const bool int8 = type.element == ElementType::int8;
  ProcessResult r = run_process({kPython, "tests/formats/torch_oracle.py", folder.path()});
  EXPECT_EQ(r.exit_status, 0) << r.err;
  std::vector<std::string> arguments = {"node", "tests/formats/onnx_oracle.cjs", folder.path(), int8 ? "int8" : "float32", m.graph.inputs()[0].name};
  for (const int d : type.shape) arguments.push_back(std::to_string(d));
  r = run_process(arguments);
  EXPECT_EQ(r.exit_status, 0) << r.err;
  Difference difference;
  for (const Port& o : m.graph.outputs()) {
    const Bytes a = read_bytes(folder.path() / (o.name + ".bin")), b = read_bytes(folder.path() / (o.name + ".onnx.bin"));
    EXPECT_EQ(a.size(), b.size()) << o.name;
    EXPECT_EQ(a.size(), static_cast<std::size_t>(m.graph.shape(o.value).elements()) * (int8 ? 1 : 4)) << o.name;
    for (std::size_t i = 0; i + (int8 ? 1 : 4) <= std::min(a.size(), b.size()); i += int8 ? 1 : 4) {
      float x = static_cast<std::int8_t>(a[i]), y = static_cast<std::int8_t>(b[i]);
      if (!int8) std::memcpy(&x, &a[i], 4), std::memcpy(&y, &b[i], 4);
      difference.largest = std::max(difference.largest, std::abs(double{x} - y));
      difference.magnitude = std::max(difference.magnitude, std::abs(double{x}));
      difference.share += x != y;
      ++difference.elements;
    }
  }
  difference.share /= static_cast<double>(std::max<std::size_t>(1, difference.elements));
  return difference;
}

TEST(Onnx, FloatAgreesWithPyTorchInOnnxRuntime) {
  if (!python_has("torch")) GTEST_SKIP() << "no python3-torch";
  if (!node_has_onnxruntime()) GTEST_SKIP() << kNoRuntime;
  const Difference d = compare(every_float_operator());
  EXPECT_GT(d.magnitude, 0.5);
  EXPECT_LT(d.largest, 1e-5 * std::max(1.0, d.magnitude));
}

TEST(Onnx, Int8AgreesWithPyTorchToOneStep) {
  if (!python_has("torch")) GTEST_SKIP() << "no python3-torch";
  if (!node_has_onnxruntime()) GTEST_SKIP() << kNoRuntime;
  const Difference d = compare(every_int8_operator());
  EXPECT_GT(d.magnitude, 50);
  EXPECT_LE(d.largest, 1);
  EXPECT_LT(d.share, 0.02);
}

TEST(Onnx, ARealInt8ModelIsCloseToItsGoldenBytes) {
  const auto folder = data_folder() / "mlperf_tiny";
  if (!std::filesystem::exists(folder / "golden")) GTEST_SKIP() << "no MLPerf Tiny golden data below " << data_folder();
  if (!node_has_onnxruntime()) GTEST_SKIP() << kNoRuntime;
  for (const char* name : {"ad01_int8", "kws_ref_model", "ic_pretrainedResnet_quant"}) {
    SCOPED_TRACE(name);
    const Model m = read_tflite(folder / "models" / (std::string(name) + ".tflite"));
    const Bytes inputs = read_bytes(folder / "golden" / (std::string(name) + ".input.bin")), outputs = read_bytes(folder / "golden" / (std::string(name) + ".output.bin"));
    const Shape shape = m.graph.shape(m.graph.inputs()[0].value);
    // Theirs is (H, W, C), ONNX's (C, H, W).
    const std::size_t c = static_cast<std::size_t>(shape[0]), n = static_cast<std::size_t>(shape.elements());
    Bytes input(n);
    for (std::size_t i = 0; i < n; ++i) input[i % c * (n / c) + i / c] = inputs[i];
    TemporaryFolder work;
    write_onnx(m, work.path() / "model.onnx");
    write_atomic(work.path() / "input.bin", std::span<const std::uint8_t>(input));
    std::vector<std::string> arguments = {"node", "tests/formats/onnx_oracle.cjs", work.path(), "int8", m.graph.inputs()[0].name};
    for (const int d : shape) arguments.push_back(std::to_string(d));
    const ProcessResult r = run_process(arguments);
    ASSERT_EQ(r.exit_status, 0) << r.err;
    const Bytes y = read_bytes(work.path() / (m.graph.outputs()[0].name + ".onnx.bin"));
    int far = 0;
    for (std::size_t i = 0; i < y.size(); ++i) far += std::abs(static_cast<std::int8_t>(y[i]) - static_cast<std::int8_t>(outputs[i])) > 2;
    EXPECT_LE(far, static_cast<int>(y.size() / 100));
  }
}

// Runs `m` in ONNX Runtime on an input in the file's order; the first output's bytes.
Bytes run_in_runtime(const Model& m, std::span<const std::uint8_t> input) {
  TemporaryFolder work;
  const Port& in = m.graph.inputs()[0];
  write_onnx(m, work.path() / "model.onnx");
  write_atomic(work.path() / "input.bin", input);
  std::vector<std::string> arguments = {"node", "tests/formats/onnx_oracle.cjs", work.path(), is_quantized(m) ? "int8" : "float32", in.name};
  for (const int d : m.graph.shape(in.value)) arguments.push_back(std::to_string(d));
  const ProcessResult r = run_process(arguments);
  EXPECT_EQ(r.exit_status, 0) << r.err;
  return read_bytes(work.path() / (m.graph.outputs()[0].name + ".onnx.bin"));
}

// Float to 1e-5, and the QDQ form, which rounds in float where we round in integers, to a step of the output.
TEST(Onnx, NetworksOfEveryFamilyAgreeInOnnxRuntime) {
  if (!node_has_onnxruntime()) GTEST_SKIP() << kNoRuntime;
  for (const NetworkFamily& family : network_families()) {
    SCOPED_TRACE(family.name);
    json options = json::object();
    if (family.defaults.contains("input_shape") && family.defaults.at("input_shape").size() == 3) options["input_shape"] = {3, 32, 32};
    if (family.defaults.contains("include_top")) options["include_top"] = true;
    Model m;
    m.graph = build_network(family.name, options);
    m.weights = initial_weights(m.graph, 3);
    Random biases(6);
    for (auto& [name, array] : m.weights)  // a network that nobody has trained fades out, or begins with branches switched off
      if (array.shape().rank() == 1)
        for (float& v : array.values<float>()) v = name.ends_with(".bias") ? 0.3f * biases.normal() : v == 0 && name.ends_with(".weight") ? 0.5f : v;
    const Shape shape = m.graph.shape(m.graph.inputs()[0].value);
    std::vector<Array> samples(3, Array(ElementType::float32, shape));
    for (std::size_t k = 0; k < samples.size(); ++k) {
      Random random(8, {k});
      for (float& v : samples[k].values<float>()) v = random.normal();
    }
    const auto x = samples[0].values<float>();
    const Bytes y = run_in_runtime(m, {reinterpret_cast<const std::uint8_t*>(x.data()), x.size_bytes()});
    const Arrays results = run_reference(m.graph, m.weights, {{m.graph.inputs()[0].name, samples[0]}});
    const auto expected = results.at(m.graph.outputs()[0].name).values<float>();
    ASSERT_EQ(y.size(), expected.size_bytes());
    double magnitude = 1, largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      float v;
      std::memcpy(&v, &y[4 * i], 4);
      largest = std::max(largest, std::abs(double{v} - expected[i]));
      magnitude = std::max(magnitude, std::abs(double{expected[i]}));
    }
    EXPECT_LE(largest, 1e-5 * magnitude);

    const Model q = quantize_after_training(m, samples, {.calibration = {.method = CalibrationMethod::minmax}}).model;
    const TensorType type = q.graph.type(q.graph.inputs()[0].value);
    const std::vector<std::int8_t> hwc = quantize_image(x, type);
    const std::size_t c = static_cast<std::size_t>(shape[0]), area = hwc.size() / c;
    Bytes chw(hwc.size());
    for (std::size_t i = 0; i < hwc.size(); ++i) chw[i % c * area + i / c] = static_cast<std::uint8_t>(hwc[i]);
    const Bytes theirs = run_in_runtime(q, chw);
    Int8Executor executor(q);
    std::copy(hwc.begin(), hwc.end(), executor.input(0).begin());
    executor.run();
    const Shape out_shape = q.graph.shape(q.graph.outputs()[0].value);
    const std::size_t oc = static_cast<std::size_t>(out_shape[0]), out_area = theirs.size() / oc;
    ASSERT_EQ(theirs.size(), executor.output(0).size());
    int far = 0, farthest = 0;
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      const int d = std::abs(static_cast<std::int8_t>(theirs[i % oc * out_area + i / oc]) - executor.output(0)[i]);
      far += d > 1;
      farthest = std::max(farthest, d);
    }
    std::cout << family.name << ": float " << largest / magnitude << ", int8 farthest " << farthest << ", " << far << " of " << theirs.size() << " beyond a step\n";
    EXPECT_EQ(far, 0) << farthest;
  }
}

TEST(Onnx, PythonsCheckerAcceptsBothForms) {
  if (!python_has("onnx")) GTEST_SKIP() << "no python3-onnx";
  TemporaryFolder folder;
  write_onnx(every_float_operator(), folder.path() / "float.onnx");
  write_onnx(every_int8_operator(), folder.path() / "int8.onnx");
  const char* script = R"(
import json, sys, onnx
from onnx import numpy_helper
for name in ("float", "int8"):
    m = onnx.load(f"{sys.argv[1]}/{name}.onnx")
    onnx.checker.check_model(m, full_check=True)
    port = lambda v: [v.name, v.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]]
    print(json.dumps({"inputs": [port(v) for v in m.graph.input], "outputs": [port(v) for v in m.graph.output],
        "nodes": [[n.name, n.op_type] for n in m.graph.node], "opset": m.opset_import[0].version, "producer": m.producer_name,
        "initializers": {i.name: [list(i.dims), i.data_type, numpy_helper.to_array(i).flatten()[:3].tolist()] for i in m.graph.initializer}}))
)";
  const ProcessResult r = run_process({kPython, "-c", script, folder.path()});
  ASSERT_EQ(r.exit_status, 0) << r.err;
  const auto newline = r.out.find('\n');
  const json f = json::parse(r.out.substr(0, newline)), q = json::parse(r.out.substr(newline + 1));
  EXPECT_EQ(f["opset"], 14);
  EXPECT_EQ(f["producer"], "micromind");
  EXPECT_EQ(f["inputs"], json::parse(R"([["image", 1, ["N", 3, 17, 16]]])"));
  EXPECT_EQ(f["outputs"][0], json::parse(R"(["probabilities", 1, ["N", 10]])"));
  EXPECT_EQ(f["initializers"]["conv.weight"][0], json({8, 3, 3, 5}));
  EXPECT_THAT(f["nodes"], testing::Contains(json({"act", "HardSwish"})));
  EXPECT_THAT(f["nodes"], testing::Not(testing::Contains(json({"drop", "Dropout"}))));
  const auto first = find(every_float_operator().weights, "conv.weight").values<float>()[1];
  EXPECT_FLOAT_EQ(f["initializers"]["conv.weight"][2][1].get<float>(), first);
  EXPECT_EQ(q["inputs"], json::parse(R"([["image", 3, ["N", 3, 20, 18]]])"));
  EXPECT_EQ(q["initializers"]["depthwise.weight"][0], json({12, 1, 3, 3}));
  EXPECT_EQ(q["initializers"]["depthwise.weight.scale"][0], json({12}));
  EXPECT_EQ(q["initializers"]["stem.same.bias"][1], 6);  // int32
}

TEST(Onnx, BytesAreReproducible) {
  EXPECT_EQ(to_onnx(every_float_operator()), to_onnx(every_float_operator()));
  EXPECT_EQ(to_onnx(every_int8_operator()), to_onnx(every_int8_operator()));
}

TEST(Onnx, OutputsMayShareNamesWithNodesAndValues) {
  Graph g("names");
  const int x = g.add_input("x", {4});
  const int a = g.add("y", Activation{}, {x});
  const int b = g.add("z", Activation{Function::sigmoid}, {a});
  g.add_output("y", b);   // the name of another node
  g.add_output("z", a);
  g.add_output("again", b);
  g.add_output("input", x);
  EXPECT_NO_THROW(to_onnx({g, {}}));
  g.add_output("x", a);
  EXPECT_THAT(error_of([&] { to_onnx({g, {}}); }), HasSubstr("'x' is the name of an input and of an output"));
}

TEST(Onnx, SaysWhatIsMissing) {
  Model m = every_float_operator();
  m.weights["conv.weight"] = Array(ElementType::float32, {8, 3, 3, 3});
  EXPECT_THAT(error_of([&] { to_onnx(m); }), HasSubstr("'conv.weight' is float32 8×3×3×3; expected float32 8×3×3×5"));
  m.weights.erase("conv.weight");
  EXPECT_THAT(error_of([&] { to_onnx(m); }), HasSubstr("conv.weight"));
  Model q = every_int8_operator();
  q.weights["classifier.weight"].scales.resize(3);
  EXPECT_THAT(error_of([&] { to_onnx(q); }), HasSubstr("'classifier.weight' has 3 scales; expected 1 or 10"));
  EXPECT_THAT(error_of([&] { to_onnx({Graph("empty"), {}}); }), HasSubstr("no inputs"));
}

}  // namespace
}  // namespace micromind
