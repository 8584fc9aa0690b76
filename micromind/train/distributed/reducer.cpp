#include "micromind/train/distributed/reducer.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <exception>
#include <functional>

#include "micromind/train/distributed/ranks.h"

namespace micromind {

struct GradientReducer::State {
  struct Bucket {
    std::vector<std::size_t> parameters;
    at::Tensor numbers;  // all gradients one after another; behind those of the last bucket stand the notes
    std::size_t missing = 0;
    std::function<void()> wait;
  };
  Ranks& ranks;
  std::vector<at::Tensor> parameters;
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;  // kept alive, or their hooks would go
  std::vector<std::uintptr_t> hooks;
  std::vector<std::size_t> bucket_of;
  std::vector<Bucket> buckets;
  std::size_t next = 0;  // the first bucket whose sum has not begun
  bool expecting = false;
  std::exception_ptr problem;  // of a hook: thrown by finish()

  explicit State(Ranks& r) : ranks(r) {}

  void gather(Bucket& bucket) {
    const c10::NoGradGuard no_grad;
    std::int64_t at = 0;
    for (const std::size_t p : bucket.parameters) {
      const std::int64_t n = parameters[p].numel();
      const at::Tensor& gradient = parameters[p].grad();
      // As the parameter lies in memory: every rank's parameters lie alike.
      at::Tensor slot = bucket.numbers.narrow(0, at, n).as_strided(parameters[p].sizes(), parameters[p].strides(), at + bucket.numbers.storage_offset());
      if (gradient.defined()) slot.copy_(gradient);
      else slot.zero_();
      at += n;
    }
  }

  void scatter(Bucket& bucket) {
    const c10::NoGradGuard no_grad;
    std::int64_t at = 0;
    for (const std::size_t p : bucket.parameters) {
      const std::int64_t n = parameters[p].numel();
      at::Tensor& gradient = parameters[p].mutable_grad();
      if (!gradient.defined()) gradient = at::zeros_like(parameters[p]);
      gradient.copy_(bucket.numbers.as_strided(parameters[p].sizes(), parameters[p].strides(), at + bucket.numbers.storage_offset()));
      at += n;
    }
  }

  void begin(Bucket& bucket) {
    gather(bucket);
    bucket.wait = ranks.begin_sum(bucket.numbers);
  }

  // Called by the backward pass, once its gradient of a parameter is complete.
  void ready(std::size_t parameter) {
    if (!expecting || problem) return;
    try {
      --buckets[bucket_of[parameter]].missing;
      for (; next + 1 < buckets.size() && buckets[next].missing == 0; ++next) begin(buckets[next]);  // the last one waits for the notes
    } catch (...) {
      problem = std::current_exception();
    }
  }
};

GradientReducer::GradientReducer(Ranks& ranks, const std::vector<std::pair<std::string, at::Tensor>>& parameters, std::int64_t bucket_bytes)
    : state_(std::make_shared<State>(ranks)) {
  State& s = *state_;
  std::vector<std::int64_t> counts;
  for (const auto& [name, tensor] : parameters) s.parameters.push_back(tensor);
  s.bucket_of.resize(s.parameters.size());
  for (std::size_t p = s.parameters.size(); p-- > 0;) {
    const std::int64_t n = s.parameters[p].numel();
    if (counts.empty() || (counts.back() + n) * 4 > bucket_bytes) {
      counts.push_back(0);
      s.buckets.emplace_back();
    }
    counts.back() += n;
    s.buckets.back().parameters.push_back(p);
    s.bucket_of[p] = s.buckets.size() - 1;
  }
  if (s.buckets.empty()) {
    s.buckets.emplace_back();
    counts.push_back(0);
  }
  for (std::size_t b = 0; b < s.buckets.size(); ++b) {
    const auto device = s.parameters.empty() ? at::Device(at::kCPU) : s.parameters[0].device();
    s.buckets[b].numbers = at::empty({counts[b] + (b + 1 == s.buckets.size() ? static_cast<std::int64_t>(kNotes) : 0)}, at::TensorOptions().dtype(at::kFloat).device(device));
  }
  const std::weak_ptr<State> weak = state_;
  for (std::size_t p = 0; p < s.parameters.size(); ++p) {
    auto accumulator = torch::autograd::impl::grad_accumulator(s.parameters[p]);
    if (!accumulator) continue;
    using torch::autograd::variable_list;
    s.hooks.push_back(accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [weak, p](const variable_list& outputs, const variable_list&) {
          if (const auto state = weak.lock()) state->ready(p);
          return outputs;
        })));
    s.accumulators.push_back(std::move(accumulator));
  }
}

GradientReducer::~GradientReducer() {
  for (std::size_t i = 0; i < state_->hooks.size(); ++i) state_->accumulators[i]->del_post_hook(state_->hooks[i]);
}

std::size_t GradientReducer::buckets() const { return state_->buckets.size(); }

void GradientReducer::expect() {
  State& s = *state_;
  s.next = 0;
  s.expecting = true;
  s.problem = nullptr;
  for (State::Bucket& bucket : s.buckets) {
    bucket.missing = bucket.parameters.size();
    bucket.wait = nullptr;
  }
}

std::array<double, GradientReducer::kNotes> GradientReducer::finish(const std::array<double, kNotes>& notes) {
  State& s = *state_;
  s.expecting = false;
  if (s.problem) std::rethrow_exception(s.problem);
  constexpr auto count = static_cast<std::int64_t>(kNotes);
  const at::Tensor& last = s.buckets.back().numbers;
  const at::Tensor behind = last.narrow(0, last.size(0) - count, count);
  std::array<float, kNotes> copy{};
  std::copy(notes.begin(), notes.end(), copy.begin());
  behind.copy_(at::from_blob(copy.data(), {count}));
  for (; s.next < s.buckets.size(); ++s.next) s.begin(s.buckets[s.next]);
  for (State::Bucket& bucket : s.buckets) bucket.wait();
  std::array<double, kNotes> sums{};
  const at::Tensor read = behind.to(at::kCPU, at::kDouble);
  std::copy_n(read.data_ptr<double>(), kNotes, sums.begin());
  for (State::Bucket& bucket : s.buckets) {
    bucket.numbers.div_(s.ranks.size());
    s.scatter(bucket);
  }
  return sums;
}

}  // namespace micromind
