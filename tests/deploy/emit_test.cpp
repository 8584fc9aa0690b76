// The emitted folder on this computer: it compiles with several compilers without a warning, passes its own
// test, and its test can fail.
#include "micromind/deploy/emit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/deploy/emit_names.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string file(const std::vector<EmittedFile>& files, const std::string& name) {
  for (const EmittedFile& f : files)
    if (f.name == name) return f.content;
  return "";
}

// Runs `make arguments` in the folder.
ProcessResult make(const fs::path& folder, std::vector<std::string> arguments) {
  std::vector<std::string> command = {"make", "-C", folder.string()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_process(command);
}

TEST(Emit, CompilesWithoutAWarningAndPassesItsSelfTest) {
  if (!find_program("make") || !find_program("gcc")) GTEST_SKIP() << "make or gcc is not installed";
  const TemporaryFolder folder;
  write_c(every_operator(), folder.path());
  for (const std::string compiler : {"gcc", "clang"}) {
    if (!find_program(compiler)) continue;
    for (const std::string level : {"-O0", "-O3"}) {
      make(folder.path(), {"clean"});
      const ProcessResult r =
          make(folder.path(), {"CC=" + compiler, "CFLAGS=-Werror " + level, "libmodel.a", "test"});
      EXPECT_EQ(r.exit_status, 0) << compiler << level << r.out << r.err;
      EXPECT_THAT(r.out, HasSubstr("self test passed: 3 inputs"));
      EXPECT_THAT(r.err, Not(HasSubstr("warning")));
    }
  }
}

TEST(Emit, HasNoUndefinedBehaviourAndNoDoubt) {
  if (!find_program("make") || !find_program("gcc")) GTEST_SKIP() << "make or gcc is not installed";
  const TemporaryFolder folder;
  write_c(every_operator(2), folder.path());
  const ProcessResult r =
      make(folder.path(),
           {"CC=gcc", "CFLAGS=-O1 -Werror -fsanitize=address,undefined -fno-sanitize-recover=all", "test"});
  EXPECT_EQ(r.exit_status, 0) << r.out << r.err;
}

TEST(Emit, ItsSelfTestFindsAWrongByteAndNamesTheLayer) {
  if (!find_program("make") || !find_program("gcc")) GTEST_SKIP() << "make or gcc is not installed";
  const TemporaryFolder folder;
  const Model model = every_operator();
  write_c(model, folder.path());
  Model wrong = every_operator();
  wrong.weights.at("depthwise.weight").values<std::int8_t>()[7] += 40;
  write_atomic(folder.path() / "model.c", file(emit_c(wrong), "model.c"));
  const ProcessResult r = make(folder.path(), {"test"});
  EXPECT_NE(r.exit_status, 0);
  EXPECT_THAT(r.out, HasSubstr("first layer that differs is depthwise"));
}

TEST(Emit, BuildsWithCMakeUnderAnotherPrefix) {
  if (!find_program("cmake")) GTEST_SKIP() << "cmake is not installed";
  const TemporaryFolder folder;
  write_c(every_operator(), folder.path() / "c", {.prefix = "kws_2", .test_inputs = {}, .figures = {}});
  EXPECT_TRUE(fs::exists(folder.path() / "c/kws_2.h"));
  const ProcessResult configure = run_process({"cmake", "-S", (folder.path() / "c").string(), "-B",
                                               (folder.path() / "b").string(), "-DKWS_2_SELF_TEST=ON"});
  ASSERT_EQ(configure.exit_status, 0) << configure.err;
  const ProcessResult built = run_process({"cmake", "--build", (folder.path() / "b").string()});
  ASSERT_EQ(built.exit_status, 0) << built.out << built.err;
  EXPECT_EQ(run_process({(folder.path() / "b/kws_2_self_test").string()}).exit_status, 0);
  EXPECT_THAT(read_text(folder.path() / "c/kws_2.c"), Not(testing::ContainsRegex("[^_]model_|MODEL_")));
}

TEST(Emit, SameModelSameBytes) {
  const std::vector<EmittedFile> a = emit_c(every_operator()), b = emit_c(every_operator());
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_TRUE(a[i].content == b[i].content) << a[i].name;
  }
  EXPECT_FALSE(file(a, "model.c") == file(emit_c(every_operator(2)), "model.c"));
}

TEST(Emit, HoldsTheKernelsItUsesAndNoOthers) {
  Graph g("small");
  int x = g.add_input("x", Shape{4});
  x = g.add("fc", Linear{.out_features = 3}, {x});
  g.add_output("y", x);
  std::set<std::string> kernels;
  for (const EmittedFile& f : emit_c(quantize_randomly(g, 1)))
    if (f.name.starts_with("kernels/")) kernels.insert(f.name);
  EXPECT_TRUE(kernels.contains("kernels/linear_s8.h"));
  EXPECT_TRUE(kernels.contains("kernels/common.h"));
  EXPECT_FALSE(kernels.contains("kernels/conv2d_s8.h"));
  EXPECT_FALSE(kernels.contains("kernels/softmax_s8.h"));
}

