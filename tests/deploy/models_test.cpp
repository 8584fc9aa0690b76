// Several models in one firmware: no clash, kernels once, the bytes of the host.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/deploy/deploy_models.h"
#include "micromind/deploy/emit_models.h"
#include "micromind/deploy/emit_shared.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

std::vector<ModelToDeploy> two(std::size_t inputs) {
  std::vector<ModelToDeploy> models;
  models.push_back({"keyword", every_operator(), random_inputs(every_operator(), inputs)});
  models.push_back({"person", every_operator(3), random_inputs(every_operator(3), inputs)});
  return models;
}

class TwoModels : public testing::TestWithParam<const char*> {};

TEST_P(TwoModels, RunInTurnOnOneArena) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Target target = load_target(GetParam());
  const std::vector<ModelToDeploy> models = two(6);
  const ModelsDeployment d = deploy_models(models, target, folder.path() / "c");
  EXPECT_TRUE(d.identical()) << d.first_difference;
  std::int64_t flash_alone = 0, largest = 0;
  for (std::size_t k = 0; k < models.size(); ++k) {
    EXPECT_EQ(d.models[k].outputs_compared, 6);
    EXPECT_EQ(d.models[k].outputs_identical, 6);
    EXPECT_GT(d.models[k].instructions, 10'000);
    const Deployment alone = deploy(models[k].model, target, folder.path() / models[k].name, models[k].inputs, {.emulate = false, .name = models[k].name, .projects = {}, .progress = {}});
    flash_alone += alone.flash_bytes;
    largest = std::max(largest, alone.arena_bytes);
  }
  EXPECT_EQ(d.arena_bytes, largest);
  EXPECT_GT(d.shared_kernels, 5);
  EXPECT_LT(d.flash_bytes, flash_alone - d.kernel_bytes / 3);  // the kernels are there once
  EXPECT_EQ(to_json(d)["models"].size(), 2u);
}
INSTANTIATE_TEST_SUITE_P(Cores, TwoModels, testing::Values("mps2-an385", "mps2-an500"), [](const auto& core) {
  std::string n = core.param;
  std::erase(n, '-');
  return n;
});

TEST(Models, FolderBuildsAndTestsItselfOnThisComputer) {
  const TemporaryFolder folder;
  const Model a = every_operator(), b = every_operator(5);
  write_files(emit_models({{"keyword", &a, {}}, {"person", &b, {}}}), folder.path());
  const auto run = [&](const std::vector<std::string>& command) { return run_process(command, {.folder = folder.path(), .timeout_s = 300}); };
  const ProcessResult made = run({"make", "CONSTANT_SECTION=.xflash", "CFLAGS=-O1 -Werror", "libmodels.a", "test"});
  ASSERT_EQ(made.exit_status, 0) << made.out << made.err;
  EXPECT_THAT(made.out, HasSubstr("self test passed"));
  ASSERT_EQ(run({"cmake", "-S", ".", "-B", "b", "-DMODELS_SELF_TEST=ON"}).exit_status, 0);
  const ProcessResult built = run({"cmake", "--build", "b"});
  ASSERT_EQ(built.exit_status, 0) << built.out;
  EXPECT_EQ(run({"b/keyword_self_test"}).exit_status, 0);
  EXPECT_EQ(run({"b/person_self_test"}).exit_status, 0);
  EXPECT_THAT(read_text(folder.path() / "models.h"), HasSubstr("} models_arena;"));
}

// What differs must never become one function: a kernel that knows its layer keeps its own, static copy.
TEST(Models, OnlyKernelsThatKnowNothingOfTheirModelAreShared) {
  const Model a = every_operator(), b = every_operator(3);
  for (const EmittedFile& f : emit_models({{"keyword", &a, {}}, {"person", &b, {}}})) {
    if (f.name != "keyword.c" && f.name != "person.c") continue;
    const std::string upper = f.name == "keyword.c" ? "KEYWORD" : "PERSON";
    const std::string key = "\n" + upper + "_SHARED_KERNEL void ";
    int shared = 0;
    for (std::size_t at = f.content.find(key); at != std::string::npos; at = f.content.find(key, at + 1), ++shared) {
      const std::string body = f.content.substr(at + key.size(), f.content.find("\n}\n", at) - at - key.size());
      EXPECT_THAT(body, testing::StartsWith("mm_"));
      EXPECT_THAT(body, Not(HasSubstr("_params.")));
      EXPECT_THAT(body, Not(HasSubstr("_weights")));
      EXPECT_THAT(body, Not(HasSubstr("_offset")));
    }
    EXPECT_GT(shared, 5) << f.name;
  }
}

