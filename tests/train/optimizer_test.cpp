#include "micromind/train/optimizer.h"

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include "micromind/base/error.h"
#include "micromind/base/random.h"

namespace micromind {
namespace {

// Two parameters, one channels-last, and a loss whose gradient changes as they move.
struct Problem {
  at::Tensor a, b;
  static Problem make() {
    Random random(3);
    Problem p{at::empty({4, 3, 3, 3}, at::TensorOptions().memory_format(at::MemoryFormat::ChannelsLast)), at::empty({70})};
    for (const at::Tensor& t : {p.a, p.b}) {
      const at::Tensor flat = at::empty(t.sizes());
      for (std::int64_t i = 0; i < flat.numel(); ++i) flat.data_ptr<float>()[i] = random.normal();
      t.copy_(flat);
      t.set_requires_grad(true);
    }
    return p;
  }
  at::Tensor loss() const { return a.pow(4).sum() + (a.sum() * b.sin()).mean() + b.pow(2).sum(); }
};

template <class Reference>
void expect_same_path(const TrainSection& section, const std::function<Reference(std::vector<at::Tensor>)>& make) {
  Problem ours = Problem::make(), theirs = Problem::make();
  Optimizer optimizer(section, {{"a", ours.a}, {"b", ours.b}});
  Reference reference = make({theirs.a, theirs.b});
  for (int step = 0; step < 20; ++step) {
    const double rate = 0.01 / (1 + step);
    optimizer.zero_grad();
    ours.loss().backward();
    optimizer.step(rate);
    reference.zero_grad();
    theirs.loss().backward();
    reference.param_groups()[0].options().set_lr(rate);
    reference.step();
    ASSERT_TRUE(ours.a.allclose(theirs.a, 1e-5, 1e-6)) << "step " << step;
    ASSERT_TRUE(ours.b.allclose(theirs.b, 1e-5, 1e-6)) << "step " << step;
  }
  EXPECT_FALSE(ours.b.allclose(Problem::make().b, 1e-3, 1e-3));  // it moved
}

TEST(Optimizer, SgdIsTorchs) {
  TrainSection t;
  t.optimizer = "sgd";
  for (const auto& [momentum, nesterov, decay] : {std::tuple{0.9, true, 0.1}, {0.8, false, 0.0}, {0.0, false, 0.1}}) {
    t.momentum = momentum;
    t.nesterov = nesterov;
    t.weight_decay = decay;
    expect_same_path<torch::optim::SGD>(t, [&](std::vector<at::Tensor> p) {
      return torch::optim::SGD(p, torch::optim::SGDOptions(0.1).momentum(momentum).nesterov(nesterov).weight_decay(decay));
    });
  }
}

TEST(Optimizer, AdamIsTorchs) {
  TrainSection t;
  t.optimizer = "adam";
  t.beta1 = 0.85;
  t.weight_decay = 0.05;
  expect_same_path<torch::optim::Adam>(t, [&](std::vector<at::Tensor> p) {
    return torch::optim::Adam(p, torch::optim::AdamOptions(0.1).betas({0.85, 0.999}).weight_decay(0.05));
  });
}

TEST(Optimizer, AdamWIsTorchs) {
  TrainSection t;
  t.optimizer = "adamw";
  t.weight_decay = 0.3;
  t.epsilon = 1e-4;
  expect_same_path<torch::optim::AdamW>(t, [&](std::vector<at::Tensor> p) {
    return torch::optim::AdamW(p, torch::optim::AdamWOptions(0.1).eps(1e-4).weight_decay(0.3));
  });
}

TEST(Optimizer, GradientNormSeesEveryGradient) {
  Problem p = Problem::make();
  Optimizer optimizer(TrainSection{}, {{"a", p.a}, {"b", p.b}});
  p.loss().backward();
  const double expected = std::sqrt(p.a.grad().pow(2).sum().item<double>() + p.b.grad().pow(2).sum().item<double>());
  EXPECT_NEAR(optimizer.gradient_norm(), expected, 1e-4 * expected);
  p.b.mutable_grad().data_ptr<float>()[69] = NAN;
  EXPECT_FALSE(std::isfinite(optimizer.gradient_norm()));
  optimizer.zero_grad();
  EXPECT_EQ(optimizer.gradient_norm(), 0);
}

TEST(Optimizer, StateOfAnotherOptimiserIsRefused) {
  Problem p = Problem::make();
  TrainSection adam, sgd;
  sgd.optimizer = "sgd";
  Optimizer a(adam, {{"a", p.a}}), s(sgd, {{"a", p.a}}), other(adam, {{"b", p.b}});
  EXPECT_THROW(s.load_state(a.state(), 1), Error);
  EXPECT_THROW(other.load_state(a.state(), 1), Error);
  EXPECT_NO_THROW(a.load_state(a.state(), 1));
}

}  // namespace
}  // namespace micromind
