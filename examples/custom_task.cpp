// Teaches: training something that is no classification. A Task says what a batch is, what its loss is and which metric
// decides; the Trainer does the rest: schedule, checkpoints, logs, exact resume. Here: where in the picture is the dot?
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mse_loss.h>

#include <cstdio>
#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/networks/blocks.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/trainer.h"

using namespace micromind;

class FindTheDot : public Task {
 public:
  std::int64_t steps_per_epoch() const override { return 40; }
  void start_epoch(std::int64_t epoch, std::int64_t first_step) override { batch_ = 40 * epoch + first_step; }
  at::Tensor next_loss(GraphModule& module, std::int64_t& images) override {
    draw(++batch_);  // a function of the step alone, so a resumed run sees the same pictures
    images = kBatch;
    return at::mse_loss(module.forward(pictures_), places_);
  }
  Metrics validate(GraphModule& module) override {
    draw(0);
    return {{"pixels_off", 8 * module.forward(pictures_).sub(places_).norm(2, 1).mean().item<double>()}};
  }
  std::string best_metric() const override { return "pixels_off"; }
  bool higher_is_better() const override { return false; }
 private:
  static constexpr std::int64_t kBatch = 32;
  void draw(std::int64_t batch) {
    Random random(7, {static_cast<std::uint64_t>(batch)});
    float *picture = pictures_.data_ptr<float>(), *place = places_.data_ptr<float>();
    for (int n = 0; n < kBatch; ++n, picture += 64, place += 2) {
      for (int i = 0; i < 64; ++i) picture[i] = 0.1f * random.normal();
      const std::uint32_t dot = random.below(64);
      picture[dot] += 1;
      place[0] = static_cast<float>(dot / 8) / 8;  // row
      place[1] = static_cast<float>(dot % 8) / 8;  // column
    }
  }
  std::int64_t batch_ = 0;
  at::Tensor pictures_ = at::empty({kBatch, 1, 8, 8}), places_ = at::empty({kBatch, 2});
};

int main(int argc, char** argv) try {
  Graph g("dot");
  const int x = conv_bn_act(g, "conv", g.add_input("picture", {1, 8, 8}), {.out_channels = 8, .kernel = 3, .padding = 1});
  g.add_output("place", g.add("place", Linear{.out_features = 2}, {g.add("flatten", Flatten{}, {x})}));
  GraphModule module(g, {.seed = 1});
  FindTheDot task;
  const TrainSection section{.epochs = 15, .learning_rate = 0.01, .threads = 1};
  const TrainResult result = Trainer(task, module, {section, 1, argc > 1 ? argv[1] : "runs/dot"}).run();
  std::printf("%.2f pixels off after %.1f s\n", result.best.at("pixels_off"), result.seconds);
  return result.best.at("pixels_off") < 1 ? 0 : 1;
} catch (const Error& e) {
  return std::fprintf(stderr, "%s\n", e.what()), 1;
}
