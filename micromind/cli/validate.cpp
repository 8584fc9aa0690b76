// micromind validate: an int8 model on a chip, emulated or behind a serial line, against this computer and the float network.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/cli/verbs.h"
#include "micromind/deploy/input_files.h"
#include "micromind/deploy/serial.h"
#include "micromind/deploy/serial_emulator.h"
#include "micromind/deploy/validate.h"
#include "micromind/formats/tflite.h"
#include "micromind/run/export.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

constexpr std::int64_t kInputs = 8;

struct ValidateRequest {
  std::string subject, target, data, labels, real, serial, output;
  bool is_unsigned = false;
  int baud = 115200;
  std::int64_t inputs = 0;  ///< 0: all of --data, the recipe's, or kInputs
  std::int64_t layer_inputs = 4;
};

Model read_int8_model(const std::string& path) {
  Model model = read_model(path);
  if (!is_quantized(model))
    fail_with_hint("validate", "name it with --float beside the int8 model made of it; micromind quantize makes one of a run", "{} is a float model", path);
  return model;
}

LabelledInputs inputs_of(const ValidateRequest& request, const Model& model, const RunFolder* run) {
  if (!request.data.empty()) return read_inputs(model, {request.data, request.labels, request.is_unsigned, request.inputs});
  if (!request.labels.empty()) fail("validate", "--labels belongs to the inputs of --data");
  if (run != nullptr) return run_inputs(*run, model, request.inputs);
  return {random_inputs_of(model, request.inputs > 0 ? request.inputs : kInputs), {}};
}

// On the emulated core, or over the serial line that the request names.
Validation validate_as_asked(const ValidateRequest& request, const std::string& target_name, const Model& model, LabelledInputs data,
                             const FloatNetwork* real) {
  ValidateOptions options;
  options.labels = std::move(data.labels);
  options.real = real;
  options.layer_inputs = request.layer_inputs;
  options.progress = [](const std::string& line) { Console::note(line); };
  if (target_name.empty() && (request.serial.empty() || request.serial == "emulator"))
    fail_with_hint("validate", "micromind targets lists them", "a model file needs --target NAME, or --serial LINE of a board");
  std::optional<Target> target;
  if (!target_name.empty()) target = load_target(target_name);
  if (request.serial.empty()) return validate(model, *target, data.inputs, options);
  std::unique_ptr<SerialEmulator> emulator;
  if (request.serial == "emulator") {
    Console::note(fmt::format("building the serial program for {}", target->name));
    emulator = std::make_unique<SerialEmulator>(model, *target);
  }
  const std::string line = emulator ? emulator->line() : request.serial;
  SerialOptions serial;
  serial.baud = request.baud;
  SerialChip chip(open_line(line, request.baud), emulator ? "the emulator" : line, serial);
  Validation v = validate(model, target ? &*target : nullptr, chip, data.inputs, options);
  if (emulator) chip.end();
  return v;
}

void show(Console& console, const Validation& v, const std::string& file) {
  nlohmann::json json = to_json(v);
  if (!file.empty()) {
    write_atomic(std::filesystem::path(file), json.dump(1) + "\n");
    json["file"] = file;
  }
  const std::string verdict = fmt::format("{} of {} outputs identical on {} {}", v.proof.outputs_identical, v.proof.outputs_compared,
                                          v.emulated ? "an emulated" : "the board at", v.emulated ? v.core : v.device);
  console.print(validation_table(v));
  console.print((v.passed() ? Console::good(verdict) : Console::bad(verdict)) + "\n" + validation_text(v));
  if (v.arena_used_bytes > v.arena_bytes) console.print(Console::bad("memory behind the arena was written to"));
  if (!file.empty()) console.print("written to " + file);
  console.result(json);
  if (!v.passed()) console.exit_status = 1;
}

