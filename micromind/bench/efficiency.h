// Operator efficiency on platforms: emulated cores (a model), this computer (time, energy where it can be
// read), boards (energies that a lab measured).
//
//   std::vector<PlatformEfficiency> platforms = {emulate_operators(sizes, load_target("stm32l4r5"))};
//   platforms.push_back(time_operators(sizes));
//   platforms.push_back(read_measured_operators("bench.csv"));
//   efficiency_table(platforms)
//
// The definition of eta stands in operators.h.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "micromind/bench/energy_counter.h"
#include "micromind/bench/operators.h"
#include "micromind/bench/workbench.h"
#include "micromind/deploy/instruction_classes.h"
#include "micromind/targets/target.h"

namespace micromind {

enum class PlatformKind { emulated, host, measured };

struct OperatorFigure {
  std::string operator_name;
  OperatorSize size;
  int channels = 0;
  std::int64_t macs = 0;
  double energy = 0;  ///< of one execution, in the platform's unit: only its ratios are used
  double eta = 0;
  InstructionCounts counts;  ///< emulated
  double cycles_model = 0;   ///< emulated: estimate_cycles()
  std::optional<double>
      energy_uj_model;  ///< emulated: cycles_model / clock · active power, where the target states one
  double seconds = 0, seconds_best = 0;  ///< host: median and best of the samples
  std::optional<double> energy_uj;       ///< host: package energy; measured: as given
};

struct PlatformEfficiency {
  std::string name;   ///< "mps2-an386", "this computer", the stem of the measured file
  std::string label;  ///< for charts: "Cortex-M4 (model)"
  PlatformKind kind = PlatformKind::emulated;
  std::string energy_is;  ///< what stands for energy, in words
  std::vector<OperatorFigure> figures;
};

/// Counts on the core that emulates `target`. Throws Error as count_layers() does and for a core without a
/// cycle table.
PlatformEfficiency emulate_operators(const std::vector<OperatorSize>& sizes, const Target& target,
                                     const Progress& progress = {});

struct HostOptions {
  double sample_s = 0.01;  ///< each of the samples repeats the operator for this long
  int samples = 9;
  std::filesystem::path powercap = "/sys/class/powercap";
};
/// Times the kernels on this computer, int8, one thread, warm. Energy is the packages' where powercap tells
/// it; else time stands for it, and `energy_is` says so.
PlatformEfficiency time_operators(const std::vector<OperatorSize>& sizes, const HostOptions& options = {},
                                  const Progress& progress = {});

/// A CSV with the columns operator, size, energy_uj and, if liked, macs and folder (as the template writes
/// them): one row an operator and size, energy in microjoules of one execution. Throws Error with file and
/// line for a missing or unknown column, an unknown operator, a wrong size, MACs other than ours, an energy
/// that is not above 0, a second row of a pair, a size without the standard convolution.
PlatformEfficiency read_measured_operators(const std::filesystem::path& file);

/// Writes that CSV with empty energies, and a folder of C for every operator and size, for a lab to fill in
/// and to run.
void write_operator_template(const std::filesystem::path& folder, const std::vector<OperatorSize>& sizes,
                             const Progress& progress = {});

/// Sets eta of every figure. Throws Error when a size has no standard convolution.
void set_eta(PlatformEfficiency& platform);

/// Over sizes; NaN where the platform has no figure of the operator.
struct EtaRange {
  double mean = 0, low = 0, high = 0;  ///< geometric mean, least, most
};
EtaRange eta_range(const PlatformEfficiency& platform, const std::string& operator_name);

std::string efficiency_table(
    const std::vector<PlatformEfficiency>& platforms);         ///< operators × platforms, means of eta
std::string figure_table(const PlatformEfficiency& platform);  ///< every figure of one
std::string efficiency_csv(const std::vector<PlatformEfficiency>& platforms);
nlohmann::json efficiency_to_json(const std::vector<PlatformEfficiency>& platforms);

/// The bar chart "efficiency of common operators on tested platforms": a picture by itself, and a page with
/// the tables.
std::string efficiency_svg(const std::vector<PlatformEfficiency>& platforms);
std::string efficiency_page(const std::vector<PlatformEfficiency>& platforms);

}  // namespace micromind
