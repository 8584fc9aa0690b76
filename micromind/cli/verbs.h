// The verbs of the command line, one file each. A function adds its verb to the parser; the verb runs while the parser
// parses, prints to the console and throws Error.
//
// To add a verb: a file with such a function, a line here and one in main.cpp.
#pragma once

#include <filesystem>
#include <vector>

#include "micromind/cli/console.h"
#include "micromind/deploy/input_files.h"
#include "micromind/quantize/samples.h"
#include "micromind/run/proxy.h"
#include "micromind/run/run_folder.h"

namespace micromind {

// Work in every build.
void add_design(CLI::App& app, Console& console);
void add_inspect(CLI::App& app, Console& console);
void add_deploy(CLI::App& app, Console& console);
void add_validate(CLI::App& app, Console& console);
void add_export(CLI::App& app, Console& console);
void add_convert(CLI::App& app, Console& console);
void add_quantize(CLI::App& app, Console& console);
void add_explain(CLI::App& app, Console& console);
void add_report(CLI::App& app, Console& console);
void add_bench(CLI::App& app, Console& console);
void add_bench_deploy(CLI::App& bench, Console& console);  ///< `bench deploy`
void add_targets(CLI::App& app, Console& console);
void add_networks(CLI::App& app, Console& console);
void add_operators(CLI::App& app, Console& console);
void add_recipes(CLI::App& app, Console& console);

// Need data sets or training: cli/training, or with -DMICROMIND_TRAIN=OFF their stand-ins in cli/no_training.
void add_run(CLI::App& app, Console& console);
void add_train(CLI::App& app, Console& console);
void add_evaluate(CLI::App& app, Console& console);
void add_predict(CLI::App& app, Console& console);
void add_data(CLI::App& app, Console& console);
void add_datasets(CLI::App& app, Console& console);

struct DeployRequest {
  std::string subject, target, output;
  bool emulate = false;
  std::string patches = "auto", weights = "auto";  ///< deploy/placement.h
  std::int64_t inputs = 0;  ///< 0: the recipe's, or 8 for a model file
};
/// `deploy RUN`: its inputs are test images, so it needs the data sets.
void deploy_run(const Console& console, const DeployRequest& request);
/// Test images of a run with their labels, for `validate RUN`; `count` 0: the recipe's.
LabelledInputs run_inputs(const RunFolder& run, const Model& model, std::int64_t count);
/// `design --pareto --proxy-train`: trains one recipe after another, progress on standard error.
TrainRecipe proxy_trainer();
/// Throws Error for whatever would stop such a training: unknown or absent data, data of another shape or class count.
void check_proxy(const Recipe& recipe);
/// Before training, and before anything else: may start the program again with other OpenMP settings.
void limit_spinning(int argc, char** argv);
/// `quantize RUN`: calibrates on training images and evaluates both models.
void quantize_run_verb(const Console& console, const std::string& path, bool qat);
/// Images of a folder (and its subfolders) as samples of that input: scaled and cropped to it, normalised as the options say.
std::vector<Array> samples_of_images(const std::filesystem::path& folder, const Shape& input, const SampleOptions& options);
/// Makes model.tflite of a trained run: calibration reads training images.
void quantize_run(RunFolder& run);

}  // namespace micromind
