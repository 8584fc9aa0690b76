#include "micromind/train/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/train/fused/kernels.h"
#include "micromind/train/tensor_array.h"

namespace micromind {
namespace {

constexpr std::int64_t kGrain = 1 << 15;  // elements a thread takes at least

void require(bool ok, const char* key, double value, const char* expected) {
  if (!ok) fail("recipe", "train.{} = {}: expected {}", key, value, expected);
}

double sum_of_squares(const float* g, std::int64_t n) {
  std::array<double, 8> lanes{};  // a fixed order of addition that vectorises
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::int64_t l = 0; l < 8; ++l) {
      const double x = g[i + l];
      lanes[static_cast<std::size_t>(l)] += x * x;
    }
  for (; i < n; ++i) lanes[0] += double{g[i]} * g[i];
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

Optimizer::Optimizer(const TrainSection& train, Parameters parameters) : options_(train) {
  const std::vector<std::string> known = {"sgd", "adam", "adamw"};
  const auto it = std::find(known.begin(), known.end(), train.optimizer);
  if (it == known.end())
    fail_with_hint("recipe", name_hint(train.optimizer, known), "train.optimizer: unknown optimiser '{}'", train.optimizer);
  kind_ = static_cast<Kind>(it - known.begin());
  require(train.momentum >= 0 && train.momentum < 1, "momentum", train.momentum, "a number in [0, 1)");
  require(train.beta1 >= 0 && train.beta1 < 1, "beta1", train.beta1, "a number in [0, 1)");
  require(train.beta2 >= 0 && train.beta2 < 1, "beta2", train.beta2, "a number in [0, 1)");
  require(train.epsilon >= 0 && std::isfinite(train.epsilon), "epsilon", train.epsilon, "at least 0");
  require(train.weight_decay >= 0 && std::isfinite(train.weight_decay), "weight_decay", train.weight_decay, "at least 0");
  for (auto& [name, tensor] : parameters) {
    Slot slot{name, tensor, {}, {}, {}};
    const at::Tensor plain = tensor.detach();
    if (kind_ != Kind::sgd || train.momentum > 0) slot.first = at::zeros_like(plain);
    if (kind_ != Kind::sgd) slot.second = at::zeros_like(plain);
    slots_.push_back(std::move(slot));
  }
}

void Optimizer::zero_grad() {
  for (Slot& slot : slots_) {
    slot.value.mutable_grad() = at::Tensor();
    slot.gradient = at::Tensor();
  }
}

void Optimizer::gather_gradients() {
  const c10::NoGradGuard no_grad;
  for (Slot& slot : slots_) {
    if (slot.gradient.defined()) continue;
    const at::Tensor& g = slot.value.grad();
    if (!g.defined()) continue;  // not on the path to the loss
    slot.gradient = g.strides() == slot.value.strides() ? g : at::empty_like(slot.value).copy_(g);
  }
}

double Optimizer::gradient_norm() {
  gather_gradients();
  double sum = 0;
  for (const Slot& slot : slots_) {
    if (!slot.gradient.defined()) continue;
    const at::Tensor g = slot.gradient.is_cpu() ? slot.gradient : slot.gradient.cpu();
    sum += sum_of_squares(g.data_ptr<float>(), g.numel());
  }
  return std::sqrt(sum);
}

void Optimizer::step(double learning_rate) {
  const c10::NoGradGuard no_grad;
  gather_gradients();
  ++steps_;
  for (Slot& slot : slots_) {
    if (!slot.gradient.defined()) continue;
    if (kind_ == Kind::sgd) step_sgd(slot, learning_rate);
    else step_adam(slot, learning_rate);
  }
}

void Optimizer::step_sgd(Slot& slot, double learning_rate) {
  const auto decay = static_cast<float>(options_.weight_decay), mu = static_cast<float>(options_.momentum);
  const auto rate = static_cast<float>(learning_rate);
  const bool nesterov = options_.nesterov, momentum = slot.first.defined();
  if (!slot.value.is_cpu()) {
    const at::Tensor g = slot.gradient.add(slot.value, options_.weight_decay);
    if (momentum) slot.first.mul_(options_.momentum).add_(g);
    slot.value.sub_(momentum ? nesterov ? g.add(slot.first, options_.momentum) : slot.first : g, learning_rate);
    return;
  }
  float* const p = slot.value.data_ptr<float>();
  const float* const g = slot.gradient.data_ptr<float>();
  if (!momentum) {
    at::parallel_for(0, slot.value.numel(), kGrain, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) p[i] -= rate * (g[i] + decay * p[i]);
    });
    return;
  }
  float* const b = slot.first.data_ptr<float>();
  at::parallel_for(0, slot.value.numel(), kGrain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const float d = g[i] + decay * p[i];
      b[i] = mu * b[i] + d;  // the buffer starts at 0, so the first step gives d
      p[i] -= rate * (nesterov ? d + mu * b[i] : b[i]);
    }
  });
}

