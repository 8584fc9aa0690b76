#include "micromind/formats/pretrained.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "error_of.h"
#include "micromind/base/process.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/formats/pytorch.h"
#include "micromind/formats/safetensors.h"
#include "micromind/formats/state_dict.h"
#include "micromind/formats/tensor_file.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/registry.h"
#include "micromind/reference/reference.h"
#include "train/toy_graph.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

PyValue with_prefix(const PyValue& state, const std::string& prefix) {
  PyValue out = PyValue::dict();
  for (const PyEntry& e : state.entries()) out.set(prefix + e.key.as_string(), e.value);
  return out;
}

PyValue dict(const std::string& key, PyValue value) {
  PyValue out = PyValue::dict();
  out.set(key, std::move(value));
  return out;
}

class Toy : public ::testing::Test {
 protected:
  Pretrained load(const PyValue& tree, std::vector<std::string> except = {}) {
    return initial_weights_from(graph, tree, "made.pt", {.except = std::move(except)});
  }
  std::string error(const PyValue& tree, std::vector<std::string> except = {}) {
    return error_of([&] { load(tree, except); });
  }
  Graph graph = testing::toy_graph();
  Weights weights = initial_weights(graph, 5), other = initial_weights(graph, 6);
  PyValue state = state_from_weights(weights), other_state = state_from_weights(other);
};

TEST_F(Toy, FoundWhereverTheyLie) {
  for (const char* key : {"state_dict", "model_state_dict", "model", "model_ema", "ema", "net", "network", "weights", "module", "anything"})
    for (const char* prefix : {"", "module.", "model.", "_orig_mod.", "backbone.", "module.model.", "_orig_mod.module.", "a.b.c."}) {
      SCOPED_TRACE(fmt::format("{} {}", key, prefix));
      PyValue tree = dict(key, with_prefix(state, prefix));
      tree.set("epoch", 3);
      tree.set("args", PyObject{"argparse.Namespace"});
      tree.set("optimizer", dict("state", dict("0", state)));
      const Pretrained p = load(tree);
      EXPECT_EQ(p.weights, weights);
      EXPECT_EQ(p.prefix, fmt::format("{}.{}", key, std::string_view(prefix) == "_orig_mod." ? "" : std::string_view(prefix) == "_orig_mod.module." ? "module." : prefix));
      EXPECT_EQ(load(with_prefix(state, prefix)).weights, weights);
    }
  EXPECT_EQ(load(dict("a", dict("b", PyValue::List{PyValue(3), with_prefix(state, "module.")}))).prefix, "a.b.1.module.");
}

TEST_F(Toy, TheBestFitWinsThenTheAverage) {
  PyValue tree = dict("model", other_state);
  tree.set("model_ema", with_prefix(state, "module."));
  EXPECT_EQ(load(tree).weights, weights);
  EXPECT_THAT(load(tree).summary, AllOf(HasSubstr("model_ema.module."), HasSubstr("9 of 9"), HasSubstr("unused")));
  PyValue part = PyValue::dict();  // an average of some of them loses
  part.set("conv.weight", other_state.at("conv.weight"));
  tree = dict("ema", part);
  tree.set("model", state);
  EXPECT_EQ(load(tree).weights, weights);
  PyValue lightning = PyValue::dict();  // student and teacher in one dict
  for (const PyEntry& e : state.entries()) lightning.set("student." + e.key.as_string(), e.value);
  lightning.set("teacher.extra.weight", state.at("conv.weight"));
  EXPECT_EQ(load(dict("state_dict", lightning)).weights, weights);
  const MainState main = main_state(tree, "", "made.pt");
  EXPECT_EQ(main.prefix, "model.");
  EXPECT_THAT(main.others, ElementsAre("ema."));
  EXPECT_EQ(main_state(tree, "ema", "made.pt").state.entries().size(), 1u);
  EXPECT_THAT(error_of([&] { main_state(tree, "mdel", "made.pt"); }), HasSubstr("did you mean 'model'"));
  EXPECT_TRUE(is_average("state_dict_ema") && is_average("model_ema.module") && !is_average("schema.gemm"));
}

