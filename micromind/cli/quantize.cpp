// micromind quantize: the int8 model of a run, or of anybody's float network with samples of its input.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"
#include "micromind/formats/onnx.h"
#include "micromind/formats/tflite.h"
#include "micromind/quantize/post_training.h"
#include "micromind/quantize/samples.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

struct Options {
  std::string subject, output, layout = "nchw", method = "percentile";
  std::vector<std::string> calibration;
  std::vector<double> mean, deviation;
  double scale = 0, percentile = 99.99;
  std::size_t samples = 512;
  bool qat = false, equalize = false, correct_bias = false, per_channel_linear = false;
};

bool holds_numbers(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return true;
  for (const auto& entry : std::filesystem::directory_iterator(path, error))
    if (entry.path().extension() == ".npy" || entry.path().extension() == ".bin") return true;
  return false;
}

std::vector<Array> calibration_samples(const Options& o, const Shape& input) {
  const SampleOptions options{.layout = o.layout == "nhwc" ? SampleLayout::channels_last : SampleLayout::channels_first,
                              .limit = o.samples, .scale = o.scale, .mean = o.mean, .deviation = o.deviation};
  std::vector<std::filesystem::path> files(o.calibration.begin(), o.calibration.end());
  for (const auto& f : files) {
    std::error_code error;
    if (!std::filesystem::exists(f, error)) fail("quantize", "{} does not exist", f.string());
    if (!holds_numbers(f)) {
      if (files.size() > 1) fail("quantize", "{} holds neither .npy nor .bin; a folder of images is given alone", f.string());
      return samples_of_images(f, input, options);
    }
  }
  return read_samples(files, input, options);
}

void quantize_file(const Console& console, const Options& o) {
  if (o.qat) fail("quantize", "--qat trains, and {} is a model file; it needs a run folder", o.subject);
  const Model model = read_model(o.subject);
  if (is_quantized(model)) fail_with_hint("quantize", fmt::format("micromind deploy {} --target NAME", o.subject), "{} is int8 already", o.subject);
  if (model.graph.inputs().size() != 1) fail("quantize", "{} has {} inputs; only networks of one can be calibrated here", o.subject, model.graph.inputs().size());
  const Shape input = model.graph.shape(model.graph.inputs()[0].value);
  if (o.calibration.empty())
    fail_with_hint("quantize", fmt::format("--calibration FILE.npy with float32 of the shape (N, {}), as the network takes them", fmt::join(input, ", ")),
                   "a float network needs samples of its input for its int8 scales");
  const std::filesystem::path output = o.output.empty() ? std::filesystem::path(o.subject).stem().string() + "-int8.tflite" : o.output;
  if (output.extension() != ".tflite" && output.extension() != ".onnx") fail("quantize", "--output {}: end the name in .tflite or .onnx", output.string());
  const std::vector<Array> samples = calibration_samples(o, input);
  Console::note(fmt::format("calibrating ({}) on {} samples of {}", o.method, samples.size(), to_string(input)));
  PostTrainingOptions options;
  options.calibration = {.method = calibration_method_from(o.method), .percentile = o.percentile};
  options.weights.per_channel_linear = o.per_channel_linear;
  options.equalize = o.equalize;
  options.correct_bias = o.correct_bias;
  const PostTraining r = quantize_after_training(model, samples, options);
  if (output.extension() == ".onnx") write_onnx(r.model, output);
  else write_tflite(r.model, output);
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(output));
  if (o.equalize) console.print(fmt::format("equalised {} pairs of layers", r.equalized_pairs));
  console.print(fmt::format("int8 beside float on the samples: the same largest output in {:.1f} %, RMSE {:.4g} where the largest number is {:.4g}",
                            100 * r.same_argmax, r.rmse, r.largest_output));
  console.print(fmt::format("{} ({})", output.string(), format_bytes(bytes)));
  console.result({{"model", output.string()}, {"bytes", bytes}, {"samples", samples.size()}, {"calibration", o.method}, {"equalized_pairs", r.equalized_pairs},
                  {"bias_correction_steps", r.bias_correction_steps}, {"same_argmax", r.same_argmax}, {"rmse", r.rmse}, {"largest_output", r.largest_output}});
}

}  // namespace

