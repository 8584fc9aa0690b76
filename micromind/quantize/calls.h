// The arguments of every kernel call, derived from a Model's types in one place: the host passes them to the kernel,
// the C emitter prints them as constants. So host and chip cannot differ.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/quantize/tables.h"
#include "runtime/kernels/adaptive_average_pool2d_s8.h"
#include "runtime/kernels/add_s8.h"
#include "runtime/kernels/average_pool2d_s8.h"
#include "runtime/kernels/concat_s8.h"
#include "runtime/kernels/conv2d_s8.h"
#include "runtime/kernels/depthwise_conv2d_s8.h"
#include "runtime/kernels/linear_s8.h"
#include "runtime/kernels/max_pool2d_s8.h"
#include "runtime/kernels/mean_s8.h"
#include "runtime/kernels/mul_s8.h"
#include "runtime/kernels/pad_s8.h"
#include "runtime/kernels/softmax_s8.h"
#include "runtime/kernels/split_s8.h"
#include "runtime/kernels/table_s8.h"
#include "runtime/kernels/upsample_nearest2d_s8.h"

namespace micromind {

/// What a convolution's struct points to beside the Model's own weight and bias.
struct Requantization {
  std::vector<std::int32_t> multiplier;
  std::vector<std::int8_t> shift;
  bool operator==(const Requantization&) const = default;
};

// One struct a kernel; `params` is what the kernel takes.
struct ConvCall {
  mm_conv2d_s8_params params;
  Requantization requantization;
};
struct DepthwiseCall {
  mm_depthwise_conv2d_s8_params params;
  Requantization requantization;
};
struct LinearCall {
  mm_linear_s8_params params;
  Requantization requantization;
};
struct AddCall {
  mm_add_s8_params params;
};
struct MulCall {
  mm_mul_s8_params params;
};
struct TableCall {
  mm_table_s8_params params;
  Table table;
};
struct ConcatCall {
  std::vector<mm_concat_s8_params> params;  ///< one an input
};
struct SplitCall {
  std::vector<mm_split_s8_params> params;  ///< one an output
};
struct MaxPoolCall {
  mm_max_pool2d_s8_params params;
};
struct AveragePoolCall {
  mm_average_pool2d_s8_params params;
};
struct AdaptiveAveragePoolCall {
  mm_adaptive_average_pool2d_s8_params params;
};
struct MeanCall {
  mm_mean_s8_params params;
};
struct UpsampleCall {
  mm_upsample_nearest2d_s8_params params;
};
struct PadCall {
  mm_pad_s8_params params;
};
struct SoftmaxCall {
  mm_softmax_s8_params params;
};
struct NoCall {};  ///< views (is_view): the bytes stay where they are

using KernelCall = std::variant<ConvCall, DepthwiseCall, LinearCall, AddCall, MulCall, TableCall, ConcatCall, SplitCall, MaxPoolCall,
                                AveragePoolCall, AdaptiveAveragePoolCall, MeanCall, UpsampleCall, PadCall, SoftmaxCall, NoCall>;

/// The call of one node; the pointers in `params` are null (KernelCalls binds them). Throws Error that names the node when its types
/// do not fit the kernel.
KernelCall kernel_call(const Model& model, const Node& node);

/// One call a node, pointers bound into the model and into the list itself.
class KernelCalls {
 public:
  explicit KernelCalls(const Model& model);
  KernelCalls(const KernelCalls&) = delete;  // the structs point into their own list
  KernelCalls& operator=(const KernelCalls&) = delete;
  const KernelCall& operator[](std::size_t node) const { return calls_[node]; }

 private:
  std::vector<KernelCall> calls_;
};

}  // namespace micromind
