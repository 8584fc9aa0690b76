// The int8 model over a data set, on the host's cores: an executor a thread.
#pragma once

#include <memory>
#include <vector>

#include "micromind/data/augment.h"
#include "micromind/data/dataset.h"
#include "micromind/graph/model.h"
#include "micromind/metrics/classification.h"

namespace micromind {

/// Accuracy of an int8 classifier. `threads` 0: one a core; the result does not depend on it. Throws Interrupted when
/// the user stops it, Error when more than `damaged_share` of the images cannot be read; fewer are left out.
ClassificationResult evaluate_int8(const Model& model, const Dataset& dataset, const Normalization& normalization, int threads = 0,
                                   double damaged_share = 0);

/// The first `count` images that can be read in the model's int8 input form (H, W, C), and their labels where asked for.
std::vector<std::vector<std::int8_t>> int8_inputs(const Model& model, const Dataset& dataset, const Normalization& normalization,
                                                  std::int64_t count, std::vector<std::int64_t>* labels = nullptr);

}  // namespace micromind
