// From an int8 model to an emulated core: every byte of every output and layer is the host's.
#include "micromind/deploy/deploy.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/cost/cost.h"
#include "micromind/deploy/emit.h"
#include "micromind/deploy/harness.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DeployTo : public testing::TestWithParam<const char*> {};

TEST_P(DeployTo, EveryByteOfEveryOperatorIsTheHosts) {
  const Target target = load_target(GetParam());
  SKIP_WITHOUT_TOOLS_FOR(target);
  const TemporaryFolder folder;
  const Model model = every_operator();
  std::vector<std::string> steps;
  const Deployment d =
      deploy(model, target, folder.path(), random_inputs(model, 24),
             {.emulate = true, .progress = [&](const std::string& s) { steps.push_back(s); }});
  EXPECT_EQ(d.first_difference, "");
  EXPECT_EQ(d.outputs_compared, 24);
  EXPECT_EQ(d.outputs_identical, 24);
  EXPECT_TRUE(d.identical());
  EXPECT_GE(steps.size(), 3u);
  std::int64_t instructions = 0, macs = 0;
  for (const LayerMeasurement& l : d.layers) {
    EXPECT_TRUE(l.identical) << l.name;
    instructions += l.instructions;
    macs += l.macs;
  }
  EXPECT_EQ(macs, d.macs);
  // Traced layers apply their tables by themselves, which convolutions do as they store when nobody looks.
  EXPECT_NEAR(static_cast<double>(instructions), static_cast<double>(d.instructions),
              40.0 * static_cast<double>(d.layers.size()) + 0.01 * static_cast<double>(d.instructions));
  EXPECT_GE(d.instructions_most, d.instructions);
  EXPECT_EQ(d.cycles_estimate,
            std::llround(static_cast<double>(d.instructions) * cycles_per_instruction(target.core)));
  EXPECT_GT(d.stack_bytes, 50);
  EXPECT_LT(d.stack_bytes, 1500);
  EXPECT_EQ(d.flash_bytes,
            d.code_bytes + d.constant_bytes + (d.flash_bytes - d.code_bytes - d.constant_bytes));
  EXPECT_GT(d.constant_bytes, 5000);
  EXPECT_GT(d.code_bytes, 2000);
  EXPECT_LT(d.data_bss_bytes, 256);
  EXPECT_GE(d.arena_bytes, d.arena_lower_bound_bytes);
  EXPECT_THAT(read_text(folder.path() / "model.h"), HasSubstr("measured on " + d.target));
  const nlohmann::json json = to_json(d);
  for (const char* key : {"core", "arena_bytes", "flash_bytes", "stack_bytes", "instructions",
                          "cycles_estimate", "macs", "outputs_compared", "outputs_identical", "layers"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_THAT(layer_table(d), HasSubstr("depthwise_conv2d_s8"));
}
INSTANTIATE_TEST_SUITE_P(Cores, DeployTo,
                         // Each is run by the machine of its core: microbit, mps2-an385 … mps3-an547, virt.
                         testing::Values("microbit", "rp2040", "mps2-an385", "mps2-an386", "nrf5340", "stm32h743",
                                         "alif-e7-hp", "esp32c3", "k210"),
                         [](const auto& core) {
                           std::string n = core.param;
                           std::erase(n, '-');
                           return n;
                         });

// The cost model's table of code sizes against the linker's: one function a kernel. Where a single layer
// calls it the compiler puts in its constants and needs less.
TEST(Deploy, TheTableOfKernelSizesIsWhatTheLinkerSays) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Model model = every_operator();
  write_c(model, folder.path() / "c");
  const MemoryPlan plan = plan_memory(model.graph);
  const BuildResult built =
      build_size_image({model, plan, folder.path() / "c", folder.path() / "work"}, load_target("stm32h743"));
  std::map<std::string, int> layers;
  for (const Node& node : model.graph.nodes()) ++layers[std::string(kernel_of(model.graph, node))];
  layers.erase("");
  EXPECT_EQ(layers.size(), 15u);
  for (const auto& [kernel, count] : layers) {
    std::int64_t bytes = 0;
    const auto add = [&](const std::string& name) {
      for (const std::string suffix : {"", ".constprop.0", ".isra.0"})
        if (const ElfSymbol* symbol = built.image.symbol(name + suffix)) bytes += symbol->bytes;
    };
    static const std::map<std::string, std::vector<std::string>> parts = {
        {"conv2d_s8",
         {"mm_packed_two_pixels", "mm_packed_unpack_two", "mm_packed_clipped", "mm_packed_parts", "mm_packed_points",
          "mm_packed_next_two", "mm_packed_start_row", "mm_packed_rest"}},
        {"depthwise_conv2d_s8",
         {"mm_packed_depthwise_three", "mm_packed_depthwise_any", "mm_packed_depthwise_find", "mm_packed_depthwise_last"}},
        {"linear_s8", {"mm_packed_one_pixel", "mm_packed_single"}},
        {"mul_s8", {"mm_mul_words"}},
        {"table_s8", {"mm_table_eights"}}};
    const auto own = parts.find(kernel);
    if (own != parts.end())
      for (const std::string& part : own->second) add(part);
    add((built.image.symbol("packed_" + kernel + "_kernel") != nullptr ? "packed_" : "") + kernel + "_kernel");
    ASSERT_GT(bytes, 0) << kernel;
    const std::int64_t expected = kernel_code_bytes(kernel);
    EXPECT_LE(bytes, expected + 16 + expected / 20) << kernel;
    EXPECT_GE(bytes, count > 1 ? expected - 16 - expected / 20 : expected / 6) << kernel;
  }
}

TEST(Deploy, FiguresAreTheSameInEveryRun) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Model model = every_operator(3);
  const Target target = load_target("mps2-an500");
  const auto run = [&](const char* name) {
    return to_json(deploy(model, target, folder.path() / name, random_inputs(model, 2))).dump();
  };
  EXPECT_EQ(run("a"), run("b"));
  for (const EmittedFile& f : emit_c(model))
    EXPECT_TRUE(read_text(folder.path() / "a" / f.name) == read_text(folder.path() / "b" / f.name)) << f.name;
}

