// Real guests on real emulated cores: start-up, instruction clock, stack mark, files, faults.
#include "micromind/deploy/emulator.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

#include "deploy/guest.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Machine : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { SKIP_WITHOUT_TOOLS_FOR(target_); }
  EmulatorResult run(const std::string& name, const BuildOptions& options = {}, double timeout_s = 60) {
    const BuildResult built = build_image(target_, guest(name), folder_.path() / "build", options);
    return run_on_emulator(target_, built.elf, {.folder = folder_.path(), .timeout_s = timeout_s});
  }
  std::string error(const std::string& name, const BuildOptions& options = {}, double timeout_s = 60) {
    return error_of([&] { run(name, options, timeout_s); });
  }
  const Target target_ = emulation_target(load_target(GetParam()));
  const TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Emulated, Machine,
                         testing::Values("microbit", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505",
                                         "mps3-an547", "stm32h743", "virt-rv32", "virt-rv64"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Machine, CountsInstructionsExactlyAndTheSameInEveryRun) {
  const EmulatorResult first = run("count"), second = run("count");
  EXPECT_EQ(first.exit_status, 0);
  EXPECT_THAT(first.output, HasSubstr("hello from the chip\n"));
  EXPECT_LE(first.report("nothing"), 4);
  EXPECT_NEAR(static_cast<double>(first.report("hundred")), 100, 10);
  EXPECT_NEAR(static_cast<double>(first.report("twenty_million")), 20'000'000, 50);
  EXPECT_EQ(first.reports, second.reports);
}

TEST_P(Machine, TheStackMarkSeesAFrameOfTwoKilobytes) {
  const EmulatorResult result = run("stack");
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.report("size"), target_.stack_bytes);
  EXPECT_GT(result.report("depth"), 0);
  const std::int64_t grown = result.report("after") - result.report("before");
  EXPECT_GE(grown, 2048 - 8);  // the frames around it differ by a saved register
  EXPECT_LE(grown, 2048 + 64);
  EXPECT_EQ(result.report("repainted"), result.report("before"));  // forgets what was
  EXPECT_LT(result.report("before") - result.report("depth"), 64);
}

