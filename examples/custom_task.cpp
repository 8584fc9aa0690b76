// Teaches: training something that is no classification. A task is two functions, the loss of a batch and how good the
// network is; the Trainer does the rest: schedule, checkpoints, logs, exact resume. Here: where in the picture is the dot?
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

struct Dots {
  at::Tensor pictures = at::empty({32, 1, 8, 8}), places = at::empty({32, 2});  // row and column in [0, 1)
};

// A function of the batch's number alone, so a resumed run sees the same pictures.
Dots draw(std::uint64_t batch) {
  Dots dots;
  Random random(7, {batch});
  float *picture = dots.pictures.data_ptr<float>(), *place = dots.places.data_ptr<float>();
  for (int n = 0; n < 32; ++n, picture += 64, place += 2) {
    for (int i = 0; i < 64; ++i) picture[i] = 0.1f * random.normal();
    const std::uint32_t dot = random.below(64);
    picture[dot] += 1;
    place[0] = static_cast<float>(dot / 8) / 8;
    place[1] = static_cast<float>(dot % 8) / 8;
  }
  return dots;
}

int main(int argc, char** argv) try {
  Graph g("dot");
  const int x = conv_bn_act(g, "conv", g.add_input("picture", {1, 8, 8}), {.out_channels = 8, .kernel = 3, .padding = 1});
  g.add_output("place", g.add("place", Linear{.out_features = 2}, {g.add("flatten", Flatten{}, {x})}));
  GraphModule module(g, {.seed = 1});
  const auto loss = [](GraphModule& m, std::int64_t batch) {
    const Dots dots = draw(static_cast<std::uint64_t>(batch) + 1);
    return at::mse_loss(m.forward(dots.pictures), dots.places);
  };
  const auto validate = [dots = draw(0)](GraphModule& m) {
    return Metrics{{"pixels_off", 8 * m.forward(dots.pictures).sub(dots.places).norm(2, 1).mean().item<double>()}};
  };
  LambdaTask task({.steps_per_epoch = 40, .images = 32, .loss = loss, .validate = validate, .best = "pixels_off"});
  const TrainSection section{.epochs = 15, .learning_rate = 0.01, .threads = 1};
  const TrainResult result = Trainer(task, module, {section, 1, argc > 1 ? argv[1] : "runs/dot"}).run();
  std::printf("%.2f pixels off after %.1f s\n", result.best.at("pixels_off"), result.seconds);
  return result.best.at("pixels_off") < 1 ? 0 : 1;
} catch (const Error& e) {
  return std::fprintf(stderr, "%s\n", e.what()), 1;
}
