#include "micromind/train/fused/kernels.h"

#include <algorithm>
#include <type_traits>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MICROMIND_X86 1
#include <immintrin.h>
#endif

namespace micromind::fused {
namespace {
constexpr Int kDepthwiseBuffer = 8192;  // floats of a strip: 32 KiB
}

Int depthwise_scratch(const DepthwiseShape& s) {
  constexpr Int kWidest = 16;
  const Int width = std::max(s.width, s.out_width * s.stride) + 2 * s.kernel;
  return kDepthwiseBuffer + (s.kernel + s.stride) * width * kWidest;
}

#define MICROMIND_KERNEL_TABLE(text)                                                                                               \
  const Kernels kTable = {text, norm_statistics, norm_forward, norm_backward_sums, norm_backward, norm_backward_through,           \
                          depthwise_forward, depthwise_backward_input, depthwise_backward_weight, channel_sums, channel_products, channel_scale,      \
                          gate_forward, gate_backward, max_pool, max_pool_backward, mean_pool, mean_pool_backward, multiply,                   \
                          tiles_of_input, tiles_to_input_gradient, tiles_to_output, tiles_of_output_gradient, weight_places,       \
                          weight_gradient_of_places, adam};

namespace plain {
namespace {
#define MICROMIND_LANES 4
#include "micromind/train/fused/simd.inl"
#include "micromind/train/fused/norm_act.inl"
#include "micromind/train/fused/depthwise.inl"
#include "micromind/train/fused/channels.inl"
#include "micromind/train/fused/pool.inl"
#include "micromind/train/fused/multiply.inl"
#include "micromind/train/fused/winograd.inl"
#include "micromind/train/fused/adam.inl"
MICROMIND_KERNEL_TABLE("vectors of 4")
#undef MICROMIND_LANES
#undef MM_INLINE
}  // namespace
}  // namespace plain

#ifdef MICROMIND_X86
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
namespace {
#define MICROMIND_LANES 8
#include "micromind/train/fused/simd.inl"
#include "micromind/train/fused/norm_act.inl"
#include "micromind/train/fused/depthwise.inl"
#include "micromind/train/fused/channels.inl"
#include "micromind/train/fused/pool.inl"
#include "micromind/train/fused/multiply.inl"
#include "micromind/train/fused/winograd.inl"
#include "micromind/train/fused/adam.inl"
MICROMIND_KERNEL_TABLE("AVX2")
#undef MICROMIND_LANES
#undef MM_INLINE
}  // namespace
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
namespace avx512 {
namespace {
#define MICROMIND_LANES 16
#include "micromind/train/fused/simd.inl"
#include "micromind/train/fused/norm_act.inl"
#include "micromind/train/fused/depthwise.inl"
#include "micromind/train/fused/channels.inl"
#include "micromind/train/fused/pool.inl"
#include "micromind/train/fused/multiply.inl"
#include "micromind/train/fused/winograd.inl"
#include "micromind/train/fused/adam.inl"
MICROMIND_KERNEL_TABLE("AVX-512")
#undef MICROMIND_LANES
#undef MM_INLINE
}  // namespace
}  // namespace avx512
#pragma GCC pop_options
#endif

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> list;
#ifdef MICROMIND_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    list.push_back(&avx512::kTable);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list.push_back(&avx2::kTable);
#endif
  list.push_back(&plain::kTable);
  return list;
}

namespace {
const Kernels*& chosen() {
  static const Kernels* table = all_kernels().front();
  return table;
}
}  // namespace

const Kernels& kernels() { return *chosen(); }
void use_kernels(const Kernels& table) { chosen() = &table; }

}  // namespace micromind::fused
