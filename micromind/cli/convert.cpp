// micromind convert: weights from one file to another: PyTorch checkpoints and safetensors, our names and the original's.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/cli/verbs.h"
#include "micromind/formats/pretrained.h"
#include "micromind/formats/pytorch.h"
#include "micromind/formats/state_dict.h"
#include "micromind/formats/tensor_file.h"
#include "micromind/networks/registry.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

struct Options {
  std::string from, to, key, network, names = "ours";
  SubjectOptions build;
};

// The weights of a known network: checked against it, and under either naming.
PyValue checked_state(const Options& options, const TensorFile& file, const PyValue& tree) {
  const Subject subject = load_subject(options.network, options.build);
  const std::string family = subject.kind == SubjectKind::run ? RunFolder::open(options.network).recipe().network.family : subject.name;
  const auto reference = reference_names(subject.network, family);
  const Pretrained p = initial_weights_from(subject.network, tree, file.path.string(), {.other_names = {reference}, .except_key = ""});
  Console::note(fmt::format("{}: the {} parameters of {}, by {} names", file.path.string(), p.weights.size(), subject.name, p.own_names ? "our" : "the original's"));
  return state_from_weights(p.weights, options.names == "reference" ? reference : std::map<std::string, std::string>{});
}

PyValue plain_state(const Options& options, const TensorFile& file) {
  MainState main = main_state(file.tree, options.key, file.path.string());
  if (!main.prefix.empty()) Console::note(fmt::format("taken from '{}', which the names leave out", main.prefix));
  for (const std::string& other : main.others) Console::note(fmt::format("left out: the tensors at '{}'", other));
  return std::move(main.state);
}

PyValue state_of_model(const Options& options) {
  if (!options.key.empty() || !options.network.empty()) fail("convert", "--key and --network are for files of weights; {} is a model", options.from);
  const Model model = read_model(options.from);
  if (is_quantized(model)) fail_with_hint("convert", "micromind export writes it in another format", "{} is an int8 model; these files hold float weights", options.from);
  return state_from_weights(model.weights);
}

// Prints, and counts, what no network computes with.
std::int64_t not_finite(const PyValue& state) {
  std::int64_t count = 0;
  for (const PyEntry& e : state.entries()) {
    if (!is_floating(e.value.as_tensor().dtype)) continue;
    std::int64_t here = 0;
    for (const float v : e.value.as_tensor().to_floats()) here += std::isfinite(v) ? 0 : 1;
    if (here > 0) Console::note(fmt::format("warning: {} of the numbers of {} are not finite", here, e.key.as_string()));
    count += here;
  }
  return count;
}

void convert(const Console& console, Options options) {
  if (tensor_format(options.to).empty()) fail_with_hint("convert", "end the name in .pt or .safetensors", "{}: the format is told by the name's ending", options.to);
  if (options.network.empty() && RunFolder::is_run_folder(options.from)) options.network = options.from;
  if (options.network.empty() && options.names == "reference")
    fail_with_hint("convert", "--network RUN, or a family with its options", "--names reference needs to know the network");
  TensorFile file;
  PyValue state;
  if (is_model_file(options.from)) {
    state = state_of_model(options);
  } else {
    file = read_tensor_file(options.from);
    if (options.network.empty()) state = plain_state(options, file);
    else if (options.key.empty()) state = checked_state(options, file, file.tree);
    else state = checked_state(options, file, main_state(file.tree, options.key, file.path.string()).state);
  }
  const std::int64_t bad = not_finite(state);
  std::map<std::string, std::string> metadata = file.metadata;
  metadata.emplace("format", "pt");
  write_tensor_file(options.to, state, metadata);
  std::int64_t numbers = 0;
  for (const PyEntry& e : state.entries()) numbers += e.value.as_tensor().elements();
  console.print(options.to);
  console.result({{"file", options.to}, {"tensors", state.entries().size()}, {"numbers", numbers}, {"not_finite", bad}});
}

}  // namespace

void add_convert(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "convert", "Weights from one file to another: PyTorch, safetensors, our names or the original's",
                            "Reads a run's best weights, a PyTorch checkpoint (its state dict is found wherever it lies; prefixes, optimisers and\n"
                            "objects are left out, nothing in the file is run) or a safetensors file, and writes them flat. With a network the\n"
                            "parameters are checked against it. train.initial reads all of these without conversion.",
                            {{"Somebody's checkpoint as safetensors", "micromind convert checkpoint.pth weights.safetensors"},
                             {"Its averaged weights", "micromind convert checkpoint.pth weights.pt --key model_ema"},
                             {"A run's weights for micromind's Python PhiNet", "micromind convert runs/demo phinet.pt --names reference"},
                             {"The Python PhiNet's to our names", "micromind convert phinet.pt ours.pt --network phinet --input 3x32x32 --classes 10 --set alpha=0.5"}});
  const auto options = std::make_shared<Options>();
  verb->add_option("from", options->from, "A run folder, .pt, .pth, .ckpt, .bin, .safetensors, or a float .onnx or .tflite")->required()->type_name("RUN|FILE");
  verb->add_option("to", options->to, "The file to write: .pt or .safetensors")->required()->type_name("FILE");
  verb->add_option("--key", options->key, "Where in the checkpoint the weights lie; without it the largest set is taken")->type_name("NAME");
  verb->add_option("--network", options->network, "The network that they belong to: a run folder or a family (a run knows its own)")->type_name("RUN|FAMILY");
  verb->add_option("--names", options->names, "ours, or reference (the family's Python original)")->check(CLI::IsMember({"ours", "reference"}))->type_name("NAME");
  verb->add_option("--input", options->build.input, "Input shape of a family: channels, height, width")->type_name("CxHxW");
  verb->add_option("--classes", options->build.classes, "Number of classes of a family; adds its classifier")->check(CLI::Range(1, 1'000'000));
  verb->add_option("--set", options->build.set, "An option of the family; may be repeated")->type_name("KEY=VALUE")->allow_extra_args(false);
  verb->callback([&console, options] { convert(console, *options); });
}

}  // namespace micromind
