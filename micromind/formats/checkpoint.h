// Checkpoints: files that Python's torch.load reads as one flat dict of tensors.
//
//   weights = {k: v for k, v in torch.load("last.pt").items() if not k.startswith("trainer/")}
//
// A parameter has its name in the graph ("blocks.3.conv.weight"); what resuming needs besides lies under "trainer/":
// "trainer/state" (JSON as bytes: step, epoch, means so far) and "trainer/optimizer/…". best.pt holds parameters only.
#pragma once

#include <filesystem>
#include <string>

#include "micromind/graph/weights.h"

namespace micromind {

struct Checkpoint {
  Weights weights;
  Weights optimizer;  ///< Optimizer::state()
  std::string state;  ///< JSON of the trainer; empty: weights only
};

/// Throws Error when the file is no flat dict of tensors, cut short or damaged.
Checkpoint read_checkpoint(const std::filesystem::path& path);

/// Atomic: on a full disk what was there stays and Error is thrown.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// The parameters of last.pt, best.pt or any other flat dict of float tensors.
Weights load_checkpoint(const std::filesystem::path& path);

}  // namespace micromind
