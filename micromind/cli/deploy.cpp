// micromind deploy: from an int8 model to C on a chip, and the proof that it computes the same.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/cli/deployment_text.h"
#include "micromind/cli/verbs.h"
#include "micromind/deploy/deploy.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

// Any bytes will do to compare chip and host; the same ones every time.
std::vector<std::vector<std::int8_t>> random_inputs(const Model& model, std::int64_t count) {
  std::int64_t bytes = 0;
  for (const Port& port : model.graph.inputs()) bytes += model.graph.shape(port.value).elements();
  std::vector<std::vector<std::int8_t>> inputs(static_cast<std::size_t>(count), std::vector<std::int8_t>(static_cast<std::size_t>(bytes)));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Random random(1, {i});
    for (std::int8_t& byte : inputs[i]) byte = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
  }
  return inputs;
}

void deploy_file(const Console& console, const DeployRequest& request) {
  if (request.target.empty())
    fail_with_hint("deploy", "micromind targets lists them", "a model file needs --target NAME");
  const Model model = read_model(request.subject);
  if (!is_quantized(model))
    fail_with_hint("deploy", "quantise it first: micromind quantize makes an int8 model of a run", "{} is a float model", request.subject);
  const std::filesystem::path folder =
      request.output.empty() ? std::filesystem::path(request.subject).stem().string() + "-c" : request.output;
  DeployOptions options;
  options.emulate = request.emulate;
  options.progress = [](const std::string& line) { Console::note(line); };
  const auto inputs = random_inputs(model, request.inputs > 0 ? request.inputs : 8);
  const Deployment deployment = deploy(model, load_target(request.target), folder, inputs, options);
  nlohmann::json json = to_json(deployment);
  json["folder"] = folder.string();
  console.print(deployment_text(deployment, true));
  console.print(fmt::format("C code in {}", folder.string()));
  console.result(json);
}

}  // namespace

void add_deploy(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "deploy", "Emit C for a target, build it, and prove it on an emulated chip",
                            "Writes a folder of plain C that compiles by itself, links it for the target (sizes are measured, not modelled) and, with\n"
                            "--emulate, runs it on the emulated core: every output byte is compared with this computer's, layer by layer.\n"
                            "The inputs are test images of a run, or fixed random bytes for a model file.",
                            {{"The int8 model of a run, on the recipe's target", "micromind deploy runs/demo --emulate"},
                             {"Anybody's int8 model", "micromind deploy model.tflite --target stm32h743 --emulate --output build/model-c"}});
  const auto request = std::make_shared<DeployRequest>();
  verb->add_option("subject", request->subject, "A run folder or an int8 .tflite file")->required()->type_name("RUN|FILE");
  verb->add_option("--target", request->target, "Board or emulated machine (micromind targets); a run has its recipe's")->type_name("NAME");
  verb->add_flag("--emulate", request->emulate, "Run it on the emulated core and compare every output byte");
  verb->add_option("--inputs", request->inputs, "How many inputs to compare")->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  verb->add_option("--output", request->output, "Folder of the C code; default RUN/c, or the model's name with -c")->type_name("DIR");
  verb->callback([&console, request] {
    std::error_code ignored;
    if (std::filesystem::is_directory(request->subject, ignored)) deploy_run(console, *request);
    else deploy_file(console, *request);
  });
}

}  // namespace micromind