TEST(Emit, KernelsOfAnEarlierModelGoButOtherFilesStay) {
  const TemporaryFolder folder;
  write_c(every_operator(), folder.path());
  write_atomic(folder.path() / "kernels/mine.h", std::string_view("/* mine */"));
  Graph g("small");
  const int x = g.add_input("x", Shape{4});
  g.add_output("y", g.add("fc", Linear{.out_features = 3}, {x}));
  write_c(quantize_randomly(g, 1), folder.path());
  EXPECT_FALSE(fs::exists(folder.path() / "kernels/conv2d_s8.h"));
  EXPECT_TRUE(fs::exists(folder.path() / "kernels/linear_s8.h"));
  EXPECT_TRUE(fs::exists(folder.path() / "kernels/mine.h"));
}

TEST(Emit, TheHeaderSaysWhatAnEngineerAsks) {
  const std::string header = file(emit_c(every_operator()), "model.h");
  EXPECT_THAT(header, AllOf(HasSubstr("#define MODEL_ARENA_BYTES "),
                            HasSubstr("int8_t* model_input_image(uint8_t* arena)"),
                            HasSubstr("const int8_t* model_output_probabilities(const uint8_t* arena)"),
                            HasSubstr("model_status model_run(uint8_t* arena, size_t arena_bytes);"),
                            HasSubstr("[13][11][3]: height, width, channels"),
                            HasSubstr("MODEL_OUTPUT_PROBABILITIES_SCALE 0.00390625f")));
  EXPECT_THAT(header, AllOf(HasSubstr("model_output_logits("),
                            HasSubstr("model_output_logits_2(")));  // Logits, logits
}

TEST(Emit, QuantizeMacrosAgreeWithTheHost) {
  if (!find_program("gcc")) GTEST_SKIP() << "gcc is not installed";
  const TemporaryFolder folder;
  write_c(every_operator(), folder.path());
  std::ofstream(folder.path() / "probe.c") << R"(#include <stdio.h>
#include "model.h"
int main(void) {
  for (int i = -300; i <= 300; ++i) {
    const float real = (float)i * 0.03125f;
    printf("%d %d\n", MODEL_QUANTIZE(real, 0.0625f, -3), (int)MODEL_DEQUANTIZE((int8_t)(i % 100), 2.0f, -3));
  }
  printf("%d %d\n", MODEL_QUANTIZE(1e30f, 0.5f, 7), MODEL_QUANTIZE(-1e30f, 0.5f, 7));
  return 0;
}
)";
  const std::string program = (folder.path() / "probe").string();
  const ProcessResult built =
      run_process({"gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror",
                   (folder.path() / "probe.c").string(), "-o", program});
  ASSERT_EQ(built.exit_status, 0) << built.err;
  std::istringstream found(run_process({program}).out);
  int q = 0, r = 0;
  for (int i = -300; i <= 300; ++i) {
    found >> q >> r;
    const double steps = std::round(static_cast<double>(i) * 0.03125 / 0.0625) - 3;  // ties lie among them
    EXPECT_EQ(q, std::clamp(steps, -128.0, 127.0)) << i;
    EXPECT_EQ(r, (i % 100 + 3) * 2) << i;
  }
  found >> q >> r;
  EXPECT_EQ(q, 127);
  EXPECT_EQ(r, -128);
}

// A network of two halves: the second alone, from a stored latent, gives what the whole gives.
TEST(Emit, AnEntryPointRunsItsPart) {
  if (!find_program("gcc")) GTEST_SKIP() << "gcc is not installed";
  Graph g("halves");
  const int image = g.add_input("image", Shape{3, 8, 8});
  const int latent = g.add("latent", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {image});
  int x = g.add("deep", Conv2d{.out_channels = 6, .kernel = 3, .stride = 2}, {latent});
  x = g.add("flat", Flatten{}, {x});
  const int y = g.add("head", Linear{.out_features = 5}, {x});
  g.add_output("y", y);
  g.add_entry_point({"features", {image}, {latent}});
  g.add_entry_point({"int", {latent}, {y}});
  const TemporaryFolder folder;
  write_c(quantize_randomly(g, 1), folder.path());
  std::ofstream(folder.path() / "probe.c") << R"(#include <stdio.h>
#include <string.h>
#include "model.h"
static model_arena a, b;
static int8_t latent[MODEL_ENTRY_INT_INPUT_LATENT_BYTES];
int main(void) {
  for (int i = 0; i < MODEL_INPUT_IMAGE_BYTES; ++i) model_input_image(a.bytes)[i] = (int8_t)(i * 37);
  if (model_run_features(a.bytes, sizeof a.bytes) != MODEL_OK) return 1;
  memcpy(latent, model_entry_features_output_latent(a.bytes), sizeof latent);
  memset(&a, 0, sizeof a);
  memcpy(model_entry_int_input_latent(a.bytes), latent, sizeof latent);
  if (model_run_int(a.bytes, sizeof a.bytes) != MODEL_OK || model_run_int(a.bytes, 3) == MODEL_OK) return 2;
  for (int i = 0; i < MODEL_INPUT_IMAGE_BYTES; ++i) model_input_image(b.bytes)[i] = (int8_t)(i * 37);
  if (model_run(b.bytes, sizeof b.bytes) != MODEL_OK) return 3;
  return memcmp(model_entry_int_output_head(a.bytes), model_output_y(b.bytes), MODEL_OUTPUT_Y_BYTES) == 0 ? 0 : 4;
}
)";
  const std::string program = (folder.path() / "probe").string();
  const ProcessResult built = run_process(
      {"gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror",
       (folder.path() / "probe.c").string(), (folder.path() / "model.c").string(), "-o", program});
  ASSERT_EQ(built.exit_status, 0) << built.err;
  EXPECT_EQ(run_process({program}).exit_status, 0);
}

