// The emitted folder as others' build systems take it: a section for constants, an Arduino library, a Zephyr module.
#include <gmock/gmock.h>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/deploy/emit.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

ProcessResult run_in(const fs::path& folder, const std::vector<std::string>& command) { return run_process(command, {.folder = folder, .timeout_s = 300}); }

// What Zephyr's build system offers to a module and an application, as far as the emitted files use it, on this computer.
constexpr std::string_view kZephyr = R"(
set(CONFIG_FILE ${CMAKE_CURRENT_SOURCE_DIR}/prj.conf)
file(STRINGS ${CONFIG_FILE} lines REGEX "^CONFIG_")
foreach(line ${lines})
  string(REGEX MATCH "^(CONFIG_[A-Z0-9_]+)=(.*)$" ignored "${line}")
  set(${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/empty.c "typedef int nothing_here;\n")
enable_language(C)
add_executable(app ${CMAKE_BINARY_DIR}/empty.c)
macro(zephyr_library_named name)
  set(ZEPHYR_LIBRARY ${name})
  add_library(${name} STATIC)
  target_link_libraries(app PRIVATE ${name})
endmacro()
macro(zephyr_library_sources)
  target_sources(${ZEPHYR_LIBRARY} PRIVATE ${ARGN})
endmacro()
macro(zephyr_library_compile_definitions)
  target_compile_definitions(${ZEPHYR_LIBRARY} PRIVATE ${ARGN})
endmacro()
macro(zephyr_include_directories)
  target_include_directories(app PRIVATE ${ARGN})
endmacro()
foreach(module ${EXTRA_ZEPHYR_MODULES})
  file(STRINGS ${module}/zephyr/module.yml place REGEX "cmake:")
  string(REGEX REPLACE ".*cmake: *" "" place "${place}")
  add_subdirectory(${module}/${place} ${CMAKE_BINARY_DIR}/module)
endforeach()
)";

TEST(Projects, ZephyrSampleRunsTheSelfTest) {
  const TemporaryFolder folder;
  write_c(every_operator(), folder.path() / "c", {.prefix = "keyword", .test_inputs = {}, .figures = {}, .projects = {"zephyr"}});
  write_atomic(folder.path() / "fake" / "ZephyrConfig.cmake", kZephyr);
  const ProcessResult configured =
      run_in(folder.path(), {"cmake", "-S", "c/zephyr/sample", "-B", "b", "-DZephyr_DIR=" + (folder.path() / "fake").string()});
  ASSERT_EQ(configured.exit_status, 0) << configured.err;
  const ProcessResult built = run_in(folder.path(), {"cmake", "--build", "b"});
  ASSERT_EQ(built.exit_status, 0) << built.out << built.err;
  const ProcessResult ran = run_in(folder.path(), {"b/app"});
  EXPECT_EQ(ran.exit_status, 0);
  EXPECT_THAT(ran.out, HasSubstr("self test passed"));
  EXPECT_THAT(read_text(folder.path() / "c/zephyr/Kconfig"), HasSubstr("config MICROMIND_KEYWORD\n"));
  EXPECT_THAT(read_text(folder.path() / "c/zephyr/module.yml"), HasSubstr("name: keyword\n"));
  // Without its symbol the module builds nothing, so the application does not link.
  write_atomic(folder.path() / "c/zephyr/sample/prj.conf", "CONFIG_OTHER=y\n");
  EXPECT_EQ(run_in(folder.path(), {"cmake", "-S", "c/zephyr/sample", "-B", "b2", "-DZephyr_DIR=" + (folder.path() / "fake").string()}).exit_status, 0);
  EXPECT_NE(run_in(folder.path(), {"cmake", "--build", "b2"}).exit_status, 0);
}

