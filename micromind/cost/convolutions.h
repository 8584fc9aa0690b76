// What a convolution costs, taught by comparison: one input, one output, and the operators that could connect
// them.
//
//   for (const ConvolutionRow& row : explain_convolutions({3, 64, 64}, 16, 3)) …   // dense, standard,
//   pointwise …
//
// The numbers are those of count() on graphs of one or two nodes; the formulas are text beside them. Counting
// the bias as an operation follows the slide "Convolutions" of F. Paissan, "An introduction to tinyML"
// (2024); our own MACs leave it out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "micromind/graph/tensor_type.h"

namespace micromind {

struct ConvolutionRow {
  std::string name;                 ///< "dense", "standard", "pointwise", "depthwise", "separable"
  std::int64_t weights = 0;         ///< without bias
  std::int64_t parameters = 0;      ///< with bias
  std::int64_t macs = 0;            ///< without bias
  std::int64_t macs_with_bias = 0;  ///< adding the bias counted as one operation an output number
  std::string connects;             ///< which inputs meet which outputs
  std::string parameters_formula;   ///< "C·K²·N + N = 3·3²·16 + 16"
  std::string macs_formula;
  std::string lesson;  ///< one or two sentences
};

/// Operators from `input` (C, H, W) to (`out_channels`, H, W) with stride 1, a `kernel` × `kernel` window and
/// zero padding that keeps the size. A depthwise convolution makes as many channels as it reads, or a whole
/// multiple of them. Its row counts one filter an input channel and a bias an output channel, C·K² + N, as
/// the slide does even where N is no such multiple; the row "separable", a depthwise C → C and a pointwise C
/// → N behind it, is what does connect any C with any N. Throws Error for an input that is no image, a kernel
/// outside 1 … 255, channels < 1 and numbers that exceed 64 bits.
std::vector<ConvolutionRow> explain_convolutions(const Shape& input, std::int32_t out_channels,
                                                 std::int32_t kernel);

}  // namespace micromind
