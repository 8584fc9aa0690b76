// micromind export: a run's model as .onnx or .tflite, its weights as .pt or .safetensors.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/cli/verbs.h"
#include "micromind/formats/onnx.h"
#include "micromind/formats/pytorch.h"
#include "micromind/formats/tensor_file.h"
#include "micromind/formats/tflite.h"
#include "micromind/run/export.h"
#include "micromind/run/subject.h"

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

// A model file in another format: what it holds decides between the float and the int8 form.
std::filesystem::path write_file(const std::string& subject, const std::string& format, const std::string& output, ParameterNames names) {
  const std::filesystem::path file = output.empty() ? std::filesystem::path(subject).stem().string() + "." + format : output;
  std::error_code ignored;
  if (std::filesystem::equivalent(file, subject, ignored)) fail_with_hint("export", "--output FILE", "{} would be written over itself", subject);
  const Model model = read_model(subject);
  if (names != ParameterNames::ours) fail("export", "--names reference needs a run, which knows its family");
  if (format == "onnx") {
    write_onnx(model, file);
  } else if (format == "tflite") {
    if (!is_quantized(model)) fail_with_hint("export", fmt::format("micromind quantize {} --calibration samples.npy", subject), "{} is a float model; .tflite files are written in int8", subject);
    write_tflite(model, file);
  } else {
    if (is_quantized(model)) fail("export", "{} is an int8 model; .pt and .safetensors hold float weights", subject);
    if (file.extension() != "." + format) fail("export", "--output {}: end the name in .{}", file.string(), format);
    write_tensor_file(file, state_from_weights(model.weights), {{"format", "pt"}});
  }
  return file;
}

}  // namespace

void add_export(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "export", "Write a run's model, or a model file, as .onnx, .tflite, .pt or .safetensors",
                            "One program writes each format directly from the graph, into the run folder: the float model as model.onnx, the int8 one as\n"
                            "model.tflite, the float weights alone as model.pt or model.safetensors.\n"
                            "Of a model file: an int8 .tflite as QDQ .onnx and the reverse, a float one's weights.",
                            {{"For ONNX Runtime and others", "micromind export runs/demo --format onnx"},
                             {"An int8 .tflite for ONNX Runtime", "micromind export model.tflite --format onnx"},
                             {"For TensorFlow Lite (Micro)", "micromind export runs/demo --format tflite"},
                             {"For load_state_dict() of micromind's Python PhiNet or XiNet", "micromind export runs/demo --format pt --names reference"}});
  const auto output = std::make_shared<std::string>();
  const auto path = std::make_shared<std::string>(), format = std::make_shared<std::string>(), names = std::make_shared<std::string>("ours");
  verb->add_option("subject", *path, "A run folder, or a .tflite or .onnx file")->required()->type_name("RUN|FILE");
  verb->add_option("--output", *output, "Of a model file: the file to write; default its name with the other ending")->type_name("FILE");
  verb->add_option("--format", *format, "onnx, tflite, pt or safetensors")
      ->required()
      ->check(CLI::IsMember({"onnx", "tflite", "pt", "safetensors"}))
      ->type_name("NAME");
  verb->add_option("--names", *names, "Of pt and safetensors: ours, or reference (the family's Python original)")
      ->check(CLI::IsMember({"ours", "reference"}))
      ->type_name("NAME");
  verb->callback([&console, path, format, names, output] {
    const ParameterNames wanted = *names == "reference" ? ParameterNames::reference : ParameterNames::ours;
    std::filesystem::path file;
    if (is_model_file(*path)) {
      file = write_file(*path, *format, *output, wanted);
    } else {
      if (!output->empty()) fail("export", "--output is for model files; a run's go into its folder");
      RunFolder run = RunFolder::open(*path);
      file = write_model(run, *format, wanted);
    }
    console.print(file.string());
    console.result({{"format", *format}, {"file", file.string()}, {"bytes", std::filesystem::file_size(file)}});
  });
}

}  // namespace micromind
