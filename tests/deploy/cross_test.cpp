// The cross build: sizes, banks, what does not fit, what does not compile; and the ELF reader on bad bytes.
#include "micromind/deploy/cross.h"

#include <gmock/gmock.h>

#include "deploy/guest.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Cross : public testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_TOOLS(); }
  BuildResult build(const Target& target, const std::string& name) {
    return build_image(target, guest(name), folder_.path() / "build");
  }
  const TemporaryFolder folder_;
};

TEST_F(Cross, SizesAddUpAndSymbolsAreNamed) {
  const Target board = load_target("stm32h743");
  const BuildResult built = build(board, "memory");
  EXPECT_EQ(built.stack, board.stack_bytes);
  EXPECT_EQ(built.data, 16);  // three words, rounded up to eight bytes
  EXPECT_GE(built.bss, (100 + 200) * 1024 + 4000);
  EXPECT_EQ(built.flash_bytes, built.text + built.data);
  EXPECT_GT(built.text, 500);
  EXPECT_LT(built.text, 4096);
  const ElfSymbol* fast = built.image.symbol("fast");
  ASSERT_NE(fast, nullptr);
  EXPECT_EQ(fast->bytes, 100 * 1024);
  EXPECT_EQ(fast->section, ".ram.dtcm");
  EXPECT_EQ(fast->address, 0x20000000u);
  EXPECT_EQ(built.image.symbol("large")->address, 0x30000000u);
  EXPECT_EQ(built.image.symbols.front().name, "large");  // the largest first
  EXPECT_EQ(built.image.section(".vectors")->address, 0x08000000u);
  ASSERT_NE(built.image.function_at(built.image.symbol("main")->address + 2), nullptr);
  EXPECT_EQ(built.image.function_at(built.image.symbol("main")->address + 2)->name, "main");
  std::int64_t used = 0;
  for (const BankUse& bank : built.banks) used += bank.used;
  EXPECT_NEAR(static_cast<double>(used), static_cast<double>(built.ram_bytes()), 16);
  EXPECT_EQ(built.banks[1].used, 100 * 1024);
}

TEST_F(Cross, VariablesOfNamedBanksWorkOnTheEmulatedMachine) {
  const Target target = emulation_target(load_target("stm32h743"));
  const BuildResult built = build(target, "memory");
  const EmulatorResult result = run_on_emulator(target, built.elf);
  EXPECT_EQ(result.exit_status, 0) << result.output;
  EXPECT_EQ(result.report("fast"), target.ram[1].address);
  EXPECT_EQ(result.report("large"), target.ram[2].address);
}

TEST_F(Cross, AnImageThatDoesNotFitSaysByHowMuch) {
  Target target = load_target("mps2-an500");
  EXPECT_EQ(error_of([&] { build(target, "big"); }), "no error");
  target.flash.bytes = 1 << 20;
  target.ram[0].bytes = 1 << 20;
  // Beside the megabyte of each: the code, and the stack.
  EXPECT_THAT(error_of([&] { build(target, "big"); }),
              AllOf(HasSubstr("the flash of mps2-an500 (1.00 MB) is too small by "),
                    HasSubstr("RAM bank 'main' of mps2-an500 (1.00 MB) is too small by 4,")));
  const Target nordic = load_target("nrf52840");
  EXPECT_THAT(error_of([&] { build(nordic, "big"); }),
              HasSubstr("RAM bank 'sram' of nrf52840 (256.0 kB) is too small by 790,"));
}

TEST_F(Cross, WhatTheCompilerRefusesIsShown) {
  const Target target = load_target("mps2-an386");
  const auto source = folder_.path() / "src";
  const auto error = [&](std::string_view text) {
    write_atomic(source / "main.c", text);
    return error_of([&] { build_image(target, source, folder_.path() / "build"); });
  };
  EXPECT_EQ(error("int main(void) { return 0; }\n"), "no error");
  EXPECT_THAT(error("int main(void) { return x; }\n"),
              AllOf(HasSubstr("main.c does not compile"), HasSubstr("'x' undeclared")));
  EXPECT_THAT(error("int main(void) { int unused; return 0; }\n"), HasSubstr("-Werror=unused-variable"));
  EXPECT_THAT(error("int f(void);\nint main(void) { return f(); }\n"),
              AllOf(HasSubstr("does not link"), HasSubstr("undefined reference to `f'")));
  EXPECT_THAT(
      error("__attribute__((section(\".ram.axi\"))) static int far;\nint main(void) { return ++far; }\n"),
      AllOf(HasSubstr("does not link"), HasSubstr(".ram.axi")));  // this board has no such bank
}

TEST_F(Cross, BadCallsAreRefused) {
  const Target target = load_target("mps2-an500");
  const auto build = folder_.path() / "build";
  EXPECT_THAT(error_of([&] { build_image(target, folder_.path() / "none", build); }),
              HasSubstr("no folder of C sources"));
  std::filesystem::create_directories(folder_.path() / "empty");
  EXPECT_THAT(error_of([&] { build_image(target, folder_.path() / "empty", build); }),
              HasSubstr("has no .c file"));
  BuildOptions options;
  options.optimisation = "-Ofast -x";
  EXPECT_THAT(error_of([&] { build_image(target, guest("count"), build, options); }),
              HasSubstr("unknown optimisation level"));
  Target host = target;
  host.core = Core::kHost;
  EXPECT_THAT(error_of([&] { build_image(host, guest("count"), build); }), HasSubstr("core is the host"));
  EXPECT_THAT(cross_compiler_version(target), HasSubstr("arm-none-eabi-gcc"));
}

TEST_F(Cross, BuildsOfTheSameSourcesAreTheSameBytes) {
  const Target target = load_target("mps2-an500");
  const Bytes first = read_bytes(build_image(target, guest("count"), folder_.path() / "one").elf);
  const Bytes second = read_bytes(build_image(target, guest("count"), folder_.path() / "two").elf);
  EXPECT_TRUE(first == second);
}

TEST_F(Cross, TheElfReaderRefusesEveryTruncationAndSurvivesEveryChangedByte) {
  for (const char* machine : {"mps2-an500", "virt-rv32", "virt-rv64"}) {
    const Target target = load_target(machine);
    if (!missing_tool(target).empty()) continue;
    const Bytes image = read_bytes(build(target, "exit_status").elf);
    ASSERT_NO_THROW(parse_elf(image, "image"));
    for (std::size_t size = 0; size < image.size(); size += size < 200 ? 1 : 97)
      EXPECT_THROW(parse_elf(std::span(image).first(size), "cut"), Error) << size;
    for (std::size_t at = 0; at < image.size(); at += at < 64 || at > image.size() - 1200 ? 1 : 61)
      for (const std::uint8_t flip : {0x01, 0x80, 0xFF}) {
        Bytes changed = image;
        changed[at] ^= flip;
        try {
          parse_elf(changed, "changed");
        } catch (const Error&) {
        }
      }
  }
  EXPECT_THROW(parse_elf(read_bytes("/proc/self/exe"), "host"), Error);
}

}  // namespace
}  // namespace micromind
