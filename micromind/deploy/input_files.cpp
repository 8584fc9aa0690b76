#include "micromind/deploy/input_files.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/random.h"
#include "micromind/base/text.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

std::int64_t bytes_of(const Graph& graph, const std::vector<Port>& ports) {
  std::int64_t total = 0;
  for (const Port& port : ports) total += graph.shape(port.value).elements();
  return total;
}

struct Row {
  std::string file;  // "" where the line has the label alone
  std::int64_t label = 0;
};

std::vector<Row> read_labels(const fs::path& file, std::int64_t classes) {
  std::vector<Row> rows;
  std::istringstream text(read_text(file));
  int number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    const auto wrong = [&](const std::string& what) {
      fail_with_hint("labels", "a line is file,classes,label as in MLPerf Tiny's y_labels.csv, or a label alone", "{}:{}: {}", file.string(), number, what);
    };
    Row row;
    const auto last = line.rfind(',');
    if (last != std::string::npos) row.file = line.substr(0, line.find(','));
    const std::string label = last == std::string::npos ? line : line.substr(last + 1);
    const auto [rest, error] = std::from_chars(label.data(), label.data() + label.size(), row.label);
    if (error != std::errc{} || rest != label.data() + label.size()) wrong(fmt::format("'{}' is no label", label));
    if (row.label < 0 || row.label >= classes) wrong(fmt::format("label {} of a model with {} classes", row.label, classes));
    if (!rows.empty() && rows.front().file.empty() != row.file.empty()) wrong("some lines name a file and others do not");
    rows.push_back(std::move(row));
  }
  if (rows.empty()) fail("labels", "{} has no label", file.string());
  return rows;
}

ByteTensor tensor(std::span<const std::uint8_t> bytes, bool is_unsigned) {
  ByteTensor values;
  for (const std::uint8_t byte : bytes) values.push_back(static_cast<std::int8_t>(is_unsigned ? byte ^ 0x80 : byte));
  return values;
}

std::vector<fs::path> sorted_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".bin") files.push_back(it->path());
  if (error) fail("inputs", "cannot read the folder {}: {}", folder.string(), error.message());
  if (files.empty()) fail_with_hint("inputs", "a folder holds one input a file, *.bin", "{} has no input", folder.string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

LabelledInputs read_inputs(const Model& model, const InputFiles& files) {
  const auto bytes = static_cast<std::size_t>(bytes_of(model.graph, model.graph.inputs()));
  const auto most = files.count > 0 ? static_cast<std::size_t>(files.count) : std::size_t(-1);
  std::error_code error;
  const bool folder = fs::is_directory(files.data, error);
  std::vector<Row> rows;
  if (!files.labels.empty()) rows = read_labels(files.labels, model.graph.shape(model.graph.outputs().front().value).elements());
  if (folder && !rows.empty() && rows.front().file.empty())
    fail_with_hint("labels", "for a folder each line is file,classes,label", "{} does not name the files", files.labels.string());

  LabelledInputs result;
  if (folder) {
    std::vector<fs::path> list;
    for (const Row& row : rows) list.push_back(files.data / row.file);
    if (rows.empty()) list = sorted_files(files.data);
    list.resize(std::min(list.size(), most));
    for (const fs::path& file : list) {
      const Bytes content = read_bytes(file);
      if (content.size() != bytes) fail("inputs", "{} has {} bytes; the inputs of {} take {}", file.string(), content.size(), model.graph.name, bytes);
      result.inputs.push_back(tensor(content, files.is_unsigned));
    }
  } else {
    const Bytes content = read_bytes(files.data);
    if (content.empty() || content.size() % bytes != 0)
      fail("inputs", "{} has {} bytes, which is no multiple of the {} that the inputs of {} take", files.data.string(), content.size(), bytes, model.graph.name);
    for (std::size_t at = 0; at < content.size() && result.inputs.size() < most; at += bytes)
      result.inputs.push_back(tensor(std::span(content).subspan(at, bytes), files.is_unsigned));
    if (!rows.empty() && rows.size() != content.size() / bytes)
      fail("labels", "{} has {} labels, {} has {} inputs", files.labels.string(), rows.size(), files.data.string(), content.size() / bytes);
  }
  for (std::size_t i = 0; i < rows.size() && i < result.inputs.size(); ++i) result.labels.push_back(rows[i].label);
  return result;
}

std::vector<ByteTensor> random_inputs_of(const Model& model, std::int64_t count) {
  const auto bytes = static_cast<std::size_t>(bytes_of(model.graph, model.graph.inputs()));
  std::vector<ByteTensor> inputs(static_cast<std::size_t>(count), ByteTensor(bytes));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Random random(1, {i});
    for (std::int8_t& byte : inputs[i]) byte = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
  }
  return inputs;
}

}  // namespace micromind
