// How far the output of an operator may lie over its own input while that input is being read for the last time.
//
// The kernels (runtime/kernels/README.md, "Order") write output pixels in increasing address order. While pixels are
// written, only windows of pixels from there on, less a few that a kernel computes at once, are still to be read, and
// windows move towards the end of the input with the output. So the output may be written over the part of the input that
// no window will see again: it lies at the same place or lower, by a *lag*.
//
//   input    [in_h·in_w] pixels of in_c bytes     offset I
//   output   [out_h·out_w] pixels of out_c bytes  offset O,  d = O − I
//
// Let f(q) be the first input pixel of the window of output pixel q, clipped to the image. While the kernel still reads
// window q it may have written up to kPixelsAtOnce pixels from q on, so up to output byte O + e(q)·out_c with
// e(q) = min(q + kPixelsAtOnce, pixels). Nothing is lost when, for all q,
//
//   d + e(q)·out_c ≤ f(q)·in_c,          that is    d ≤ D = min over q of  f(q)·in_c − e(q)·out_c.
//
// (The other way, output behind the unread part, is never possible but for O ≥ I + input bytes: the last windows read the
// last bytes.) D ≥ −output bytes, where the two do not meet; the lag is −D.
//
// With one channel count each, D is a minimum of a few linear forms in in_c and out_c, whose coefficients depend on height,
// width, kernel, stride and padding only: the terms below. Scaling (scaling/width_cost.h) evaluates them at many widths.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "micromind/graph/op.h"

namespace micromind {

/// Output pixels that a kernel may write before it has read the window of the first of them for the last time.
inline constexpr std::int64_t kPixelsAtOnce = 4;

/// Pixel counts f and e of one output pixel: d ≤ first·in_c − end·out_c.
struct OverlapTerm {
  std::int64_t first = 0, end = 0;
};

/// Convolutions (depthwise, grouped, dilated), maximum and average pooling. All others have none: linear layers, means and
/// uneven adaptive pooling read all of their input for their last output or may do so, padding and upsampling write ahead,
/// concat and split interleave. Activation, requantize, softmax, add and multiply share their input's memory exactly (plan.h).
/// Exact for dilation 1; for dilated windows that begin in the padding a little less than D.
/// Empty: no partial overlap. Otherwise D is the minimum over the terms, for any channel counts; none of them is redundant.
std::vector<OverlapTerm> overlap_terms(const Op& op, const Shape& in, const Shape& out);

/// D, the largest offset(out) − offset(in) in bytes at which the two may overlap, or nothing. Every smaller one is legal, too.
std::optional<std::int64_t> overlap(const Op& op, const Shape& in, const Shape& out);

}  // namespace micromind
