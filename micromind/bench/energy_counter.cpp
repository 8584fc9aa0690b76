#include "micromind/bench/energy_counter.h"

#include <algorithm>
#include <fstream>
#include <optional>

#include "micromind/base/error.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

std::optional<std::uint64_t> read_number(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

bool is_package(const std::string& name) {  // "intel-rapl:0", not its parts "intel-rapl:0:1"
  return name.starts_with("intel-rapl:") && std::count(name.begin(), name.end(), ':') == 1;
}

}  // namespace

EnergyCounter::EnergyCounter(const fs::path& folder) {
  std::error_code error;
  std::string unreadable;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!is_package(it->path().filename().string())) continue;
    const fs::path energy = it->path() / "energy_uj";
    if (!read_number(energy)) {
      unreadable = energy.string();
      continue;
    }
    packages_.push_back({energy, read_number(it->path() / "max_energy_range_uj").value_or(0), 0});
  }
  if (!unreadable.empty()) packages_.clear();  // a part of the machine's energy would mislead
  if (!packages_.empty()) return;
  why_not_ = unreadable.empty() ? fmt::format("{} has no intel-rapl counters", folder.string())
                                : fmt::format("{} cannot be read (root may)", unreadable);
}

void EnergyCounter::start() {
  for (Package& p : packages_) p.at_start = read_number(p.energy).value_or(0);
}

double EnergyCounter::joules() const {
  double microjoules = 0;
  for (const Package& p : packages_) {
    const std::uint64_t now = read_number(p.energy).value_or(p.at_start);
    microjoules += static_cast<double>(now >= p.at_start ? now - p.at_start : now + p.range - p.at_start);
  }
  return microjoules * 1e-6;
}

}  // namespace micromind
