// micromind export: a run's model as .onnx or .tflite.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/cli/verbs.h"
#include "micromind/run/export.h"

namespace micromind {
namespace {

std::filesystem::path write_model(RunFolder& run, const std::string& format) {
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
  CLI::App* verb = add_verb(app, console, "export", "Write a run's model as .onnx (float) or .tflite (int8)",
                            "One program writes each format directly from the graph; both land in the run folder.",
                            {{"For ONNX Runtime and others", "micromind export runs/demo --format onnx"},
                             {"For TensorFlow Lite (Micro)", "micromind export runs/demo --format tflite"}});
  const auto path = std::make_shared<std::string>(), format = std::make_shared<std::string>();
  verb->add_option("run", *path, "The run folder")->required()->type_name("RUN");
  verb->add_option("--format", *format, "onnx or tflite")->required()->check(CLI::IsMember({"onnx", "tflite"}))->type_name("NAME");
  verb->callback([&console, path, format] {
    RunFolder run = RunFolder::open(*path);
    const std::filesystem::path file = write_model(run, *format);
    console.print(file.string());
    console.result({{"format", *format}, {"file", file.string()}, {"bytes", std::filesystem::file_size(file)}});
  });
}

}  // namespace micromind
