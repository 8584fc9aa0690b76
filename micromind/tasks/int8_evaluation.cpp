#include "micromind/tasks/int8_evaluation.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/quantize/executor.h"

namespace micromind {
namespace {

const TensorType& input_type(const Model& model) { return model.graph.type(model.graph.inputs().front().value); }

std::vector<float> pixels(const Sample& sample, const PixelScaler& scaler) {
  std::vector<float> chw(sample.image.pixels.size());
  scaler.to_float(sample.image, chw.data(), false);
  return chw;
}

}  // namespace

ClassificationResult evaluate_int8(const Model& model, const Dataset& dataset, const Normalization& normalization, int threads,
                                   double damaged_share) {
  const auto count = static_cast<std::size_t>(dataset.size());
  const auto classes = static_cast<std::size_t>(model.graph.shape(model.graph.outputs().front().value).elements());
  const PixelScaler scaler(normalization, input_type(model).shape.channels());
  std::vector<float> scores(count * classes);  // [N, classes]
  std::vector<int> labels(count);
  std::vector<std::string> damage(count);  // why an image could not be read
  std::atomic<std::size_t> next{0};
  const auto wanted = static_cast<std::size_t>(threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  std::vector<std::exception_ptr> problems(std::max<std::size_t>(1, std::min(wanted, count)));
  const auto work = [&](std::size_t thread) {
    try {
      Int8Executor executor(model);
      for (std::size_t i = next++; i < count; i = next++) {
        if (interrupted()) throw Interrupted("evaluate", "stopped");
        Sample sample;
        try {
          dataset.load(static_cast<std::int64_t>(i), sample);
        } catch (const Error& error) {
          damage[i] = error.what();
          continue;
        }
        executor.set_input(0, pixels(sample, scaler));
        executor.run();
        const std::vector<float> out = executor.output_as_float(0);
        std::copy(out.begin(), out.end(), scores.begin() + static_cast<std::ptrdiff_t>(i * classes));
        labels[i] = sample.label;
      }
    } catch (...) {
      problems[thread] = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> pool;
  for (std::size_t t = 1; t < problems.size(); ++t) pool.emplace_back(work, t);
  work(0);
  for (std::thread& thread : pool) thread.join();
  for (const std::exception_ptr& problem : problems)
    if (problem) std::rethrow_exception(problem);
  const auto damaged = static_cast<std::size_t>(std::count_if(damage.begin(), damage.end(), [](const std::string& d) { return !d.empty(); }));
  if (static_cast<double>(damaged) > damaged_share * static_cast<double>(count))
    fail_with_hint("data", "repair or remove them, or raise data.damaged_share", "{} of {} images could not be read; the first: {}", damaged, count,
                   *std::find_if(damage.begin(), damage.end(), [](const std::string& d) { return !d.empty(); }));
  ClassificationMeter meter(static_cast<int>(classes));
  for (std::size_t i = 0; i < count; ++i)
    if (damage[i].empty()) meter.add({scores.data() + i * classes, classes}, labels[i]);
  return meter.result();
}

std::vector<std::vector<std::int8_t>> int8_inputs(const Model& model, const Dataset& dataset, const Normalization& normalization,
                                                  std::int64_t count, std::vector<std::int64_t>* labels) {
  const PixelScaler scaler(normalization, input_type(model).shape.channels());
  std::vector<std::vector<std::int8_t>> inputs;
  Sample sample;
  std::exception_ptr problem;
  for (std::int64_t i = 0; i < dataset.size() && std::ssize(inputs) < count; ++i) {
    try {
      dataset.load(i, sample);
    } catch (const Error&) {
      problem = std::current_exception();
      continue;
    }
    inputs.push_back(quantize_image(pixels(sample, scaler), input_type(model)));
    if (labels != nullptr) labels->push_back(sample.label);
  }
  if (inputs.empty() && problem) std::rethrow_exception(problem);
  return inputs;
}

}  // namespace micromind
