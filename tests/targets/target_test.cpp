#include "micromind/targets/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "micromind/base/error.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;

// A valid target; each bad case replaces one line.
const std::string kGood = R"(name = "mine"
description = "a board"
source = "its data sheet"
core = "cortex-m4"
clock_hz = 1_000_000
stack = 2048
emulated_by = "mps2-an386"
[flash]
address = 0x08000000
bytes = "1MB"
[[ram]]
name = "a"
address = 0x20000000
bytes = "64kB"
[[ram]]
name = "b"
address = 0x30000000
bytes = 1024
[features]
dsp = true
mve = false
fpu = "single"
[compiler]
flags = ["-mcpu=cortex-m4"]
)";

std::string with(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& toml) {
  try {
    parse_target(toml, "mine.toml");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Target, EveryBuiltInOneLoadsAndBearsItsFileName) {
  for (const std::string& name : target_names()) {
    const Target target = load_target(name);
    EXPECT_EQ(target.name, name);
    EXPECT_GT(target.source.size(), 10u) << name;
    EXPECT_GT(target.description.size(), 10u) << name;
    EXPECT_TRUE(!target.power || target.power->source.size() > 10) << name;
    EXPECT_THAT(target.compiler_flags,
                Contains(AnyOf(HasSubstr(core_name(target.core)),
                               HasSubstr("-march=" + std::string(core_name(target.core))))))
        << name;
    EXPECT_TRUE(emulation_target(target).emulator) << name;
  }
}

// Clock, flash and RAM as the data sheets have them.
TEST(Target, TheBoardsAreThose) {
  struct Board {
    const char* name;
    Core core;
    std::int64_t clock_mhz, flash_kb, ram_kb;
    bool dsp, mve;
    Fpu fpu;
  };
  const Board boards[] = {{"alif-e7-hp", Core::kCortexM55, 400, 5632, 7936, true, true, Fpu::kDouble},
                          {"apollo4p", Core::kCortexM4, 192, 2048 - 96, 2816, true, false, Fpu::kSingle},
                          {"esp32c3", Core::kRv32imc, 160, 4096, 384, false, false, Fpu::kNone},
                          {"imxrt1062", Core::kCortexM7, 600, 2048 - 64, 1024, true, false, Fpu::kDouble},
                          {"k210", Core::kRv64gc, 400, 16384, 8192, false, false, Fpu::kDouble},
                          {"nrf52840", Core::kCortexM4, 64, 1024, 256, true, false, Fpu::kSingle},
                          {"nrf5340", Core::kCortexM33, 128, 1024, 512, true, false, Fpu::kSingle},
                          {"rp2040", Core::kCortexM0Plus, 125, 2048, 264, false, false, Fpu::kNone},
                          {"rp2350", Core::kCortexM33, 150, 4096, 520, true, false, Fpu::kSingle},
                          {"samd51p20", Core::kCortexM4, 120, 1024, 256, true, false, Fpu::kSingle},
                          {"stm32f412", Core::kCortexM4, 100, 1024, 256, true, false, Fpu::kSingle},
                          {"stm32f746", Core::kCortexM7, 216, 1024, 320 + 16, true, false, Fpu::kSingle},
                          {"stm32h743", Core::kCortexM7, 480, 2048, 1024 + 32, true, false, Fpu::kDouble},
                          {"stm32h747", Core::kCortexM7, 480, 2048, 1024 + 32, true, false, Fpu::kDouble},
                          {"stm32l4r5", Core::kCortexM4, 120, 2048, 640, true, false, Fpu::kSingle}};
  std::size_t real = 0;
  for (const std::string& name : target_names()) real += load_target(name).emulator ? 0 : 1;
  EXPECT_EQ(real, std::size(boards));
  EXPECT_GE(real, 15u);
  for (const Board& b : boards) {
    const Target t = load_target(b.name);
    EXPECT_EQ(t.core, b.core) << b.name;
    EXPECT_EQ(t.clock_hz, b.clock_mhz * 1'000'000) << b.name;
    EXPECT_EQ(t.flash.bytes, b.flash_kb * 1024) << b.name;
    EXPECT_EQ(t.ram_bytes(), b.ram_kb * 1024) << b.name;
    EXPECT_EQ(t.features.dsp, b.dsp) << b.name;
    EXPECT_EQ(t.features.mve, b.mve) << b.name;
    EXPECT_EQ(t.features.fpu, b.fpu) << b.name;
    const Target stand_in = emulation_target(t);  // nothing is lost on the machine that stands in
    EXPECT_EQ(stand_in.ram_bytes(), t.ram_bytes()) << b.name;
    EXPECT_EQ(stand_in.flash.bytes, t.flash.bytes) << b.name;
    EXPECT_EQ(load_target(t.emulated_by).features.mve, b.mve) << b.name;
  }
}

TEST(Target, AMachineMayNeedPropertiesOfDevices) {
  const Target pico = emulation_target(load_target("rp2040"));
  EXPECT_EQ(pico.core, Core::kCortexM0Plus);  // on a Cortex-M0: Armv6-M both
  EXPECT_EQ(pico.emulator->machine, "microbit");
  EXPECT_THAT(pico.emulator->properties, Contains("nrf51-soc.sram-size=4194304"));
  EXPECT_TRUE(load_target("mps2-an500").emulator->properties.empty());
}

TEST(Target, CoresNameTheirCompiler) {
  EXPECT_EQ(core_compiler(Core::kCortexM33), "arm-none-eabi-gcc");
  EXPECT_EQ(core_compiler(Core::kRv32imc), "riscv64-unknown-elf-gcc");
  EXPECT_EQ(core_compiler(Core::kHost), "cc");
  EXPECT_TRUE(is_cortex_m(Core::kCortexM0Plus));
  EXPECT_FALSE(is_cortex_m(Core::kRv64gc));
  EXPECT_FALSE(is_cortex_m(Core::kHost));
}

TEST(Target, ReadsABoardOfSeveralBanks) {
  const Target board = load_target("stm32h743");
  EXPECT_EQ(board.core, Core::kCortexM7);
  EXPECT_EQ(core_name(board.core), "cortex-m7");
  EXPECT_EQ(board.clock_hz, 480'000'000);
  EXPECT_EQ(board.flash.address, 0x08000000u);
  EXPECT_EQ(board.flash.bytes, 2 << 20);
  EXPECT_EQ(board.ram_bytes(), (512 + 128 + 288 + 64 + 64) * 1024);
  EXPECT_EQ(board.main_bank().name, "axi");
  EXPECT_EQ(board.features.fpu, Fpu::kDouble);
  EXPECT_TRUE(board.features.dsp);
  EXPECT_FALSE(board.features.mve);
  EXPECT_TRUE(load_target("mps3-an547").features.mve);
  EXPECT_DOUBLE_EQ(load_target("mps3-an547").emulator->tick_ns, 31.25);
  EXPECT_DOUBLE_EQ(load_target("stm32l4r5").power->active_mw, 42);
  EXPECT_DOUBLE_EQ(load_target("rp2350").power->active_mw, 38.7);
  EXPECT_FALSE(load_target("stm32f746").power);
}

TEST(Target, TheStandInHasTheBoardsSizesAtTheMachinesAddresses) {
  const Target board = load_target("stm32h743"), machine = load_target("mps2-an500"),
               both = emulation_target(board);
  EXPECT_EQ(both.name, "stm32h743");
  EXPECT_EQ(both.emulator->machine, "mps2-an500");
  EXPECT_EQ(both.flash.address, machine.flash.address);
  EXPECT_EQ(both.flash.bytes, board.flash.bytes);
  ASSERT_EQ(both.ram.size(), board.ram.size());
  std::int64_t end = machine.main_bank().address;
  EXPECT_EQ(both.main_bank().address,
            machine.main_bank().address);  // the stack overflows into unmapped memory
  for (std::size_t i = 0; i < board.ram.size(); ++i) {
    EXPECT_EQ(both.ram[i].bytes, board.ram[i].bytes);
    EXPECT_GE(both.ram[i].address, end);
    end = both.ram[i].address + both.ram[i].bytes;
  }
  EXPECT_LE(end, machine.main_bank().address + machine.main_bank().bytes);
}

TEST(Target, ReadsAFileOfTheUsersOwn) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "mine.toml";
  write_atomic(path, kGood);
  const Target target = load_target(path.string());
  EXPECT_EQ(target.ram.size(), 2u);
  EXPECT_EQ(target.ram_bytes(), 65 * 1024);
  EXPECT_EQ(target.stack_bytes, 2048);
  EXPECT_THROW(load_target((folder.path() / "none.toml").string()), Error);
}

