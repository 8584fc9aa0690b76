// Validation: one MLPerf model on every emulated core, the measures on bytes that differ, memory marks, files of inputs.
#include "micromind/deploy/validate.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/deploy/emit.h"
#include "micromind/deploy/harness.h"
#include "micromind/deploy/input_files.h"
#include "micromind/formats/tflite.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ValidateOn : public testing::TestWithParam<const char*> {};

TEST_P(ValidateOn, KeywordSpottingIsTheHostsByteForByte) {
  const Target target = load_target(GetParam());
  SKIP_WITHOUT_TOOLS_FOR(target);
  const auto data = data_folder() / "mlperf_tiny";
  if (!std::filesystem::exists(data / "models")) GTEST_SKIP() << data << " is absent";
  const Model model = read_tflite(data / "models/kws_ref_model.tflite");
  const LabelledInputs in = read_inputs(model, {.data = data / "golden/kws_ref_model.input.bin", .count = 2});
  const Validation v = validate(model, target, in.inputs, {.layer_inputs = 1});
  EXPECT_TRUE(v.passed()) << v.proof.first_difference;
  EXPECT_EQ(v.proof.outputs_identical, 2);
  EXPECT_EQ(v.proof.to_host.difference.largest, 0);
  EXPECT_EQ(v.proof.to_host.argmax, 1);
  const Bytes golden = read_bytes(data / "golden/kws_ref_model.output.bin");  // TensorFlow Lite Micro's
  Int8Executor host(model);
  std::copy(in.inputs[0].begin(), in.inputs[0].end(), host.input(0).begin());
  host.run();
  for (std::size_t k = 0; k < host.output(0).size(); ++k) EXPECT_EQ(static_cast<std::int8_t>(golden[k]), host.output(0)[k]);
  EXPECT_EQ(v.arena_used_bytes, v.arena_bytes);
  EXPECT_GT(v.stack_bytes, 50);
  EXPECT_LT(v.stack_bytes, 4096);
  EXPECT_GT(v.instructions, 500'000);
  EXPECT_EQ(v.seconds_estimate.has_value(), is_cortex_m(target.core));
  double cycles = 0;
  for (const LayerMeasurement& l : v.proof.layers) {
    EXPECT_TRUE(l.identical) << l.name;
    cycles += l.cycles.value_or(0);
  }
  if (v.cycles_estimate) {
    EXPECT_DOUBLE_EQ(cycles, *v.cycles_estimate);
    EXPECT_DOUBLE_EQ(*v.seconds_estimate, cycles / static_cast<double>(target.clock_hz));
    EXPECT_THAT(v.time_basis, HasSubstr("error: "));
  }
}
INSTANTIATE_TEST_SUITE_P(Cores, ValidateOn,
                         testing::Values("microbit", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "virt-rv32", "virt-rv64"),
                         [](const auto& core) {
                           std::string n = core.param;
                           std::replace(n.begin(), n.end(), '-', '_');
                           return n;
                         });

// Two classes, scale 1/2: every figure by hand.
Model two_classes() {
  Graph g("two");
  const int in = g.add_input("in", Shape{2});
  g.add_output("out", g.add("relu", Activation{Function::relu}, {in}));
  return quantize_randomly(g, 1);
}

TEST(Prove, MeasuresAreThoseOfTheBytesThatDiffer) {
  const Model model = two_classes();
  const std::vector<ByteTensor> inputs = {{100, 20}, {20, 100}};
  Int8Executor host(model);
  ChipValues chip;
  for (const ByteTensor& input : inputs) {
    std::copy(input.begin(), input.end(), host.input(0).begin());
    host.run();
    chip.outputs.emplace_back(host.output(0).begin(), host.output(0).end());
  }
  const Proof same = prove(model, inputs, chip, {.labels = {0, 0}});
  EXPECT_TRUE(same.identical());
  EXPECT_EQ(same.to_host.difference.rmse, 0);
  EXPECT_EQ(same.to_host.difference.relative_l2, 0);
  EXPECT_EQ(same.chip_accuracy->top1, 0.5);
  EXPECT_EQ(same.chip_accuracy->confusion[0][1], 1);

  std::swap(chip.outputs[1][0], chip.outputs[1][1]);
  const Proof p = prove(model, inputs, chip, {.labels = {0, 0}});
  EXPECT_FALSE(p.identical());
  EXPECT_EQ(p.outputs_identical, 1);
  EXPECT_THAT(p.first_difference, HasSubstr("outputs of input 1, byte 0"));
  EXPECT_EQ(p.to_host.argmax, 0.5);
  EXPECT_EQ(p.chip_accuracy->top1, 1);
  EXPECT_EQ(p.host_accuracy->top1, 0.5);
  const auto& q = *model.graph.type(model.graph.outputs()[0].value).quantization;
  const double step = q.scale * std::abs(chip.outputs[1][0] - chip.outputs[1][1]);
  EXPECT_NEAR(p.to_host.difference.largest, step, 1e-5);
  EXPECT_NEAR(p.to_host.difference.rmse, step / std::sqrt(2), 1e-5);
  EXPECT_NEAR(p.to_host.difference.mae, step / 2, 1e-5);

  EXPECT_THAT(error_of([&] { prove(model, inputs, chip, {.labels = {0}}); }), HasSubstr("1 labels"));
  EXPECT_THAT(error_of([&] { prove(model, inputs, chip, {.labels = {0, 2}}); }), HasSubstr("label"));
  chip.outputs.pop_back();
  EXPECT_THAT(error_of([&] { prove(model, inputs, chip); }), HasSubstr("outputs of 1"));
}

TEST(Prove, TheFloatNetworkIsComparedLayerByLayer) {
  Graph g("small");
  int x = g.add_input("image", Shape{3, 6, 6});
  x = g.add("conv", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1, .bias = false}, {x});
  x = g.add("norm", BatchNorm{}, {x});
  x = g.add("relu", Activation{Function::relu}, {x});
  x = g.add("pool", AdaptiveAvgPool2d{1}, {x});
  x = g.add("flat", Flatten{}, {x});
  g.add_output("logits", g.add("head", Linear{.out_features = 5}, {x}));
  Weights weights;
  std::uint64_t index = 0;
  for (const NamedParameter& p : parameters(g)) {
    Random random(1, {++index});
    Array array(ElementType::float32, p.shape);
    for (float& value : array.values<float>()) value = p.name.ends_with("running_var") ? 1 : random.normal() * 0.3f;
    weights[p.name] = array;
  }
  std::vector<Range> ranges(g.values().size(), Range{-12, 12});  // nothing is clipped
  ranges[static_cast<std::size_t>(g.inputs()[0].value)] = {-2, 2};
  const Model model = quantize(g, lower(g), weights, ranges);
  const std::vector<ByteTensor> inputs = random_inputs(model, 3);
  ChipValues chip;  // the host itself
  Int8Executor host(model);
  for (const ByteTensor& input : inputs) {
    std::copy(input.begin(), input.end(), host.input(0).begin());
    auto& layers = chip.layers.emplace_back();
    host.run([&](int, std::span<const std::int8_t> bytes) { layers.emplace_back(bytes.begin(), bytes.end()); });
    chip.outputs.emplace_back(host.output(0).begin(), host.output(0).end());
  }
  const FloatNetwork real(model, g, weights);
  const Proof p = prove(model, inputs, chip, {.real = &real});
  ASSERT_TRUE(p.to_float && p.host_to_float);
  EXPECT_LT(p.to_float->difference.relative_l2, 0.2);
  EXPECT_GT(p.to_float->difference.rmse, 0);
  EXPECT_GT(p.to_float->difference.cosine, 0.98);
  EXPECT_EQ(p.to_float->difference.rmse, p.host_to_float->difference.rmse);
  int compared = 0;
  for (const LayerMeasurement& l : p.layers)
    if (l.to_float) {
      ++compared;
      EXPECT_LT(l.to_float->relative_l2, 0.2) << l.name;
    }
  EXPECT_GE(compared, 3);
  Graph other("other");
  other.add_output("o", other.add("a", Activation{Function::relu}, {other.add_input("image", Shape{3, 5, 5})}));
  EXPECT_THAT(error_of([&] { FloatNetwork(model, other, {}); }), HasSubstr("shapes of inputs 0 differ"));
}