// Sources by hand: what a kernel may refer to, directly or through another, and the scratch that several models share.
TEST(Models, SharingLooksThroughCallsAndAliases) {
  const auto source = [](const std::string& upper, const std::string& lower, const std::string& columns) {
    const std::string key = "\n" + upper + "_KERNEL void ";
    return KernelSource{"static const int stem_params;" + key + "plain_kernel(const p* p) {\n  mm_plain(p);\n}\n" +  // shareable
                            key + "scratch_kernel(const p* p) {\n  uint32_t columns[" + columns + "];\n  mm_s(p, columns);\n}\n" +
                            key + "stem_kernel(const p* p) {\n  mm_plain(&stem_params);\n}\n" +  // knows its layer
                            key + "outer_kernel(const p* p) {\n  stem_kernel(p);\n}\n" +          // calls one that does
                            key + "own_kernel(const p* p) {\n  " + lower + "_trace(p);\n}\n" +
                            "#define alias_kernel plain_kernel\nint run(void) { alias_kernel(0); outer_kernel(0); scratch_kernel(0); }\n",
                        lower, upper, {"stem"}};
  };
  std::vector<KernelSource> sources = {source("A", "a", "16"), source("B", "b", "640")};
  share_kernels(sources);
  const auto name = [](const std::string& text, const std::string& begin) {
    const std::size_t at = text.find("void " + begin);
    return at == std::string::npos ? std::string() : text.substr(at + 5, text.find('(', at) - at - 5);
  };
  for (const KernelSource& s : sources) {
    EXPECT_THAT(s.text, HasSubstr("\n" + s.upper + "_SHARED_KERNEL void mm_plain_kernel_"));
    EXPECT_THAT(s.text, HasSubstr("uint32_t columns[640]"));
    for (const char* kept : {"_KERNEL void stem_kernel(", "_KERNEL void outer_kernel(", "_KERNEL void own_kernel("}) EXPECT_THAT(s.text, HasSubstr("\n" + s.upper + kept));
    EXPECT_THAT(s.text, HasSubstr("#define alias_kernel " + name(s.text, "mm_plain_kernel_") + "\n"));
    EXPECT_THAT(s.text, HasSubstr("outer_kernel(0); " + name(s.text, "mm_scratch_kernel_") + "(0)"));
  }
  EXPECT_EQ(name(sources[0].text, "mm_plain_kernel_"), name(sources[1].text, "mm_plain_kernel_"));
  EXPECT_EQ(name(sources[0].text, "mm_scratch_kernel_"), name(sources[1].text, "mm_scratch_kernel_"));
  std::vector<KernelSource> other = {source("A", "a", "16")};
  share_kernels(other);  // another size, another name
  EXPECT_NE(name(other[0].text, "mm_scratch_kernel_"), name(sources[0].text, "mm_scratch_kernel_"));
}

TEST(Models, NamesAreChosenAndChecked) {
  EXPECT_EQ(model_name("a/kws ref-model.tflite", {}), "kws_ref_model");
  EXPECT_EQ(model_name("x/kws_ref_model.tflite", {"kws_ref_model"}), "kws_ref_model_2");
  EXPECT_EQ(model_name("3d.tflite", {}), "n3d");
  EXPECT_EQ(model_name("int.tflite", {}), "int_net");
  EXPECT_EQ(model_name("models.tflite", {}), "models_2");
  const Model m = every_operator();
  EXPECT_THAT(error_of([&] { emit_models({{"one", &m, {}}}); }), HasSubstr("expected several models"));
  EXPECT_THAT(error_of([&] { emit_models({{"one", &m, {}}, {"one", &m, {}}}); }), HasSubstr("two models are named 'one'"));
  EXPECT_THAT(error_of([&] { emit_models({{"one", &m, {}}, {"models", &m, {}}}); }), HasSubstr("'models'"));
  EXPECT_THAT(error_of([&] { emit_models({{"one", &m, {}}, {"Two", &m, {}}}); }), HasSubstr("'Two'"));
}

}  // namespace
}  // namespace micromind