TEST(Target, AnUnknownNameNamesTheNearest) {
  try {
    load_target("stm32h734");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("unknown target 'stm32h734'"), HasSubstr("stm32h743")));
  }
}

TEST(Target, BadFilesAreRefusedWithFileAndKey) {
  ASSERT_EQ(error_of(kGood), "no error");
  struct Case {
    std::string from, to, expected;
  };
  const Case cases[] = {
      {"clock_hz = 1_000_000\n", "", "clock_hz: this key is missing"},
      {"clock_hz", "clok_hz", "found 'clok_hz', did you mean 'clock_hz'"},
      {"stack = 2048", "stack = 2048\nemulatd_by = \"x\"",
       "emulatd_by: unknown key\n  hint: did you mean 'emulated_by'"},
      {"bytes = 1024", "bytes = -1024", "ram[1].bytes: expected a value from 1"},
      {"bytes = 1024", "bytes = 0", "ram[1].bytes"},
      {"bytes = 1024", "bytes = 1.5", "ram[1].bytes: expected an integer, found a decimal"},
      {"\"64kB\"", "\"64 apples\"", "ram[0].bytes: '64 apples' is no quantity"},
      {"bytes = 1024", "bytes = 1024\nspeed = 3", "ram[1].speed: unknown key"},
      {"name = \"b\"", "name = \"a\"", "ram[1].name: a second bank"},
      {"name = \"b\"", "name = \"B c\"", "ram[1].name"},
      {"0x30000000", "0x20000400", "ram[1].address: bank 'b' overlaps bank 'a'"},
      {"0x30000000", "0xFFFFFFF8", "leave the 32-bit address space"},
      {"0x30000000", "0x30000001", "no multiple of 8"},
      {"stack = 2048", "stack = \"65kB\"", "stack: expected at most 65536"},
      {"stack = 2048", "stack = 8", "stack: expected a multiple of 8 from 512"},
      {"core = \"cortex-m4\"", "core = \"cortex-m5\"", "core: unknown core 'cortex-m5'"},
      {"core = \"cortex-m4\"", "core = 4", "core: expected text, found an integer"},
      {"mve = false", "mve = true", "features.mve: a cortex-m4 has no vector extension"},
      {"mve = false", "mve = 0", "features.mve: expected true or false"},
      {"\"single\"", "\"double\"", "features.fpu: a cortex-m4 has no FPU"},
      {"\"single\"", "\"singel\"", "features.fpu: unknown kind 'singel'\n  hint: did you mean 'single'"},
      {"-mcpu=cortex-m4\"]", "-wrapper=rm\"]", "compiler.flags: '-wrapper=rm' is no machine flag"},
      {"[\"-mcpu=cortex-m4\"]", "[]", "compiler.flags: expected at least"},
      {"[\"-mcpu=cortex-m4\"]", "[3]", "compiler.flags: expected an array of text"},
      {"[features]", "[emulator]\nmachine = \"x\"\ntick_ns = 1\n[features]", "needs no other machine"},
      {"emulated_by = \"mps2-an386\"",
       "[emulator]\nmachine = \"x\"\ntick_ns = 1\nproperties = [\"a.b=1,c.d=2\"]",
       "emulator.properties: 'a.b=1,c.d=2' is no property of a device"},
      {"emulated_by = \"mps2-an386\"", "[emulator]\nmachine = \"x\"\ntick_ns = 1\nproperties = [\"sram=1\"]",
       "emulator.properties: 'sram=1'"},
      {"emulated_by = \"mps2-an386\"", "[emulator]\nmachine = \"x\"\ntick_ns = 1\nproperties = \"a.b=1\"",
       "emulator.properties: expected an array"},
      {"core = \"cortex-m4\"", "core = \"rv64gc\"", "features.dsp: a rv64gc has no DSP extension"},
      {"[features]", "[power]\nactive_mw = -1\nsource = \"x\"\n[features]",
       "power.active_mw: expected a positive"},
      {"[features]", "[features", "mine.toml: line"},
      {"description = \"a board\"", "description = \"\"", "description: expected text"},
  };
  for (const Case& c : cases)
    EXPECT_THAT(error_of(with(kGood, c.from, c.to)), AllOf(HasSubstr("mine.toml"), HasSubstr(c.expected)));
  EXPECT_THAT(error_of("ram = 3\n" + kGood.substr(0, kGood.find("[[ram]]"))),
              HasSubstr("ram: expected tables"));
  EXPECT_THAT(error_of(""), HasSubstr("name: this key is missing"));
}

