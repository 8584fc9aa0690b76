#include "micromind/tasks/teacher.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include "micromind/base/error.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/run/run_folder.h"
#include "micromind/tasks/classification.h"
#include "micromind/train/torch_error.h"

namespace micromind {
namespace {

const Shape& input_shape(const Graph& graph) { return graph.shape(graph.inputs()[0].value); }

void check_teacher(const RunFolder& run, const Graph& teacher, const Graph& graph, const std::vector<std::string>& class_names) {
  const std::string where = run.path().string();
  if (teacher.inputs().size() != 1 || teacher.outputs().size() != 1)
    fail("distill", "the teacher in {} has {} inputs and {} outputs; a classifier has one of each", where, teacher.inputs().size(),
         teacher.outputs().size());
  if (input_shape(teacher) != input_shape(graph))
    fail_with_hint("distill", "both see the same images: train the teacher at this input size", "the teacher in {} takes {}, the network '{}' takes {}",
                   where, to_string(input_shape(teacher)), graph.name, to_string(input_shape(graph)));
  const Shape& scores = teacher.shape(teacher.outputs()[0].value);
  if (scores != Shape{static_cast<int>(class_names.size())})
    fail_with_hint("distill", "the teacher must know the same classes", "the teacher in {} gives {} scores, the data have {} classes", where,
                   to_string(scores), class_names.size());
  const nlohmann::json network = run.result("network");
  if (!network.is_object() || !network.contains("class_names")) return;
  const auto known = network.at("class_names").get<std::vector<std::string>>();
  for (std::size_t i = 0; i < std::min(known.size(), class_names.size()); ++i)
    if (known[i] != class_names[i])
      fail_with_hint("distill", "the teacher must know the same classes, in the same order", "class {} of the teacher in {} is '{}', that of the data is '{}'",
                     i, where, known[i], class_names[i]);
}

GraphModule load_teacher(const Recipe& recipe, const Graph& graph, const std::vector<std::string>& class_names) {
  const RunFolder run = RunFolder::open(recipe.distill.teacher);
  Graph network = load_graph(run.need(run.network_file(), "train").string());
  check_teacher(run, network, graph, class_names);
  const Weights weights = load_checkpoint(run.need(run.checkpoints() / "best.pt", "train"));
  GraphModule module(std::move(network), {.channels_last = recipe.train.channels_last, .device = recipe.train.device});
  module.load(weights);
  module.eval();
  return module;
}

}  // namespace

Teacher::Teacher(const Recipe& recipe, const Graph& graph, const std::vector<std::string>& class_names)
    : module_(load_teacher(recipe, graph, class_names)) {
  const Normalization ours = input_normalization(recipe, graph);
  const Normalization its = input_normalization(RunFolder::open(recipe.distill.teacher).recipe(), module_.graph());
  if (ours.mean == its.mean && ours.deviation == its.deviation) return;
  for (std::size_t c = 0; c < ours.mean.size(); ++c) {  // x·σ + μ is the pixel
    scale_.push_back(ours.deviation[c] / its.deviation[c]);
    offset_.push_back((ours.mean[c] - its.mean[c]) / its.deviation[c]);
  }
}

at::Tensor Teacher::logits(const at::Tensor& images) {
  return guard_torch("distill", [&] {
    const c10::NoGradGuard no_grad;
    if (scale_.empty()) return module_.forward(images);
    const auto by_channel = [&](std::vector<float>& values) {
      return at::from_blob(values.data(), {1, static_cast<std::int64_t>(values.size()), 1, 1}, at::kFloat).to(images.device());
    };
    return module_.forward(images * by_channel(scale_) + by_channel(offset_));
  });
}

}  // namespace micromind
