#include "micromind/run/subject.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/formats/onnx.h"
#include "micromind/formats/tflite.h"
#include "micromind/networks/registry.h"
#include "micromind/run/run_folder.h"

namespace micromind {
namespace {

const NetworkFamily* find_family(const std::string& name) {
  for (const NetworkFamily& family : network_families())
    if (family.name == name) return &family;
  return nullptr;
}

nlohmann::json shape_json(const Shape& shape) { return std::vector<std::int32_t>(shape.begin(), shape.end()); }

Graph family_network(const NetworkFamily& family, const SubjectOptions& options) {
  // The recipe's reader knows how to read and check "key=value".
  std::vector<std::string> overrides = {"network.family=\"" + family.name + "\""};
  for (const std::string& text : options.set) {
    if (text.find('=') == std::string::npos)
      fail_with_hint("--set " + text, "for example --set alpha=3", "expected key=value");
    overrides.push_back("network." + text);
  }
  nlohmann::json values = parse_recipe("", "options", overrides).network.options;
  const auto need = [&](const char* key, const char* option) {
    if (!family.defaults.contains(key)) fail("inspect", "{} has no option '{}' for {} to set", family.name, key, option);
  };
  if (!options.input.empty()) {
    need("input_shape", "--input");
    values["input_shape"] = shape_json(parse_shape(options.input));
  }
  if (options.classes > 0) {
    need("num_classes", "--classes");
    values["num_classes"] = options.classes;
    if (family.defaults.contains("include_top")) values["include_top"] = true;
  }
  return build_network(family.name, values);
}

}  // namespace

bool is_model_file(const std::string& what) {
  const std::filesystem::path extension = std::filesystem::path(what).extension();
  return extension == ".tflite" || extension == ".onnx";
}

Shape parse_shape(const std::string& text) {
  Shape shape;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "×") == 0) {
      plain += 'x';
      ++i;
    } else {
      plain += text[i] == 'X' || text[i] == ',' ? 'x' : text[i];
    }
  }
  const char *at = plain.data(), *end = plain.data() + plain.size();
  const auto wrong = [&] { fail_with_hint("shape", "write channels, height and width: 3x32x32", "'{}' is no shape", text); };
  while (true) {
    std::int32_t extent = 0;
    const auto [rest, error] = std::from_chars(at, end, extent);
    if (error != std::errc{} || extent < 1 || shape.rank() == 4) wrong();
    shape.append(extent);
    at = rest;
    if (at == end) return shape;
    if (*at++ != 'x') wrong();
  }
}

Model read_model(const std::string& path) {
  if (std::filesystem::path(path).extension() == ".onnx") return read_onnx(path);
  return read_tflite(path);
}

Graph recipe_network(const NetworkSection& network, const Shape& input, int classes) {
  const NetworkFamily* family = find_family(network.family);
  if (family == nullptr) return build_network(network.family, network.options);  // throws, naming the nearest
  nlohmann::json options = network.options;
  const auto from_data = [&](const char* key, const nlohmann::json& value) {
    if (!family->defaults.contains(key)) return;
    if (!options.contains(key)) options[key] = value;
    else if (options[key] != value)
      fail_with_hint("network", fmt::format("leave {} out, it comes from the data", key), "{} = {}, but the data have {}", key,
                     options[key].dump(), value.dump());
  };
  from_data("input_shape", shape_json(input));
  from_data("num_classes", classes);
  if (family->defaults.contains("include_top") && !options.contains("include_top")) options["include_top"] = true;
  return build_network(network.family, options);
}

Subject load_subject(const std::string& what, const SubjectOptions& options) {
  Subject subject{.name = what};
  const NetworkFamily* family = find_family(what);
  if (family != nullptr) {
    subject.network = family_network(*family, options);
    subject.lowered = lower(subject.network);
    return subject;
  }
  if (!options.input.empty() || options.classes > 0 || !options.set.empty())
    fail_with_hint("inspect", "micromind networks lists the families", "--input, --classes and --set build a network of a family, and '{}' is none",
                   what);
  std::error_code ignored;
  if (std::filesystem::is_directory(what, ignored)) {
    const RunFolder run = RunFolder::open(what);
    subject.kind = SubjectKind::run;
    subject.target = run.recipe().deploy.target;
    subject.network = load_graph(run.need(run.network_file(), "train").string());
  } else if (is_model_file(what)) {
    subject.kind = SubjectKind::model;
    const Model model = read_model(what);
    subject.network = model.graph;
    if (is_quantized(model)) {
      subject.lowered = as_lowered(model.graph);
      return subject;
    }
  } else {
    std::vector<std::string> names;
    for (const NetworkFamily& f : network_families()) names.push_back(f.name);
    fail_with_hint("inspect", name_hint(what, names), "'{}' is no run folder, no .tflite or .onnx file and no family of networks", what);
  }
  subject.lowered = lower(subject.network);
  return subject;
}

}  // namespace micromind
