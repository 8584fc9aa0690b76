// Image classification from a recipe: data, network, loss, metrics.
//
//   TrainResult r = train_classification(recipe, graph, "runs/x", {.progress = …, .resume = false});
//   Weights w = load_checkpoint("runs/x/checkpoints/best.pt");            // formats/checkpoint.h
//   ClassificationResult c = evaluate_classification(recipe, graph, w, DataSplit::test);
//
// A network is a classifier when it has one image input and one output of as many values as the data have classes.
#pragma once

#include <memory>

#include "micromind/data/augment.h"
#include "micromind/data/dataset.h"
#include "micromind/formats/pretrained.h"
#include "micromind/graph/graph.h"
#include "micromind/metrics/classification.h"
#include "micromind/run/recipe.h"
#include "micromind/train/trainer.h"

namespace micromind {

/// What the recipe's [data] means to open_dataset(): `train_limit` bounds the training part, `test_limit` the test part
/// (and the validation part when that is the test set). `channels` and `image_size` apply to image folders; other sets
/// come as stored.
DatasetOptions dataset_options(const Recipe& recipe, DataSplit split);

/// The recipe's mean and deviation, else the data set's own. Throws Error unless they are one number a channel of the
/// network's input.
Normalization input_normalization(const Recipe& recipe, const Graph& graph);

/// Throws Error when the network is no classifier of these data: class count, channels, height and width.
void check_classifier(const Graph& graph, const Dataset& dataset);

/// What train_classification() trains with, for a Trainer of one's own: augmented batches, the recipe's loss (mixup, CutMix,
/// distillation), training top-1 against the label of the larger share, validation. Throws Error when the recipe does not
/// fit the data, and when a class has no training image (a data.train_limit below the number of classes asks for that).
std::unique_ptr<Task> classification_task(const Recipe& recipe, const Graph& graph);

/// What train.initial names, read for this network; without the key: no weights. Throws Error as load_initial_weights().
Pretrained recipe_initial_weights(const Recipe& recipe, const Graph& graph);

/// Trains and leaves checkpoints and logs in `run_folder`. Everything of the recipe is checked before the first step.
TrainResult train_classification(const Recipe& recipe, const Graph& graph, const std::filesystem::path& run_folder,
                                 const TrainHooks& hooks = {});
/// The same from a module with weights of its own.
TrainResult train_classification(const Recipe& recipe, GraphModule& module, const std::filesystem::path& run_folder,
                                 const TrainHooks& hooks = {});

ClassificationResult evaluate_classification(const Recipe& recipe, const Graph& graph, const Weights& weights, DataSplit split);

}  // namespace micromind
