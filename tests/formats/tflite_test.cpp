#include "micromind/formats/tflite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "formats/sample_models.h"
#include "micromind/base/process.h"
#include "micromind/formats/tflite_file.h"
#include "micromind/formats/tflite_layout.h"

namespace micromind {
namespace {

using testing::HasSubstr;
using tflite::BuiltinOperator;

std::filesystem::path real_models() { return data_folder() / "mlperf_tiny" / "models"; }

std::int64_t total_macs(const Graph& g) {
  std::int64_t sum = 0;
  for (const Node& n : g.nodes()) sum += macs(n.op, g.input_shapes(n), g.output_shapes(n));
  return sum;
}

void expect_equal(const Model& a, const Model& b) {
  EXPECT_EQ(to_json(a.graph).dump(1), to_json(b.graph).dump(1));
  EXPECT_EQ(a.weights.size(), b.weights.size());
  for (const auto& [name, array] : a.weights) EXPECT_EQ(array, find(b.weights, name)) << name;
}

Model through_file(const Model& m) { return tflite_from_bytes(to_tflite(m), "test.tflite"); }

std::vector<std::string> operators(const tflite::File& file) {
  std::vector<std::string> names;
  for (const auto& op : file.operators) names.push_back(operator_name(op));
  return names;
}

TEST(TfliteLayout, SamePaddingIsTensorFlows) {
  using tflite::same_padding;
  EXPECT_EQ(same_padding(32, 3, 1, 1), std::pair(1, 1));
  EXPECT_EQ(same_padding(32, 3, 2, 1), std::pair(0, 1));
  EXPECT_EQ(same_padding(33, 3, 2, 1), std::pair(1, 1));
  EXPECT_EQ(same_padding(49, 10, 2, 1), std::pair(4, 5));
  EXPECT_EQ(same_padding(16, 3, 1, 2), std::pair(2, 2));
  EXPECT_EQ(same_padding(7, 1, 2, 1), std::pair(0, 0));
}

TEST(Tflite, EveryOperatorSurvives) {
  const Model model = every_int8_operator();
  expect_equal(through_file(model), model);
  EXPECT_EQ(to_tflite(model), to_tflite(through_file(model)));
}

TEST(Tflite, WritesTheOperatorsThatItPromises) {
  const tflite::File file = tflite::parse_file(to_tflite(every_int8_operator()), "every");
  const std::vector<std::string> names = operators(file);
  for (const char* name : {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PAD", "PADV2", "HARD_SWISH", "LOGISTIC", "MUL", "ADD", "RELU",
                           "RELU6", "MEAN", "SPLIT", "SPLIT_V", "CONCATENATION", "RESIZE_NEAREST_NEIGHBOR", "MAX_POOL_2D", "AVERAGE_POOL_2D",
                           "RESHAPE", "SOFTMAX", "QUANTIZE", "STRIDED_SLICE"})
    EXPECT_THAT(names, testing::Contains(name));
  EXPECT_EQ(names[0], "CONV_2D");  // 3×3 with padding 1 is SAME
  EXPECT_EQ(names[1], "PAD");      // stride 2 on an even image with PyTorch's padding is not
  EXPECT_EQ(file.description, "micromind");
  EXPECT_EQ(file.signature_outputs[0].name, "probabilities");
  for (const auto& t : file.tensors) {
    if (t.name == "depthwise.weight") {
      EXPECT_EQ(t.shape, (std::vector<std::int32_t>{1, 3, 3, 12}));
      EXPECT_EQ(t.quantized_dimension, 3);
      EXPECT_EQ(t.scales.size(), 12u);
    } else if (t.name == "stem.same.bias") {
      EXPECT_EQ(t.type, tflite::TensorType_INT32);
      EXPECT_FLOAT_EQ(t.scales[2], 0.05f * find(every_int8_operator().weights, "stem.same.weight").scales[2]);
    }
  }
}

TEST(Tflite, ContentsAreAlignedForMappedFiles) {
  const Bytes bytes = to_tflite(every_int8_operator());
  const auto* model = tflite::GetModel(bytes.data());
  int contents = 0;
  for (const auto* b : *model->buffers())
    if (b->data()) {
      EXPECT_EQ((b->data()->data() - bytes.data()) % 16, 0);
      ++contents;
    }
  EXPECT_GT(contents, 20);
}

TEST(Tflite, ReadsTheMlperfTinyModels) {
  if (!std::filesystem::exists(real_models())) GTEST_SKIP() << "no MLPerf Tiny models below " << data_folder();
  const std::vector<std::tuple<const char*, std::int64_t, Shape, Shape>> models = {
      {"ad01_int8", 264192, {640}, {640}},
      {"ic_pretrainedResnet_quant", 12501632, {3, 32, 32}, {10}},
      {"kws_ref_model", 2656768, {1, 49, 10}, {12}},
      {"vww_96_int8", 7489664, {3, 96, 96}, {2}}};
  for (const auto& [name, expected_macs, input, output] : models) {
    SCOPED_TRACE(name);
    const Model m = read_tflite(real_models() / (std::string(name) + ".tflite"));
    EXPECT_TRUE(is_quantized(m));
    EXPECT_EQ(total_macs(m.graph), expected_macs);
    EXPECT_EQ(m.graph.shape(m.graph.inputs()[0].value), input);
    EXPECT_EQ(m.graph.shape(m.graph.outputs()[0].value), output);
    expect_equal(through_file(m), m);
  }
}

// What a real file says about operators, options, shapes, contents and scales is what we write for it.
TEST(Tflite, WritesWhatTheRealFilesSay) {
  if (!std::filesystem::exists(real_models())) GTEST_SKIP() << "no MLPerf Tiny models below " << data_folder();
  for (const char* name : {"ad01_int8", "ic_pretrainedResnet_quant", "kws_ref_model", "vww_96_int8", "str_ww_ref_model"}) {
    SCOPED_TRACE(name);
    const auto path = real_models() / (std::string(name) + ".tflite");
    const tflite::File theirs = tflite::parse_file(read_bytes(path), name);
    const tflite::File ours = tflite::parse_file(to_tflite(read_tflite(path)), name);
    EXPECT_EQ(operators(ours), operators(theirs));
    ASSERT_EQ(ours.operators.size(), theirs.operators.size());
    for (std::size_t i = 0; i < ours.operators.size(); ++i) {
      const auto &a = ours.operators[i], &b = theirs.operators[i];
      EXPECT_EQ(a.version, b.version) << i;
      // A kernel that covers its image needs no padding: SAME and VALID mean the same there.
      tflite::FileOptions left = a.options, right = b.options;
      left.padding = right.padding = tflite::Padding_SAME;
      EXPECT_EQ(left, right) << i << operator_name(a);
      ASSERT_EQ(a.inputs.size(), b.inputs.size());
      std::vector<std::pair<std::int32_t, std::int32_t>> pairs = {{a.outputs[0], b.outputs[0]}};
      for (std::size_t k = 0; k < a.inputs.size(); ++k) pairs.emplace_back(a.inputs[k], b.inputs[k]);
      for (const auto& [l, r] : pairs) {
        tflite::FileTensor x = ours.tensors[static_cast<std::size_t>(l)], y = theirs.tensors[static_cast<std::size_t>(r)];
        if (x.type == tflite::TensorType_INT32 && x.scales.size() == y.scales.size()) {
          for (std::size_t s = 0; s < x.scales.size(); ++s) EXPECT_NEAR(x.scales[s] / y.scales[s], 1, 1e-5);
        }
        if (a.code == tflite::BuiltinOperator_RESHAPE && x.constant) continue;  // theirs may say −1
        x.name = y.name;
        if (x.type == tflite::TensorType_INT32) x.scales = y.scales;
        EXPECT_EQ(x, y) << i << y.name;
      }
    }
  }
}

TEST(Tflite, ReadsFloatNetworksIntoPyTorchsLayouts) {
  if (!std::filesystem::exists(real_models())) GTEST_SKIP() << "no MLPerf Tiny models below " << data_folder();
  for (const auto& [name, expected] : std::vector<std::pair<const char*, std::int64_t>>{
           {"ad01_fp32", 264192}, {"ic_pretrainedResnet_float", 12501632}, {"kws_ref_model_float32", 2656768}, {"vww_96_float", 7489664}}) {
    SCOPED_TRACE(name);
    const Model m = read_tflite(real_models() / (std::string(name) + ".tflite"));
    EXPECT_FALSE(is_quantized(m));
    EXPECT_EQ(total_macs(m.graph), expected);
    for (const NamedParameter& p : parameters(m.graph)) EXPECT_EQ(find(m.weights, p.name).shape(), p.shape) << p.name;
  }
  const Model m = read_tflite(real_models() / "vww_96_float.tflite"), q = read_tflite(real_models() / "vww_96_int8.tflite");
  // The int8 file holds the same numbers in another layout.
  const auto first = [](const Model& model) {
    for (const Node& n : model.graph.nodes())
      if (const auto* c = std::get_if<Conv2d>(&n.op); c && c->groups > 1) return n.name + ".weight";
    return std::string();
  };
  const Array &f = find(m.weights, first(m)), &w = find(q.weights, first(q));
  const auto values = w.values<std::int8_t>();
  const int channels = f.shape()[0];
  for (int c = 0; c < channels; ++c)
    for (int k = 0; k < 9; ++k)
      EXPECT_NEAR(f.values<float>()[static_cast<std::size_t>(c * 9 + k)],
                  static_cast<float>(values[static_cast<std::size_t>(k * channels + c)]) * w.scales[static_cast<std::size_t>(c)],
                  0.51f * w.scales[static_cast<std::size_t>(c)]);
}

TEST(Tflite, FlatcReadsWhatWeWrite) {
  if (!find_program("flatc")) GTEST_SKIP() << "no flatc in PATH";
  TemporaryFolder folder;
  write_tflite(every_int8_operator(), folder.path() / "every.tflite");
  const ProcessResult r = run_process({"flatc", "--json", "--strict-json", "--defaults-json", "-o", folder.path(), MICROMIND_SOURCE_DIR "/micromind/formats/tflite.fbs", "--",
                                       folder.path() / "every.tflite"});
  ASSERT_EQ(r.exit_status, 0) << r.err;
  const auto json = nlohmann::json::parse(read_text(folder.path() / "every.json"));
  EXPECT_EQ(json["version"], 3);
  EXPECT_EQ(json["subgraphs"][0]["name"], "every");
  EXPECT_EQ(json["subgraphs"][0]["tensors"][json["subgraphs"][0]["inputs"][0].get<int>()]["shape"], nlohmann::json({1, 20, 18, 3}));
}

// --- files of others ---------------------------------------------------------------------------------------

tflite::FileTensor activation(std::string name, std::vector<std::int32_t> shape, tflite::TensorType type = tflite::TensorType_INT8) {
  tflite::FileTensor t;
  t.name = std::move(name);
  t.shape = std::move(shape);
  t.type = type;
  if (type != tflite::TensorType_FLOAT32) {
    t.scales = {0.5f};
    t.zero_points = {type == tflite::TensorType_UINT8 ? 128 : 0};
  }
  return t;
}

tflite::FileTensor integers(std::string name, std::vector<std::int32_t> values) {
  tflite::FileTensor t;
  t.name = std::move(name);
  t.shape = {static_cast<std::int32_t>(values.size())};
  t.type = tflite::TensorType_INT32;
  t.constant = true;
  t.data.resize(values.size() * 4);
  std::memcpy(t.data.data(), values.data(), t.data.size());
  return t;
}

tflite::FileOperator op(BuiltinOperator code, std::vector<std::int32_t> in, std::vector<std::int32_t> out) {
  tflite::FileOperator o;
  o.code = code;
  o.inputs = std::move(in);
  o.outputs = std::move(out);
  return o;
}

Model read(const tflite::File& file) { return tflite_from_bytes(serialize_file(file), "their.tflite"); }

TEST(Tflite, DropsFloatAndUint8Interfaces) {
  tflite::File f;
  f.tensors = {activation("in:0", {1, 4, 4, 2}, tflite::TensorType_UINT8), activation("q", {1, 4, 4, 2}), activation("body/Relu", {1, 4, 4, 2}),
               activation("out", {1, 4, 4, 2}, tflite::TensorType_FLOAT32)};
  f.operators = {op(tflite::BuiltinOperator_QUANTIZE, {0}, {1}), op(tflite::BuiltinOperator_RELU, {1}, {2}),
                 op(tflite::BuiltinOperator_DEQUANTIZE, {2}, {3})};
  f.inputs = {0};
  f.outputs = {3};
  const Model m = read(f);
  ASSERT_EQ(m.graph.nodes().size(), 1u);
  EXPECT_EQ(m.graph.nodes()[0].name, "body.Relu");
  EXPECT_EQ(m.graph.inputs()[0].name, "in");
  EXPECT_EQ(m.graph.outputs()[0].name, "out");
  EXPECT_EQ(m.graph.type(0).element, ElementType::int8);
}

TEST(Tflite, ReadsSqueezeExciteOfKeras) {  // GlobalAveragePooling to a vector, reshape to an image, multiply
  tflite::File f;
  f.tensors = {activation("in", {1, 4, 4, 2}), integers("axes", {-2, -3}), activation("mean", {1, 2}), integers("shape", {1, 1, 1, 2}),
               activation("image", {1, 1, 1, 2}), activation("scaled", {1, 4, 4, 2})};
  f.operators = {op(tflite::BuiltinOperator_MEAN, {0, 1}, {2}), op(tflite::BuiltinOperator_RESHAPE, {2, 3}, {4}),
                 op(tflite::BuiltinOperator_MUL, {0, 4}, {5})};
  f.operators[2].options.activation = tflite::ActivationFunctionType_RELU6;
  f.inputs = {0};
  f.outputs = {5};
  const Model m = read(f);
  ASSERT_EQ(m.graph.nodes().size(), 4u);  // pool, flatten (unused), multiply, relu6
  EXPECT_EQ(m.graph.shape(m.graph.nodes()[2].inputs[1]), Shape({2, 1, 1}));
  EXPECT_EQ(std::get<Activation>(m.graph.nodes()[3].op).function, Function::relu6);
}

TEST(Tflite, ListsEveryUnsupportedOperatorAtOnce) {
  tflite::File f;
  f.tensors = {activation("in", {1, 4, 4, 2}), activation("a", {1, 4, 4, 2}), activation("b", {1, 4, 4, 2}), activation("c", {1, 4, 4, 2})};
  f.operators = {op(tflite::BuiltinOperator_TANH, {0}, {1}), op(tflite::BuiltinOperator_RELU, {1}, {2}), op(static_cast<BuiltinOperator>(205), {2}, {3})};
  f.inputs = {0};
  f.outputs = {3};
  const std::string text = error_of([&] { read(f); });
  EXPECT_THAT(text, HasSubstr("2 operators cannot be read"));
  EXPECT_THAT(text, HasSubstr("operator 0 (TANH, which makes 'a')"));
  EXPECT_THAT(text, HasSubstr("operator 2 (operator code 205, which makes 'c')"));
  EXPECT_THAT(text, HasSubstr("their.tflite"));
}

TEST(Tflite, NamesAreMadeUniqueAndDotted) {
  tflite::File f;
  f.tensors = {activation("serving_default_x:0", {1, 4}), activation("net/relu;net/more", {1, 4}), activation("net/relu;again", {1, 4}), activation("", {1, 4})};
  f.operators = {op(tflite::BuiltinOperator_RELU, {0}, {1}), op(tflite::BuiltinOperator_RELU, {1}, {2}), op(tflite::BuiltinOperator_RELU, {2}, {3})};
  f.inputs = {0};
  f.outputs = {3};
  const Model m = read(f);
  EXPECT_EQ(m.graph.inputs()[0].name, "serving_default_x");
  EXPECT_EQ(m.graph.nodes()[0].name, "net.relu");
  EXPECT_EQ(m.graph.nodes()[1].name, "net.relu_2");
  EXPECT_EQ(m.graph.nodes()[2].name, "tensor");
}

// --- refusals -----------------------------------------------------------------------------------------------

TEST(Tflite, RefusesWhatTheFormatCannotHold) {
  const Quantization q = {0.1f, 0};
  const auto one = [&](Op op, Quantization out) {
    Int8Builder b("net");
    const int x = b.input("x", {4, 8, 8}, q);
    b.model.graph.add_output("y", b.add("node.a", std::move(op), {x}, out));
    return error_of([&] { to_tflite(b.model); });
  };
  EXPECT_THAT(one(Activation{Function::hard_sigmoid}, q), HasSubstr("hard_sigmoid"));
  EXPECT_THAT(one(AvgPool2d{.kernel = 3, .stride = 2, .padding = 1}, q), HasSubstr("'node.a': average pooling with padding 1, 1, 1, 1"));
  EXPECT_THAT(one(MaxPool2d{}, {0.2f, 0}), HasSubstr("needs one scale"));
  EXPECT_THAT(one(Softmax{}, q), HasSubstr("1/256"));
  EXPECT_THAT(one(BatchNorm{}, q), HasSubstr("lower the graph first"));
  Int8Builder b("net");
  const int x = b.input("x", {4, 8, 8}, q);
  b.model.graph.add_output("y", b.add("conv", Conv2d{.out_channels = 2}, {x}, q));
  b.model.weights["conv.weight"].scales.push_back(1);
  EXPECT_THAT(error_of([&] { to_tflite(b.model); }), HasSubstr("'conv.weight' has 3 scales; expected 1 or 2"));
  b.model.weights.erase("conv.bias");
  b.model.weights["conv.weight"].scales.pop_back();
  EXPECT_THAT(error_of([&] { to_tflite(b.model); }), HasSubstr("conv.bias"));
  Model float_model;
  float_model.graph.add_output("y", float_model.graph.add("relu", Activation{}, {float_model.graph.add_input("x", {3})}));
  EXPECT_THAT(error_of([&] { to_tflite(float_model); }), HasSubstr("quantise the model first"));
}

TEST(Tflite, RefusesDamage) {
  EXPECT_THAT(error_of([] { tflite_from_bytes({}, "empty.tflite"); }), HasSubstr("empty.tflite is no .tflite file"));
  const Bytes good = to_tflite(every_int8_operator());
  EXPECT_THAT(error_of([&] { tflite_from_bytes(std::span(good).first(good.size() / 2), "half.tflite"); }), HasSubstr("half.tflite is damaged"));
  const tflite::File file = tflite::parse_file(good, "good");
  const auto changed = [&](const std::function<void(tflite::File&)>& change) {
    tflite::File f = file;
    change(f);
    return error_of([&] { read(f); });
  };
  EXPECT_THAT(changed([](auto& f) { f.operators[0].inputs[1] = 100000; }), HasSubstr("tensor 100000"));
  EXPECT_THAT(changed([](auto& f) { f.operators[0].inputs[0] = -1; }), HasSubstr("absent"));
  EXPECT_THAT(changed([](auto& f) {
                for (auto& o : f.operators)
                  if (o.code == tflite::BuiltinOperator_CONCATENATION && o.inputs.size() == 3) o.inputs[2] = -1;
              }),
              HasSubstr("input 2 is absent"));
  EXPECT_THAT(changed([](auto& f) { f.operators[0].outputs[0] = f.inputs[0]; }), HasSubstr("made before"));
  EXPECT_THAT(changed([](auto& f) { f.operators[0].options.stride = {0, 1}; }), HasSubstr("stride"));
  EXPECT_THAT(changed([](auto& f) { std::swap(f.operators[0], f.operators[5]); }), HasSubstr("nothing has made"));
  EXPECT_THAT(changed([](auto& f) { f.tensors[0].scales = {-1.0f}; }), HasSubstr("scale"));
  EXPECT_THAT(changed([](auto& f) { f.tensors[0].zero_points = {300}; }), HasSubstr("zero point of 300"));
  EXPECT_THAT(changed([](auto& f) { f.tensors[1].shape[1] = 7; }), HasSubstr("in the file"));
  EXPECT_THAT(changed([](auto& f) {
                for (auto& t : f.tensors)
                  if (t.name == "stem.same.weight") t.data.pop_back();
              }),
              HasSubstr("215 bytes where its shape needs 216"));
  EXPECT_THAT(changed([](auto& f) {
                for (auto& t : f.tensors)
                  if (t.name == "stem.same.bias") t.scales[0] *= 100;
              }),
              HasSubstr("which is not input times weight"));
  EXPECT_THAT(error_of([] { read_tflite("/nonexistent/model.tflite"); }), HasSubstr("/nonexistent/model.tflite"));
}

}  // namespace
}  // namespace micromind
