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

// Text size of each kernel, Cortex-M7, gcc 12 -O2, the assembly of packed ones included; without the DSP extension they are
// smaller (tests/deploy checks the table against the linker).
constexpr KernelCode kKernels[] = {
    {"conv2d_s8", 4014},   {"depthwise_conv2d_s8", 1954}, {"linear_s8", 928},  {"table_s8", 168},
    {"add_s8", 742},       {"mul_s8", 1320},               {"concat_s8", 48},  {"split_s8", 48},
    {"max_pool2d_s8", 396}, {"average_pool2d_s8", 700},   {"mean_s8", 616},   {"adaptive_average_pool2d_s8", 280},
    {"upsample_nearest2d_s8", 152}, {"pad_s8", 140},      {"softmax_s8", 1352}, {"", 0},
};

}  // namespace

std::int64_t kernel_code_bytes(std::string_view kernel) {
  for (const KernelCode& k : kKernels)
    if (k.kernel == kernel) return k.bytes;
  fail("cost", "no code size is known for the kernel '{}'", kernel);
}

std::int64_t call_bytes(const Graph& lowered, const Node& node) {
  return std::visit(Overloaded{
                        [&](const Conv2d& op) { return std::int64_t{op.depthwise(lowered.shape(node.inputs[0])) ? 88 : 92}; },
                        [](const Linear&) { return std::int64_t{44}; },
                        [](const Activation&) { return std::int64_t{8}; },
                        [](const Requantize&) { return std::int64_t{8}; },
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
                        [](const TakeRows&) { return std::int64_t{0}; },
                        [](const JoinRows&) { return std::int64_t{0}; },
                        [](const Softmax&) { return std::int64_t{20}; },
                        [](const BatchNorm&) { return std::int64_t{0}; },
                        [](const Dropout&) { return std::int64_t{0}; },
                    },
                    node.op);
}

FilterRuns filter_runs(const Conv2d& conv, bool depthwise) {
  const bool dilated = conv.dilation.w > 1;
  if (depthwise) return {1, std::int64_t{conv.kernel.h} * conv.kernel.w};
  return {std::int64_t{conv.kernel.h} * (dilated ? conv.kernel.w : 1), dilated ? 1 : conv.kernel.w};
}

std::int64_t constant_bytes(const Graph& lowered, const Node& node) {
  const std::int64_t call = call_bytes(lowered, node);
  const Shape& in = lowered.shape(node.inputs[0]);
  if (const auto* conv = std::get_if<Conv2d>(&node.op)) {
    const bool depthwise = conv->depthwise(in);
    if (conv->groups > 1 && !depthwise) return call + (conv->weights(in) + 3) / 4 * 4 + 12 * conv->out_channels;  // portable
    return call + weighted_bytes(filter_runs(*conv, depthwise), in.channels(), conv->out_channels, depthwise);
  }
  if (const auto* linear = std::get_if<Linear>(&node.op)) return call + weighted_bytes({}, in.elements(), linear->out_features, false);
  if (std::holds_alternative<Activation>(node.op) || std::holds_alternative<Requantize>(node.op)) return call + 256;
  return call;
}

}  // namespace micromind
