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

struct GraphModuleOptions {
  std::uint64_t seed = 0;     ///< of the weights and the dropout masks
  bool channels_last = true;  ///< memory layout of images and convolution weights; changes only speed
  std::string device = "cpu";
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

  /// Called with every value that a forward pass makes or is given: its index in graph().values() and its tensor.
  void observe(std::function<void(int value, const at::Tensor& tensor)> observer);
  /// The same with numbers in (N, C, H, W) order: calibration. An empty function ends the observation.
  void observe_values(std::function<void(int value, std::span<const float> numbers)> observer);

  std::vector<std::pair<std::string, at::Tensor>> trainable() const;  ///< in node order
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
