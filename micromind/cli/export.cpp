// micromind export: a run's model as .onnx or .tflite, its weights as .pt or .safetensors.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/cli/verbs.h"
#include "micromind/run/export.h"

namespace micromind {
namespace {

std::filesystem::path write_model(RunFolder& run, const std::string& format, ParameterNames names) {
  if (format == "pt" || format == "safetensors") {
    const std::filesystem::path file = run.path() / ("model." + format);
    export_weights(run, file, names);
    return file;
  }
  if (format == "onnx") {
    Console::note("writing model.onnx");
    export_onnx(run);
    return run.onnx_file();
  }
  if (!run.has_result("quantize")) quantize_run(run);
  return run.need(run.tflite_file(), "quantize");
}

}  // namespace

void add_export(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "export", "Write a run's model as .onnx, .tflite, .pt or .safetensors",
                            "One program writes each format directly from the graph, into the run folder: the float model as model.onnx, the int8 one as\n"
                            "model.tflite, the float weights alone as model.pt or model.safetensors.",
                            {{"For ONNX Runtime and others", "micromind export runs/demo --format onnx"},
                             {"For TensorFlow Lite (Micro)", "micromind export runs/demo --format tflite"},
                             {"For load_state_dict() of micromind's Python PhiNet or XiNet", "micromind export runs/demo --format pt --names reference"}});
  const auto path = std::make_shared<std::string>(), format = std::make_shared<std::string>(), names = std::make_shared<std::string>("ours");
  verb->add_option("run", *path, "The run folder")->required()->type_name("RUN");
  verb->add_option("--format", *format, "onnx, tflite, pt or safetensors")
      ->required()
      ->check(CLI::IsMember({"onnx", "tflite", "pt", "safetensors"}))
      ->type_name("NAME");
  verb->add_option("--names", *names, "Of pt and safetensors: ours, or reference (the family's Python original)")
      ->check(CLI::IsMember({"ours", "reference"}))
      ->type_name("NAME");
  verb->callback([&console, path, format, names] {
    RunFolder run = RunFolder::open(*path);
    const std::filesystem::path file = write_model(run, *format, *names == "reference" ? ParameterNames::reference : ParameterNames::ours);
    console.print(file.string());
    console.result({{"format", *format}, {"file", file.string()}, {"bytes", std::filesystem::file_size(file)}});
  });
}

}  // namespace micromind
