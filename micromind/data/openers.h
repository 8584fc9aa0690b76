// One opener per family of data sets; registry.cpp maps names to them.
#pragma once

#include <memory>

#include "micromind/data/dataset.h"

namespace micromind {

// `options.folder` is filled in by the registry. Size and channels other than the stored ones are the
// registry's affair, except for open_folder(), which decodes to them.
std::unique_ptr<Dataset> open_cifar10(const DatasetOptions& options);
std::unique_ptr<Dataset> open_cifar100(const DatasetOptions& options);
std::unique_ptr<Dataset> open_mnist(const DatasetOptions& options);
std::unique_ptr<Dataset> open_fashion_mnist(const DatasetOptions& options);
std::unique_ptr<Dataset> open_folder(const DatasetOptions& options);
std::unique_ptr<Dataset> open_glyphs(const DatasetOptions& options);

}  // namespace micromind
