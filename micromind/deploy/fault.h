// Explains the line that startup.c of runtime/boards prints when a guest faults.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "micromind/deploy/elf.h"

namespace micromind {

/// "UsageFault: undefined instruction (UNDEFINSTR) at 0x000001a4 in 'crash', called from 'main' …" for output
/// that holds a "!fault …" line; nothing for output without one. `image` names the functions.
std::optional<std::string> explain_fault(std::string_view output, const ElfImage& image);

}  // namespace micromind
