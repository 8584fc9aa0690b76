// The host executes an int8 Model through the very C kernels that go onto the chip.
//
//   Int8Executor executor(model);
//   executor.set_input(0, bytes);       // HWC
//   executor.run();
//   std::span<const int8_t> out = executor.output(0);
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "micromind/graph/model.h"
#include "micromind/memory/plan.h"

namespace micromind {

class Int8Executor {
 public:
  /// Keeps a reference to `model`. Throws Error when it is not int8 or an operator's types do not fit its kernel.
  explicit Int8Executor(const Model& model);
  ~Int8Executor();
  Int8Executor(Int8Executor&&) noexcept;

  /// Called behind each node with each of its outputs' values.
  using Observer = std::function<void(int value, std::span<const std::int8_t> bytes)>;

  std::span<std::int8_t> input(std::size_t index);              ///< to be filled, HWC; run() may overwrite it
  void run(const Observer& observer = {});
  std::span<const std::int8_t> output(std::size_t index) const;  ///< valid until the next run
  const MemoryPlan& plan() const;

  /// Real numbers (C, H, W) to int8 (H, W, C) of the input's quantisation, and back for outputs.
  void set_input(std::size_t index, std::span<const float> chw);
  std::vector<float> output_as_float(std::size_t index) const;  ///< (C, H, W)

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::int8_t quantize_value(float real, const Quantization& q);  ///< round half away from zero, clamped
std::vector<std::int8_t> quantize_image(std::span<const float> chw, const TensorType& type);
std::vector<float> dequantize_image(std::span<const std::int8_t> hwc, const TensorType& type);

}  // namespace micromind
