// Checkpoints: files that Python's torch.load reads as one flat dict of tensors.
//
//   weights = {k: v for k, v in torch.load("last.pt").items() if not k.startswith("trainer/")}
//
// A parameter has its name in the graph ("blocks.3.conv.weight"); what resuming needs besides lies under "trainer/":
// "trainer/state" (JSON as bytes: step, epoch, means so far), "trainer/optimizer/…" and, with train.ema_decay,
// "trainer/average/…": the averaged weights, which best.pt holds as its parameters. best.pt has nothing but parameters.
#pragma once

#include <filesystem>
#include <string>

#include "micromind/base/file.h"
#include "micromind/graph/weights.h"

namespace micromind {

struct Checkpoint {
  Weights weights;
  Weights optimizer = {};  ///< Optimizer::state()
  std::string state = {};  ///< JSON of the trainer; empty: weights only
  Weights average = {};    ///< moving average of the weights, where there is one
};

/// Throws Error when the file is no flat dict of tensors, cut short or damaged.
Checkpoint read_checkpoint(const std::filesystem::path& path);
Checkpoint parse_checkpoint(Bytes bytes, const std::string& where);

/// Atomic: on a full disk what was there stays and Error is thrown.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// The parameters of last.pt, best.pt or any other flat dict of float tensors.
Weights load_checkpoint(const std::filesystem::path& path);

}  // namespace micromind