TEST(Validate, AnOverrunOfTheArenaIsSeen) {
  const Target machine = load_target("mps2-an500");
  SKIP_WITHOUT_TOOLS_FOR(machine);
  const TemporaryFolder folder;
  const Model model = every_operator();
  write_c(model, folder.path() / "c");
  // The emitted source, made to write four bytes behind its arena.
  std::string source = read_text(folder.path() / "c/model.c");
  const std::string name = "model_status model_run(";
  const auto at = source.rfind("return MODEL_OK;", source.size());
  ASSERT_NE(at, std::string::npos);
  source.insert(at, "arena[MODEL_ARENA_BYTES + 3u] = 7;\n  ");
  write_atomic(folder.path() / "c/model.c", source);
  const MemoryPlan plan = plan_memory(model.graph);
  const Harness harness{model, plan, folder.path() / "c", folder.path() / "work"};
  EXPECT_EQ(run_on_core(harness, machine, random_inputs(model, 1)).arena_used_bytes, plan.arena_bytes + 4);
}

TEST(Validate, JsonAndTextHoldTheFigures) {
  const Target target = load_target("stm32h743");
  SKIP_WITHOUT_TOOLS_FOR(target);
  const Model model = every_operator();
  const Validation v = validate(model, target, random_inputs(model, 3), {.labels = {1, 2, 3}, .layer_inputs = 2});
  EXPECT_TRUE(v.passed()) << v.proof.first_difference;
  EXPECT_EQ(v.layer_inputs, 2);
  const nlohmann::json j = to_json(v);
  for (const char* key : {"passed", "outputs_identical", "arena_used_bytes", "stack_bytes", "instructions", "seconds_estimate", "time_basis", "to_host",
                          "chip_accuracy", "layers"})
    EXPECT_TRUE(j.contains(key)) << key;
  EXPECT_EQ(j["to_host"]["rmse"], 0.0);
  EXPECT_EQ(j["chip_accuracy"]["samples"], 3);
  EXPECT_GT(j["layers"][0]["seconds_estimate"].get<double>(), 0);
  EXPECT_EQ(j["layers"][0]["bytes_differing"], 0);
  EXPECT_THAT(validation_table(v), AllOf(HasSubstr("time (estimate)"), HasSubstr("depthwise_conv2d_s8")));
  EXPECT_THAT(validation_text(v), AllOf(HasSubstr("L2r 0"), HasSubstr("planned bytes touched"), HasSubstr("Confusion on the chip"), HasSubstr("an estimate")));
  EXPECT_THAT(error_of([&] { validate(model, target, {}); }), HasSubstr("at least one input"));
}

