#include "micromind/quantize/post_training.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/quantize/bias_correction.h"
#include "micromind/quantize/equalize.h"
#include "micromind/quantize/executor.h"
#include "micromind/quantize/folded_network.h"
#include "micromind/reference/reference.h"

namespace micromind {
namespace {

// Histograms do not depend on the order of the samples; sums of doubles nearly so. Workers compute, one at a time observes.
void run_samples(const FoldedNetwork& network, std::span<const Array> samples, int threads, const ValueObserver& observe,
                 const std::function<void(std::size_t, std::size_t)>& progress) {
  const ReferenceExecutor executor(network.graph, network.weights);
  const std::string input = network.graph.inputs()[0].name;
  std::atomic<std::size_t> next = 0;
  std::size_t done = 0;
  std::mutex mutex;
  std::exception_ptr problem;
  const auto work = [&] {
    try {
      for (std::size_t i = next++; i < samples.size(); i = next++) {
        if (interrupted()) throw Interrupted("quantize", "stopped");
        std::vector<std::pair<int, std::vector<float>>> seen;
        executor.run({{input, samples[i]}}, [&](int value, std::span<const float> numbers) { seen.emplace_back(value, std::vector<float>(numbers.begin(), numbers.end())); });
        const std::lock_guard lock(mutex);
        for (const auto& [value, numbers] : seen) observe(value, numbers);
        if (progress) progress(++done, samples.size());
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!problem) problem = std::current_exception();
      next = samples.size();
    }
  };
  const auto count = std::min<std::size_t>(samples.size(), threads > 0 ? static_cast<std::size_t>(threads) : std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> workers;
  for (std::size_t k = 1; k < count; ++k) workers.emplace_back(work);
  work();
  for (std::thread& w : workers) w.join();
  if (problem) std::rethrow_exception(problem);
}

void compare(const FoldedNetwork& network, std::span<const Array> samples, PostTraining& r) {
  const ReferenceExecutor executor(network.graph, network.weights);
  Int8Executor int8(r.model);
  const std::string input = network.graph.inputs()[0].name, output = network.graph.outputs()[0].name;
  const std::size_t count = std::min<std::size_t>(samples.size(), 64);
  double error = 0, numbers = 0, same = 0;
  for (const Array& sample : samples.first(count)) {
    const Arrays results = executor.run({{input, sample}});
    const auto expected = results.at(output).values<float>();
    int8.set_input(0, sample.values<float>());
    int8.run();
    const std::vector<float> found = int8.output_as_float(0);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      error += (expected[i] - found[i]) * (expected[i] - found[i]);
      r.largest_output = std::max<double>(r.largest_output, std::fabs(expected[i]));
    }
    numbers += static_cast<double>(expected.size());
    same += std::max_element(expected.begin(), expected.end()) - expected.begin() == std::max_element(found.begin(), found.end()) - found.begin();
  }
  r.rmse = std::sqrt(error / numbers);
  r.same_argmax = same / static_cast<double>(count);
}

}  // namespace

PostTraining quantize_after_training(const Model& model, std::span<const Array> samples, const PostTrainingOptions& options) {
  if (is_quantized(model)) fail("quantize", "{} is int8 already", model.graph.name);
  if (model.graph.inputs().size() != 1) fail("quantize", "{} has {} inputs; expected one", model.graph.name, model.graph.inputs().size());
  if (samples.empty()) fail("quantize", "no samples to calibrate on");
  const Shape shape = model.graph.shape(model.graph.inputs()[0].value);
  for (const Array& s : samples)
    if (!(s.shape() == shape)) fail("quantize", "a sample is {}; the network's input is {}", to_string(s.shape()), to_string(shape));

  PostTraining r;
  FoldedNetwork network = fold_network(model.graph, model.weights);
  if (options.equalize) {
    ChannelMaxima maxima(network.graph);
    const bool capped = std::any_of(network.graph.nodes().begin(), network.graph.nodes().end(), [](const Node& n) {
      const auto* a = std::get_if<Activation>(&n.op);
      return a != nullptr && a->function == Function::relu6;
    });
    if (capped) run_samples(network, samples, options.threads, [&](int v, std::span<const float> x) { maxima.observe(v, x); }, options.progress);
    r.equalized_pairs = equalize(network, capped ? &maxima : nullptr).pairs;
  }
  std::optional<BiasCorrection> correction;
  if (options.correct_bias) correction.emplace(network);
  Calibrator calibrator(network.graph.values().size());
  run_samples(
      network, samples, options.threads,
      [&](int v, std::span<const float> x) {
        calibrator.observe(v, x);
        if (correction) correction->observe(v, x);
      },
      options.progress);
  r.model = quantize(network.graph, lower(network.graph), network.weights, calibrator.ranges(options.calibration), options.weights);
  if (correction) {
    const TensorType type = r.model.graph.type(r.model.graph.inputs()[0].value);
    std::vector<std::vector<std::int8_t>> inputs;
    for (const Array& s : samples) inputs.push_back(quantize_image(s.values<float>(), type));
    r.bias_correction_steps = correction->correct(r.model, inputs, options.threads);
  }
  compare(network, samples, r);
  return r;
}

}  // namespace micromind
