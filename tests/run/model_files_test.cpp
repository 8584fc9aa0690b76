// A float .onnx of anybody, by the binary: quantised with samples, written in other formats, and told what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"
#include "micromind/formats/onnx.h"
#include "micromind/formats/tflite.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/phinet.h"

namespace micromind {
namespace {

using testing::HasSubstr;

TEST(ModelFiles, FromAFloatOnnxToAnInt8Tflite) {
  const TemporaryFolder folder;
  const Graph graph = phinet({.input = {3, 32, 32}, .alpha = 0.5, .include_top = true});
  write_onnx({graph, initial_weights(graph, 1)}, folder.path() / "net.onnx");
  Bytes samples(4 * 4 * 3 * 32 * 32);
  Random random(1);
  for (std::size_t i = 0; i < samples.size(); i += 4) {
    const float v = random.normal();
    std::memcpy(&samples[i], &v, 4);
  }
  write_atomic(folder.path() / "samples.bin", std::span<const std::uint8_t>(samples));
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), MICROMIND_BINARY);
    return run_process(arguments, {.folder = folder.path(), .timeout_s = 100});
  };
  const ProcessResult deployed = run({"deploy", "net.onnx", "--target", "stm32h743"});
  EXPECT_EQ(deployed.exit_status, 1);
  EXPECT_THAT(deployed.err, HasSubstr("micromind quantize net.onnx --calibration"));
  EXPECT_THAT(run({"quantize", "net.onnx"}).err, HasSubstr("(N, 3, 32, 32)"));
  EXPECT_EQ(run({"quantize", "net.onnx", "--calibration", "samples.bin", "--correct-bias", "--output", "net.tflite"}).exit_status, 0);
  const Model model = read_tflite(folder.path() / "net.tflite");
  EXPECT_TRUE(is_quantized(model));
  EXPECT_EQ(run({"export", "net.tflite", "--format", "onnx", "--output", "int8.onnx"}).exit_status, 0);
  EXPECT_EQ(to_tflite(read_onnx(folder.path() / "int8.onnx")), to_tflite(model));
  EXPECT_EQ(run({"convert", "net.onnx", "net.safetensors"}).exit_status, 0);
  EXPECT_EQ(run({"inspect", "net.onnx", "--json"}).exit_status, 0);
  EXPECT_THAT(run({"export", "net.onnx", "--format", "onnx"}).err, HasSubstr("written over itself"));
}

}  // namespace
}  // namespace micromind