TEST(Deploy, AWrongByteIsFoundAndLocated) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Model model = every_operator();
  Model wrong = every_operator();
  wrong.weights.at("depthwise.weight").values<std::int8_t>()[7] += 40;
  wrong.weights.at("head.bias").values<std::int32_t>()[3] += 1 << 20;
  write_c(wrong, folder.path() / "c");
  const MemoryPlan plan = plan_memory(model.graph);
  const Harness harness{model, plan, folder.path() / "c", folder.path() / "work"};
  const Target machine = load_target("mps2-an500");
  const std::vector<ByteTensor> inputs = random_inputs(model, 2);
  const Proof d = prove(model, inputs, chip_values(run_on_core(harness, machine, inputs), trace_on_core(harness, machine, inputs)));
  EXPECT_FALSE(d.identical());
  EXPECT_LT(d.outputs_identical, 2);
  EXPECT_THAT(d.first_difference, AllOf(HasSubstr("'depthwise' (depthwise_conv2d_s8)"),
                                        HasSubstr("on the host"), HasSubstr("on the core")));
}

TEST(Deploy, WithoutEmulationOnlyBuilds) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  Target board = load_target("stm32h743");
  board.emulated_by.clear();
  const Model model = every_operator();
  const Deployment d = deploy(model, board, folder.path(), {}, {.emulate = false, .progress = {}});
  EXPECT_GT(d.flash_bytes, 5000);
  EXPECT_EQ(d.instructions, 0);
  EXPECT_FALSE(d.identical());
  EXPECT_THAT(error_of([&] { deploy(model, board, folder.path(), random_inputs(model, 1)); }),
              HasSubstr("nothing emulates"));
}

TEST(Deploy, TheHostIsNoChip) {
  const TemporaryFolder folder;
  const Model model = every_operator();
  Target host = load_target("stm32h743");
  host.core = Core::kHost;
  EXPECT_THAT(error_of([&] { deploy(model, host, folder.path() / "c", random_inputs(model, 1)); }),
              AllOf(HasSubstr("core is the host"), HasSubstr("self test")));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "c"));
}

TEST(Deploy, UsesAnotherBankWhenTheFirstIsTooSmall) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  Target board = load_target("stm32h743");
  board.ram[0].bytes = board.stack_bytes + 1024;
  const Model model = every_operator();
  const Deployment d = deploy(model, board, folder.path(), random_inputs(model, 2));
  EXPECT_TRUE(d.identical()) << d.first_difference;
  EXPECT_EQ(d.arena_bank, board.ram[1].name);
}

TEST(Deploy, SaysWhatDoesNotFitBeforeItBuilds) {
  const TemporaryFolder folder;
  const Model model = every_operator();
  Target board = load_target("stm32h743");
  board.ram = {{"tiny", 0x20000000, board.stack_bytes + 1500}};
  const auto attempt = [&] { deploy(model, board, folder.path() / "c", random_inputs(model, 1)); };
  EXPECT_THAT(error_of(attempt),
              AllOf(HasSubstr("does not fit stm32h743"), HasSubstr("'tiny'"), HasSubstr("bytes too few")));
  board = load_target("stm32h743");
  board.flash.bytes = 4096;
  EXPECT_THAT(error_of(attempt), AllOf(HasSubstr("does not fit stm32h743"), HasSubstr("lash")));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "c"));
}

TEST(Deploy, SaysWhichInputIsWrong) {
  const TemporaryFolder folder;
  const Model model = every_operator();
  const Target board = load_target("stm32h743");
  EXPECT_THAT(error_of([&] { deploy(model, board, folder.path(), {}); }), HasSubstr("at least one input"));
  auto inputs = random_inputs(model, 2);
  inputs[1].pop_back();
  EXPECT_THAT(error_of([&] { deploy(model, board, folder.path(), inputs); }), HasSubstr("input 1 has"));
}

TEST(Deploy, NamesTheMissingCompiler) {
  const TemporaryFolder folder;
  const Model model = every_operator();
  const char* path = std::getenv("PATH");
  const std::string saved = path == nullptr ? "" : path;
  setenv("PATH", "", 1);
  const std::string error =
      error_of([&] { deploy(model, load_target("stm32h743"), folder.path(), random_inputs(model, 1)); });
  setenv("PATH", saved.c_str(), 1);
  EXPECT_THAT(error, AllOf(HasSubstr("arm-none-eabi-gcc"), HasSubstr("apt install")));
}

}  // namespace
}  // namespace micromind
