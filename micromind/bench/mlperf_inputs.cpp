#include "micromind/bench/mlperf_inputs.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

constexpr std::array<MlperfTask, 3> kTasks = {{{"ic_pretrainedResnet_quant", "ic01", 10, 0.85}, {"kws_ref_model", "kws01", 12, 0.90}, {"vww_96_int8", "vww01", 2, 0.80}}};

// "name.bin,classes,label"
std::pair<std::string, int> label_of(std::string_view line, int classes) {
  const auto first = line.find(','), second = line.find(',', first + 1);
  int label = -1;
  if (first != std::string_view::npos && second != std::string_view::npos) std::from_chars(line.data() + second + 1, line.data() + line.size(), label);
  const std::string name(line.substr(0, first));
  if (label < 0 || label >= classes || name.empty() || name.find('/') != std::string::npos) fail("mlperf", "y_labels.csv: '{}' is no file, classes, label", line);
  return {name, label};
}

}  // namespace

std::span<const MlperfTask> mlperf_tasks() { return kTasks; }

MlperfInputs mlperf_inputs(const std::filesystem::path& folder, std::string_view model, std::size_t bytes, std::size_t limit) {
  const auto task = std::find_if(kTasks.begin(), kTasks.end(), [&](const MlperfTask& t) { return t.model == model; });
  if (task == kTasks.end()) fail("mlperf", "no accuracy inputs for {}", model);
  const std::filesystem::path archive = folder / (std::string(task->archive) + ".tar.xz");
  if (!std::filesystem::exists(archive)) fail("mlperf", "{} is absent", archive.string());
  for (const char* program : {"tar", "xz"})
    if (!find_program(program)) fail("mlperf", "{} is packed, and there is no {} here", archive.string(), program);
  const TemporaryFolder unpacked;
  const ProcessResult r = run_process({"tar", "xJf", std::filesystem::absolute(archive).string(), "--no-same-owner", "-C", unpacked.path().string()});
  if (r.exit_status != 0) fail("mlperf", "{} cannot be unpacked: {}", archive.string(), r.err);
  const std::filesystem::path files = unpacked.path() / task->archive;
  const std::string csv = read_text(files / "y_labels.csv");
  MlperfInputs set{.inputs = {}, .labels = {}, .classes = task->classes};
  for (std::size_t at = 0; at < csv.size() && (limit == 0 || set.inputs.size() < limit);) {
    const std::size_t end = std::min(csv.find('\n', at), csv.size());
    std::string_view line(csv.data() + at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto [name, label] = label_of(line, task->classes);
    const Bytes raw = read_bytes(files / name);
    if (raw.size() != bytes) fail("mlperf", "{} has {} bytes; the model takes {}", name, raw.size(), bytes);
    const int shift = task->archive == "kws01" ? 0 : 128;  // those are int8 already
    std::vector<std::int8_t> input(raw.size());
    std::transform(raw.begin(), raw.end(), input.begin(), [&](std::uint8_t b) { return static_cast<std::int8_t>(static_cast<std::uint8_t>(b - shift)); });
    set.inputs.push_back(std::move(input));
    set.labels.push_back(label);
  }
  return set;
}

double int8_accuracy(const Model& model, const MlperfInputs& set) {
  Int8Executor executor(model);
  if (set.inputs.empty()) fail("mlperf", "no inputs");
  std::size_t right = 0;
  for (std::size_t i = 0; i < set.inputs.size(); ++i) {
    if (set.inputs[i].size() != executor.input(0).size()) fail("mlperf", "input {} has {} bytes; the model takes {}", i, set.inputs[i].size(), executor.input(0).size());
    std::copy(set.inputs[i].begin(), set.inputs[i].end(), executor.input(0).begin());
    executor.run();
    const auto scores = executor.output(0);
    right += std::max_element(scores.begin(), scores.end()) - scores.begin() == set.labels[i];
  }
  return static_cast<double>(right) / static_cast<double>(set.inputs.size());
}

}  // namespace micromind
