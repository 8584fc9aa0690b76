// Which kernels a layer calls on which cores: the portable one, or one of a kind of core, on weights laid out for it. Private to
// the emitter.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "micromind/deploy/pack.h"
#include "micromind/graph/model.h"
#include "micromind/quantize/calls.h"

namespace micromind {

struct Program;

/// A kind of core with kernels of its own: runtime/kernels/<prefix>conv2d_s8.h … hold mm_<prefix>conv2d_s8 ….
struct CoreVariant {
  std::string_view macro;   ///< 1 on such cores
  std::string_view prefix;  ///< of files and functions; wide layers' functions have "wide_" behind it
  bool tables = false;      ///< its convolutions take a table (or NULL) that they apply as they store their outputs
};

/// The first whose macro is 1 is taken. A further one is a line here and one in pack_for_cores.
inline constexpr std::array kCoreVariants = {CoreVariant{"MM_HAS_MVE", "mve_"}, CoreVariant{"MM_HAS_DSP", "packed_", true}};

/// A layer's weights, one entry a core variant; empty where that core runs the portable kernel.
using PackedForms = std::array<std::optional<PackedWeights>, kCoreVariants.size()>;
PackedForms pack_for_cores(const Model& model, const Node& node, const KernelCall& call);

/// "mve_conv2d_s8.h": headers of core variants that the program needs.
std::vector<std::string> variant_headers(const Program& program);

/// The function that a layer calls; a macro maps it to what the core has.
std::string call_name(const Program& program, std::size_t node);

/// Whether calls of the node's kernel have a table as last argument: one of its variants takes it, for the others a macro drops it.
bool passes_table(const Program& program, std::size_t node);

/// The functions behind the calls of one kernel, for every core.
std::string kernel_definitions(const Program& program, const std::string& kernel);

}  // namespace micromind
