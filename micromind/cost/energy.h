// What an inference takes in time and energy on a board, and how many a second a power budget pays for: an ESTIMATE, with its
// basis and its error beside it. Never a measurement.
//
//   const EnergyEstimate e = estimate_energy({.instructions = 3.8e6, .cycles = 2.8e6, .constant_bytes = 30'000}, load_target("stm32h743"));
//   e.seconds.likely, e.microjoules->high, e.points[0].frames_per_second      // at 10 mW
//
//   seconds     = cycles / clock
//   microjoules = seconds · active power                        (the target's [power], at that clock)
//   frames/s    = (budget − sleep) / (energy − sleep · seconds), at most 1 / seconds
//
// Likely: cycles by instruction class (deploy/cycle_model.h), memory without wait states. The range: from the least to the most
// cycles an instruction that published board timings of int8 kernels show for the core, where there are any, and upwards the wait
// for the constants, each line of which must come out of the flash once an inference at least when no cache keeps it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "micromind/targets/target.h"

namespace micromind {

/// Work of one inference.
struct Work {
  double instructions = 0, cycles = 0;  ///< cycles: without wait states
  double constant_bytes = 0;            ///< read from flash
  std::string basis;                    ///< where the two come from: "counted on the emulated core, by class"
};

struct EstimateRange {
  double low = 0, likely = 0, high = 0;
};

struct OperatingPoint {
  double budget_mw = 0;
  double frames_per_second = 0;  ///< likely; 0 where the budget does not pay for sleep
  double least = 0, most = 0;    ///< from the range of the energy
  double duty = 0;               ///< share of time awake
};

struct EnergyEstimate {
  std::string target;
  double clock_hz = 0;
  EstimateRange cycles, seconds;
  double wait_cycles = 0;                    ///< for constants, in cycles.high
  std::optional<EstimateRange> microjoules;  ///< where the target states its power
  std::vector<OperatingPoint> points;
  std::string basis, error;                  ///< in words
};

/// The seed's operating points.
std::vector<double> default_power_budgets();  ///< 10 and 20 mW

EnergyEstimate estimate_energy(const Work& work, const Target& target, const std::vector<double>& budgets_mw = default_power_budgets());

/// "10mW", "0.5 W", "800uW" to milliwatts. Throws Error for anything else or what is not above 0.
double parse_power(std::string_view text);

/// Each of them; none gives the default budgets.
std::vector<double> parse_powers(const std::vector<std::string>& texts);

std::string format_energy(double microjoules);  ///< "166 µJ", "5.09 mJ"
std::string format_time(double seconds);        ///< "583 µs", "6.19 ms", "1.2 s"

std::string energy_text(const EnergyEstimate& estimate);
nlohmann::json to_json(const EnergyEstimate& estimate);

}  // namespace micromind
