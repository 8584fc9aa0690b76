// Stand-ins of the verbs that need data sets or training, in a build with -DMICROMIND_TRAIN=OFF.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "micromind/base/error.h"
#include "micromind/cli/verbs.h"

namespace micromind {
namespace {

[[noreturn]] void no_training(std::string_view verb) {
  fail_with_hint(verb, "configure with -DMICROMIND_TRAIN=ON", "this build has no training");
}

void stand_in(CLI::App& app, Console& console, const char* verb, const char* summary) {
  CLI::App* added = add_verb(app, console, verb, fmt::format("{} (not in this build)", summary),
                             "This build has no training; configure with -DMICROMIND_TRAIN=ON.", {});
  added->allow_extras();
  added->callback([verb] { no_training(verb); });
}

}  // namespace

void add_run(CLI::App& app, Console& console) { stand_in(app, console, "run", "Run a recipe from training to the report"); }
void add_train(CLI::App& app, Console& console) { stand_in(app, console, "train", "Train a recipe's network"); }
void add_evaluate(CLI::App& app, Console& console) { stand_in(app, console, "evaluate", "Float and int8 accuracy of a run"); }
void add_predict(CLI::App& app, Console& console) { stand_in(app, console, "predict", "Classify image files"); }
void add_data(CLI::App& app, Console& console) { stand_in(app, console, "data", "Download data sets"); }
void add_datasets(CLI::App& app, Console& console) { stand_in(app, console, "datasets", "Known data sets"); }

TrainRecipe proxy_trainer() { return {}; }
void check_proxy(const Recipe&) {
  fail_with_hint("design", "configure with -DMICROMIND_TRAIN=ON, or write the recipes and read what others have trained with --collect",
                 "--proxy-train: this build has no training");
}
void limit_spinning(int, char**) {}
void quantize_run_verb(const Console&, const std::string&, bool) { no_training("quantize"); }
std::vector<Array> samples_of_images(const std::filesystem::path& folder, const Shape&, const SampleOptions&) {
  fail_with_hint("quantize", "give the samples as .npy or .bin, or configure with -DMICROMIND_TRAIN=ON",
                 "{} holds no .npy and no .bin file, and this build reads no images", folder.string());
}
LabelledInputs run_inputs(const RunFolder&, const Model&, std::int64_t) {
  fail_with_hint("validate", "name inputs with --data, or configure with -DMICROMIND_TRAIN=ON", "this build has no data sets, so a run's test images are out of reach");
}
void deploy_run(const Console&, const DeployRequest&) { no_training("deploy"); }
void quantize_run(RunFolder& run) {
  fail_with_hint("export", fmt::format("micromind quantize {} in a build with -DMICROMIND_TRAIN=ON", run.path().string()),
                 "{} has no int8 model yet, and this build has no training images to calibrate one", run.path().string());
}

}  // namespace micromind
