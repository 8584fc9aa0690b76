// One kernel call on this computer.
//
//   const KernelCalls calls(model);
//   execute(calls[node], {inputs}, {outputs});
#pragma once

#include <span>
#include <vector>

#include "micromind/quantize/calls.h"
#include "micromind/quantize/kernel_table.h"

namespace micromind {

/// Runs a bound call (KernelCalls) on one image: a pointer to the bytes (H, W, C) of each of the node's inputs and
/// outputs. flatten's NoCall does nothing: its output is its input.
void execute(const KernelCall& call, std::span<const std::int8_t* const> inputs, std::span<std::int8_t* const> outputs);

/// The tables that this processor runs, the best first.
std::vector<const KernelTable*> all_kernel_tables();
/// The table that execute() uses from now on; not to be changed while anything runs (tests, benchmarks).
void use_kernel_table(const KernelTable& table);

}  // namespace micromind
