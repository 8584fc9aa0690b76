// Where a run stands: what a checkpoint holds beside weights and optimiser.
#pragma once

#include <nlohmann/json.hpp>

#include "micromind/metrics/metric.h"
#include "micromind/metrics/metrics.h"

namespace micromind {

struct RunPosition {
  std::int64_t step = 0;           ///< done in all
  std::int64_t step_in_epoch = 0;  ///< done in the epoch that is under way
  std::int64_t epoch = 0;          ///< epochs finished
  RunningMean loss;                ///< of the epoch that is under way
  double last_loss = 0;            ///< of the last finished epoch
  Metrics last, best;              ///< of validation
  std::int64_t best_epoch = 0;     ///< from 1
  std::int64_t best_step = 0;
  bool stopped = false;  ///< a callback has ended the run
};

nlohmann::json to_json(const RunPosition& position);
/// Throws Error when it is none of a run with so many steps an epoch.
RunPosition run_position_from(const nlohmann::json& json, std::int64_t steps_per_epoch);

}  // namespace micromind
