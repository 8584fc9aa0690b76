// Export of a run that was trained elsewhere: works in every build, by call and by the binary.
#include "micromind/run/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/phinet.h"

namespace micromind {
namespace {

using ::testing::HasSubstr;

class Export : public ::testing::Test {
 protected:
  void train_somewhere() {
    const Graph graph = phinet({.input = {3, 32, 32}, .alpha = 0.5, .include_top = true});
    save_graph(graph, run.network_file().string());
    std::filesystem::create_directories(run.checkpoints());
    write_checkpoint(run.checkpoints() / "best.pt", {initial_weights(graph, 1), {}, {}});
  }
  ProcessResult micromind_export(const std::string& format) {
    return run_process({MICROMIND_BINARY, "export", run.path().string(), "--format", format, "--json"}, {.timeout_s = 60});
  }
  TemporaryFolder folder;
  RunFolder run = RunFolder::create(folder.path() / "run", load_recipe("demo"), IfPresent::fail);
};

TEST_F(Export, WritesTheBestWeightsAsOnnx) {
  train_somewhere();
  const nlohmann::json result = export_onnx(run);
  EXPECT_EQ(result["onnx"], run.onnx_file().string());
  EXPECT_FALSE(result.contains("tflite"));
  EXPECT_GT(std::filesystem::file_size(run.onnx_file()), 100'000u);
  EXPECT_EQ(RunFolder::open(run.path()).result("export"), result);
}

TEST_F(Export, SaysWhatIsMissing) {
  try {
    export_onnx(run);
    FAIL() << "an untrained run was exported";
  } catch (const Error& e) {
    EXPECT_THAT(std::string(e.what()) + e.hint(), HasSubstr("train"));
  }
}

TEST_F(Export, TheVerbWorksInEveryBuild) {
  train_somewhere();
  const ProcessResult onnx = micromind_export("onnx");
  ASSERT_EQ(onnx.exit_status, 0) << onnx.err;
  EXPECT_EQ(nlohmann::json::parse(onnx.out)["bytes"], std::filesystem::file_size(run.onnx_file()));

  run.set_result("quantize", {{"samples", 1}});  // but model.tflite is gone
  const ProcessResult tflite = micromind_export("tflite");
  EXPECT_EQ(tflite.exit_status, 1);
  EXPECT_THAT(tflite.err, HasSubstr("model.tflite"));
}

}  // namespace
}  // namespace micromind