TEST_F(Toy, OneDictAModule) {  // {"features": …, "classifier": …}
  PyValue features = PyValue::dict(), classifier = PyValue::dict();
  for (const PyEntry& e : state.entries()) {
    const std::string name = e.key.as_string();
    if (name.starts_with("classifier.")) classifier.set(name.substr(11), e.value);
    else features.set(name, e.value);
  }
  PyValue tree = dict("classifier", classifier);
  for (const PyEntry& e : features.entries()) tree.set(e.key.as_string(), e.value);
  EXPECT_EQ(load(tree).weights, weights);
}

TEST_F(Toy, ExceptionsStayRandom) {
  state.set("classifier.weight", PyTensor::of(std::vector<float>(80, 1.f), {10, 8}));
  state.set("classifier.bias", PyTensor::of(std::vector<float>(10, 1.f), {10}));
  EXPECT_THAT(error(state), AllOf(HasSubstr("classifier.weight is 10×8 there"), HasSubstr("train.initial_except = [\"classifier.\"]")));
  const Pretrained p = load(state, {"classifier."});
  EXPECT_THAT(p.random, ElementsAre("classifier.weight", "classifier.bias"));
  EXPECT_EQ(p.weights.size(), weights.size() - 2);
  EXPECT_THAT(p.summary, HasSubstr("random: classifier"));
  EXPECT_THAT(error(state, {"clasifier."}), AllOf(HasSubstr("no parameter begins so"), HasSubstr("'classifier.'")));
  EXPECT_THAT(error(state, {""}), HasSubstr("no parameter begins so"));
  PyValue more = with_prefix(state_from_weights(weights), "module.");
  more.set("module.head.weight", state.at("conv.weight"));
  EXPECT_THAT(error(more), AllOf(HasSubstr("1 that it has no use for (head.weight)"), HasSubstr("\"head.\"")));
  EXPECT_EQ(load(more, {"head."}).weights, weights);
}

TEST_F(Toy, WhatDoesNotFitIsListed) {
  PyValue few = PyValue::dict();
  few.set("conv.weight", state.at("conv.weight"));
  EXPECT_THAT(error(few), AllOf(HasSubstr("8 missing (norm.weight, norm.bias, "), HasSubstr(", …"), HasSubstr("other options")));
  EXPECT_THAT(error(dict("state", dict("x.y", state.at("conv.weight")))), AllOf(HasSubstr("another network"), HasSubstr("state.x.y")));
  EXPECT_THAT(error(PyValue::dict()), HasSubstr("no tensors"));
  EXPECT_THAT(error(PyValue(3)), HasSubstr("no tensors"));
  EXPECT_THAT(error(dict("optimizer", state)), HasSubstr("but an optimiser's"));
  EXPECT_THAT(error(PyObject{"torch.nn.Linear"}), AllOf(HasSubstr("whole pickled object of the class torch.nn.Linear"), HasSubstr("state_dict()")));
  PyValue yolo = dict("model", PyObject{"ultralytics.nn.tasks.DetectionModel"});
  EXPECT_THAT(error(yolo), AllOf(HasSubstr("DetectionModel"), HasSubstr("map_location='cpu')['model']")));
  state.set("conv.weight", PyTensor::of(std::vector<std::int8_t>(72), {8, 1, 3, 3}));
  EXPECT_THAT(error(state), HasSubstr("conv.weight is int8"));
  std::vector<float> numbers(72, 0.f);
  numbers[3] = NAN;
  state.set("conv.weight", PyTensor::of(numbers, {8, 1, 3, 3}));
  EXPECT_THAT(error(state), AllOf(HasSubstr("1 not finite (conv.weight)"), HasSubstr("diverged")));
  EXPECT_NO_THROW(load(state, {"conv."}));
}