void Optimizer::step_adam(Slot& slot, double learning_rate) {
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(steps_)));
  const double coupled = kind_ == Kind::adam ? options_.weight_decay : 0;
  const double shrink = kind_ == Kind::adamw ? 1 - learning_rate * options_.weight_decay : 1;
  if (!slot.value.is_cpu()) {
    slot.value.mul_(shrink);
    const at::Tensor g = slot.gradient.add(slot.value, coupled);
    slot.first.mul_(options_.beta1).add_(g, 1 - options_.beta1);
    slot.second.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
    slot.value.addcdiv_(slot.first, slot.second.sqrt().div_(correction2).add_(options_.epsilon), -learning_rate / correction1);
    return;
  }
  const fused::AdamLine line = {.keep = static_cast<float>(shrink), .decay = static_cast<float>(coupled),
                                .beta1 = static_cast<float>(options_.beta1), .share1 = static_cast<float>(1 - options_.beta1),
                                .beta2 = static_cast<float>(options_.beta2), .share2 = static_cast<float>(1 - options_.beta2),
                                .scale = static_cast<float>(1 / correction2), .epsilon = static_cast<float>(options_.epsilon),
                                .rate = static_cast<float>(learning_rate / correction1)};
  float* const p = slot.value.data_ptr<float>();
  float* const m = slot.first.data_ptr<float>();
  float* const v = slot.second.data_ptr<float>();
  const float* const gradient = slot.gradient.data_ptr<float>();
  at::parallel_for(0, slot.value.numel(), kGrain, [&](std::int64_t first, std::int64_t last) {
    fused::kernels().adam(line, last - first, gradient + first, p + first, m + first, v + first);
  });
}

std::map<std::string, at::Tensor> Optimizer::state_tensors() const {
  std::map<std::string, at::Tensor> state;
  for (const Slot& slot : slots_) {
    if (slot.first.defined()) state[slot.name + (kind_ == Kind::sgd ? "/momentum" : "/mean")] = slot.first;
    if (slot.second.defined()) state[slot.name + "/square"] = slot.second;
  }
  return state;
}

Weights Optimizer::state() const {
  Weights state;
  for (const auto& [name, tensor] : state_tensors()) state.emplace(name, to_array(tensor));
  return state;
}

void Optimizer::load_state(const Weights& state, std::int64_t steps) {
  const c10::NoGradGuard no_grad;
  const std::map<std::string, at::Tensor> tensors = state_tensors();
  for (const auto& [name, tensor] : tensors) {
    const auto it = state.find(name);
    if (it == state.end() || it->second.element() != ElementType::float32 || sizes_of(it->second.shape()) != tensor.sizes())
      fail_with_hint("checkpoint", "resume with the optimiser and network that the run was started with",
                     "the optimiser's '{}' is {}", name, it == state.end() ? "missing" : "of another shape");
  }
  for (const auto& [name, tensor] : tensors) tensor.copy_(view_of(state.at(name)));  // they share the slots' memory
  steps_ = steps;
}

}  // namespace micromind
