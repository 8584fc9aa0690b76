// The report page of a run: one HTML file that needs nothing else, to look at, mail or attach to a paper.
//
//   write_report(RunFolder::open("runs/demo"));      // runs/demo/report.html
//
// gather_report() collects what the run folder holds; render_report() turns it into the page. A stage that has not
// run yet is shown as such, with the command that runs it. write_model_report() is the same page of a model file, beside its C code.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "micromind/deploy/deploy.h"
#include "micromind/run/run_folder.h"

namespace micromind {

struct ReportLayer {
  std::string name, op, kernel, output_shape;
  std::int64_t parameters = 0, macs = 0, live_bytes = 0, flash_bytes = 0;
};

enum class TensorKind { input, activation, in_place, output };

/// A tensor's life: it occupies [offset, offset + bytes) from step `first` to step `last`, inclusive.
struct ReportTensor {
  std::string name;
  TensorKind kind = TensorKind::activation;
  std::int64_t offset = 0, bytes = 0;
  int first = 0, last = 0;
};

struct ReportMemory {
  std::vector<std::string> steps;  ///< the layers in order
  std::vector<ReportTensor> tensors;
  std::int64_t arena_bytes = 0, lower_bound_bytes = 0;
  int peak_step = -1;
};

struct ReportEpoch {
  double train_loss = 0, validation_loss = 0, validation_top1 = 0;  ///< top-1 in [0, 1]; NaN: not measured
  double train_top1 = std::numeric_limits<double>::quiet_NaN();
};

struct ReportAccuracy {
  std::int64_t samples = 0;
  double top1 = 0, int8_top1 = 0;  ///< in [0, 1]
  double ptq_top1 = std::numeric_limits<double>::quiet_NaN();  ///< int8 without quantisation-aware training; NaN: there was none
  std::vector<std::string> class_names;
  std::vector<std::vector<std::int64_t>> int8_confusion;  ///< [true class][predicted class]
};

struct ReportFile {
  std::string name, what;
  std::int64_t bytes = 0;
};

struct ReportData {
  std::string name;    ///< of the run, or of a model file
  std::string folder;  ///< as a user types it in commands: the run, or the model file
  bool is_run = true;  ///< false for a model file: no training, evaluation or recipe
  std::string recipe;  ///< TOML
  std::string family, dataset, input_shape;
  std::string target, target_description, core;
  double clock_hz = 0;
  std::int64_t ram_available = 0, flash_available = 0, stack_reserved = 0;
  std::int64_t parameters = 0, macs = 0, torchinfo_mult_adds = 0, peak_ram_bytes = 0, flash_bytes = 0;  ///< from the cost model
  std::vector<ReportLayer> layers;
  int bottleneck = -1;  ///< the layer that decides the RAM
  ReportMemory memory;
  std::vector<ReportEpoch> epochs;
  double train_seconds = 0;
  std::optional<ReportAccuracy> accuracy;
  std::optional<Deployment> deployment;
  std::vector<ReportFile> files;
};

/// The page of a deployed int8 model that belongs to no run; `file` is what the user named.
ReportData model_report(const Model& model, const std::string& file, const Deployment& deployment);
void write_model_report(const std::filesystem::path& page, const Model& model, const std::string& file, const Deployment& deployment);

/// Reads recipe, network, results and file sizes of the run. Throws Error on files that are damaged.
ReportData gather_report(const RunFolder& run);

/// The page. Every text in it is escaped; it refers to nothing outside itself.
std::string render_report(const ReportData& data);

void write_report(const RunFolder& run);

/// Reads back what to_json(const Deployment&) wrote. Throws Error naming the key that is missing.
Deployment deployment_from_json(const nlohmann::json& json);

}  // namespace micromind
