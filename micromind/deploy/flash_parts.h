// What an image's flash holds, by the names of its symbols: constants layer by layer, kernels, and the rest.
#pragma once

#include <string_view>
#include <vector>

#include "micromind/deploy/cross.h"
#include "micromind/deploy/deploy.h"
#include "micromind/graph/model.h"

namespace micromind {

/// Layers in their order, then kernels, the largest first, then one row for the rest; they add up to built.flash_bytes. `built` is of
/// the emitted C of this model.
std::vector<FlashPart> flash_parts(const Model& model, const BuildResult& built);

/// Whether a function of an image is a kernel of the runtime or calls one for a layer.
bool is_kernel_function(std::string_view symbol);

}  // namespace micromind