TEST_F(Toy, EveryKindOfFile) {
  TemporaryFolder folder;
  const auto path = [&](const char* name) { return folder.path() / name; };
  const auto read = [&](const fs::path& file) { return load_initial_weights(graph, {.path = file}); };
  const auto refused = [&](const fs::path& file) { return error_of([&] { read(file); }); };
  write_checkpoint(path("run/checkpoints/best.pt"), {weights, other, "{}"});
  EXPECT_EQ(read(path("run")).weights, weights);
  EXPECT_EQ(read(path("run")).file, path("run/checkpoints/best.pt"));
  EXPECT_EQ(read(path("run/checkpoints/best.pt")).weights, weights);
  write_safetensors(path("w.safetensors"), state);
  EXPECT_EQ(read(path("w.safetensors")).weights, weights);
  fs::copy_file(path("w.safetensors"), path("named.pt"));  // told by the content
  EXPECT_EQ(read(path("named.pt")).weights, weights);

  EXPECT_THAT(refused(path("none.pt")), HasSubstr("there is no such file"));
  EXPECT_THAT(refused(folder.path()), HasSubstr("is a folder, and no run's"));
  write_atomic(path("untrained/recipe.toml"), "");
  EXPECT_THAT(refused(path("untrained")), AllOf(HasSubstr("has not been trained"), HasSubstr("micromind train")));
  write_atomic(path("text.pt"), "hello\n");
  EXPECT_THAT(refused(path("text.pt")), HasSubstr("a text"));
  write_atomic(path("empty.pt"), "");
  EXPECT_THAT(refused(path("empty.pt")), HasSubstr("empty"));
  write_atomic(path("text.safetensors"), "hello, this is no such file\n");
  EXPECT_THAT(refused(path("text.safetensors")), HasSubstr("no safetensors file"));
  const std::string whole = read_text(path("run/checkpoints/best.pt"));
  write_atomic(path("cut.pt"), std::string_view(whole).substr(0, whole.size() / 2));
  EXPECT_THAT(refused(path("cut.pt")), HasSubstr("cut short"));
  EXPECT_THAT(error_of([&] { write_tensor_file(path("x.onnx"), state); }), HasSubstr(".safetensors"));
}

// As people write them: PyTorch itself, half precision, shared and transposed tensors, averaged weights, arguments.
TEST(Pretrained, WhatPythonSavesLoads) {
  TemporaryFolder folder;
  const nlohmann::json options = {{"input_shape", {3, 32, 32}}, {"include_top", true}, {"alpha", 0.3}};
  const Graph graph = build_network("phinet", options);
  const auto names = reference_names(graph, "phinet");
  EXPECT_EQ(names, reference_names("phinet", options));
  const Weights weights = initial_weights(graph, 9);
  write_pytorch(folder.path() / "plain.pt", state_from_weights(weights, names));
  const std::string script = R"(
import sys, argparse, collections, torch, numpy as np
folder = sys.argv[1]
state = collections.OrderedDict(torch.load(folder + '/plain.pt'))
bn = [k[:-len('running_mean')] for k in state if k.endswith('running_mean')]
for k in bn: state[k + 'num_batches_tracked'] = torch.tensor(7)
state._metadata = collections.OrderedDict(version=1)
optimizer = torch.optim.SGD([torch.nn.Parameter(v.clone()) for v in state.values() if v.dtype == torch.float32], lr=0.1, momentum=0.9)
for p in optimizer.param_groups[0]['params']: p.grad = torch.ones_like(p)
optimizer.step()
wrap = lambda p: collections.OrderedDict((p + k, v) for k, v in state.items())
torch.save({'epoch': 3, 'best_acc': np.float64(91.2), 'args': argparse.Namespace(lr=0.1), 'state_dict': wrap('module.'), 'optimizer': optimizer.state_dict()}, folder + '/imagenet.pth.tar')
torch.save({'state_dict': wrap('model._orig_mod.'), 'pytorch-lightning_version': '2.0', 'callbacks': {'x': {'best': torch.tensor(1.)}}, 'optimizer_states': [optimizer.state_dict()], 'hyper_parameters': argparse.Namespace()}, folder + '/lightning.ckpt')
torch.save({'arch': 'x', 'state_dict': {k: torch.zeros_like(v) for k, v in state.items()}, 'state_dict_ema': state, 'amp_scaler': {'scale': 1.}}, folder + '/timm.pth')
torch.save({k: v.double() if v.is_floating_point() else v for k, v in state.items()}, folder + '/double.pt')
torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, folder + '/half.pt')
turned = {k: v.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0) if v.dim() == 4 else v for k, v in state.items()}
torch.save(turned, folder + '/turned.pt')
flat = torch.cat([v.reshape(-1) for v in state.values() if v.is_floating_point()])
shared, at = {}, 0
for k, v in state.items():
  if v.is_floating_point():
    shared[k] = flat[at:at + v.numel()].view(v.shape); at += v.numel()
