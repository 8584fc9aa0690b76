// The stages of a run, each from the run folder to the run folder: what `micromind run` does is what the single verbs
// do one after another.
//
//   RunFolder run = RunFolder::create("runs/demo", recipe, IfPresent::numbered);
//   run_recipe(run, {.note = print});          // network, train, quantize, evaluate, export, deploy, report
//
// A stage stores what it found with RunFolder::set_result and returns the same JSON. Stages throw Error with the verb
// to run first where an earlier one is missing, and Interrupted when the user stops them.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "micromind/deploy/deploy.h"
#include "micromind/deploy/input_files.h"
#include "micromind/run/run_folder.h"
#include "micromind/train/progress.h"

namespace micromind {

class Ranks;

struct StageHooks {
  std::function<void(const std::string&)> note = {};  ///< one line a step
  ProgressListener train = {};                        ///< see train/progress.h
  Ranks* ranks = nullptr;  ///< the processes that train together; this is the first of them. nullptr: this one alone
};

enum class Goal { train, deploy };  ///< how far a run is to go

/// A recipe with a [design] section → the same with the designed network; any other as it is. Opens the data for their shape
/// and classes. Throws Error as design() does.
Recipe resolve_design(const Recipe& recipe, const StageHooks& hooks = {});

/// A recipe's network for its data, and what it costs.
struct PreparedNetwork {
  Graph graph;
  nlohmann::json result;  ///< {parameters, macs, torchinfo_mult_adds, peak_ram_bytes, flash_bytes, fits, fit, class_names}
};

/// Builds the network for the data's shape and classes, writing nothing. Throws Error for whatever would stop the run
/// later: data that are missing, a device, a network that does not fit its data; with Goal::deploy also test data that are
/// missing, a network that does not fit the target, a cross compiler or an emulator that is not installed.
PreparedNetwork prepare_network(const Recipe& recipe, Goal goal, const StageHooks& hooks = {});

/// Writes network.json. → the result of prepare_network
nlohmann::json stage_network(RunFolder& run, const PreparedNetwork& network);

/// Trains; `resume` goes on from the last checkpoint. → {epochs, steps, seconds, best_epoch, top1, last_top1, loss}
nlohmann::json stage_train(RunFolder& run, bool resume, const StageHooks& hooks = {});

/// Says to the other ranks whether the first one is about to train; stage_train() says so itself.
void tell_ranks(Ranks* ranks, bool train);

/// The part of every rank but the first, which has the run folder: trains its share of the batches, unless the first one has nothing
/// to train, and writes nothing.
void train_share(const Recipe& recipe, Ranks& ranks);

/// Trains a recipe in `folder`, new or an earlier run of it that goes on; what is trained already is left alone. Checks
/// everything before it makes the folder. → the result of stage_train
nlohmann::json train_recipe(const Recipe& recipe, const std::filesystem::path& folder, const StageHooks& hooks = {});

/// Makes the best weights int8 as the recipe's [quantize] says, `qat` in any case with quantisation-aware training, and
/// writes model.tflite. A training that was stopped goes on. → {samples, calibration, seconds, bytes[, equalized_pairs]
/// [, bias_correction_steps][, qat{epochs, best_epoch, ranges, loss, seconds, images_per_second, validation_top1}]}
nlohmann::json stage_quantize(RunFolder& run, const StageHooks& hooks = {}, bool qat = false);

/// Accuracy over the test set: the float network, and model.tflite where it is there.
/// → {samples, top1, top5, int8_top1, int8_top5, class_names, confusion, int8_confusion, seconds}, and after
/// quantisation-aware training ptq_top1, that of the int8 model without it
nlohmann::json stage_evaluate(RunFolder& run, const StageHooks& hooks = {});

/// Writes model.onnx (float). → {onnx, tflite}, each a path where the file is there
nlohmann::json stage_export(RunFolder& run, const StageHooks& hooks = {});

struct DeployStage {
  std::string target;             ///< empty: the recipe's
  bool emulate = true;
  std::int64_t inputs = 0;        ///< test images to compare; 0: the recipe's
  std::filesystem::path output;   ///< empty: RUN/c
  PlacementOptions placement = {};
};
/// model.tflite on the target, its outputs compared on test images. → to_json(Deployment)
nlohmann::json stage_deploy(RunFolder& run, const DeployStage& options, const StageHooks& hooks = {});

/// All stages and the report. The network stage's result is kept where there is one, with `resume` those of the others
/// too. Throws Error before training for whatever prepare_network() finds. → {folder, network, train, quantize, evaluate, export, deploy, report}
nlohmann::json run_recipe(RunFolder& run, bool resume, const StageHooks& hooks = {});

/// The first test images of a run as its int8 model sees them, with labels; `count` 0: as many as the recipe compares.
LabelledInputs test_inputs(const RunFolder& run, const Model& model, std::int64_t count);

struct Prediction {
  std::string file, label;
  int index = 0;
  double probability = 0;  ///< softmax of the scores
};
/// Classifies image files, by the int8 model or the float network.
std::vector<Prediction> predict(const RunFolder& run, const std::vector<std::string>& files, bool int8);

}  // namespace micromind
