// The four MLPerf Tiny int8 models of others: our kernels must give the bytes that TensorFlow Lite Micro gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/bench/mlperf_inputs.h"
#include "micromind/cost/count.h"
#include "micromind/formats/tflite.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

struct Golden {
  const char* model;
  std::int64_t macs;
  std::size_t inferences;
};

class MlperfTiny : public testing::TestWithParam<Golden> {};

TEST_P(MlperfTiny, GivesTheBytesOfTensorFlowLiteMicro) {
  const std::filesystem::path folder = data_folder() / "mlperf_tiny";
  const std::string name = GetParam().model;
  if (!std::filesystem::exists(folder / "models" / (name + ".tflite"))) GTEST_SKIP() << "no " << folder << "; set MICROMIND_DATA";
  const Model model = read_tflite(folder / "models" / (name + ".tflite"));
  EXPECT_EQ(count_macs(model.graph), GetParam().macs);
  const Bytes inputs = read_bytes(folder / "golden" / (name + ".input.bin"));
  const Bytes outputs = read_bytes(folder / "golden" / (name + ".output.bin"));
  Int8Executor executor(model);
  const std::size_t in = executor.input(0).size(), out = executor.output(0).size();
  ASSERT_EQ(inputs.size(), in * GetParam().inferences);
  ASSERT_EQ(outputs.size(), out * GetParam().inferences);
  std::size_t identical = 0;
  for (std::size_t i = 0; i < GetParam().inferences; ++i) {
    std::copy_n(reinterpret_cast<const std::int8_t*>(inputs.data()) + i * in, in, executor.input(0).begin());
    executor.run();
    identical += std::equal(executor.output(0).begin(), executor.output(0).end(),
                            reinterpret_cast<const std::int8_t*>(outputs.data()) + i * out);
  }
  EXPECT_EQ(identical, GetParam().inferences);
}

TEST(MlperfTinyAccuracy, OnTheSuppliedInputsIsThePublishedOne) {
  const std::filesystem::path folder = data_folder() / "mlperf_tiny";
  if (!std::filesystem::exists(folder / "kws01.tar.xz")) GTEST_SKIP() << "no accuracy inputs in " << folder << "; set MICROMIND_DATA";
  if (!find_program("xz")) GTEST_SKIP() << "no xz to unpack them";
  for (const MlperfTask& task : mlperf_tasks()) {
    const std::string name(task.model);
    const Model model = read_tflite(folder / "models" / (name + ".tflite"));
    const auto bytes = static_cast<std::size_t>(model.graph.shape(model.graph.inputs()[0].value).elements());
    const MlperfInputs set = mlperf_inputs(folder, name, bytes);
    EXPECT_EQ(set.inputs.size(), name == "kws_ref_model" ? 1000u : name == "vww_96_int8" ? 400u : 200u);
    const double accuracy = int8_accuracy(model, set);
    std::cout << name << ": " << 100 * accuracy << " % of " << set.inputs.size() << "\n";
    EXPECT_GE(accuracy, task.required) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MlperfTiny,
                         testing::Values(Golden{"ic_pretrainedResnet_quant", 12'501'632, 40}, Golden{"kws_ref_model", 2'656'768, 100},
                                         Golden{"vww_96_int8", 7'489'664, 12}, Golden{"ad01_int8", 264'192, 25}),
                         [](const auto& row) { return std::string(row.param.model); });

}  // namespace
}  // namespace micromind