TEST(Emit, RefusesEntryPointsThatCannotRunAlone) {
  Graph g("skip");
  const int image = g.add_input("image", Shape{3, 8, 8});
  const int a = g.add("a", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {image});
  const int b = g.add("b", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {a});
  const int c = g.add("c", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1}, {b});
  const int sum = g.add("sum", Add{}, {a, c});
  g.add_output("y", sum);
  const auto error = [&](EntryPoint entry) {
    Graph with = g;
    with.add_entry_point(std::move(entry));
    return error_of([&] { emit_c(quantize_randomly(with, 1)); });
  };
  EXPECT_EQ(error({"middle", {a}, {sum}}), "no error");
  EXPECT_THAT(error({"late", {b}, {sum}}), HasSubstr("entry point 'late': it needs the input 'image'"));
  EXPECT_THAT(error({"both", {image, a, c}, {sum, a}}), HasSubstr("share memory"));
}

TEST(Emit, TheHeaderIsUsableFromCPlusPlus) {
  if (!find_program("g++")) GTEST_SKIP() << "g++ is not installed";
  const TemporaryFolder folder;
  write_c(every_operator(), folder.path());
  write_atomic(folder.path() / "probe.cpp",
               std::string_view(
                   "#include \"model.h\"\nstatic model_arena arena;\nint probe() {\n  "
                   "*model_input_image(arena.bytes) = "
                   "MODEL_QUANTIZE(0.5f, MODEL_INPUT_IMAGE_SCALE, MODEL_INPUT_IMAGE_ZERO_POINT);\n  return "
                   "model_run(arena.bytes, sizeof arena.bytes) == MODEL_OK ? "
                   "*model_output_probabilities(arena.bytes) : 0;\n}\n"));
  const ProcessResult built = run_process(
      {"g++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-c",
       (folder.path() / "probe.cpp").string(), "-o", (folder.path() / "probe.o").string()});
  EXPECT_EQ(built.exit_status, 0) << built.err;
}

TEST(Emit, RefusesWhatItCannotDo) {
  const auto error = [](const Model& m, const EmitOptions& o = {}) {
    return error_of([&] { emit_c(m, o); });
  };
  const Model good = every_operator();
  Graph g("float");
  const int x = g.add_input("x", Shape{4});
  const int y = g.add("fc", Linear{.out_features = 3}, {x});
  EXPECT_THAT(error({g, {}}), HasSubstr("not int8"));
  EXPECT_THAT(error(quantize_randomly(g, 1)), HasSubstr("no output"));
  g.add_output("y", y);
  EXPECT_EQ(error(quantize_randomly(g, 1)), "no error");
  Graph learning = g;
  learning.add_mutable_parameter("fc.weight");
  EXPECT_THAT(error(quantize_randomly(learning, 1)), HasSubstr("mutable parameters cannot be emitted"));
  for (const char* prefix : {"", "Model", "1x", "mm", "int", "a-b", "x y"})
    EXPECT_THAT(error(good, {prefix, {}, {}}), HasSubstr("cannot begin")) << prefix;
  EXPECT_THAT(error(good, {"model", {{1, 2, 3}}, {}}), HasSubstr("a test input has 3 bytes"));
  Model unbalanced = good;
  unbalanced.graph.type(unbalanced.graph.nodes()[0].outputs[0]).quantization.reset();
  EXPECT_NE(error(unbalanced), "no error");
  Model missing = good;
  missing.weights.erase("head.bias");
  EXPECT_THAT(error(missing), HasSubstr("head.bias"));
}

TEST(Names, AreDistinctIdentifiersWhateverTheName) {
  Identifiers names;
  std::set<std::string> seen;
  for (const char* name :
       {"a.b", "a_b", "a/b", "a:b", "", "_", "9", "int", "mm_conv2d_s8", "é", "日本", "a_b_2", "a__b"}) {
    const std::string id = names.make(name);
    EXPECT_TRUE(seen.insert(id).second) << name;
    EXPECT_TRUE((id[0] >= 'a' && id[0] <= 'z') || (id[0] >= 'A' && id[0] <= 'Z')) << id;
    EXPECT_FALSE(id.starts_with("mm_"));
  }
  EXPECT_LE(names.make(std::string(1000, 'x')).size(), 40u);
  EXPECT_EQ(plain_text("a*/b\\\"?"
                       "?/\n"),
            "a_/b____/_");
  EXPECT_EQ(plain_text(std::string(500, 'x')).size(), 80u);
}

}  // namespace
}  // namespace micromind
