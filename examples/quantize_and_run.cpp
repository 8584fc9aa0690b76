// Teaches: from a float network to the int8 model that a chip runs, and how far apart the two are. Training is left
// out: the weights are the random ones that training would start from.
//
//   build/example_quantize_and_run [model.tflite]
#include <cmath>
#include <cstdio>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/formats/tflite.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/phinet.h"
#include "micromind/quantize/executor.h"
#include "micromind/quantize/quantize.h"
#include "micromind/reference/reference.h"

using namespace micromind;

// Image `index` of a data set that only exists in this function: smooth noise in [−1, 1].
Array image(const Shape& shape, std::uint64_t index) {
  Array pixels(ElementType::float32, shape);
  Random random(1, {index});
  float last = 0;
  for (float& p : pixels.values<float>()) p = last = 0.7f * last + 0.3f * random.uniform(-1, 1);
  return pixels;
}

int main(int argc, char** argv) try {
  const Graph graph = phinet({.input = {3, 48, 48}, .alpha = 0.5, .include_top = true});
  const Shape shape = graph.shape(graph.inputs()[0].value);
  const Weights weights = initial_weights(graph, 1);

  // Calibration: which range does each value take? The reference executor shows them all, image after image.
  const ReferenceExecutor real(graph, weights);
  Calibrator calibrator(graph.values().size());
  for (std::uint64_t i = 0; i < 16; ++i) real.run({{"image", image(shape, i)}}, calibrator.observer());
  const Model int8 = quantize(graph, lower(graph), weights, calibrator.ranges({.method = CalibrationMethod::minmax}));
  if (argc > 1) write_tflite(int8, argv[1]);

  // Both on images that calibration has not seen. Int8Executor runs the very C kernels that go onto the chip.
  Int8Executor chip(int8);
  double error = 0, signal = 0;
  for (std::uint64_t i = 16; i < 24; ++i) {
    const Array x = image(shape, i), expected = real.run({{"image", x}}).at("logits");
    chip.set_input(0, x.values<float>());
    chip.run();
    const std::vector<float> found = chip.output_as_float(0);
    for (std::size_t k = 0; k < found.size(); ++k) {
      error += std::pow(found[k] - expected.values<float>()[k], 2);
      signal += std::pow(expected.values<float>()[k], 2);
    }
  }
  std::printf("int8 against float: relative error %.2f %%\n", 100 * std::sqrt(error / signal));
  return error < 0.01 * signal ? 0 : 1;  // below 10 %
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