TEST_P(Machine, FilesMakeTheRoundTrip) {
  Bytes input(100'000);
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<std::uint8_t>(i * i >> 3);
  write_atomic(folder_.path() / "inputs.bin", input);
  const EmulatorResult result = run("files");
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.report("length"), 100'000);
  EXPECT_EQ(result.report("read"), 100'000);
  for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(~byte);
  EXPECT_TRUE(read_bytes(folder_.path() / "outputs.bin") == input);
  EXPECT_TRUE(read_bytes(folder_.path() / "pieces.bin") == input);
}

TEST_P(Machine, FpuVectorsAndLoopsAreSwitchedOn) {
  for (const char* level : {"-O0", "-O2", "-O3"}) {
    const EmulatorResult result =
        run("machine", {.optimisation = level, .include_folders = {}, .defines = {}, .extra_sources = {}});
    EXPECT_EQ(result.report("rounds"), 300);
    EXPECT_EQ(result.report("half"), 4500);
    EXPECT_THAT(result.output, HasSubstr("-16276\n"));
  }
}

TEST_P(Machine, PrintsNumbersAndPassesTheExitStatusOn) {
  const EmulatorResult result = run("exit_status");
  EXPECT_EQ(result.exit_status, 42);
  EXPECT_THAT(result.output, HasSubstr("-2147483648 18446744073709551615 0x00dead01\n"));
  EXPECT_EQ(result.report("twice"), 2);
  EXPECT_EQ(result.report("zero"), 0);
  EXPECT_EQ(result.report("wide"), 1234567890123456789);
  EXPECT_EQ(result.reports.size(), 4u);  // "@ 3" and "@broken 4x" are none
  EXPECT_THAT(error_of([&] { (void)result.report("absent"); }),
              AllOf(HasSubstr("no 'absent'"), HasSubstr("twice")));
}

TEST_P(Machine, AFaultIsNamedWithItsFunction) {
  const auto crash = [&](const std::string& kind) {
    return error(
        "fault",
        {.optimisation = "-O1", .include_folders = {}, .defines = {"FAULT=" + kind}, .extra_sources = {}});
  };
  if (target_.core == Core::kCortexM0) {  // Armv6-M has no registers that say more
    EXPECT_THAT(crash("1"), AllOf(HasSubstr("the guest faulted: HardFault"), HasSubstr("in 'crash'")));
    EXPECT_THAT(crash("2"), AllOf(HasSubstr("the guest faulted: HardFault"), HasSubstr("in 'crash'")));
  } else if (!is_cortex_m(target_.core)) {
    EXPECT_THAT(crash("1"), AllOf(HasSubstr("the guest faulted: illegal instruction"), HasSubstr("in 'crash'")));
    EXPECT_THAT(crash("2"), AllOf(HasSubstr("store to no memory"), HasSubstr("in 'crash'"), HasSubstr("0x90000000")));
  } else {
    EXPECT_THAT(crash("1"), AllOf(HasSubstr("the guest faulted"), HasSubstr("undefined instruction"),
                                  HasSubstr("in 'crash'")));
    EXPECT_THAT(crash("2"), AllOf(HasSubstr("BusFault"), HasSubstr("in 'crash'"), HasSubstr("0x5f000000")));
  }
  EXPECT_THAT(crash("3"), AllOf(HasSubstr("the guest faulted"), HasSubstr("'crash'")));
  EXPECT_EQ(crash("0"), "no error");
}

TEST_P(Machine, AStackThatOverflowsIsNamedSo) {
  EXPECT_THAT(error("overflow"),
              AllOf(HasSubstr("the guest faulted: stack overflow"), testing::Not(HasSubstr(" at 0x"))));
}

TEST_P(Machine, OneThatNeverEndsIsStopped) {
  EXPECT_THAT(error("forever", {}, 0.5),
              AllOf(HasSubstr("did not finish within 0.5 s"), HasSubstr("waiting for nothing")));
}

TEST(Emulator, BadCallsAreRefused) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  Target machine = load_target("mps2-an500");
  EXPECT_THAT(error_of([&] { run_on_emulator(load_target("stm32h743"), "x.elf"); }),
              HasSubstr("emulation_target"));
  EXPECT_THAT(error_of([&] { run_on_emulator(machine, folder.path() / "none.elf"); }), HasSubstr("none.elf"));
  write_atomic(folder.path() / "text.elf", "no image at all, but long enough to hold a header of ELF32");
  EXPECT_THAT(error_of([&] { run_on_emulator(machine, folder.path() / "text.elf"); }),
              HasSubstr("no ELF file"));
  const BuildResult built = build_image(machine, guest("exit_status"), folder.path() / "build");
  EXPECT_THAT(error_of([&] { run_on_emulator(machine, built.elf, {.folder = folder.path() / "none"}); }),
              HasSubstr("no folder"));
  machine.emulator->machine = "mps2-an5000";
  EXPECT_THAT(error_of([&] { run_on_emulator(machine, built.elf); }),
              AllOf(HasSubstr("QEMU stopped"), HasSubstr("unsupported machine")));
}

TEST(Emulator, AMissingProgramNamesItsPackage) {
  const std::string path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  ::setenv("PATH", "/nonexistent", 1);
  const TemporaryFolder folder;
  const std::string emulator = error_of([&] { run_on_emulator(load_target("mps2-an500"), "x.elf"); });
  const std::string compiler =
      error_of([&] { build_image(load_target("mps2-an500"), guest("count"), folder.path()); });
  const std::string version = error_of([] { cross_compiler_version(load_target("mps2-an500")); });
  const std::string riscv_emulator = error_of([&] { run_on_emulator(load_target("virt-rv64"), "x.elf"); });
  const std::string riscv_compiler =
      error_of([&] { build_image(load_target("virt-rv32"), guest("count"), folder.path()); });
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(emulator, HasSubstr("apt install qemu-system-arm"));
  EXPECT_THAT(compiler, HasSubstr("apt install gcc-arm-none-eabi"));
  EXPECT_EQ(compiler, version);
  EXPECT_THAT(riscv_emulator, AllOf(HasSubstr("qemu-system-riscv64"), HasSubstr("apt install qemu-system-misc")));
  EXPECT_THAT(riscv_compiler, HasSubstr("apt install gcc-riscv64-unknown-elf"));
}

}  // namespace
}  // namespace micromind
