// MLPerf Tiny's int8 models from their .tflite to an emulated Cortex-M7: the bytes are those of TensorFlow
// Lite Micro's reference kernels, and flash and RAM are less than TensorFlow Lite Micro's with CMSIS-NN.
#include <gmock/gmock.h>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/deploy/deploy.h"
#include "micromind/deploy/harness.h"
#include "micromind/formats/tflite.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

constexpr std::size_t kInputs = 4;

struct Peer {
  const char* model;
  std::int64_t arena_bytes, flash_bytes;  // TensorFlow Lite Micro (2026-08) with CMSIS-NN on M7, measured
};

class MlperfTiny : public testing::TestWithParam<Peer> {};

std::vector<ByteTensor> tensors(const std::filesystem::path& file, std::size_t bytes) {
  const Bytes all = read_bytes(file);
  std::vector<ByteTensor> list;
  for (std::size_t at = 0; at + bytes <= all.size() && list.size() < kInputs; at += bytes)
    list.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(at),
                      all.begin() + static_cast<std::ptrdiff_t>(at + bytes));
  return list;
}

TEST_P(MlperfTiny, OutputsOnTheCoreAreTheReferenceBytes) {
  SKIP_WITHOUT_TOOLS();
  const std::filesystem::path data = data_folder() / "mlperf_tiny";
  const std::string name = GetParam().model;
  if (!std::filesystem::exists(data / "models")) GTEST_SKIP() << data << " is absent";
  const Model model = read_tflite(data / "models" / (name + ".tflite"));
  const auto bytes = [&](const Port& p) {
    return static_cast<std::size_t>(model.graph.shape(p.value).elements());
  };
  const std::vector<ByteTensor> inputs =
      tensors(data / "golden" / (name + ".input.bin"), bytes(model.graph.inputs().at(0)));
  const std::vector<ByteTensor> golden =
      tensors(data / "golden" / (name + ".output.bin"), bytes(model.graph.outputs().at(0)));
  ASSERT_FALSE(inputs.empty());
  ASSERT_EQ(inputs.size(), golden.size());

  const TemporaryFolder folder;
  const Deployment d = deploy(model, load_target("stm32h743"), folder.path(), inputs);
  EXPECT_TRUE(d.identical()) << d.first_difference;
  Int8Executor host(model);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::copy(inputs[i].begin(), inputs[i].end(), host.input(0).begin());
    host.run();
    EXPECT_TRUE(std::equal(golden[i].begin(), golden[i].end(), host.output(0).begin())) << "input " << i;
  }
  EXPECT_LT(d.arena_bytes, GetParam().arena_bytes);
  EXPECT_LT(d.flash_bytes, GetParam().flash_bytes);
  EXPECT_NEAR(static_cast<double>(d.flash_estimate_bytes), static_cast<double>(d.flash_bytes),
              0.05 * static_cast<double>(d.flash_bytes));
  RecordProperty("instructions", static_cast<int>(d.instructions));
}
// The same with vector kernels, against that peer's instructions, arena and flash on the Cortex-M55.
TEST(MlperfTinyM55, TakesLessOfEverythingThanThePeer) {
  SKIP_WITHOUT_TOOLS();
  const std::filesystem::path models = data_folder() / "mlperf_tiny/models";
  if (!std::filesystem::exists(models)) GTEST_SKIP() << models << " is absent";
  struct {
    const char* model;
    std::int64_t instructions, arena_bytes, flash_bytes;
  } const peers[] = {{"ic_pretrainedResnet_quant", 4810000, 54996, 170788},
                     {"kws_ref_model", 1790000, 27300, 133772},
                     {"vww_96_int8", 6430000, 100756, 413124},
                     {"ad01_int8", 286000, 5172, 304860}};
  for (const auto& peer : peers) {
    const Model model = read_tflite(models / (std::string(peer.model) + ".tflite"));
    const TemporaryFolder folder;
    const Deployment d = deploy(model, load_target("mps3-an547"), folder.path(), random_inputs(model, 1));
    EXPECT_TRUE(d.identical()) << peer.model << ": " << d.first_difference;
    EXPECT_LT(d.instructions, peer.instructions * 6 / 10) << peer.model;
    EXPECT_LT(d.arena_bytes, peer.arena_bytes) << peer.model;
    EXPECT_LT(d.flash_bytes, peer.flash_bytes - 20 * 1024) << peer.model;
    EXPECT_LT(d.stack_bytes, 2560) << peer.model;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MlperfTiny,
                         testing::Values(Peer{"ic_pretrainedResnet_quant", 54996, 179916},
                                         Peer{"kws_ref_model", 22820, 139476},
                                         Peer{"vww_96_int8", 100708, 418828},
                                         Peer{"ad01_int8", 2580, 309648}),
                         [](const auto& peer) { return std::string(peer.param.model); });

}  // namespace
}  // namespace micromind
