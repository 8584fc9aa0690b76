#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/data/augment.h"
#include "micromind/data/image.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/formats/tflite.h"
#include "micromind/quantize/executor.h"
#include "micromind/tasks/classification.h"
#include "micromind/tasks/pipeline.h"
#include "micromind/train/graph_module.h"

namespace micromind {
namespace {

Prediction best_of(const std::string& file, const std::vector<float>& scores, const std::vector<std::string>& names) {
  const std::size_t best = argmax(scores);
  double sum = 0;
  for (const float s : scores) sum += std::exp(static_cast<double>(s) - static_cast<double>(scores[best]));
  return {.file = file, .label = best < names.size() ? names[best] : std::to_string(best), .index = static_cast<int>(best), .probability = 1 / sum};
}

}  // namespace

std::vector<Prediction> predict(const RunFolder& run, const std::vector<std::string>& files, bool int8) {
  const nlohmann::json network = run.result("network");
  if (network.is_null()) fail_with_hint("predict", "micromind train " + run.path().string() + " --resume", "{} has no trained network", run.path().string());
  const auto names = network.value("class_names", std::vector<std::string>{});
  const Graph graph = load_graph(run.need(run.network_file(), "train").string());
  const Shape shape = graph.shape(graph.inputs().front().value);
  if (shape.height() != shape.width()) fail("predict", "the network takes {}; files can be fitted to square inputs only", to_string(shape));

  GraphModule module(graph, {.device = run.recipe().train.device});
  Model model;
  if (int8) {
    model = read_tflite(run.need(run.tflite_file(), "quantize"));
  } else {
    module.load(load_checkpoint(run.need(run.checkpoints() / "best.pt", "train")));
    module.eval();
  }
  const PixelScaler scaler(input_normalization(run.recipe(), graph), shape.channels());
  std::vector<Prediction> list;
  for (const std::string& file : files) {
    const Image image = read_image(file, shape.channels(), shape.height());
    std::vector<float> chw(image.pixels.size());
    scaler.to_float(image, chw.data(), false);
    std::vector<float> scores;
    if (int8) {
      Int8Executor executor(model);
      executor.set_input(0, chw);
      executor.run();
      scores = executor.output_as_float(0);
    } else {
      scores = module.run(chw, 1);
    }
    list.push_back(best_of(file, scores, names));
  }
  return list;
}

}  // namespace micromind
