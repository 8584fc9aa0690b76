// The energy that this computer's processors have used, from Linux's powercap files (RAPL), where there are
// any.
//
//   EnergyCounter counter;
//   if (counter.available()) { counter.start(); work(); counter.joules(); } else say(counter.why_not());
//
// Files: <folder>/intel-rapl:<package>/energy_uj (microjoules, wraps at max_energy_range_uj). They hold what
// whole packages use, other programs' share included; most systems let only root read them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace micromind {

class EnergyCounter {
 public:
  explicit EnergyCounter(const std::filesystem::path& folder = "/sys/class/powercap");
  bool available() const { return !packages_.empty(); }
  const std::string& why_not() const { return why_not_; }  ///< "" when available
  void start();
  double joules() const;  ///< of all packages since start(); one wrap of each counter is accounted for

 private:
  struct Package {
    std::filesystem::path energy;
    std::uint64_t range = 0, at_start = 0;
  };
  std::vector<Package> packages_;
  std::string why_not_;
};

}  // namespace micromind
