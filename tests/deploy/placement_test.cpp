// Patches, several RAM banks and external flash on emulated machines: the bytes stay the host's.
#include "micromind/deploy/placement.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/cost/count.h"
#include "micromind/deploy/deploy.h"
#include "micromind/deploy/emit.h"
#include "micromind/formats/tflite.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// High resolution in front, a residual, a head with most of the weights.
Model small_network() {
  Graph g("small");
  int x = g.add_input("image", {3, 32, 32});
  x = g.add("stem", Conv2d{.out_channels = 16, .kernel = 3, .padding = 1, .activation = Function::relu6}, {x});
  const int skip = x;
  x = g.add("deep", Conv2d{.out_channels = 16, .kernel = 3, .padding = 1, .groups = 16}, {x});
  x = g.add("swish", Activation{Function::hard_swish}, {x});
  x = g.add("residual", Add{}, {x, skip});
  x = g.add("down", Conv2d{.out_channels = 24, .kernel = 3, .stride = 2, .padding = 1}, {x});
  x = g.add("pool", MaxPool2d{.kernel = 4, .stride = 4}, {x});
  x = g.add("flat", Flatten{}, {x});
  x = g.add("hidden", Linear{.out_features = 80}, {x});
  g.add_output("scores", g.add("head", Linear{.out_features = 5}, {x}));
  return quantize_randomly(g, 3);
}

Target board(std::int64_t first_kb, std::int64_t second_kb) {
  Target target = load_target("stm32h743");
  target.ram.resize(2);
  target.ram[0].bytes = target.stack_bytes + first_kb * 1024;
  target.ram[1].bytes = second_kb * 1024;
  return target;
}

bool self_test_passes(const std::filesystem::path& folder) {
  const ProcessResult result = run_process({"make", "-s", "-C", folder.string(), "test"}, {.folder = {}, .timeout_s = 120});
  if (result.exit_status != 0) ADD_FAILURE() << result.out << result.err;
  return result.exit_status == 0;
}

TEST(Placement, TensorsSpreadOverTwoBanks) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Model model = small_network();
  const std::int64_t arena = plan_memory(model.graph).arena_bytes;
  const Target target = board(24, 20);
  ASSERT_GT(arena, 25 * 1024);
  const Deployment d = deploy(model, target, folder.path(), random_inputs(model, 4), {.placement = {.patches = kPatchesOff}});
  EXPECT_TRUE(d.identical()) << d.first_difference;
  ASSERT_EQ(d.arenas.size(), 2u);
  EXPECT_EQ(d.arenas[0].bank, "axi");
  EXPECT_EQ(d.arenas[1].bank, target.ram[1].name);
  EXPECT_EQ(d.arenas[0].bytes + d.arenas[1].bytes, d.arena_bytes);
  EXPECT_LE(d.arenas[0].bytes, 24 * 1024);
  EXPECT_LE(d.arenas[1].bytes, 20 * 1024);
  EXPECT_LT(d.data_bss_bytes, 300);
  EXPECT_THAT(read_text(folder.path() / "model.h"),
              HasSubstr("model_status model_run(uint8_t* arena, size_t arena_bytes, uint8_t* arena_1, size_t arena_1_bytes);"));
  EXPECT_TRUE(self_test_passes(folder.path()));
  EXPECT_EQ(to_json(d).at("arenas").size(), 2u);
}

TEST(Placement, PatchesComeWhenNothingElseFits) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Model model = small_network();
  const Target target = board(24, 4);
  const Deployment d = deploy(model, target, folder.path(), random_inputs(model, 4));
  EXPECT_TRUE(d.identical()) << d.first_difference;
  EXPECT_GE(d.patches, 2);
  EXPECT_EQ(d.patches_first, "stem");
  EXPECT_GT(d.extra_macs, 0);
  EXPECT_LE(d.arena_bytes, 24 * 1024);
  EXPECT_GT(d.arena_without_patches_bytes, 24 * 1024);
  EXPECT_TRUE(self_test_passes(folder.path()));
  EXPECT_THAT(error_of([&] { deploy(model, target, folder.path(), random_inputs(model, 1), {.placement = {.patches = kPatchesOff}}); }),
              AllOf(HasSubstr("does not fit stm32h743"), HasSubstr("bytes too few"), HasSubstr("stem"), HasSubstr("--patches auto, with which it fits")));
  EXPECT_THAT(error_of([&] { deploy(model, board(4, 1), folder.path(), random_inputs(model, 1)); }),
              AllOf(HasSubstr("smaller input"), HasSubstr("boards with room for it"), HasSubstr("strips does not make it fit either")));
  const Fit fit = check_fit(estimate_cost(model.graph, as_lowered(model.graph)), as_lowered(model.graph), target);
  EXPECT_TRUE(fit.fits());
  EXPECT_THAT(fit.text, HasSubstr("strips"));
}

