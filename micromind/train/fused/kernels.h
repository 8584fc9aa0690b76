// The inner loops of the fused training operators, one table for each instruction set: AVX-512, AVX2 or plain vectors
// of four, chosen once at run time.
//
// Images are float32 in channels-last: rows of C channels, a row for each pixel, pixels in (n, y, x) order. A kernel
// works on one thread and on the part that it is given; the callers (norm_act.cpp, depthwise.cpp, …) split the work
// into parts that do not depend on the number of threads, so that sums are the same bytes on any number.
//
// A kernel is one file, <operator>.inl, which kernels.cpp includes once for each instruction set.
#pragma once

#include <cstdint>
#include <vector>

#include "micromind/graph/ops/attributes.h"

namespace micromind::fused {

using Int = std::int64_t;

/// What batch norm, activation and channel dropout are to one channel: y = mask·f(scale·x + offset).
struct NormLine {
  const float* scale = nullptr;   ///< [C]
  const float* offset = nullptr;  ///< [C]
  const float* mask = nullptr;    ///< [C] of one image, or nullptr: ones
};

/// For a backward pass through f(scale·x + offset): x and the sums, as norm_backward_sums has them.
struct NormGradient {
  Function function = Function::none;
  NormLine line;
  const float* mean = nullptr;  ///< [C]
  const float* x = nullptr;     ///< the image
  double *sum = nullptr, *product = nullptr;
};

/// What a step of Adam is to every number of a parameter (optimizer.h has the formula).
struct AdamLine {
  float keep, decay;           ///< p and g first become keep·p and g + decay·keep·p
  float beta1, share1;         ///< share1 = 1 − beta1
  float beta2, share2;
  float scale, epsilon, rate;  ///< p −= rate·m / (√v·scale + epsilon)
};

/// A depthwise convolution with a square kernel over one image.
struct DepthwiseShape {
  Int channels, height, width, out_height, out_width;
  Int kernel, stride, top, left;
};

/// A row of `count` windows, side by side.
struct PoolWindow {
  Int height, width, count;
};

/// An image in tiles of 2×2 results, the last ones perhaps cut (winograd.inl).
struct TileShape {
  Int channels, height, width;
  Int rows() const { return (height + 1) / 2; }
  Int columns() const { return (width + 1) / 2; }
};

struct Kernels {
  const char* name;

  /// sum[c] += Σ(x − shift[c]), square[c] += Σ(x − shift[c])² over rows.
  void (*norm_statistics)(const float* x, Int rows, Int channels, const float* shift, double* sum, double* square);
  /// y = mask·f(scale·x + offset).
  void (*norm_forward)(Function f, const float* x, float* y, Int rows, Int channels, const NormLine& line);
  /// With dz = dy·mask·f'(scale·x + offset): sum[c] += Σdz, product[c] += Σdz·(x − mean[c]).
  void (*norm_backward_sums)(Function f, const float* x, const float* dy, Int rows, Int channels, const NormLine& line,
                             const float* mean, double* sum, double* product);
  /// dx = scale·dz + slope[c]·x + level[c], with dz as above.
  void (*norm_backward)(Function f, const float* x, const float* dy, float* dx, Int rows, Int channels, const NormLine& line,
                        const float* slope, const float* level);

  /// dy becomes dz = (mask·dy + level)·f'(scale·x + offset), which is summed as in norm_backward_sums; level may be nullptr.
  void (*norm_backward_through)(Function f, const float* x, float* dy, Int rows, Int channels, const NormLine& line, const float* level,
                                const float* mean, double* sum, double* product);

  /// One image; weight [kernel², C], bias [C] or nullptr. scratch: depthwise_scratch() floats. With a line the
  /// convolution reads mask·f(scale·x + offset), which is never written down; nullptr: x.
  void (*depthwise_forward)(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* weight,
                            const float* bias, float* y, float* scratch);
  /// The gradient of what the convolution reads; with `norm` that of scale·x + offset, and its sums.
  void (*depthwise_backward_input)(const DepthwiseShape& s, const NormGradient* norm, const float* dy, const float* weight, float* dx,
                                   float* scratch);
  /// weight_gradient[kernel², C] += that of one image.
  void (*depthwise_backward_weight)(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* dy,
                                    float* weight_gradient, float* scratch);

  /// sum[c] += Σx over rows.
  void (*channel_sums)(const float* x, Int rows, Int channels, float* sum);
  /// sum[c] += Σx·y over rows.
  void (*channel_products)(const float* x, const float* y, Int rows, Int channels, float* sum);
  /// y = x·gate[c] + level[c]; level may be nullptr: zeros.
  void (*channel_scale)(const float* x, Int rows, Int channels, const float* gate, const float* level, float* y);

  /// y = x·σ(g) over n elements.
  void (*gate_forward)(const float* x, const float* g, Int n, float* y);
  /// dx = dy·σ(g), dg = dy·x·σ(g)·(1 − σ(g)).
  void (*gate_backward)(const float* x, const float* g, const float* dy, Int n, float* dx, float* dg);

  /// One row of windows: their maxima, and means; the gradient of the first maximum.
  void (*max_pool)(const float* x, const PoolWindow& w, Int channels, float* y);
  void (*max_pool_backward)(const float* x, const float* y, const float* dy, const PoolWindow& w, Int channels, float* dx);
  void (*mean_pool)(const float* x, const PoolWindow& w, Int channels, float* y);
  void (*mean_pool_backward)(const float* dy, const PoolWindow& w, Int channels, float* dx);

  /// C[m, n] (+)= Σ_k A[m·a_row + k·a_step]·B[k·ldb + n]; C has rows of ldc.
  void (*multiply)(Int rows, Int columns, Int depth, const float* a, Int a_row, Int a_step, const float* b, Int ldb, float* c, Int ldc,
                   bool accumulate);

  /// One image, its tiles and their 16 places, which lie `pitch` floats apart: a tile is a row of channels at each (winograd.inl).
  void (*tiles_of_input)(const TileShape& s, const float* x, float* places, Int pitch);
  void (*tiles_to_input_gradient)(const TileShape& s, const float* places, Int pitch, float* dx);
  /// `some` channels from y or dy on; the places have these alone.
  void (*tiles_to_output)(const TileShape& s, const float* places, Int pitch, Int some, float* y);
  void (*tiles_of_output_gradient)(const TileShape& s, const float* dy, Int some, float* places, Int pitch);
  /// `columns` weights side by side; their 9 places lie `step` floats apart.
  void (*weight_places)(const float* weight, Int step, Int columns, float* places, Int pitch);
  void (*weight_gradient_of_places)(const float* places, Int pitch, Int columns, float* gradient, Int step);

  void (*adam)(const AdamLine& line, Int n, const float* gradient, float* p, float* m, float* v);
};

/// Floats of scratch that a depthwise kernel needs.
Int depthwise_scratch(const DepthwiseShape& s);

/// The tables that this processor runs, the widest first.
std::vector<const Kernels*> all_kernels();

/// The table in use: the widest, unless a test has chosen another. Not to be changed while anything computes.
const Kernels& kernels();
void use_kernels(const Kernels& table);

}  // namespace micromind::fused