void add_quantize(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "quantize", "Make the int8 model of a run, or of a float .onnx or .tflite",
                            "Of a run: calibrates on training images as the recipe's [quantize] section says, writes model.tflite (TensorFlow Lite's int8) and\n"
                            "evaluates it beside the float one; with --qat the network then learns on while it computes with the int8 kernels of the chip\n"
                            "(docs/quantization.md).\n"
                            "Of a model file: calibrates on samples of the network's input: .npy or raw float32 .bin files, already as the network takes them,\n"
                            "or uint8 pixels and folders of images, which --scale, --mean and --std bring there: (pixel x scale - mean)/std (docs/formats.md).",
                            {{"A run", "micromind quantize runs/demo"},
                             {"With quantisation-aware training; the same goes on after Ctrl-C", "micromind quantize runs/demo --qat"},
                             {"Anybody's PyTorch export", "micromind quantize model.onnx --calibration samples.npy --output model.tflite"},
                             {"From images, normalised as ImageNet's", "micromind quantize model.onnx --calibration photos/ --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"},
                             {"Then put it on a chip", "micromind deploy model.tflite --target stm32h743 --emulate"}});
  const auto o = std::make_shared<Options>();
  verb->add_option("subject", o->subject, "A run folder, or a float .onnx or .tflite file")->required()->type_name("RUN|FILE");
  verb->add_flag("--qat", o->qat, "Runs: quantisation-aware training, as with quantize.qat = true in the recipe (qat_epochs, qat_learning_rate, qat_ranges)");
  const auto of_files = [&](CLI::Option* option) { return option->group("Of model files"); };
  of_files(verb->add_option("--calibration", o->calibration, "Samples: .npy or .bin files, folders of them, or a folder of images")->type_name("FILE|DIR"));
  of_files(verb->add_option("--output", o->output, "The file to write: .tflite, or .onnx for the QDQ form; default MODEL-int8.tflite")->type_name("FILE"));
  of_files(verb->add_option("--layout", o->layout, "Of .npy and .bin: nchw (PyTorch) or nhwc (TensorFlow)")->check(CLI::IsMember({"nchw", "nhwc"}))->type_name("NAME"));
  of_files(verb->add_option("--samples", o->samples, "At most so many samples, evenly over those given")->check(CLI::Range(1, 1'000'000)));
  of_files(verb->add_option("--method", o->method, "Ranges of activations: percentile, minmax or mse")->check(CLI::IsMember({"percentile", "minmax", "mse"}))->type_name("NAME"));
  of_files(verb->add_option("--percentile", o->percentile, "Share of an activation's values inside its range, in percent"));
  of_files(verb->add_flag("--equalize", o->equalize, "Cross-layer equalisation before calibration"));
  of_files(verb->add_flag("--correct-bias", o->correct_bias, "Bias correction on the samples"));
  of_files(verb->add_flag("--per-channel-linear", o->per_channel_linear, "One scale a row of linear layers (recent runtimes of TensorFlow Lite)"));
  of_files(verb->add_option("--scale", o->scale, "Factor of each number before mean and std; default 1, or 1/255 for pixels"));
  of_files(verb->add_option("--mean", o->mean, "Subtracted, per channel: 0.485,0.456,0.406")->delimiter(','));
  of_files(verb->add_option("--std", o->deviation, "Divided by, per channel")->delimiter(','));
  verb->callback([&console, o] {
    if (is_model_file(o->subject)) return quantize_file(console, *o);
    if (!o->calibration.empty() || !o->output.empty()) fail("quantize", "--calibration and --output are for model files; a run calibrates on its training images");
    quantize_run_verb(console, o->subject, o->qat);
  });
}

}  // namespace micromind