void validate_file(Console& console, const ValidateRequest& request) {
  const Model model = read_int8_model(request.subject);
  std::optional<Model> real_model;
  std::optional<FloatNetwork> real;
  if (!request.real.empty()) {
    real_model = read_model(request.real);
    if (is_quantized(*real_model)) fail("validate", "--float {}: an int8 model", request.real);
    real.emplace(model, real_model->graph, real_model->weights);
  }
  show(console, validate_as_asked(request, request.target, model, inputs_of(request, model, nullptr), real ? &*real : nullptr), request.output);
}

void validate_run(Console& console, const ValidateRequest& request) {
  if (!request.real.empty()) fail("validate", "--float belongs to a model file: a run has its float network");
  const RunFolder run = RunFolder::open(request.subject);
  const Model model = read_tflite(run.need(run.tflite_file(), "quantize"));
  const Model trained = trained_model(run);
  // Equalisation rescales layers against each other: then only outputs can be compared with the float network.
  const nlohmann::json quantized = run.result("quantize");
  const bool layers = !quantized.is_object() || quantized.value("equalized_pairs", 0) == 0;
  const FloatNetwork real(model, trained.graph, trained.weights, layers);
  const std::string target = request.target.empty() ? run.recipe().deploy.target : request.target;
  show(console, validate_as_asked(request, target, model, inputs_of(request, model, &run), &real),
       request.output.empty() ? run.validation_file().string() : request.output);
}

}  // namespace

void add_validate(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "validate", "Compare a model on a chip with this computer, layer by layer",
                            "Runs an int8 model on the emulated core of a target, or on a board over a serial line, and compares every byte of its outputs,\n"
                            "and of every layer of the first inputs, with this computer's; against the float network (of a run, or --float) and where\n"
                            "labels are at hand it gives error measures and accuracy. With instructions, estimated time, stack and arena as painted.\n"
                            "Exit status 1 when a byte differs. A run's inputs are its test images; the result goes to RUN/validation.json.",
                            {{"A run on its recipe's target", "micromind validate runs/demo"},
                             {"Anybody's int8 model, with an accuracy set", "micromind validate kws_ref_model.tflite --target stm32l4r5 --data kws01 --labels kws01/y_labels.csv"},
                             {"On a real board", "micromind validate model.tflite --target stm32h743 --serial /dev/ttyACM0 --baud 115200"},
                             {"The same protocol without a board", "micromind validate model.tflite --target mps2-an500 --serial emulator"}});
  const auto request = std::make_shared<ValidateRequest>();
  verb->add_option("subject", request->subject, "A run folder or an int8 model file")->required()->type_name("RUN|FILE");
  verb->add_option("--target", request->target, "Board or emulated machine (micromind targets); a run has its recipe's")->type_name("NAME");
  verb->add_option("--inputs", request->inputs, "How many inputs; default: all of --data, the recipe's of a run, else 8 of fixed random bytes")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  verb->add_option("--layer-inputs", request->layer_inputs, "Of these, how many with every layer; default 4")->check(CLI::Range(std::int64_t{1}, std::int64_t{1000}));
  verb->add_option("--data", request->data, "Inputs of a model file: raw bytes one after another, or a folder with one file each")->type_name("PATH");
  verb->add_option("--labels", request->labels, "Their labels: lines of file,classes,label, or label alone")->type_name("CSV");
  verb->add_flag("--unsigned", request->is_unsigned, "Bytes of --data are 0 to 255 (pixels), not -128 to 127");
  verb->add_option("--float", request->real, "The float model that a model file was made of")->type_name("FILE");
  verb->add_option("--serial", request->serial, "A board's line: /dev/ttyACM0, HOST:PORT, unix:PATH; or: emulator")->type_name("LINE");
  verb->add_option("--baud", request->baud, "Rate of a serial device; default 115200")->check(CLI::Range(1200, 4'000'000));
  verb->add_option("--output", request->output, "Write the result as JSON to this file; of a run default RUN/validation.json")->type_name("FILE");
  verb->callback([&console, request] {
    std::error_code ignored;
    if (std::filesystem::is_directory(request->subject, ignored)) validate_run(console, *request);
    else validate_file(console, *request);
  });
}

}  // namespace micromind
