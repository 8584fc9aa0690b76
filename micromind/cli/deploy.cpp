// micromind deploy: from an int8 model to C on a chip, and the proof that it computes the same.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cli/deployment_text.h"
#include "micromind/cli/verbs.h"
#include "micromind/cost/energy.h"
#include "micromind/deploy/deploy.h"
#include "micromind/deploy/deploy_models.h"
#include "micromind/deploy/emit_models.h"
#include "micromind/deploy/input_files.h"
#include "micromind/run/report.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

Model int8_model(const std::string& path) {
  Model model = read_model(path);
  if (!is_quantized(model))
    fail_with_hint("deploy", fmt::format("quantise it first, with samples of its input: micromind quantize {} --calibration samples.npy --output model.tflite", path),
                   "{} is a float model", path);
  return model;
}

struct FileRequest {
  DeployRequest request;
  std::vector<std::string> subjects, names, projects, powers;
};

DeployOptions options_of(const FileRequest& file) {
  DeployOptions options;
  options.emulate = file.request.emulate;
  options.placement = {.patches = patches_from(file.request.patches), .weights = weights_from(file.request.weights)};
  options.projects = file.projects;
  options.progress = [](const std::string& line) { Console::note(line); };
  return options;
}

std::int64_t input_count(const FileRequest& file) { return file.request.inputs > 0 ? file.request.inputs : 8; }

// Time and energy, where cycles were estimated.
void add_energy(const FileRequest& file, const Deployment& d, const Target& target, const Console& console, nlohmann::json& json) {
  if (d.cycles_by_class <= 0) {
    if (!file.powers.empty())
      fail_with_hint("deploy", "docs/operators.md has the cores", "--power needs a core with a table of cycles; {} has none", d.core);
    return;
  }
  const std::vector<double> budgets = parse_powers(file.powers);
  const EnergyEstimate e = estimate_energy({static_cast<double>(d.instructions), d.cycles_by_class, static_cast<double>(d.constant_bytes),
                                            "estimated from instructions counted by class on the emulated core"},
                                           target, budgets);
  console.print(energy_text(e));
  json["energy"] = to_json(e);
}

void deploy_file(const Console& console, const FileRequest& file) {
  const DeployRequest& request = file.request;
  const Model model = int8_model(file.subjects.front());
  const std::filesystem::path folder =
      request.output.empty() ? std::filesystem::path(file.subjects.front()).stem().string() + "-c" : request.output;
  DeployOptions options = options_of(file);
  if (!file.names.empty()) options.name = file.names.front();
  const Target target = load_target(request.target);
  const auto inputs = random_inputs_of(model, input_count(file));
  const Deployment deployment = deploy(model, target, folder, inputs, options);
  nlohmann::json json = to_json(deployment);
  json["folder"] = folder.string();
  write_model_report(folder / "report.html", model, file.subjects.front(), deployment);
  json["report"] = (folder / "report.html").string();
  console.print(deployment_text(deployment, true));
  add_energy(file, deployment, target, console, json);
  console.print(fmt::format("C code in {}, a picture of it in {}", folder.string(), (folder / "report.html").string()));
  console.result(json);
}

void deploy_together(const Console& console, const FileRequest& file) {
  const DeployRequest& request = file.request;
  if (!file.projects.empty()) fail_with_hint("deploy", "a folder of several models is a CMake project and a Makefile", "--project is for one model");
  if (!file.names.empty() && file.names.size() != file.subjects.size())
    fail("deploy", "{} models and {} names: give one --name for each model, or none", file.subjects.size(), file.names.size());
  std::vector<ModelToDeploy> models;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < file.subjects.size(); ++i) {
    names.push_back(file.names.empty() ? model_name(file.subjects[i], names) : file.names[i]);
    Model model = int8_model(file.subjects[i]);
    auto inputs = random_inputs_of(model, input_count(file));
    models.push_back({names.back(), std::move(model), std::move(inputs)});
  }
  const std::filesystem::path folder = request.output.empty() ? "models-c" : request.output;
  const ModelsDeployment d = deploy_models(models, load_target(request.target), folder, options_of(file));
  nlohmann::json json = to_json(d);
  json["folder"] = folder.string();
  console.print(models_table(d));
  if (request.emulate)
    console.print(d.identical() ? Console::good(fmt::format("all outputs identical on an emulated {}, the models run in turn in one image", d.core)) : Console::bad(d.first_difference));
  console.print(fmt::format("  arena         {} for all, in turn\n  flash         {}, of these {} kernels' code; {} kernels serve several models\nC code in {}", format_bytes(d.arena_bytes),
                            format_bytes(d.flash_bytes), format_bytes(d.kernel_bytes), d.shared_kernels, folder.string()));
  console.result(json);
}