torch.save(shared, folder + '/shared.pt')
torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), folder + '/module.pt')
)";
  const ProcessResult r = run_process({"/usr/bin/python3", "-c", script, folder.path().string()});
  if (r.exit_status != 0 && r.err.find("No module named") != std::string::npos) GTEST_SKIP() << "needs python3-torch";
  ASSERT_EQ(r.exit_status, 0) << r.err;
  const auto load = [&](const char* name) { return load_initial_weights(graph, {.path = folder.path() / name, .other_names = {names}}); };
  for (const char* name : {"plain.pt", "imagenet.pth.tar", "lightning.ckpt", "timm.pth", "double.pt", "turned.pt", "shared.pt"}) {
    SCOPED_TRACE(name);
    const Pretrained p = load(name);
    EXPECT_EQ(p.weights, weights);
    EXPECT_FALSE(p.own_names);
  }
  EXPECT_EQ(load("lightning.ckpt").prefix, "state_dict.model.");
  const Pretrained half = load("half.pt");
  for (const auto& [name, array] : half.weights)
    for (std::int64_t i = 0; i < array.elements(); ++i) {
      const float expected = weights.at(name).values<float>()[static_cast<std::size_t>(i)];
      ASSERT_NEAR(array.values<float>()[static_cast<std::size_t>(i)], expected, std::abs(expected) / 1000 + 1e-7f) << name;
    }
  EXPECT_THAT(error_of([&] { load("module.pt"); }), HasSubstr("torch.nn.modules.container.Sequential"));
}

TEST(Pretrained, PythonLoadsOursStrictlyAndAsWeightsOnly) {
  TemporaryFolder folder;
  Graph graph("pair");
  int x = graph.add_input("image", {1, 8, 8});
  x = graph.add("0", Conv2d{.out_channels = 2, .kernel = 3}, {x});
  x = graph.add("1", BatchNorm{}, {x});
  graph.add_output("y", x);
  write_tensor_file(folder.path() / "ours.pt", state_from_weights(initial_weights(graph, 1)));
  const std::string script = R"(
import sys, torch
state = torch.load(sys.argv[1], weights_only=True)
n = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
print(n.load_state_dict(state, strict=True))
assert torch.equal(n[0].weight, state['0.weight'])
)";
  const ProcessResult r = run_process({"/usr/bin/python3", "-c", script, (folder.path() / "ours.pt").string()});
  if (r.exit_status != 0 && r.err.find("No module named") != std::string::npos) GTEST_SKIP() << "needs python3-torch";
  EXPECT_EQ(r.exit_status, 0) << r.err;
  EXPECT_THAT(r.out, HasSubstr("All keys matched"));
}

// The Python package's networks, through this way: its weights give its outputs.
TEST(Pretrained, GoldenCheckpointsGiveTheirOutputs) {
  const char* variable = std::getenv("MICROMIND_GOLDEN");
  const fs::path folder = variable != nullptr ? variable : "../shared/golden";
  if (!fs::is_directory(folder)) GTEST_SKIP() << folder << " is absent; set MICROMIND_GOLDEN";
  for (const char* name : {"phinet_mnist_a025_l7.pt", "phinet_cifar_a050.pt", "xinet_a05_top.pt"}) {
    SCOPED_TRACE(name);
    const PyValue golden = read_pytorch(folder / name);
    const std::string family = golden.at("family").as_string();
    const Graph graph = build_network(family, nlohmann::json::parse(golden.at("config").as_string()));
    const Pretrained p = load_initial_weights(graph, {.path = folder / name, .other_names = {reference_names(graph, family)}});
    EXPECT_EQ(p.prefix, "state.");
    EXPECT_FALSE(p.own_names);
    const std::vector<float> input = golden.at("input").as_tensor().to_floats(), expected = golden.at("output").as_tensor().to_floats();
    Array image(ElementType::float32, graph.shape(graph.inputs()[0].value));
    std::copy_n(input.begin(), image.elements(), image.values<float>().begin());
    const Arrays out = ReferenceExecutor(graph, p.weights).run({{graph.inputs()[0].name, image}});
    const Array& y = out.at(graph.outputs()[0].name);
    float top = 0;
    for (std::int64_t i = 0; i < y.elements(); ++i) top = std::max(top, std::abs(expected[static_cast<std::size_t>(i)]));
    for (std::int64_t i = 0; i < y.elements(); ++i) EXPECT_NEAR(y.values<float>()[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)], 1e-4f * top);
  }
}

}  // namespace
}  // namespace micromind