// Arduino's builder compiles a library's C and C++ in its root and a sketch as C++ with Arduino.h in front.
TEST(Projects, ArduinoSketchAndLibraryCompile) {
  if (!find_program("arm-none-eabi-g++")) GTEST_SKIP() << "arm-none-eabi-g++ is not installed";
  const TemporaryFolder folder;
  const fs::path library = folder.path() / "keyword";
  write_c(every_operator(), library, {.prefix = "keyword", .test_inputs = {}, .figures = {}, .projects = {"arduino"}});
  write_atomic(folder.path() / "core/Arduino.h",
               "#include <stdint.h>\nstruct Printer {\n  void begin(long);\n  void print(int);\n  void print(char);\n  void print(unsigned long);\n  void println(const char*);\n};\n"
               "extern Printer Serial;\nunsigned long micros();\nvoid delay(unsigned long);\nvoid setup();\nvoid loop();\n");
  write_atomic(folder.path() / "sketch.cpp", "#include <Arduino.h>\n" + read_text(library / "examples/Inference/Inference.ino"));
  for (const char* cpu : {"cortex-m0plus", "cortex-m4"}) {
    const std::vector<std::string> flags = {std::string("-mcpu=") + cpu, "-mthumb", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-c"};
    std::vector<std::string> sketch = {"arm-none-eabi-g++", "-std=gnu++11", "-Icore", "-Ikeyword", "sketch.cpp", "-o", "sketch.o"};
    sketch.insert(sketch.end(), flags.begin(), flags.end());
    const ProcessResult cpp = run_in(folder.path(), sketch);
    EXPECT_EQ(cpp.exit_status, 0) << cpp.err;
    std::vector<std::string> source = {"arm-none-eabi-gcc", "-std=gnu11", "keyword/keyword.c", "-o", "keyword.o"};
    source.insert(source.end(), flags.begin(), flags.end());
    const ProcessResult c = run_in(folder.path(), source);
    EXPECT_EQ(c.exit_status, 0) << c.err;
    const ProcessResult linked = run_in(folder.path(), {"arm-none-eabi-ld", "-r", "sketch.o", "keyword.o", "-o", "both.o"});
    EXPECT_EQ(linked.exit_status, 0) << linked.err;
    const std::string symbols = run_in(folder.path(), {"arm-none-eabi-nm", "-u", "both.o"}).out;
    EXPECT_THAT(symbols, Not(HasSubstr("keyword_")));  // found, under their C names
  }
  const std::string properties = read_text(library / "library.properties");
  for (const char* key : {"name=keyword\n", "version=", "author=", "maintainer=", "sentence=", "paragraph=", "category=Data Processing\n", "url=http", "architectures=*\n", "includes=keyword.h\n"})
    EXPECT_THAT(properties, HasSubstr(key));
}

TEST(Projects, ConstantsGoToASectionOfTheirOwn) {
  const TemporaryFolder folder;
  write_c(every_operator(), folder.path() / "c");
  const auto section_bytes = [&](const std::string& library) {
    const std::string text = run_in(folder.path(), {"objdump", "-h", library}).out;
    const std::size_t at = text.find(".xflash");
    return at == std::string::npos ? 0L : std::stol(text.substr(at + 7, 24), nullptr, 16);
  };
  ASSERT_EQ(run_in(folder.path(), {"cmake", "-S", "c", "-B", "b", "-DMODEL_CONSTANT_SECTION=.xflash"}).exit_status, 0);
  const ProcessResult built = run_in(folder.path(), {"cmake", "--build", "b"});
  ASSERT_EQ(built.exit_status, 0) << built.out;
  EXPECT_GT(section_bytes("b/libmodel.a"), 5000);
  const ProcessResult made = run_in(folder.path() / "c", {"make", "CONSTANT_SECTION=.xflash"});
  ASSERT_EQ(made.exit_status, 0) << made.err;
  EXPECT_GT(section_bytes("c/libmodel.a"), 5000);
  EXPECT_EQ(run_in(folder.path() / "c", {"make", "test"}).exit_status, 0);
  EXPECT_THAT(read_text(folder.path() / "c/README.md"), HasSubstr("MODEL_CONSTANT_SECTION=.xflash"));
}

TEST(Projects, OnlyWhatWasAskedForIsThere) {
  const std::vector<EmittedFile> plain = emit_c(every_operator());
  for (const EmittedFile& f : plain) {
    EXPECT_THAT(f.name, Not(HasSubstr("zephyr")));
    EXPECT_THAT(f.name, Not(HasSubstr("library.properties")));
    EXPECT_THAT(f.content, Not(HasSubstr("@MODEL@"))) << f.name;
  }
  EXPECT_THAT(error_of([] { emit_c(every_operator(), {.prefix = "model", .test_inputs = {}, .figures = {}, .projects = {"zephir"}}); }), HasSubstr("did you mean 'zephyr'"));
}

}  // namespace
}  // namespace micromind