TEST(Placement, StripsShareTheirWeights) {
  const Model model = small_network();
  const auto source = [](const Model& m) {
    for (const EmittedFile& f : emit_c(m))
      if (f.name == "model.c") return f.content;
    return std::string();
  };
  const std::string four = source(split_rows(model, {.first = 0, .last = 4, .strips = 4}));
  EXPECT_THAT(four, AllOf(HasSubstr("down_strip0_weights["), HasSubstr(".weights = down_strip0_weights"), HasSubstr("down_strip3_params"),
                          testing::Not(HasSubstr("down_strip1_weights["))));
  const Lowered whole = as_lowered(model.graph);
  const std::int64_t more = estimate_cost(model.graph, split_rows(whole, {.first = 0, .last = 4, .strips = 4})).constant_bytes -
                            estimate_cost(model.graph, whole).constant_bytes;
  EXPECT_EQ(more, 3 * (92 + 88 + 8 + 52 + 92));
}

TEST(Placement, WeightsInExternalFlash) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Model model = small_network();
  Target target = load_target("stm32h743");
  target.external_flash = MemoryBank{.name = "xflash", .address = 0x90000000, .bytes = 64 << 20};
  const auto inputs = random_inputs(model, 2);
  const Deployment inside = deploy(model, target, folder.path(), inputs, {.emulate = false});
  EXPECT_EQ(inside.external_flash_bytes, 0);
  const Deployment outside = deploy(model, target, folder.path(), inputs, {.placement = {.weights = WeightsIn::external}});
  EXPECT_TRUE(outside.identical()) << outside.first_difference;
  EXPECT_GT(outside.external_flash_bytes, 384 * 80);
  EXPECT_NEAR(static_cast<double>(outside.flash_bytes + outside.external_flash_bytes), static_cast<double>(inside.flash_bytes), 64);
  EXPECT_THAT(read_text(folder.path() / "model.c"), HasSubstr("MODEL_EXTERNAL_CONSTANT int8_t"));
  EXPECT_TRUE(self_test_passes(folder.path()));

  target.flash.bytes = inside.flash_bytes - 1000;  // the hidden layer, largest and least read, moves alone
  const Deployment some = deploy(model, target, folder.path(), inputs);
  EXPECT_TRUE(some.identical()) << some.first_difference;
  EXPECT_EQ(some.external_flash_bytes, 384 * 80 + 80 * 12);  // cores with the DSP extension read bias and factors among the weights
  EXPECT_LE(some.flash_bytes, target.flash.bytes);
  EXPECT_THAT(error_of([&] { deploy(model, target, folder.path(), inputs, {.placement = {.weights = WeightsIn::internal}}); }),
              HasSubstr("--weights auto"));
  target.external_flash.reset();
  EXPECT_THAT(error_of([&] { deploy(model, target, folder.path(), inputs, {.placement = {.weights = WeightsIn::external}}); }),
              HasSubstr("has no external flash"));
}

TEST(Placement, WordsOfTheCommandLine) {
  EXPECT_EQ(patches_from("auto"), kPatchesIfNeeded);
  EXPECT_EQ(patches_from("off"), kPatchesOff);
  EXPECT_EQ(patches_from("12"), 12);
  for (const char* wrong : {"", "1", "-3", "3x", "many", "99999999999"}) EXPECT_THROW(patches_from(wrong), Error) << wrong;
  EXPECT_EQ(weights_from("external"), WeightsIn::external);
  EXPECT_THROW(weights_from("ram"), Error);
}

// MLPerf Tiny's visual wake words in strips: the golden bytes of TensorFlow Lite Micro.
TEST(Placement, VisualWakeWordsInStripsGivesTheReferenceBytes) {
  SKIP_WITHOUT_TOOLS();
  const std::filesystem::path data = data_folder() / "mlperf_tiny";
  if (!std::filesystem::exists(data / "models")) GTEST_SKIP() << data << " is absent";
  const Model model = read_tflite(data / "models/vww_96_int8.tflite");
  const Bytes input = read_bytes(data / "golden/vww_96_int8.input.bin"), golden = read_bytes(data / "golden/vww_96_int8.output.bin");
  const PlacedModel placed = place_model(model, load_target("stm32h743"), {.patches = 4});
  ASSERT_TRUE(placed.patches);
  Int8Executor host(placed.model);
  const std::size_t in = host.input(0).size(), out = host.output(0).size();
  for (std::size_t i = 0; i < 4 && (i + 1) * in <= input.size(); ++i) {
    std::copy_n(input.begin() + static_cast<std::ptrdiff_t>(i * in), in, host.input(0).begin());
    host.run();
    for (std::size_t k = 0; k < out; ++k) EXPECT_EQ(static_cast<std::int8_t>(golden[i * out + k]), host.output(0)[k]) << "input " << i;
  }
  const TemporaryFolder folder;
  std::vector<std::vector<std::int8_t>> one(1);
  one[0].assign(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(in));
  const Deployment d = deploy(model, load_target("stm32h743"), folder.path(), one, {.placement = {.patches = 4}});
  EXPECT_TRUE(d.identical()) << d.first_difference;
  EXPECT_EQ(d.patches, 4);
  RecordProperty("arena", static_cast<int>(d.arena_bytes));
}

}  // namespace
}  // namespace micromind
