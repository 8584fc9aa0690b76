// A run is a folder, and every verb reads and writes run folders, so verbs compose.
//
//   runs/demo/recipe.toml     the recipe with every default filled in
//             network.json    the graph
//             log.jsonl, events.out.tfevents.*, checkpoints/    training
//             model.tflite    the int8 model            model.onnx    the float model
//             c/              plain C for the target
//             validation.json what `validate` found on the chip
//             results.json    what each stage found, by stage     report.html    all of it on one page
//
//   RunFolder run = RunFolder::create("runs/demo", recipe, IfPresent::numbered);   // runs/demo, runs/demo-2, …
//   run.set_result("quantize", {{"samples", 512}});                                // forgets what was built on it
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "micromind/run/recipe.h"

namespace micromind {

/// What create() does when the folder is there already.
enum class IfPresent {
  fail,      ///< throw
  numbered,  ///< leave it alone and take the next free name: demo-2, demo-3, …
  resume,    ///< go on in it; throws unless its recipe is the same
  replace    ///< remove what an earlier run wrote there, and nothing else
};

/// The stages in their order. Doing network, train or quantize makes the results of those behind it void; the last
/// three do not depend on each other.
const std::vector<std::string>& stage_names();  ///< network, train, quantize, evaluate, export, deploy

class RunFolder {
 public:
  /// The path that create() would take, touching nothing. Throws Error as create() does.
  static std::filesystem::path choose(const std::filesystem::path& wanted, const Recipe& recipe, IfPresent if_present);

  /// Makes the folder and writes recipe.toml. Throws Error when `path` is something else than a run folder and not
  /// empty, and as IfPresent says.
  static RunFolder create(const std::filesystem::path& path, const Recipe& recipe, IfPresent if_present);

  /// An existing one. Throws Error when there is none at `path` (naming what was looked for).
  static RunFolder open(const std::filesystem::path& path);
  static bool is_run_folder(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const Recipe& recipe() const { return recipe_; }

  std::filesystem::path recipe_file() const { return path_ / "recipe.toml"; }
  std::filesystem::path network_file() const { return path_ / "network.json"; }
  std::filesystem::path log_file() const { return path_ / "log.jsonl"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path tflite_file() const { return path_ / "model.tflite"; }
  std::filesystem::path onnx_file() const { return path_ / "model.onnx"; }
  std::filesystem::path c_folder() const { return path_ / "c"; }
  std::filesystem::path validation_file() const { return path_ / "validation.json"; }
  std::filesystem::path results_file() const { return path_ / "results.json"; }
  std::filesystem::path report_file() const { return path_ / "report.html"; }

  /// What a stage found, or null when it has not run.
  nlohmann::json result(const std::string& stage) const;
  bool has_result(const std::string& stage) const { return !result(stage).is_null(); }

  /// Stores a stage's result and removes those that were built on its last one, atomically.
  void set_result(const std::string& stage, const nlohmann::json& result);

  /// The path if the file is there; else Error "… has not run yet" with the command that makes it.
  std::filesystem::path need(const std::filesystem::path& file, std::string_view verb) const;

 private:
  RunFolder(std::filesystem::path path, Recipe recipe) : path_(std::move(path)), recipe_(std::move(recipe)) {}
  nlohmann::json results() const;
  std::filesystem::path path_;
  Recipe recipe_;
};

/// The keys in which two recipes differ, one "train.epochs: 5 → 10" each.
std::vector<std::string> differences(const Recipe& before, const Recipe& after);

}  // namespace micromind
