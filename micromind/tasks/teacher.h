// The trained network that another one learns from (knowledge distillation): a run folder's network and best weights.
//
//   Teacher teacher(recipe, graph, dataset.class_names());
//   loss = … + distillation_loss(logits, teacher.logits(images), temperature);
#pragma once

#include <string>
#include <vector>

#include "micromind/run/recipe.h"
#include "micromind/train/graph_module.h"

namespace micromind {

class Teacher {
 public:
  /// recipe.distill.teacher, for the network `graph` that is trained on data of these classes. Throws Error when there is
  /// no such run, when it has no weights yet, and when its input or its classes are others.
  Teacher(const Recipe& recipe, const Graph& graph, const std::vector<std::string>& class_names);

  /// [N, C, H, W], normalised as the recipe says → [N, classes], in eval mode and without gradient. A teacher that was
  /// trained with another mean and deviation gets the images as it knows them.
  at::Tensor logits(const at::Tensor& images);

 private:
  GraphModule module_;
  std::vector<float> scale_, offset_;  // [C]; empty: the same normalisation
};

}  // namespace micromind