TEST(Target, EmulationNeedsAMachineOfTheSameCoreThatIsLargeEnough) {
  const auto error = [](const std::string& toml) -> std::string {
    try {
      emulation_target(parse_target(toml, "mine.toml"));
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  std::string riscv = with(with(kGood, "emulated_by = \"mps2-an386\"\n", ""), "dsp = true", "dsp = false");
  riscv = with(with(riscv, "cortex-m4", "rv32imc"), "\"single\"", "\"none\"");
  EXPECT_EQ(error(kGood), "no error");
  EXPECT_THAT(error(with(kGood, "emulated_by = \"mps2-an386\"\n", "")),
              AllOf(HasSubstr("nothing emulates mine, whose core is cortex-m4"),
                    HasSubstr("leave out --emulate"), HasSubstr("emulated_by = \"mps2-an386\"")));
  EXPECT_THAT(error(riscv), AllOf(HasSubstr("nothing emulates mine, whose core is rv32imc"),
                                  HasSubstr("emulated_by = \"virt-rv32\"")));
  EXPECT_THAT(error(with(kGood, "mps2-an386", "mps2-an3866")), HasSubstr("did you mean 'mps2-an386'"));
  EXPECT_THAT(error(with(kGood, "mps2-an386", "mps2-an500")), HasSubstr("is a cortex-m7"));
  EXPECT_THAT(error(with(kGood, "mps2-an386", "stm32l4r5")), HasSubstr("no emulated machine"));
  EXPECT_THAT(error(with(kGood, "\"1MB\"", "\"8MB\"")), HasSubstr("flash"));
  EXPECT_THAT(error(with(kGood, "\"64kB\"", "\"64MB\"")), HasSubstr("no room for RAM bank 'a'"));
}

}  // namespace
}  // namespace micromind
