#include "micromind/train/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include "micromind/base/error.h"
#include "micromind/base/random.h"
#include "micromind/train/parameter_groups.h"
#include "train/toy_graph.h"

namespace micromind {
namespace {

// Two parameters, one channels-last, and a loss whose gradient changes as they move.
struct Problem {
  at::Tensor a, b;
  static Problem make() {
    Random random(3);
    Problem p{at::empty({4, 3, 3, 3}, at::TensorOptions().memory_format(at::MemoryFormat::ChannelsLast)),
              at::empty({70})};
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
void expect_same_path(const TrainSection& section,
                      const std::function<Reference(std::vector<at::Tensor>)>& make) {
  for (const bool fused : {true, false}) {
    Problem ours = Problem::make(), theirs = Problem::make();
    Optimizer optimizer(section, {{"a", ours.a}, {"b", ours.b}}, fused);
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
}

TEST(Optimizer, SgdIsTorchs) {
  TrainSection t;
  t.optimizer = "sgd";
  for (const auto& [momentum, nesterov, decay] :
       {std::tuple{0.9, true, 0.1}, {0.8, false, 0.0}, {0.0, false, 0.1}}) {
    t.momentum = momentum;
    t.nesterov = nesterov;
    t.weight_decay = decay;
    expect_same_path<torch::optim::SGD>(t, [&](std::vector<at::Tensor> p) {
      return torch::optim::SGD(
          p, torch::optim::SGDOptions(0.1).momentum(momentum).nesterov(nesterov).weight_decay(decay));
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

TEST(Optimizer, RmspropIsTorchs) {
  TrainSection t;
  t.optimizer = "rmsprop";
  t.smoothing = 0.9;
  t.epsilon = 1e-3;
  for (const auto& [momentum, decay] : {std::pair{0.0, 0.1}, {0.8, 0.0}, {0.9, 0.2}}) {
    t.momentum = momentum;
    t.weight_decay = decay;
    expect_same_path<torch::optim::RMSprop>(t, [&](std::vector<at::Tensor> p) {
      return torch::optim::RMSprop(
          p, torch::optim::RMSpropOptions(0.1).alpha(0.9).eps(1e-3).momentum(momentum).weight_decay(decay));
    });
  }
}

// Algorithm 2 of You et al. in double, by itself.
struct LambOracle {
  const TrainSection& t;
  std::vector<double> p, m, v;
  int steps = 0;
  LambOracle(const TrainSection& section, const at::Tensor& start) : t(section) {
    const at::Tensor flat = start.detach().contiguous();
    p.assign(flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
    m.assign(p.size(), 0);
    v.assign(p.size(), 0);
  }
  void step(const at::Tensor& gradient, double rate, bool adapts) {
    const at::Tensor g = gradient.contiguous();
    ++steps;
    std::vector<double> u(p.size());
    double norm = 0, update = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double x = g.data_ptr<float>()[i];
      m[i] = t.beta1 * m[i] + (1 - t.beta1) * x;
      v[i] = t.beta2 * v[i] + (1 - t.beta2) * x * x;
      const double mean = m[i] / (1 - std::pow(t.beta1, steps)),
                   square = v[i] / (1 - std::pow(t.beta2, steps));
      u[i] = mean / (std::sqrt(square) + t.epsilon) + t.weight_decay * p[i];
      norm += p[i] * p[i];
      update += u[i] * u[i];
    }
    const double ratio = adapts ? std::sqrt(norm) / std::sqrt(update) : 1;
    for (std::size_t i = 0; i < p.size(); ++i) p[i] -= rate * ratio * u[i];
  }
  double distance(const at::Tensor& found) const {
    const at::Tensor flat = found.detach().contiguous();
    double most = 0;
    for (std::size_t i = 0; i < p.size(); ++i)
      most = std::max(most, std::abs(p[i] - flat.data_ptr<float>()[i]));
    return most;
  }
};

TEST(Optimizer, LambIsThePapers) {
  TrainSection t;
  t.optimizer = "lamb";
  t.weight_decay = 0.02;
  t.epsilon = 1e-6;
  for (const bool fused : {true, false}) {
    Problem p = Problem::make();
    Optimizer optimizer(t, {{"a", p.a}, {"b", p.b}}, fused);
    LambOracle a(t, p.a), b(t, p.b);
    for (int step = 0; step < 20; ++step) {
      optimizer.zero_grad();
      p.loss().backward();
      a.step(p.a.grad(), 0.02, true);
      b.step(p.b.grad(), 0.02, false);  // one dimension: no adaptation
      optimizer.step(0.02);
      ASSERT_LT(a.distance(p.a), 2e-5) << "fused " << fused << ", step " << step;
      ASSERT_LT(b.distance(p.b), 2e-5) << "fused " << fused << ", step " << step;
    }
    EXPECT_GT(LambOracle(t, Problem::make().a).distance(p.a), 0.05);  // it moved
  }
}

// Many parameters of all sizes, from one number to several pieces.
std::vector<Optimizer::Parameter> crowd() {
  Random random(8);
  std::vector<Optimizer::Parameter> list;
  for (const std::int64_t n : {1, 3, 40000, 17, 4096, 4097, 9000, 2, 100000}) {
    at::Tensor value = at::empty({n, 1});
    for (std::int64_t i = 0; i < n; ++i) value.data_ptr<float>()[i] = random.normal();
    list.push_back({"p" + std::to_string(list.size()), value, 1.0 / static_cast<double>(list.size() + 1),
                    list.size() % 2 == 0});
  }
  return list;
}

std::vector<at::Tensor> walk_crowd(const TrainSection& section, int threads, bool fused) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  std::vector<Optimizer::Parameter> list = crowd();
  Optimizer optimizer(section, list, fused);
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    for (std::size_t i = 0; i < list.size(); ++i)
      if (i != 3)
        list[i].value.mutable_grad() =
            list[i].value.sin().mul(static_cast<double>(i + 1));  // the fourth is not on the path
    const double norm = 0.5 * optimizer.gradient_norm();
    optimizer.step(0.01, 0.5 * optimizer.clip_factor(norm));
  }
  at::set_num_threads(before);
  std::vector<at::Tensor> values;
  for (const auto& p : list) values.push_back(p.value);
  return values;
}

TEST(Optimizer, TheSameBytesOnAnyThreadsAndAsLibtorchsOperators) {
  for (const std::string name : {"sgd", "adam", "adamw", "lamb", "rmsprop"}) {
    TrainSection t;
    t.optimizer = name;
    t.weight_decay = 0.1;
    t.clip_norm = 10;
    t.clip_value = 0.05;
    const auto one = walk_crowd(t, 1, true), three = walk_crowd(t, 3, true), plain = walk_crowd(t, 1, false);
    for (std::size_t i = 0; i < one.size(); ++i) {
      EXPECT_TRUE(one[i].equal(three[i])) << name << ", parameter " << i;
      EXPECT_TRUE(one[i].allclose(plain[i], 1e-4, 1e-5)) << name << ", parameter " << i;
    }
    EXPECT_TRUE(one[3].equal(crowd()[3].value)) << "a parameter without gradient stays";
    EXPECT_FALSE(one[8].allclose(crowd()[8].value, 1e-4, 1e-4));
  }
}

TEST(Optimizer, ClipsByNormThenByValue) {
  TrainSection t;
  t.optimizer = "sgd";
  t.momentum = 0;
  t.clip_norm = 1;
  at::Tensor p = at::zeros({3});
  const auto gradient = [&] { return at::tensor({3.0f, 0.0f, -4.0f}); };
  Optimizer by_norm(t, {{"p", p}});
  p.mutable_grad() = gradient();
  EXPECT_DOUBLE_EQ(by_norm.gradient_norm(), 5);
  by_norm.step(1, by_norm.clip_factor(5));
  EXPECT_TRUE(p.allclose(at::tensor({-0.6f, 0.0f, 0.8f})));
  EXPECT_EQ(by_norm.clip_factor(0.5), 1);
  t.clip_value = 0.7;
  p.zero_();
  Optimizer both(t, {{"p", p}});
  p.mutable_grad() = gradient();
  both.step(1, both.clip_factor(both.gradient_norm()));
  EXPECT_TRUE(p.allclose(at::tensor({-0.6f, 0.0f, 0.7f})));
  t.clip_norm = -1;
  EXPECT_THROW(Optimizer(t, {{"p", p}}), Error);
}

TEST(ParameterGroups, CountLayersBehindAndSpareNormsAndBiases) {
  // conv → norm → act → drop → depthwise → relu → pool → flatten → classifier
  Graph graph = testing::toy_graph();
  EXPECT_EQ(layers_behind(graph), (std::vector<int>{2, 2, 1 + 1, 2, 1, 1, 1, 1, 0}));
  TrainSection t;
  t.layer_decay = 0.5;
  t.decay_norm_and_bias = false;
  std::map<std::string, Optimizer::Parameter> by_name;
  for (const auto& p : optimizer_parameters(GraphModule(graph, {.seed = 1}), t)) by_name[p.name] = p;
  EXPECT_EQ(by_name.at("conv.weight").rate, 0.25);
  EXPECT_EQ(by_name.at("norm.weight").rate, 0.25);
  EXPECT_EQ(by_name.at("depthwise.bias").rate, 0.5);
  EXPECT_EQ(by_name.at("classifier.weight").rate, 1);
  EXPECT_TRUE(by_name.at("depthwise.weight").decays && by_name.at("classifier.weight").decays);
  EXPECT_FALSE(by_name.at("norm.weight").decays || by_name.at("norm.bias").decays ||
               by_name.at("classifier.bias").decays);
  Graph residual("residual");  // the longest way counts
  const int x = residual.add("stem", Conv2d{.out_channels = 4}, {residual.add_input("image", {3, 4, 4})});
  const int y = residual.add("side", Conv2d{.out_channels = 4}, {x});
  residual.add_output("y", residual.add("sum", Add{}, {x, y}));
  EXPECT_EQ(layers_behind(residual), (std::vector<int>{1, 0, 0}));
}

TEST(Optimizer, GradientNormSeesEveryGradient) {
  Problem p = Problem::make();
  Optimizer optimizer(TrainSection{}, {{"a", p.a}, {"b", p.b}});
  p.loss().backward();
  const double expected =
      std::sqrt(p.a.grad().pow(2).sum().item<double>() + p.b.grad().pow(2).sum().item<double>());
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
  Weights more = a.state();
  more["c/mean"] = more.at("a/mean");
  EXPECT_THROW(a.load_state(more, 1), Error);
  EXPECT_NO_THROW(a.load_state(a.state(), 1));
}

}  // namespace
}  // namespace micromind