void deploy_files(const Console& console, const FileRequest& file) {
  if (file.request.target.empty()) fail_with_hint("deploy", "micromind targets lists them", "a model file needs --target NAME");
  parse_powers(file.powers);  // before any work
  if (!file.powers.empty() && (!file.request.emulate || file.subjects.size() > 1))
    fail_with_hint("deploy", "micromind inspect --power estimates without running anything", "--power needs --emulate and one model: cycles are counted on the emulated core");
  if (file.subjects.size() > 1) return deploy_together(console, file);
  if (file.names.size() > 1) fail("deploy", "one model has one name, found {}", file.names.size());
  deploy_file(console, file);
}

}  // namespace

void add_deploy(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "deploy", "Emit C for a target, build it, and prove it on an emulated chip",
                            "Writes a folder of plain C that compiles by itself, links it for the target (sizes are measured, not modelled) and, with\n"
                            "--emulate, runs it on the emulated core: every output byte is compared with this computer's, layer by layer.\n"
                            "The inputs are test images of a run, or fixed random bytes for a model file.",
                            {{"The int8 model of a run, on the recipe's target", "micromind deploy runs/demo --emulate"},
                             {"Anybody's int8 model", "micromind deploy model.tflite --target stm32h743 --emulate --output build/model-c"},
                             {"As an Arduino library and a Zephyr module, too", "micromind deploy model.tflite --target nrf52840 --name keyword --project arduino,zephyr"},
                             {"Two models in one firmware, their kernels shared", "micromind deploy keyword.tflite person.tflite --target stm32h743 --emulate"}});
  const auto file = std::make_shared<FileRequest>();
  DeployRequest* const request = &file->request;
  verb->add_option("subject", file->subjects, "A run folder, an int8 .tflite or QDQ .onnx file, or several files for one firmware")->required()->type_name("RUN|FILE");
  verb->add_option("--target", request->target, "Board or emulated machine (micromind targets); a run has its recipe's")->type_name("NAME");
  verb->add_flag("--emulate", request->emulate, "Run it on the emulated core and compare every output byte");
  verb->add_option("--patches", request->patches, "Run the first layers in strips to save RAM: auto (when it does not fit otherwise), off, or how many strips")
      ->type_name("auto|off|N");
  verb->add_option("--weights", request->weights, "Where weights go on a board with external flash: auto (there when the internal flash is too small), internal, external")
      ->type_name("PLACE");
  verb->add_option("--inputs", request->inputs, "How many inputs to compare")->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  verb->add_option("--output", request->output, "Folder of the C code; default RUN/c, or the model's name with -c")->type_name("DIR");
  verb->add_option("--name", file->names, "What the C names begin with: NAME_run, NAME.h; default model, of several models their files' names; repeat it for several")
      ->type_name("NAME")
      ->allow_extra_args(false);
  verb->add_option("--project", file->projects, "Besides CMake and make: arduino, zephyr")->delimiter(',')->type_name("KIND,…")->check(CLI::IsMember({"cmake", "make", "arduino", "zephyr"}));
  verb->add_option("--power", file->powers, "Frames a second at this average power, estimated; may be repeated; default 10mW and 20mW")->type_name("POWER")->allow_extra_args(false);
  verb->callback([&console, file] {
    std::erase_if(file->projects, [](const std::string& kind) { return kind == "cmake" || kind == "make"; });  // always there
    file->request.subject = file->subjects.front();
    std::error_code ignored;
    if (std::filesystem::is_directory(file->request.subject, ignored)) {
      if (file->subjects.size() > 1 || !file->names.empty() || !file->projects.empty() || !file->powers.empty())
        fail_with_hint("deploy", "deploy the run's model.tflite", "several models, --name, --project and --power are for model files");
      deploy_run(console, file->request);
    } else {
      deploy_files(console, *file);
    }
  });
}

}  // namespace micromind
