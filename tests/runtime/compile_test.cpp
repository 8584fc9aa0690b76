// The kernels compile as C99 without a warning, on the host and for the smallest and the largest cores, and
// as C++20.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "micromind/base/file.h"
#include "micromind/base/process.h"

namespace micromind {
namespace {

const std::filesystem::path kRoot = MICROMIND_SOURCE_DIR;

/// A file that includes every kernel, twice, so that a missing guard shows too.
std::string every_kernel() {
  std::string source;
  for (int pass = 0; pass < 2; ++pass) {
    for (const auto& entry : std::filesystem::directory_iterator(kRoot / "runtime/kernels")) {
      if (entry.path().extension() != ".h") continue;
      source += "#include \"runtime/kernels/" + entry.path().filename().string() + "\"\n";
    }
  }
  return source + "int answer(void);\nint answer(void) { return 42; }\n";
}

void compile(const std::string& compiler, const std::vector<std::string>& flags, const std::string& source,
             const std::string& name) {
  if (!find_program(compiler)) GTEST_SKIP() << compiler << " is not installed";
  TemporaryFolder folder;
  write_atomic(folder.path() / name, source);
  std::vector<std::string> arguments = {compiler};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  for (const char* flag :
       {"-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-c", "-o"}) {
    arguments.emplace_back(flag);
  }
  arguments.push_back((folder.path() / "kernels.o").string());
  arguments.push_back("-I" + kRoot.string());
  arguments.push_back((folder.path() / name).string());
  const auto result = run_process(arguments);
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

TEST(Compile, EveryKernelIsFound) {
  const auto source = every_kernel();
  for (const char* name :
       {"conv2d_s8", "depthwise_conv2d_s8", "linear_s8", "average_pool2d_s8", "max_pool2d_s8",
        "adaptive_average_pool2d_s8", "mean_s8", "add_s8", "mul_s8", "table_s8", "concat_s8", "split_s8",
        "upsample_nearest2d_s8", "pad_s8", "softmax_s8"}) {
    EXPECT_NE(source.find(std::string("/") + name + ".h"), std::string::npos) << name;
  }
}

TEST(Compile, HostC99) {
  compile("gcc", {"-std=c99", "-O2"}, every_kernel(), "kernels.c");
}

TEST(Compile, HostC99Freestanding) {
  compile("gcc", {"-std=c99", "-O0", "-ffreestanding"}, every_kernel(), "kernels.c");
}

TEST(Compile, HostC99Clang) {
  compile("clang", {"-std=c99", "-O2"}, every_kernel(), "kernels.c");
}

TEST(Compile, HostCpp20) {
  compile("g++", {"-std=c++20", "-O2"}, every_kernel(), "kernels.cpp");
}

TEST(Compile, CortexM) {
  for (const char* core : {"cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55"}) {
    compile("arm-none-eabi-gcc", {"-std=c99", "-O2", "-mthumb", std::string("-mcpu=") + core}, every_kernel(),
            "kernels.c");
  }
}

TEST(Compile, AWarningIsAnError) {  // the test above could not fail otherwise
  if (!find_program("gcc")) GTEST_SKIP() << "gcc is not installed";
  TemporaryFolder folder;
  write_atomic(folder.path() / "bad.c", "signed char f(int x);\nsigned char f(int x) { return x; }\n");
  const auto result = run_process({"gcc", "-std=c99", "-Wconversion", "-Werror", "-c", "-o",
                                   (folder.path() / "bad.o").string(), (folder.path() / "bad.c").string()});
  EXPECT_NE(result.exit_status, 0);
}

TEST(Compile, NoFloatNoHeapNoStdioInTheKernels) {
  for (const auto& entry : std::filesystem::directory_iterator(kRoot / "runtime/kernels")) {
    if (entry.path().extension() != ".h") continue;
    const auto text =
        std::regex_replace(read_text(entry.path()), std::regex("/\\*[^*]*\\*+([^/*][^*]*\\*+)*/"), "");
    for (const char* word : {"float", "double", "malloc", "free(", "stdio", "stdlib", "math.h"}) {
      EXPECT_EQ(text.find(word), std::string::npos) << entry.path() << " contains " << word;
    }
  }
}

}  // namespace
}  // namespace micromind
