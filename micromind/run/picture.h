// What the report page says about a deployment in pictures: which layer decides the arena, what each layer costs, what takes flash.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "micromind/run/report.h"

namespace micromind {

/// Where the arena's peak is, and what lowering it would give. Live bytes are counted as the addresses in use: tensors that overlap
/// count once.
struct PeakAdvice {
  int step = -1;                       ///< the first step with most live bytes
  std::vector<int> steps;              ///< all that have as many
  std::int64_t bytes = 0;              ///< live there
  std::vector<int> tensors;            ///< live there, the largest first: indices into memory.tensors
  std::int64_t without = 0;            ///< most live bytes of all other steps
  int next_step = -1;                  ///< where those are
  std::int64_t with_half_largest = 0;  ///< most live bytes of all steps, were tensors[0] half as large
};
PeakAdvice peak_advice(const ReportMemory& memory);

/// The same as sentences for a page; "" without a tensor.
std::string peak_text(const ReportMemory& memory);

/// Bars by layer under each other: instructions beside MACs, instructions a MAC, estimated cycles a MAC, constants in flash. What was not
/// measured is left out; "" when nothing is left.
std::string layer_chart(const Deployment& deployment);

/// Flash by section: constants, kernels' code, the rest; and the largest parts.
std::string flash_picture(const Deployment& deployment, std::int64_t available);

}  // namespace micromind
