// Weights from file to file through the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/program.h"
#include "micromind/base/file.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/formats/pytorch.h"
#include "micromind/formats/safetensors.h"
#include "micromind/formats/tensor_file.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/registry.h"
#include "micromind/run/run_folder.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Convert : public ::testing::Test {
 protected:
  Convert() {
    recipe.network.options = {{"alpha", 0.3}};
    RunFolder run = RunFolder::create(path("run"), recipe, IfPresent::fail);
    save_graph(graph, run.network_file().string());
    write_checkpoint(run.checkpoints() / "best.pt", {weights, {}, {}});
    PyValue tree = PyValue::dict(), state = PyValue::dict();
    for (const auto& [name, array] : weights) state.set("module." + name, PyTensor::of(array));
    tree.set("epoch", 3);
    tree.set("state_dict", state);
    write_pytorch(path("theirs.pth"), tree);
  }
  fs::path path(const char* name) const { return folder.path() / name; }
  ProcessResult run(std::vector<std::string> arguments) const { return micromind(std::move(arguments), folder.path()); }
  Weights read(const char* name) const { return load_checkpoint(path(name)); }

  TemporaryFolder folder;
  Recipe recipe;
  nlohmann::json options = {{"input_shape", {3, 32, 32}}, {"num_classes", 10}, {"include_top", true}, {"alpha", 0.3}};
  Graph graph = build_network("phinet", options);
  Weights weights = initial_weights(graph, 4);
};

TEST_F(Convert, BothFormatsAndBothNames) {
  const std::vector<std::string> network = {"--network", "phinet", "--input", "3x32x32", "--classes", "10", "--set", "alpha=0.3"};
  const auto with_network = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), network.begin(), network.end());
    return run(arguments);
  };
  ProcessResult r = run({"convert", "theirs.pth", "a.safetensors"});
  EXPECT_EQ(r.exit_status, 0) << r.err;
  EXPECT_EQ(r.out, "a.safetensors\n");
  EXPECT_THAT(r.err, HasSubstr("'state_dict.module.'"));
  EXPECT_EQ(run({"convert", "a.safetensors", "a.pt", "--json"}).exit_status, 0);
  EXPECT_EQ(read("a.pt"), weights);
  EXPECT_EQ(with_network({"convert", "a.safetensors", "reference.pt", "--names", "reference"}).exit_status, 0);
  EXPECT_TRUE(read_pytorch(path("reference.pt")).contains("_layers.1._layers.0.weight"));
  EXPECT_EQ(run({"convert", "run", "reference2.pt", "--names", "reference"}).exit_status, 0);
  EXPECT_EQ(read_bytes(path("reference.pt")), read_bytes(path("reference2.pt")));
  EXPECT_EQ(with_network({"convert", "reference.pt", "ours.safetensors"}).exit_status, 0);
  EXPECT_EQ(run({"convert", "ours.safetensors", "ours.pt", "--network", "run"}).exit_status, 0);
  EXPECT_EQ(read("ours.pt"), weights);
  EXPECT_EQ(json_of(run({"convert", "run", "run.safetensors", "--json"}))["tensors"], weights.size());

  EXPECT_EQ(json_of(run({"export", "run", "--format", "safetensors", "--json"}))["file"], "run/model.safetensors");
  EXPECT_EQ(read_safetensors(path("run/model.safetensors")).tensors.entries().size(), weights.size());
  EXPECT_EQ(run({"export", "run", "--format", "pt", "--names", "reference"}).exit_status, 0);
  EXPECT_EQ(read_bytes(path("run/model.pt")), read_bytes(path("reference.pt")));
}

TEST_F(Convert, InspectListsTensors) {
  const ProcessResult r = run({"inspect", "theirs.pth"});
  EXPECT_EQ(r.exit_status, 0) << r.err;
  EXPECT_THAT(r.out, AllOf(HasSubstr("state_dict.module.classifier.weight"), HasSubstr("float32"), HasSubstr("theirs.pth PyTorch: ")));
  EXPECT_EQ(json_of(run({"inspect", "theirs.pth", "--json"}))["tensors"].size(), weights.size());
}

TEST_F(Convert, FailuresSayWhatToDo) {
  write_atomic(path("text.pt"), "hello");
  const auto error = [&](std::vector<std::string> arguments) {
    const ProcessResult r = run(std::move(arguments));
    EXPECT_EQ(r.exit_status, 1);
    return r.err;
  };
  EXPECT_THAT(error({"convert", "theirs.pth", "x.onnx"}), HasSubstr(".safetensors"));
  EXPECT_THAT(error({"convert", "none.pth", "x.pt"}), HasSubstr("there is no such file"));
  EXPECT_THAT(error({"convert", "text.pt", "x.pt"}), HasSubstr("a text"));
  EXPECT_THAT(error({"convert", "theirs.pth", "x.pt", "--names", "reference"}), HasSubstr("--network"));
  EXPECT_THAT(error({"convert", "theirs.pth", "x.pt", "--key", "state_dct"}), HasSubstr("did you mean 'state_dict'"));
  EXPECT_THAT(error({"convert", "theirs.pth", "x.pt", "--network", "phinet", "--input", "3x32x32", "--classes", "7", "--set", "alpha=0.3"}),
              HasSubstr("there, 7"));
  EXPECT_THAT(error({"inspect", "text.pt"}), HasSubstr("a text"));
  EXPECT_FALSE(fs::exists(path("x.pt")));
}

}  // namespace
}  // namespace micromind
