// A graph that runs and learns in libtorch: forward with autograd, parameters by their names in the graph.
//
//   GraphModule module(phinet(options), {.seed = 1});
//   module.set_step(step);                                   // decides the dropout masks
//   at::Tensor logits = module.forward(images);              // [N, C, H, W] → [N, classes]
//   cross_entropy(logits, labels, 0.1).backward();
//   Weights weights = module.to_weights();
//
// The header is free of libtorch's: a caller of forward() includes <ATen/core/Tensor.h> itself.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "micromind/graph/graph.h"
#include "micromind/graph/initial_weights.h"

namespace at {
class Tensor;
}

namespace micromind {

class Execution;  // train/execution.h
class Ranks;

struct GraphModuleOptions {
  std::uint64_t seed = 0;     ///< of the weights and the dropout masks
  bool channels_last = true;  ///< memory layout of images and convolution weights; changes only speed
  std::string device = "cpu";
  /// Products and convolutions of libtorch in bfloat16; weights, their gradients and outputs stay float32. Meant for GPUs: on the CPU it
  /// takes the place of the fused operators.
  bool bfloat16 = false;
  bool fused = true;  ///< our own operators where they apply (CPU, channels_last); changes speed and rounding
};

class GraphModule {
 public:
  using Named = std::map<std::string, at::Tensor>;
  using Numbered = std::map<int, at::Tensor>;  ///< by value index

  /// Starts from initial_weights(graph, seed). Throws Error when the graph is quantised or the device is absent.
  explicit GraphModule(Graph graph, const GraphModuleOptions& options = {});
  ~GraphModule();
  GraphModule(GraphModule&&) noexcept;
  GraphModule& operator=(GraphModule&&) noexcept;

  const Graph& graph() const;
  const GraphModuleOptions& options() const;

  /// All outputs by name from all inputs by name, batch in front. Throws Error that names an input that is missing,
  /// unknown or of another shape.
  Named forward(const Named& inputs);
  /// For a graph of one input and one output.
  at::Tensor forward(const at::Tensor& input);
  /// The wanted values from any given ones (entry points): only the nodes in between run.
  Numbered forward(const Numbered& given, std::span<const int> wanted);

  /// Free of libtorch: `batch` inputs [N, C, H, W] in that order → the first output, [N, …], without gradients.
  std::vector<float> run(std::span<const float> inputs, std::int64_t batch);

  void train(bool on = true);  ///< dropout on, batch statistics; a new module trains
  void eval() { train(false); }
  bool training() const;
  void set_step(std::uint64_t step);  ///< keys the dropout masks

  /// The batch is a share of one that several processes train on: row n here is row rank + n · size there, which keys its dropout
  /// masks. `sync_batch_norm`: while training, statistics span all of it. `ranks` must outlive the module's training.
  void join(Ranks& ranks, bool sync_batch_norm);

  /// Called with every value that a forward pass makes or is given: its index in graph().values() and its tensor.
  void observe(std::function<void(int value, const at::Tensor& tensor)> observer);
  /// The same with numbers in (N, C, H, W) order: calibration. An empty function ends the observation.
  void observe_values(std::function<void(int value, std::span<const float> numbers)> observer);

  /// The named layers keep their weights, and their batch norms normalise by their running statistics. An entry is a
  /// layer's name or the beginning of names up to a dot: "classifier", "blocks.1" (and with it "blocks.1.conv"). Throws
  /// Error that names the nearest layers when an entry meets no layer with parameters; then nothing was changed.
  void freeze(std::span<const std::string> entries);

  std::vector<std::pair<std::string, at::Tensor>> trainable() const;  ///< in node order, without the frozen ones
  /// All parameters, frozen and statistics included, in a fixed order.
  std::vector<at::Tensor> tensors() const;
  /// Exchanges the numbers of all parameters with those of `others`, as tensors() has them in shape and layout, without
  /// copying any. Whoever holds a parameter sees its new numbers. Not between a forward pass and its backward pass.
  void swap(std::span<at::Tensor> others);

  /// From now on this executes the graph, and its parameters join the module's. Throws Error when one has the name of a
  /// parameter of the graph.
  void set_execution(std::shared_ptr<Execution> execution);

  Weights to_weights() const;
  /// Copies into the existing tensors. Throws Error when a parameter is missing, unknown or of another shape; then
  /// nothing was changed.
  void load(const Weights& weights);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Throws Error unless `weights` holds exactly the float parameters of `graph` in their shapes.
void check_weights(const Graph& graph, const Weights& weights);

}  // namespace micromind
