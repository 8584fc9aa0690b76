#include "micromind/targets/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "micromind/base/error.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

using testing::AllOf;
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
  EXPECT_THAT(target_names(), testing::IsSupersetOf({"mps2-an386", "mps2-an500", "mps3-an547", "nrf52840",
                                                     "stm32h743", "stm32l4r5"}));
  for (const std::string& name : target_names()) {
    const Target target = load_target(name);
    EXPECT_EQ(target.name, name);
    EXPECT_TRUE(emulation_target(target).emulator) << name;
  }
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
  EXPECT_EQ(error(kGood), "no error");
  EXPECT_THAT(error(with(kGood, "emulated_by = \"mps2-an386\"\n", "")), HasSubstr("nothing emulates mine"));
  EXPECT_THAT(error(with(kGood, "mps2-an386", "mps2-an387")), HasSubstr("did you mean 'mps2-an386'"));
  EXPECT_THAT(error(with(kGood, "mps2-an386", "mps2-an500")), HasSubstr("is a cortex-m7"));
  EXPECT_THAT(error(with(kGood, "mps2-an386", "stm32l4r5")), HasSubstr("no emulated machine"));
  EXPECT_THAT(error(with(kGood, "\"1MB\"", "\"8MB\"")), HasSubstr("flash"));
  EXPECT_THAT(error(with(kGood, "\"64kB\"", "\"64MB\"")), HasSubstr("no room for RAM bank 'a'"));
}

}  // namespace
}  // namespace micromind
