#include "micromind/quantize/execute.h"

#include "micromind/graph/op.h"

namespace micromind {

extern const KernelTable kPlainKernels;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MICROMIND_X86_KERNELS 1
extern const KernelTable kAvx2Kernels, kAvx512Kernels;
#endif

namespace {

// Rows of a few dozen bytes suit vectors of 32; channels side by side suit the widest; products of images with different
// strides suit none. Measured on an AMD EPYC with AVX-512, with PhiNets at 32×32.
#ifdef MICROMIND_X86_KERNELS
KernelTable mixed(const char* name, const KernelTable& wide) {
  KernelTable table = kPlainKernels;
  table.name = name;
  table.conv2d = kAvx2Kernels.conv2d;
  table.linear = kAvx2Kernels.linear;
  table.depthwise_conv2d = wide.depthwise_conv2d;
  return table;
}
#endif

}  // namespace

std::vector<const KernelTable*> all_kernel_tables() {
  std::vector<const KernelTable*> tables;
#ifdef MICROMIND_X86_KERNELS
  static const KernelTable with_avx512 = mixed("AVX-512 and AVX2", kAvx512Kernels), with_avx2 = mixed("AVX2 and plain", kAvx2Kernels);
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) {
    const bool wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    tables.push_back(wide ? &with_avx512 : &with_avx2);
    if (wide) tables.insert(tables.end(), {&with_avx2, &kAvx512Kernels});
    tables.push_back(&kAvx2Kernels);
  }
#endif
  tables.push_back(&kPlainKernels);
  return tables;
}

namespace {

const KernelTable*& table_in_use() {
  static const KernelTable* table = all_kernel_tables().front();
  return table;
}

}  // namespace

void use_kernel_table(const KernelTable& table) { table_in_use() = &table; }

void execute(const KernelCall& call, std::span<const std::int8_t* const> in, std::span<std::int8_t* const> out) {
  const KernelTable& k = *table_in_use();
  std::visit(Overloaded{
                 [&](const ConvCall& c) { k.conv2d(&c.params, in[0], out[0]); },
                 [&](const DepthwiseCall& c) { k.depthwise_conv2d(&c.params, in[0], out[0]); },
                 [&](const LinearCall& c) { k.linear(&c.params, in[0], out[0]); },
                 [&](const AddCall& c) { k.add(&c.params, in[0], in[1], out[0]); },
                 [&](const MulCall& c) { k.mul(&c.params, in[0], in[1], out[0]); },
                 [&](const TableCall& c) { k.table(&c.params, in[0], out[0]); },
                 [&](const ConcatCall& c) {
                   for (std::size_t i = 0; i < c.params.size(); ++i) k.concat(&c.params[i], in[i], out[0]);
                 },
                 [&](const SplitCall& c) {
                   for (std::size_t i = 0; i < c.params.size(); ++i) k.split(&c.params[i], in[0], out[i]);
                 },
                 [&](const MaxPoolCall& c) { k.max_pool2d(&c.params, in[0], out[0]); },
                 [&](const AveragePoolCall& c) { k.average_pool2d(&c.params, in[0], out[0]); },
                 [&](const AdaptiveAveragePoolCall& c) { k.adaptive_average_pool2d(&c.params, in[0], out[0]); },
                 [&](const MeanCall& c) { k.mean(&c.params, in[0], out[0]); },
                 [&](const UpsampleCall& c) { k.upsample_nearest2d(&c.params, in[0], out[0]); },
                 [&](const PadCall& c) { k.pad(&c.params, in[0], out[0]); },
                 [&](const SoftmaxCall& c) { k.softmax(&c.params, in[0], out[0]); },
                 [](const NoCall&) {},
             },
             call);
}

}  // namespace micromind
