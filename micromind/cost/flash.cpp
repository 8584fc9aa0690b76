// The flash model: constants exactly, code by a measured table.
#include "micromind/base/error.h"
#include "micromind/cost/cost.h"
#include "micromind/cost/flash.h"

namespace micromind {
namespace {

struct KernelCode {
  std::string_view kernel;
  std::int64_t bytes;
};

// Text size of each kernel, Cortex-M7, gcc 12 -O2 (tests/deploy checks the table against the linker).
constexpr KernelCode kKernels[] = {
    {"conv2d_s8", 2312},   {"depthwise_conv2d_s8", 1436}, {"linear_s8", 640}, {"table_s8", 48},
    {"add_s8", 388},       {"mul_s8", 284},               {"concat_s8", 48},  {"split_s8", 48},
    {"max_pool2d_s8", 396}, {"average_pool2d_s8", 404},   {"mean_s8", 276},   {"adaptive_average_pool2d_s8", 280},
    {"upsample_nearest2d_s8", 152}, {"pad_s8", 140},      {"softmax_s8", 1352}, {"", 0},
};

}  // namespace

std::int64_t kernel_code_bytes(std::string_view kernel) {
  for (const KernelCode& k : kKernels)
    if (k.kernel == kernel) return k.bytes;
  fail("cost", "no code size is known for the kernel '{}'", kernel);
}

std::int64_t constant_bytes(const Graph& lowered, const Node& node) {
  const Shape& in = lowered.shape(node.inputs[0]);
  return std::visit(Overloaded{
                        [&](const Conv2d& op) {
                          return weighted_bytes(op.weights(in), op.out_channels, op.out_channels) + (op.depthwise(in) ? 88 : 92);
                        },
                        [&](const Linear& op) { return weighted_bytes(op.weights(in), op.out_features, 1) + 44; },
                        [](const Activation&) { return std::int64_t{256 + 8}; },
                        [](const Requantize&) { return std::int64_t{256 + 8}; },
                        [](const Add&) { return std::int64_t{52}; },
                        [](const Multiply&) { return std::int64_t{64}; },
                        [&](const Concat&) { return static_cast<std::int64_t>(16 * node.inputs.size()); },
                        [&](const Split&) { return static_cast<std::int64_t>(16 * node.outputs.size()); },
                        [](const MaxPool2d&) { return std::int64_t{52}; },
                        [](const AvgPool2d&) { return std::int64_t{52}; },
                        [](const AdaptiveAvgPool2d&) { return std::int64_t{28}; },
                        [](const Upsample&) { return std::int64_t{20}; },
                        [](const Pad&) { return std::int64_t{32}; },
                        [](const Flatten&) { return std::int64_t{0}; },
                        [](const Softmax&) { return std::int64_t{20}; },
                        [](const BatchNorm&) { return std::int64_t{0}; },
                        [](const Dropout&) { return std::int64_t{0}; },
                    },
                    node.op);
}

}  // namespace micromind