TEST(InputFiles, AreReadAsTheyCome) {
  const Model model = two_classes();
  const TemporaryFolder folder;
  const auto path = [&](const char* name) { return folder.path() / name; };
  write_atomic(path("in.bin"), std::string_view("\x01\x02\x80\xff", 4));
  write_atomic(path("labels.csv"), std::string_view("1\n0\r\n"));
  const LabelledInputs all = read_inputs(model, {.data = path("in.bin"), .labels = path("labels.csv")});
  EXPECT_EQ(all.inputs, (std::vector<ByteTensor>{{1, 2}, {-128, -1}}));
  EXPECT_EQ(all.labels, (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(read_inputs(model, {.data = path("in.bin"), .is_unsigned = true, .count = 1}).inputs, (std::vector<ByteTensor>{{-127, -126}}));
  write_atomic(path("set/b.bin"), std::string_view("ab"));
  write_atomic(path("set/a.bin"), std::string_view("cd"));
  write_atomic(path("set/y.csv"), std::string_view("b.bin,2,1\na.bin,2,0\n"));
  const LabelledInputs set = read_inputs(model, {.data = path("set"), .labels = path("set/y.csv")});
  EXPECT_EQ(set.inputs, (std::vector<ByteTensor>{{'a', 'b'}, {'c', 'd'}}));
  EXPECT_EQ(set.labels, (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(read_inputs(model, {.data = path("set")}).inputs[0], (ByteTensor{'c', 'd'}));  // by name

  const auto bad = [&](const char* labels) {
    write_atomic(path("bad.csv"), std::string_view(labels));
    return error_of([&] { read_inputs(model, {.data = path("in.bin"), .labels = path("bad.csv")}); });
  };
  EXPECT_THAT(bad("1\nx\n"), AllOf(HasSubstr("bad.csv:2"), HasSubstr("'x' is no label")));
  EXPECT_THAT(bad("1\n2\n"), HasSubstr("label 2 of a model with 2 classes"));
  EXPECT_THAT(bad("1\n"), HasSubstr("1 labels"));
  EXPECT_THAT(bad("\n"), HasSubstr("no label"));
  EXPECT_THAT(bad("a,2,1\n0\n"), HasSubstr("some lines name a file"));
  write_atomic(path("odd.bin"), std::string_view("abc"));
  EXPECT_THAT(error_of([&] { read_inputs(model, {.data = path("odd.bin")}); }), HasSubstr("no multiple of the 2"));
  EXPECT_THAT(error_of([&] { read_inputs(model, {.data = path("set"), .labels = path("labels.csv")}); }), HasSubstr("does not name the files"));
  EXPECT_THAT(error_of([&] { read_inputs(model, {.data = path("none")}); }), HasSubstr("none"));
  write_atomic(path("set/a.bin"), std::string_view("cde"));
  EXPECT_THAT(error_of([&] { read_inputs(model, {.data = path("set")}); }), HasSubstr("a.bin has 3 bytes"));
}

}  // namespace
}  // namespace micromind
