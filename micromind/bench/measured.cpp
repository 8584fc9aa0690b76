// Energies that a lab measured: the CSV and the template for it.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/text.h"
#include "micromind/bench/efficiency.h"
#include "micromind/deploy/emit.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

const std::vector<std::string>& columns() {
  static const std::vector<std::string> names = {"operator", "size", "macs", "energy_uj", "folder"};
  return names;
}

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> list;
  std::istringstream text(line + ",");
  for (std::string cell; std::getline(text, cell, ',');) {
    const auto first = cell.find_first_not_of(" \t\r\""), last = cell.find_last_not_of(" \t\r\"");
    list.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
  }
  return list;
}

class Rows {
 public:
  explicit Rows(const fs::path& file) : file_(file), text_(read_text(file)) {}

  bool next() {
    for (std::string line; std::getline(text_, line);) {
      ++number_;
      if (line.find_first_not_of(" \t\r,") == std::string::npos || line.starts_with('#')) continue;
      cells_ = cells(line);
      return true;
    }
    return false;
  }

  void read_header() {
    if (!next()) fail(where(), "the file is empty; expected the columns operator,size,energy_uj");
    header_ = cells_;
    for (const std::string& name : header_)
      if (std::find(columns().begin(), columns().end(), name) == columns().end())
        fail_with_hint(where(), name_hint(name, columns()), "unknown column '{}'", name);
    for (const char* needed : {"operator", "size", "energy_uj"})
      if (std::count(header_.begin(), header_.end(), needed) != 1)
        fail(where(), "expected one column '{}'", needed);
  }

  std::string cell(std::string_view column) const {
    const auto at = std::find(header_.begin(), header_.end(), column) - header_.begin();
    return static_cast<std::size_t>(at) < cells_.size() ? cells_[static_cast<std::size_t>(at)] : "";
  }
  void check_width() const {
    if (cells_.size() != header_.size())
      fail(where(), "expected {} cells, found {}", header_.size(), cells_.size());
  }
  std::string where() const { return fmt::format("{}:{}", file_.string(), number_); }

 private:
  fs::path file_;
  std::istringstream text_;
  std::vector<std::string> header_, cells_;
  int number_ = 0;
};

double energy_from(const Rows& rows) {
  const std::string text = rows.cell("energy_uj");
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || rest != text.data() + text.size() || !std::isfinite(value) || value <= 0)
    fail(rows.where(), "energy_uj = '{}': expected microjoules, a number above 0", text);
  return value;
}

OperatorFigure figure_from(const Rows& rows) {
  OperatorFigure figure;
  try {
    figure.size = parse_operator_size(rows.cell("size"));
    const OperatorCase c = operator_case(rows.cell("operator"), figure.size);
    figure.operator_name = c.name;
    figure.channels = c.channels;
    figure.macs = c.macs;
  } catch (const Error& error) {
    throw Error(rows.where(), error.message(), error.hint());
  }
  if (const std::string macs = rows.cell("macs"); !macs.empty() && macs != std::to_string(figure.macs))
    fail(rows.where(), "macs = '{}', but {} at size {} has {}: was the template made by another version?",
         macs, figure.operator_name, figure.size.text(), figure.macs);
  figure.energy_uj = energy_from(rows);
  figure.energy = *figure.energy_uj;
  return figure;
}

}  // namespace

PlatformEfficiency read_measured_operators(const fs::path& file) {
  Rows rows(file);
  rows.read_header();
  PlatformEfficiency platform{file.stem().string(),
                              file.stem().string() + " (measured)",
                              PlatformKind::measured,
                              "measured: " + file.filename().string(),
                              {}};
  while (rows.next()) {
    rows.check_width();
    OperatorFigure figure = figure_from(rows);
    for (const OperatorFigure& other : platform.figures)
      if (other.operator_name == figure.operator_name && other.size == figure.size)
        fail(rows.where(), "a second row of {} at size {}", figure.operator_name, figure.size.text());
    platform.figures.push_back(std::move(figure));
  }
  if (platform.figures.empty()) fail(rows.where(), "expected rows below the header");
  try {
    set_eta(platform);
  } catch (const Error& error) {
    throw Error(file.string(), error.message(), "add the row standard,SIZE,energy");
  }
  return platform;
}

void write_operator_template(const fs::path& folder, const std::vector<OperatorSize>& sizes,
                             const Progress& progress) {
  const fs::path form = folder / "operators.csv";
  std::error_code ignored;
  if (fs::exists(form, ignored))
    fail_with_hint("bench", "choose another folder, or move the file away", "{} is there already and may hold measurements", form.string());
  std::string csv = "operator,size,macs,energy_uj,folder\n";
  for (const OperatorCase& c : operator_cases(sizes)) {
    const std::string name = fmt::format("{}_{}", c.name, c.size.text());
    write_c(random_model(c.graph), folder / name);
    csv += fmt::format("{},{},{},,{}\n", c.name, c.size.text(), c.macs, name);
    if (progress && c.name == "standard") progress(fmt::format("C code of size {}", c.size.text()));
  }
  write_atomic(form, csv);
}

}  // namespace micromind
