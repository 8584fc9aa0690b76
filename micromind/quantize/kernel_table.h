// The runtime's kernels as this computer runs them: the same C source, compiled for each instruction set (kernels_*.cpp).
// They are exact integers, so all give the same bytes.
#pragma once

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

template <class Params>
using Kernel = void (*)(const Params*, const int8_t* input, int8_t* output);
template <class Params>
using Kernel2 = void (*)(const Params*, const int8_t* input1, const int8_t* input2, int8_t* output);

struct KernelTable {
  const char* name;
  Kernel<mm_conv2d_s8_params> conv2d;
  Kernel<mm_depthwise_conv2d_s8_params> depthwise_conv2d;
  Kernel<mm_linear_s8_params> linear;
  Kernel2<mm_add_s8_params> add;
  Kernel2<mm_mul_s8_params> mul;
  Kernel<mm_table_s8_params> table;
  Kernel<mm_concat_s8_params> concat;
  Kernel<mm_split_s8_params> split;
  Kernel<mm_max_pool2d_s8_params> max_pool2d;
  Kernel<mm_average_pool2d_s8_params> average_pool2d;
  Kernel<mm_adaptive_average_pool2d_s8_params> adaptive_average_pool2d;
  Kernel<mm_mean_s8_params> mean;
  Kernel<mm_upsample_nearest2d_s8_params> upsample_nearest2d;
  Kernel<mm_pad_s8_params> pad;
  Kernel<mm_softmax_s8_params> softmax;
};

}  // namespace micromind

#define MICROMIND_KERNEL_TABLE(name)                                                                                                   \
  {name,             mm_conv2d_s8,          mm_depthwise_conv2d_s8,         mm_linear_s8, mm_add_s8,                mm_mul_s8, mm_table_s8,  \
   mm_concat_s8,     mm_split_s8,           mm_max_pool2d_s8,               mm_average_pool2d_s8,                                      \
   mm_adaptive_average_pool2d_s8, mm_mean_s8, mm_upsample_nearest2d_s8,     mm_pad_s8,    mm_softmax_s8}
