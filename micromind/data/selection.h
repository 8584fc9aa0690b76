// Which of the samples on the disk make up a part: hold-out for validation and class-balanced limits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "micromind/data/dataset.h"

namespace micromind {

/// True when the part comes from the test files: DataSplit::test, or DataSplit::validation without a hold-out.
bool wants_test_files(const DatasetOptions& options);

/// Positions in `labels` (the labels of all samples in the files that wants_test_files() names) that make up
/// the part which `options` asks for. Throws Error on a share outside [0, 1), a negative limit, or when
/// nothing is left.
std::vector<std::int64_t> select_samples(std::span<const int> labels, int classes,
                                         const DatasetOptions& options);

}  // namespace micromind
