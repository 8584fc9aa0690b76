// micromind evaluate, and quantize and deploy of a run: one stage of a run each.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cli/deployment_text.h"
#include "micromind/cli/training/stages.h"
#include "micromind/cli/verbs.h"
#include "micromind/data/image.h"
#include "micromind/run/report.h"

namespace micromind {
namespace {

// Adds a verb whose one argument is a run folder.
template <class Work>
void add_stage(CLI::App& app, Console& console, const char* name, const char* summary, const char* description,
               const std::vector<Example>& examples, Work work) {
  CLI::App* verb = add_verb(app, console, name, summary, description, examples);
  const auto path = std::make_shared<std::string>();
  verb->add_option("run", *path, "The run folder")->required()->type_name("RUN");
  verb->callback([path, work] {
    RunFolder run = RunFolder::open(*path);
    StageOutput output;
    work(run, output.hooks());
  });
}

}  // namespace

void add_evaluate(CLI::App& app, Console& console) {
  add_stage(app, console, "evaluate", "Float and int8 accuracy of a run on its test set",
            "The float network runs in libtorch, the int8 model through the very C kernels that go onto the chip.",
            {{"Evaluate", "micromind evaluate runs/demo"}, {"For a script", "micromind evaluate runs/demo --json"}},
            [&console](RunFolder& run, const StageHooks& hooks) {
              const nlohmann::json result = stage_evaluate(run, hooks);
              console.print(accuracy_text(result));
              console.result(result);
            });
}

void quantize_run_verb(const Console& console, const std::string& path, bool qat) {
  RunFolder run = RunFolder::open(path);
  StageOutput output;
  const StageHooks hooks = output.hooks();
  nlohmann::json result = stage_quantize(run, hooks, qat);
  const nlohmann::json accuracy = stage_evaluate(run, hooks);
  for (const char* key : {"top1", "int8_top1", "ptq_top1"})
    if (accuracy.contains(key)) result[key] = accuracy.at(key);
  result["tflite"] = run.tflite_file().string();
  console.print(accuracy_text(accuracy));
  console.print(fmt::format("{} ({})", run.tflite_file().string(), format_bytes(result.value("bytes", std::int64_t{0}))));
  console.result(result);
}

std::vector<Array> samples_of_images(const std::filesystem::path& folder, const Shape& input, const SampleOptions& options) {
  const int channels = input.channels();
  if (input.rank() != 3 || (channels != 1 && channels != 3)) fail("quantize", "images for an input of {}; expected one or three channels", to_string(input));
  if (input.height() != input.width()) fail_with_hint("quantize", "give the samples as .npy", "images are cropped to squares; the input is {}", to_string(input));
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (auto it = std::filesystem::recursive_directory_iterator(folder, error); !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error))
    if (it->is_regular_file(error) && is_image_name(it->path())) files.push_back(it->path());
  if (files.empty()) fail("quantize", "no image in {}", folder.string());
  std::sort(files.begin(), files.end());
  const std::size_t wanted = std::min(files.size(), std::max<std::size_t>(1, options.limit));
  SampleOptions planes = options;
  planes.layout = SampleLayout::channels_first;
  std::vector<Array> samples;
  for (std::size_t i = 0; i < wanted; ++i) {
    const Image image = read_image(files[i * files.size() / wanted], channels, input.height());
    samples.push_back(sample_from(std::vector<float>(image.pixels.begin(), image.pixels.end()), input, planes, true));
  }
  return samples;
}

void quantize_run(RunFolder& run) {
  StageOutput output;
  stage_quantize(run, output.hooks());
}

LabelledInputs run_inputs(const RunFolder& run, const Model& model, std::int64_t count) { return test_inputs(run, model, count); }

void deploy_run(const Console& console, const DeployRequest& request) {
  RunFolder run = RunFolder::open(request.subject);
  StageOutput output;
  const nlohmann::json result = stage_deploy(
      run, {.target = request.target, .emulate = request.emulate, .inputs = request.inputs, .output = request.output,
            .placement = {.patches = patches_from(request.patches), .weights = weights_from(request.weights)}},
      output.hooks());
  console.print(deployment_text(deployment_from_json(result), true));
  console.print("C code in " + result.value("folder", std::string()));
  console.result(result);
}

}  // namespace micromind
