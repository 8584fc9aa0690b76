// The fused operators against libtorch's own: values, every gradient and running statistics, on every instruction set of
// this machine; then whole networks, fused against unfused.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "micromind/base/random.h"
#include "micromind/networks/registry.h"
#include "micromind/train/fused/depthwise.h"
#include "micromind/train/fused/inverted_residual.h"
#include "micromind/train/fused/kernels.h"
#include "micromind/train/fused/match.h"
#include "micromind/train/fused/norm_act.h"
#include "micromind/train/fused/pointwise.h"
#include "micromind/train/fused/pool.h"
#include "micromind/train/fused/squeeze_excite.h"
#include "micromind/train/fused/winograd.h"
#include "micromind/train/graph_module.h"
#include "micromind/train/loss.h"
#include "micromind/train/operators.h"

namespace micromind {
namespace {

constexpr Function kFunctions[] = {Function::none, Function::relu, Function::relu6, Function::hard_swish, Function::silu,
                                   Function::sigmoid, Function::hard_sigmoid};

at::Tensor noise(at::IntArrayRef shape, std::uint64_t seed, float scale = 1, float level = 0) {
  const at::Tensor t = at::empty(shape, at::kFloat);
  Random random(seed);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = level + scale * random.normal();
  return t.dim() == 4 ? t.contiguous(at::MemoryFormat::ChannelsLast) : t;
}

// A copy in double that learns.
at::Tensor exact(const at::Tensor& t) { return t.defined() ? t.detach().to(at::kDouble).clone().set_requires_grad(true) : t; }
at::Tensor learner(const at::Tensor& t) { return t.defined() ? t.detach().clone().set_requires_grad(true) : t; }

// Largest difference over the largest magnitude expected, or over `floor` where that is larger.
double difference(const at::Tensor& found, const at::Tensor& expected, double floor = 1e-3) {
  if (found.sizes() != expected.sizes()) return INFINITY;
  const double top = std::max(floor, expected.abs().max().item<double>());
  return (found.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>() / top;
}

// Runs f on the tensors in float and its oracle in double; compares results and all gradients.
using Compute = std::function<at::Tensor(const TensorList&)>;
void expect_same(const TensorList& inputs, const Compute& fused, const Compute& oracle, double tolerance = 1e-4) {
  TensorList a, b;
  for (const at::Tensor& t : inputs) a.push_back(learner(t)), b.push_back(exact(t));
  const at::Tensor x = fused(a), y = oracle(b);
  ASSERT_EQ(x.sizes(), y.sizes());
  EXPECT_LT(difference(x.detach(), y.detach()), tolerance) << "value";
  const at::Tensor gradient = noise(x.sizes(), 77);
  x.backward(gradient);
  y.backward(gradient.to(at::kDouble));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    ASSERT_TRUE(a[i].grad().defined()) << i;
    EXPECT_LT(difference(a[i].grad(), b[i].grad()), tolerance) << "gradient " << i;
  }
}

struct Extent {
  std::int64_t n, c, h, w;
};
constexpr Extent kExtents[] = {{1, 1, 2, 1}, {3, 5, 1, 1}, {2, 16, 4, 4}, {1, 24, 7, 5}, {5, 40, 3, 6}, {2, 131, 9, 8}, {37, 19, 2, 3}, {1, 8, 40, 33}};

// The same on every instruction set; the last one stays as it was.
class Fused : public ::testing::Test {
 protected:
  void on_all(const std::function<void()>& test) {
    const auto& before = fused::kernels();
    for (const fused::Kernels* table : fused::all_kernels()) {
      SCOPED_TRACE(table->name);
      fused::use_kernels(*table);
      test();
    }
    fused::use_kernels(before);
  }
};

TEST_F(Fused, NormActIsBatchNormActivationAndDropout) {
  on_all([] {
    for (const Extent& e : kExtents)
      for (const Function f : kFunctions)
        for (const bool masked : {false, true})
          for (const bool training : {true, false}) {
            SCOPED_TRACE(::testing::Message() << e.n << "×" << e.c << "×" << e.h << "×" << e.w << " f" << static_cast<int>(f) << (masked ? " masked" : "")
                                              << (training ? " training" : " evaluation"));
            const BatchNorm norm{.eps = 1e-3f, .momentum = 0.3f};
            const at::Tensor mean = noise({e.c}, 4), var = noise({e.c}, 5).abs() + 0.5, mean2 = mean.to(at::kDouble), var2 = var.to(at::kDouble);
            const at::Tensor mask = masked ? dropout_mask({e.n, e.c, 1, 1}, 0.4f, {}) : at::Tensor();
            expect_same({noise({e.n, e.c, e.h, e.w}, 1, 2, 5), noise({e.c}, 2), noise({e.c}, 3)},
                        [&](const TensorList& t) { return fused::norm_act(t[0], t[1], t[2], mean, var, mask, {norm, f, training}); },
                        [&](const TensorList& t) {
                          const at::Tensor y = apply(f, apply(norm, {t[0]}, {t[1], t[2], mean2, var2}, {.training = training})[0]);
                          return masked ? y * mask.to(at::kDouble) : y;
                        },
                        // Two pixels of one channel stand at ±1: their exact gradient is all cancellation.
                        e.n * e.h * e.w <= 3 ? 2e-2 : 2e-4);
            EXPECT_LT(difference(mean, mean2), 1e-5);
            EXPECT_LT(difference(var, var2), 1e-5);
          }
  });
}

TEST_F(Fused, VarianceSurvivesALargeMean) {
  on_all([] {
    const at::Tensor x = noise({8, 7, 16, 16}, 1, 0.01f, 100), one = noise({7}, 2, 0, 1), zero = noise({7}, 2, 0), mean = noise({7}, 2, 0), var = noise({7}, 2, 0);
    fused::norm_act(x, one, zero, mean, var, {}, {.norm = {.eps = 0, .momentum = 1}, .training = true});
    EXPECT_LT(difference(var, x.to(at::kDouble).transpose(0, 1).reshape({7, -1}).var(1, true), 1e-9), 1e-4);
  });
}

TEST_F(Fused, DepthwiseIsTheConvolution) {
  on_all([] {
    for (const Extent& e : kExtents)
      for (const int kernel : {3, 5})
        for (const int stride : {1, 2, 3})
          for (const Padding pad : {Padding(0), Padding(1), Padding(2), Padding(1, 2, 0, 3), Padding(5)})
            for (const bool bias : {false, true}) {
              const auto c = static_cast<std::int32_t>(e.c);
              const Conv2d conv{.out_channels = c, .kernel = kernel, .stride = stride, .padding = pad, .groups = c, .bias = bias};
              if (!fused::depthwise_applies(conv, c) || e.h + pad.top + pad.bottom < kernel || e.w + pad.left + pad.right < kernel) continue;
              SCOPED_TRACE(::testing::Message() << e.n << "×" << e.c << "×" << e.h << "×" << e.w << " kernel " << kernel << " stride " << stride
                                                << " padding " << pad.top << pad.bottom << pad.left << pad.right);
              expect_same({noise({e.n, e.c, e.h, e.w}, 1), noise({e.c, 1, kernel, kernel}, 2), bias ? noise({e.c}, 3) : at::Tensor()},
                          [&](const TensorList& t) { return fused::depthwise(t[0], t[1], t[2], conv); },
                          [&](const TensorList& t) { return apply(conv, {t[0]}, bias ? TensorList{t[1], t[2]} : TensorList{t[1]}, {})[0]; });
            }
  });
  EXPECT_FALSE(fused::depthwise_applies({.out_channels = 8, .kernel = 3, .groups = 4}, 8));
  EXPECT_FALSE(fused::depthwise_applies({.out_channels = 16, .kernel = 3, .groups = 8}, 8));
  EXPECT_FALSE(fused::depthwise_applies({.out_channels = 8, .kernel = {3, 5}, .groups = 8}, 8));
  EXPECT_FALSE(fused::depthwise_applies({.out_channels = 8, .kernel = 3, .dilation = 2, .groups = 8}, 8));
}

TEST_F(Fused, NormDepthwiseIsBothAfterEachOther) {
  on_all([] {
    for (const Extent& e : kExtents)
      for (const Function f : kFunctions)
        for (const int stride : {1, 2})
          for (const bool masked : {false, true})
            for (const bool training : {true, false}) {
              const auto c = static_cast<std::int32_t>(e.c);
              const int kernel = e.c % 2 == 0 ? 3 : 5;
              const Conv2d conv{.out_channels = c, .kernel = kernel, .stride = stride, .padding = Padding(2, 1, 1, 3), .groups = c, .bias = masked};
              if (!fused::depthwise_applies(conv, c) || e.h + 3 < kernel) continue;
              SCOPED_TRACE(::testing::Message() << e.n << "×" << e.c << "×" << e.h << "×" << e.w << " f" << static_cast<int>(f) << " stride " << stride
                                                << (masked ? " masked" : "") << (training ? " training" : " evaluation"));
              const BatchNorm norm{.eps = 1e-3f, .momentum = 0.3f};
              const at::Tensor mean = noise({e.c}, 4), var = noise({e.c}, 5).abs() + 0.5, mean2 = mean.to(at::kDouble), var2 = var.to(at::kDouble);
              const at::Tensor mask = masked ? dropout_mask({e.n, e.c, 1, 1}, 0.4f, {}) : at::Tensor();
              expect_same({noise({e.n, e.c, e.h, e.w}, 1, 2, 5), noise({e.c}, 2), noise({e.c}, 3), noise({e.c, 1, kernel, kernel}, 6),
                           masked ? noise({e.c}, 7) : at::Tensor()},
                          [&](const TensorList& t) {
                            return fused::norm_depthwise({t[0], t[1], t[2], mean, var, mask}, {norm, f, training}, t[3], t[4], conv);
                          },
                          [&](const TensorList& t) {
                            const at::Tensor y = apply(f, apply(norm, {t[0]}, {t[1], t[2], mean2, var2}, {.training = training})[0]);
                            return apply(conv, {masked ? y * mask.to(at::kDouble) : y}, masked ? TensorList{t[3], t[4]} : TensorList{t[3]}, {})[0];
                          },
                          e.n * e.h * e.w <= 3 ? 2e-2 : 2e-4);
              EXPECT_LT(difference(mean, mean2), 1e-5);
              EXPECT_LT(difference(var, var2), 1e-5);
            }
  });
}

TEST_F(Fused, PointwiseIsTheConvolution) {
  on_all([] {
    for (const Extent& e : kExtents)
      for (const int out : {1, 3, 16, 24, 47, 112, 130})
        for (const bool bias : {false, true}) {
          SCOPED_TRACE(::testing::Message() << e.n << "×" << e.c << "×" << e.h << "×" << e.w << " to " << out);
          const Conv2d conv{.out_channels = out, .bias = bias};
          expect_same({noise({e.n, e.c, e.h, e.w}, 1), noise({out, e.c, 1, 1}, 2), bias ? noise({out}, 3) : at::Tensor()},
                      [&](const TensorList& t) { return fused::pointwise(t[0], t[1], t[2]); },
                      [&](const TensorList& t) { return apply(conv, {t[0]}, bias ? TensorList{t[1], t[2]} : TensorList{t[1]}, {})[0]; });
        }
  });
}

TEST_F(Fused, WinogradIsConvolution) {
  on_all([] {
    for (const Extent& e : {Extent{1, 4, 1, 1}, {3, 5, 4, 8}, {2, 16, 6, 6}, {19, 24, 4, 4}, {5, 40, 2, 7}, {2, 67, 9, 8}, {2, 8, 17, 16}, {40, 8, 3, 1}})
      for (const std::int64_t out : {16, 30, 131})
        for (const bool bias : {false, true}) {
          SCOPED_TRACE(::testing::Message() << e.n << "×" << e.c << "×" << e.h << "×" << e.w << " to " << out);
          const Conv2d conv{.out_channels = static_cast<std::int32_t>(out), .kernel = 3, .padding = 1, .bias = bias};
          ASSERT_TRUE(fused::winograd_applies(conv, e.c));
          const at::Tensor x = noise({e.n, e.c, e.h, e.w}, 1), w = noise({out, e.c, 3, 3}, 2), b = bias ? noise({out}, 3) : at::Tensor();
          expect_same({x, w, b}, [&](const TensorList& t) { return fused::winograd(t[0], t[1], t[2]); },
                      [&](const TensorList& t) { return apply(conv, {t[0]}, bias ? TensorList{t[1], t[2]} : TensorList{t[1]}, {})[0]; }, 1e-5);
          const at::Tensor packed = w.contiguous();  // the other layout of weights
          expect_same({x, packed, b}, [&](const TensorList& t) { return fused::winograd(t[0], t[1], t[2]); },
                      [&](const TensorList& t) { return apply(conv, {t[0]}, bias ? TensorList{t[1], t[2]} : TensorList{t[1]}, {})[0]; }, 1e-5);
        }
  });
  const Conv2d fits{.out_channels = 16, .kernel = 3, .padding = 1};
  for (const auto& change : std::initializer_list<std::function<void(Conv2d&)>>{
           [](Conv2d& c) { c.stride = 2; }, [](Conv2d& c) { c.kernel = 5; }, [](Conv2d& c) { c.padding = 0; }, [](Conv2d& c) { c.groups = 2; },
           [](Conv2d& c) { c.dilation = 2; }, [](Conv2d& c) { c.out_channels = 8; }, [](Conv2d& c) { c.activation = Function::relu; }}) {
    Conv2d other = fits;
    change(other);
    EXPECT_FALSE(fused::winograd_applies(other, 16));
  }
}

TEST_F(Fused, WinogradIsTheSameBytesOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  std::vector<TensorList> results;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const at::Tensor x = learner(noise({33, 24, 8, 8}, 1)), w = learner(noise({80, 24, 3, 3}, 2)), y = fused::winograd(x, w, {});
    y.backward(noise(y.sizes(), 3));
    results.push_back({y.detach(), x.grad(), w.grad()});
  }
  at::set_num_threads(before);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(results[0][i].equal(results[1][i])) << i;
}

TEST_F(Fused, SqueezeExciteIsItsChain) {
  on_all([] {
    for (const Extent& e : kExtents)
      for (const Function f : {Function::hard_swish, Function::relu6, Function::silu})
        for (const bool bias : {false, true}) {
          SCOPED_TRACE(::testing::Message() << e.n << "×" << e.c << "×" << e.h << "×" << e.w << " f" << static_cast<int>(f));
          const std::int64_t r = 1 + e.c / 6;
          expect_same({noise({e.n, e.c, e.h, e.w}, 1), noise({r, e.c, 1, 1}, 2), noise({e.c, r, 1, 1}, 3), bias ? noise({r}, 4) : at::Tensor(),
                       bias ? noise({e.c}, 5) : at::Tensor()},
                      [&](const TensorList& t) { return fused::squeeze_excite(t[0], {t[1], t[3], t[2], t[4]}, f); },
                      [&](const TensorList& t) {
                        const at::Tensor s = apply(AdaptiveAvgPool2d{}, {t[0]}, {}, {})[0];
                        const auto conv = [&](const at::Tensor& x, const at::Tensor& w, const at::Tensor& b) {
                          return apply(Conv2d{.out_channels = static_cast<std::int32_t>(w.size(0)), .bias = bias}, {x}, bias ? TensorList{w, b} : TensorList{w}, {})[0];
                        };
                        return t[0] * apply(Function::sigmoid, conv(apply(f, conv(s, t[1], t[3])), t[2], t[4]));
                      });
        }
    for (const Extent& e : kExtents)
      expect_same({noise({e.n, e.c, e.h, e.w}, 1), noise({e.n, e.c, e.h, e.w}, 2, 5)},
                  [&](const TensorList& t) { return fused::sigmoid_gate(t[0], t[1]); },
                  [&](const TensorList& t) { return t[0] * t[1].sigmoid(); });
  });
}

// Every tensor of a block, in the order of TensorList: x, expand, norm, depthwise, norm, excite (4), project.
TensorList block_tensors(const Extent& e, std::int64_t mid, std::int64_t out, int kernel, bool excite, bool biases, float level) {
  const std::int64_t r = 1 + mid / 5;
  TensorList t = {noise({e.n, e.c, e.h, e.w}, 1, 2, level), noise({mid, e.c, 1, 1}, 2, 0.3f), noise({mid}, 3), noise({mid}, 4),
                  noise({mid, 1, kernel, kernel}, 5, 0.3f), noise({mid}, 6), noise({mid}, 7)};
  for (const auto& [shape, learns] : {std::pair<std::vector<std::int64_t>, bool>{{r, mid, 1, 1}, excite}, {{r}, excite && biases},
                                      {{mid, r, 1, 1}, excite}, {{mid}, excite && biases}})
    t.push_back(learns ? noise(shape, 8 + t.size(), 0.3f) : at::Tensor());
  t.push_back(noise({out, mid, 1, 1}, 20));
  return t;
}

void expect_block(const Extent& e, int stride, int kernel, Function f, bool excite, bool masked, bool training, float level = 5) {
  SCOPED_TRACE(::testing::Message() << e.n << "×" << e.c << "×" << e.h << "×" << e.w << " stride " << stride << " kernel " << kernel << " f"
                                    << static_cast<int>(f) << (excite ? " excite" : "") << (masked ? " masked" : "")
                                    << (training ? " training" : " evaluation"));
  const std::int64_t mid = 3 * e.c + 2, out = 1 + e.c / 2;
  const auto m = static_cast<std::int32_t>(mid);
  const Conv2d conv{.out_channels = m, .kernel = kernel, .stride = stride, .padding = Padding(kernel / 2, kernel / 2 + 1, 2, 2), .groups = m, .bias = false};
  const BatchNorm norm{.eps = 1e-3f, .momentum = 0.3f};
  const TensorList running = {noise({mid}, 30), noise({mid}, 31).abs() + 0.5, noise({mid}, 32), noise({mid}, 33).abs() + 0.5};
  TensorList exact_running;
  for (const at::Tensor& t : running) exact_running.push_back(t.to(at::kDouble));
  const at::Tensor mask = masked ? dropout_mask({e.n, mid, 1, 1}, 0.4f, {}) : at::Tensor();
  expect_same(
      block_tensors(e, mid, out, kernel, excite, masked, level),
      [&](const TensorList& t) {
        return fused::inverted_residual(t[0], {t[1], {{}, t[2], t[3], running[0], running[1], mask}, {norm, f, training}, t[4], conv,
                                               {{}, t[5], t[6], running[2], running[3], {}}, {norm, f, training},
                                               {t[7], t[8], t[9], t[10]}, Function::hard_swish, t[11]});
      },
      [&](const TensorList& t) {
        const auto pointwise = [&](const at::Tensor& x, const at::Tensor& w, const at::Tensor& b) {
          return apply(Conv2d{.out_channels = static_cast<std::int32_t>(w.size(0)), .bias = b.defined()}, {x}, b.defined() ? TensorList{w, b} : TensorList{w}, {})[0];
        };
        const auto normed = [&](const at::Tensor& x, std::size_t i, std::size_t r) {
          return apply(f, apply(norm, {x}, {t[i], t[i + 1], exact_running[r], exact_running[r + 1]}, {.training = training})[0]);
        };
        at::Tensor y = normed(pointwise(t[0], t[1], {}), 2, 0);
        if (masked) y = y * mask.to(at::kDouble);
        y = normed(apply(conv, {y}, {t[4]}, {})[0], 5, 2);
        if (excite)
          y = y * apply(Function::sigmoid, pointwise(apply(Function::hard_swish, pointwise(apply(AdaptiveAvgPool2d{}, {y}, {}, {})[0], t[7], t[8])), t[9], t[10]));
        return pointwise(y, t[11], {});
      },
      e.n * e.h * e.w <= 40 ? 2e-2 : 5e-4);
  for (std::size_t i = 0; i < running.size(); ++i) EXPECT_LT(difference(running[i], exact_running[i]), 2e-5) << "running " << i;
}

TEST_F(Fused, InvertedResidualIsItsChain) {
  on_all([] {
    for (const Extent& e : {Extent{3, 5, 4, 3}, {2, 16, 4, 4}, {5, 24, 7, 5}, {37, 19, 2, 3}, {70, 6, 1, 1}, {2, 8, 40, 33}})
      for (const Function f : {Function::none, Function::relu6, Function::hard_swish})
        for (const bool excite : {false, true})
          for (const bool masked : {false, true})
            for (const bool training : {true, false}) expect_block(e, masked ? 2 : 1, excite ? 5 : 3, f, excite, masked, training);
  });
}

// Inputs far from zero, and channels that nearly repeat each other: the expanded image's variance is then a small difference.
TEST_F(Fused, InvertedResidualSurvivesCancellation) {
  on_all([] { expect_block({8, 12, 12, 12}, 1, 3, Function::hard_swish, true, false, true, 1000); });
  on_all([] {
    const at::Tensor base = noise({6, 1, 16, 16}, 1), x = (base + 1e-4 * noise({6, 8, 16, 16}, 2)).contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor expand = noise({24, 8, 1, 1}, 3);
    expand.sub_(expand.mean(1, true));  // what the channels share falls out
    const BatchNorm norm{.eps = 0, .momentum = 1};
    const at::Tensor one = at::ones({24}), zero = at::zeros({24}), mean = zero.clone(), var = one.clone();
    const Conv2d conv{.out_channels = 24, .kernel = 3, .padding = Padding(1), .groups = 24, .bias = false};
    fused::inverted_residual(x, {expand, {{}, one, zero, mean, var, {}}, {norm, Function::relu, true}, noise({24, 1, 3, 3}, 4), conv,
                                 {{}, one, zero, zero.clone(), one.clone(), {}}, {norm, Function::relu, true}, {}, Function::none, noise({8, 24, 1, 1}, 5)});
    const at::Tensor y = apply(Conv2d{.out_channels = 24, .bias = false}, {x.to(at::kDouble)}, {expand.to(at::kDouble)}, {})[0];
    EXPECT_LT(difference(var, y.transpose(0, 1).reshape({24, -1}).var(1, true), 1e-12), 1e-2);
  });
}

TEST_F(Fused, PoolsAreThoseOfLibtorch) {
  on_all([] {
    for (const Extent& e : {Extent{1, 1, 2, 2}, {3, 5, 4, 8}, {2, 16, 6, 6}, {1, 24, 12, 4}, {5, 40, 2, 6}, {2, 131, 8, 8}})
      for (const int window : {1, 2, 3, 4}) {
        const MaxPool2d max{.kernel = window, .stride = window};
        const AdaptiveAvgPool2d mean{.output = Size(static_cast<int>(e.h) / window, static_cast<int>(e.w) / window)};
        if (!fused::max_pool_applies(max, e.h, e.w)) continue;
        ASSERT_TRUE(fused::mean_pool_applies(mean, e.h, e.w));
        at::Tensor x = noise({e.n, e.c, e.h, e.w}, 1);
        x = x.mul(4).round();  // equal maxima
        expect_same({x}, [&](const TensorList& t) { return fused::max_pool(t[0], window); },
                    [&](const TensorList& t) { return apply(max, {t[0]}, {}, {})[0]; });
        expect_same({x}, [&](const TensorList& t) { return fused::mean_pool(t[0], mean.output.h, mean.output.w); },
                    [&](const TensorList& t) { return apply(mean, {t[0]}, {}, {})[0]; });
      }
    const at::Tensor x = noise({1, 3, 2, 2}, 1);
    for (const int i : {0, 7}) x.data_ptr<float>()[i] = NAN;
    const at::Tensor y = fused::max_pool(x, 2);
    EXPECT_TRUE(std::isnan(y.data_ptr<float>()[0]) && std::isnan(y.data_ptr<float>()[1]) && !std::isnan(y.data_ptr<float>()[2]));
  });
  EXPECT_FALSE(fused::max_pool_applies({.kernel = 3, .stride = 2}, 6, 6));
  EXPECT_FALSE(fused::max_pool_applies({.kernel = 2, .stride = 2}, 5, 6));
  EXPECT_FALSE(fused::mean_pool_applies({.output = Size(3)}, 8, 9));
}

TEST_F(Fused, SigmoidStaysFiniteAtTheEnds) {
  on_all([] {
    const at::Tensor x = noise({1, 2, 1, 1}, 1, 0, 1), g = noise({1, 2, 1, 1}, 1, 0);
    g.data_ptr<float>()[0] = 1e4f, g.data_ptr<float>()[1] = -1e4f;
    const at::Tensor y = fused::sigmoid_gate(x, g);
    EXPECT_EQ(y.data_ptr<float>()[0], 1);
    EXPECT_NEAR(y.data_ptr<float>()[1], 0, 1e-30);
  });
}

// --- networks ----------------------------------------------------------------------------------------------

struct Pass {
  at::Tensor loss;
  std::map<std::string, at::Tensor> gradients;
  Weights weights;
};

Pass pass(const Graph& graph, bool fused, std::int64_t batch, bool training = true) {
  GraphModule module(graph, {.seed = 3, .fused = fused});
  module.train(training);
  module.set_step(5);
  const Shape& shape = graph.shape(graph.inputs()[0].value);
  const at::Tensor labels = at::empty({batch}, at::kLong);
  for (std::int64_t i = 0; i < batch; ++i) labels.data_ptr<std::int64_t>()[i] = i % 10;
  Pass p;
  p.loss = cross_entropy(module.forward(noise({batch, shape[0], shape[1], shape[2]}, 9)), labels, 0.1);
  p.loss.backward();
  for (const auto& [name, tensor] : module.trainable()) p.gradients[name] = tensor.grad().clone();
  p.weights = module.to_weights();
  return p;
}

Graph network(const std::string& family, const nlohmann::json& extra = nlohmann::json::object()) {
  nlohmann::json options = {{"input_shape", {3, 32, 32}}, {"include_top", true}, {"num_classes", 10}, {"alpha", 0.5}};
  options.update(extra);
  return build_network(family, options);
}

TEST(FusedNetwork, GradientsAndStatisticsAreThoseOfTheUnfused) {
  const std::pair<std::string, Graph> networks[] = {
      {"phinet", network("phinet", {{"input_shape", {3, 64, 64}}, {"conv5_percent", 0.5}, {"divisor", 1}})}, {"xinet", network("xinet", {{"num_layers", 4}})},
      {"mobilenet-v2", build_network("mobilenet-v2", {{"input_shape", {3, 32, 32}}, {"num_classes", 10}})}};
  for (const auto& [name, graph] : networks)
    for (const bool training : {true, false}) {
      const Pass a = pass(graph, true, 12, training), b = pass(graph, false, 12, training);
      EXPECT_NEAR(a.loss.item<double>(), b.loss.item<double>(), 1e-4) << name;
      ASSERT_EQ(a.gradients.size(), b.gradients.size());
      double largest = 0;
      for (const auto& [parameter, gradient] : b.gradients) largest = std::max(largest, gradient.abs().max().item<double>());
      for (const auto& [parameter, gradient] : b.gradients)
        EXPECT_LT(difference(a.gradients.at(parameter), gradient, 0.01 * largest), 5e-3) << name << " " << parameter << " training " << training;
      for (const auto& [parameter, array] : b.weights)
        for (std::int64_t i = 0; i < array.shape().elements(); ++i) {
          const float x = array.values<float>()[static_cast<std::size_t>(i)];
          ASSERT_NEAR(a.weights.at(parameter).values<float>()[static_cast<std::size_t>(i)], x, 1e-4 * (1 + std::abs(x))) << name << " " << parameter;
        }
    }
}

TEST(FusedNetwork, IsTheSameBytesOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  for (const std::string family : {"phinet", "xinet"}) {
    const Graph graph = network(family);
    at::set_num_threads(2);
    const Pass first = pass(graph, true, 9), again = pass(graph, true, 9);
    EXPECT_EQ(first.weights, again.weights);
    for (const auto& [name, gradient] : first.gradients) EXPECT_TRUE(gradient.equal(again.gradients.at(name))) << name;
    if (family == "phinet") {  // of our operators alone but for the classifier; XiNet's stem, 7×7, is oneDNN's
      at::set_num_threads(1);
      const Pass alone = pass(graph, true, 9);
      for (const auto& [name, gradient] : first.gradients) EXPECT_TRUE(gradient.equal(alone.gradients.at(name))) << name;
    }
  }
  at::set_num_threads(before);
}

TEST(FusedNetwork, ObserversSeeEveryValueAndTheSameOnes) {
  const Graph graph = network("phinet");
  GraphModule module(graph, {.seed = 3}), plain(graph, {.seed = 3, .fused = false});
  const at::Tensor x = noise({4, 3, 32, 32}, 2);
  std::map<int, at::Tensor> a, b;
  module.observe([&](int value, const at::Tensor& t) { a[value] = t.detach(); });
  plain.observe([&](int value, const at::Tensor& t) { b[value] = t.detach(); });
  const at::Tensor observed = module.forward(x);
  plain.forward(x);
  ASSERT_EQ(a.size(), graph.values().size());
  for (const auto& [value, t] : b) EXPECT_LT(difference(a.at(value), t), 1e-3) << graph.value_name(value);
  module.observe({});
  EXPECT_LT(difference(module.forward(x).detach(), observed.detach()), 1e-3);
}

TEST(FusedNetwork, ValuesWithOtherReadersStay) {
  Graph g("shared");
  int x = g.add_input("x", {8, 6, 6});
  const int norm = g.add("norm", BatchNorm{}, {x});
  const int act = g.add("act", Activation{Function::hard_swish}, {norm});
  const int drop = g.add("drop", Dropout{.p = 0.5f, .channels = true}, {act});
  const int gate = g.add("gate", Activation{Function::sigmoid}, {norm});
  const int scaled = g.add("scaled", Multiply{}, {drop, gate});
  g.add_output("y", g.add("sum", Add{}, {scaled, act}));
  g.add_output("gate_too", gate);
  GraphModule module(g, {.seed = 1}), plain(g, {.seed = 1, .fused = false});
  const at::Tensor in = noise({4, 8, 6, 6}, 1);
  const auto a = module.forward(GraphModule::Named{{"x", in}}), b = plain.forward(GraphModule::Named{{"x", in}});
  for (const auto& [name, t] : b) EXPECT_LT(difference(a.at(name), t), 1e-4) << name;
}

}  // namespace
}  // namespace micromind
