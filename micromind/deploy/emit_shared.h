// Kernels' code once for several models of one firmware. Private to the emitter.
//
// The kernel functions of an emitted source are static. In a source that share_kernels() went over, those that know nothing of their
// model become weak functions whose name ends in a checksum of their text and of all runtime kernels: of one name there is one
// function, whichever model's copy the linker keeps, and two that differ in a letter never meet. It drops the other copies
// (--gc-sections).
#pragma once

#include <string>
#include <vector>

#include "micromind/deploy/emit_program.h"

namespace micromind {

struct KernelSource {
  std::string text;              ///< of model.c
  std::string prefix, upper;     ///< "model", "MODEL"
  std::vector<std::string> ids;  ///< that the model's own constants and offsets begin with
};

KernelSource kernel_source(const Program& program, std::string text);

/// Scratch arrays `columns` of equal kernels get the largest size of all sources.
void share_kernels(std::vector<KernelSource>& sources);

}  // namespace micromind
