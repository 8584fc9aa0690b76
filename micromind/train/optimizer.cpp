#include "micromind/train/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/train/fused/kernels.h"
#include "micromind/train/optimizer_loops.h"
#include "micromind/train/tensor_array.h"

namespace micromind {
namespace {

namespace loops = optimizer_loops;

constexpr std::int64_t kPiece = 4096;     // numbers of a piece at most: gradient, value and state stay in the first cache
constexpr std::int64_t kPart = 4 * kPiece;  // about so many a part, which one thread takes
constexpr std::int64_t kPartsAThread = 2;   // at least: less is not worth waking another

void require(bool ok, const char* key, double value, const char* expected) {
  if (!ok) fail("recipe", "train.{} = {}: expected {}", key, value, expected);
}

void check(const TrainSection& t) {
  const auto share = [](const char* key, double value) { require(value >= 0 && value < 1, key, value, "a number in [0, 1)"); };
  const auto natural = [](const char* key, double value) { require(value >= 0 && std::isfinite(value), key, value, "at least 0"); };
  share("momentum", t.momentum);
  share("beta1", t.beta1);
  share("beta2", t.beta2);
  share("smoothing", t.smoothing);
  natural("epsilon", t.epsilon);
  natural("weight_decay", t.weight_decay);
  natural("clip_norm", t.clip_norm);
  natural("clip_value", t.clip_value);
}

at::Tensor in_order_of(const at::Tensor& gradient, const at::Tensor& value) {
  if (gradient.strides() == value.strides() && gradient.scalar_type() == value.scalar_type()) return gradient;
  return at::empty_like(value).copy_(gradient);
}

float* data(const at::Tensor& tensor, std::int64_t first) { return tensor.defined() ? tensor.data_ptr<float>() + first : nullptr; }

}  // namespace

// In double; the loops take them as float.
struct Optimizer::Numbers {
  double rate, decay;               // of this parameter
  double correction1, correction2;  // 1 − β₁ᵗ, √(1 − β₂ᵗ)
};

Optimizer::Optimizer(const TrainSection& train, std::vector<Parameter> parameters, bool fused) : options_(train), fused_(fused) {
  const std::vector<std::string> known = {"sgd", "adam", "adamw", "lamb", "rmsprop"};
  const auto it = std::find(known.begin(), known.end(), train.optimizer);
  if (it == known.end())
    fail_with_hint("recipe", name_hint(train.optimizer, known), "train.optimizer: unknown optimiser '{}'", train.optimizer);
  kind_ = static_cast<Kind>(it - known.begin());
  check(train);
  const bool momentum = kind_ == Kind::sgd || kind_ == Kind::rmsprop;
  for (Parameter& p : parameters) {
    const at::Tensor plain = p.value.detach();
    fused_ = fused_ && plain.is_cpu() && plain.scalar_type() == at::kFloat && plain.is_non_overlapping_and_dense();
    Slot slot{std::move(p), {}, {}, {}};
    if (!momentum || train.momentum > 0) slot.mean = at::zeros_like(plain);
    if (kind_ != Kind::sgd) slot.square = at::zeros_like(plain);
    slots_.push_back(std::move(slot));
  }
  cut();
}

void Optimizer::cut() {
  std::int64_t open = kPart;  // numbers of the part under way
  for (std::size_t s = 0; s < slots_.size(); ++s) {
    const std::int64_t n = slots_[s].value.numel();
    for (std::int64_t first = 0; first < n; first += kPiece) {
      if (open >= kPart) {
        parts_.push_back(pieces_.size());
        open = 0;
      }
      pieces_.push_back({s, first, std::min(kPiece, n - first)});
      open += pieces_.back().count;
    }
  }
  parts_.push_back(pieces_.size());
}

void Optimizer::for_pieces(const std::function<void(std::size_t)>& work) const {
  at::parallel_for(0, static_cast<std::int64_t>(parts_.size()) - 1, kPartsAThread, [&](std::int64_t begin, std::int64_t end) {
    for (std::size_t i = parts_[static_cast<std::size_t>(begin)]; i < parts_[static_cast<std::size_t>(end)]; ++i)
      if (slots_[pieces_[i].slot].gradient.defined()) work(i);
  });
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
    if (g.defined()) slot.gradient = in_order_of(g, slot.value);  // else it is not on the path to the loss
  }
}

double Optimizer::gradient_norm() {
  const c10::NoGradGuard no_grad;
  gather_gradients();
  if (!fused_) {
    at::Tensor sum;
    for (const Slot& slot : slots_) {
      if (!slot.gradient.defined()) continue;
      const at::Tensor square = slot.gradient.to(at::kDouble).square().sum();
      sum = sum.defined() ? sum.add(square) : square;
    }
    return sum.defined() ? std::sqrt(sum.item<double>()) : 0;
  }
  std::vector<double> sums(pieces_.size(), 0);
  for_pieces([&](std::size_t i) {
    const Piece& piece = pieces_[i];
    sums[i] = loops::sum_of_squares(data(slots_[piece.slot].gradient, piece.first), piece.count);
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

double Optimizer::clip_factor(double norm) const {
  return options_.clip_norm > 0 ? std::min(1.0, options_.clip_norm / (norm + 1e-6)) : 1;
}

Optimizer::Numbers Optimizer::numbers(const Slot& slot, double learning_rate) const {
  const auto t = static_cast<double>(steps_);
  return {.rate = learning_rate * slot.rate, .decay = slot.decays ? options_.weight_decay : 0,
          .correction1 = 1 - std::pow(options_.beta1, t), .correction2 = std::sqrt(1 - std::pow(options_.beta2, t))};
}

void Optimizer::step(double learning_rate, double factor) {
  const c10::NoGradGuard no_grad;
  gather_gradients();
  ++steps_;
  if (fused_) return step_fused(learning_rate, factor);
  for (Slot& slot : slots_)
    if (slot.gradient.defined()) step_plain(slot, learning_rate, factor);
}

// The norm of the parameter that a piece belongs to, from the sums of squares of all pieces.
std::vector<double> Optimizer::piece_norms(const std::vector<double>& squares) const {
  std::vector<double> of_slot(slots_.size(), 0), of_piece(pieces_.size());
  for (std::size_t i = 0; i < pieces_.size(); ++i) of_slot[pieces_[i].slot] += squares[i];
  for (std::size_t i = 0; i < pieces_.size(); ++i) of_piece[i] = std::sqrt(of_slot[pieces_[i].slot]);
  return of_piece;
}

void Optimizer::step_fused(double learning_rate, double factor) {
  const auto f = [](double x) { return static_cast<float>(x); };
  const bool scaled = factor != 1 || options_.clip_value > 0;
  const auto lamb_line = [&](const Numbers& n) -> loops::LambLine {
    return {.decay = f(n.decay), .beta1 = f(options_.beta1), .share1 = f(1 - options_.beta1), .beta2 = f(options_.beta2),
            .share2 = f(1 - options_.beta2), .scale1 = f(1 / n.correction1), .scale2 = f(1 / n.correction2), .epsilon = f(options_.epsilon)};
  };
  std::vector<double> squares, update_squares;  // LAMB's
  if (kind_ == Kind::lamb) {
    squares.resize(pieces_.size());
    update_squares.resize(pieces_.size());
  }
  for_pieces([&](std::size_t i) {
    const Piece& piece = pieces_[i];
    const Slot& slot = slots_[piece.slot];
    const Numbers now = numbers(slot, learning_rate);
    const std::int64_t n = piece.count;
    float *const p = data(slot.value, piece.first), *const m = data(slot.mean, piece.first), *const v = data(slot.square, piece.first);
    const float* g = data(slot.gradient, piece.first);
    float buffer[kPiece];
    if (scaled) {
      loops::scale(g, n, f(factor), f(options_.clip_value), buffer);
      g = buffer;
    }
    switch (kind_) {
      case Kind::sgd:
        if (m == nullptr) loops::sgd(n, g, p, f(now.rate), f(now.decay));
        else loops::sgd(n, g, p, m, f(now.rate), f(now.decay), f(options_.momentum), options_.nesterov);
        break;
      case Kind::adam:
      case Kind::adamw: {
        const bool coupled = kind_ == Kind::adam;
        const fused::AdamLine line = {.keep = f(coupled ? 1 : 1 - now.rate * now.decay), .decay = f(coupled ? now.decay : 0),
                                      .beta1 = f(options_.beta1), .share1 = f(1 - options_.beta1), .beta2 = f(options_.beta2),
                                      .share2 = f(1 - options_.beta2), .scale = f(1 / now.correction2), .epsilon = f(options_.epsilon),
                                      .rate = f(now.rate / now.correction1)};
        fused::kernels().adam(line, n, g, p, m, v);
        break;
      }
      case Kind::lamb:
        squares[i] = loops::sum_of_squares(p, n);
        update_squares[i] = loops::lamb_moments(lamb_line(now), n, g, p, m, v);
        break;
      case Kind::rmsprop:
        loops::rmsprop({.rate = f(now.rate), .decay = f(now.decay), .smoothing = f(options_.smoothing), .share = f(1 - options_.smoothing),
                        .epsilon = f(options_.epsilon), .momentum = f(options_.momentum)}, n, g, p, v, m);
        break;
    }
  });
  if (kind_ != Kind::lamb) return;
  const std::vector<double> norms = piece_norms(squares), update_norms = piece_norms(update_squares);
  for_pieces([&](std::size_t i) {
    const Piece& piece = pieces_[i];
    const Slot& slot = slots_[piece.slot];
    const Numbers now = numbers(slot, learning_rate);
    const bool adapts = slot.value.dim() > 1 && norms[i] > 0 && update_norms[i] > 0;
    const double ratio = adapts ? norms[i] / update_norms[i] : 1;
    loops::lamb_apply(lamb_line(now), piece.count, f(now.rate * ratio), data(slot.value, piece.first), data(slot.mean, piece.first),
                      data(slot.square, piece.first));
  });
}

void Optimizer::step_plain(Slot& slot, double learning_rate, double factor) {
  const Numbers now = numbers(slot, learning_rate);
  const TrainSection& o = options_;
  at::Tensor g = factor != 1 ? slot.gradient.mul(factor) : slot.gradient;
  if (o.clip_value > 0) g = g.clamp(-o.clip_value, o.clip_value);
  if (kind_ == Kind::adamw) slot.value.mul_(1 - now.rate * now.decay);
  else if (kind_ != Kind::lamb && now.decay > 0) g = g.add(slot.value, now.decay);
  const auto moments = [&] {
    slot.mean.mul_(o.beta1).add_(g, 1 - o.beta1);
    slot.square.mul_(o.beta2).addcmul_(g, g, 1 - o.beta2);
    return slot.square.sqrt().div_(now.correction2).add_(o.epsilon);
  };
  switch (kind_) {
    case Kind::sgd:
      if (slot.mean.defined()) {
        slot.mean.mul_(o.momentum).add_(g);
        g = o.nesterov ? g.add(slot.mean, o.momentum) : slot.mean;
      }
      slot.value.sub_(g, now.rate);
      break;
    case Kind::adam:
    case Kind::adamw: {
      const at::Tensor below = moments();
      slot.value.addcdiv_(slot.mean, below, -now.rate / now.correction1);
      break;
    }
    case Kind::lamb: {
      const at::Tensor below = moments();
      const at::Tensor u = slot.mean.div(now.correction1).div_(below).add_(slot.value, now.decay);
      double ratio = 1;
      if (slot.value.dim() > 1) {
        const double norm = slot.value.norm().item<double>(), update = u.norm().item<double>();
        if (norm > 0 && update > 0) ratio = norm / update;
      }
      slot.value.sub_(u, now.rate * ratio);
      break;
    }
    case Kind::rmsprop: {
      slot.square.mul_(o.smoothing).addcmul_(g, g, 1 - o.smoothing);
      at::Tensor u = g.div(slot.square.sqrt().add_(o.epsilon));
      if (slot.mean.defined()) u = slot.mean.mul_(o.momentum).add_(u);
      slot.value.sub_(u, now.rate);
      break;
    }
  }
}

std::map<std::string, at::Tensor> Optimizer::state_tensors() const {
  const bool momentum = kind_ == Kind::sgd || kind_ == Kind::rmsprop;
  std::map<std::string, at::Tensor> state;
  for (const Slot& slot : slots_) {
    if (slot.mean.defined()) state[slot.name + (momentum ? "/momentum" : "/mean")] = slot.mean;
    if (slot.square.defined()) state[slot.name + "/square"] = slot.square;
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
  const std::string hint = "resume with the optimiser and network that the run was started with";
  const std::map<std::string, at::Tensor> tensors = state_tensors();
  for (const auto& [name, tensor] : tensors) {
    const auto it = state.find(name);
    if (it == state.end() || it->second.element() != ElementType::float32 || sizes_of(it->second.shape()) != tensor.sizes())
      fail_with_hint("checkpoint", hint, "the optimiser's '{}' is {}", name, it == state.end() ? "missing" : "of another shape");
  }
  for (const auto& [name, array] : state)
    if (!tensors.contains(name)) fail_with_hint("checkpoint", hint, "the optimiser {} has no '{}'", options_.optimizer, name);
  for (const auto& [name, tensor] : tensors) tensor.copy_(view_of(state.at(name)));  // they share the slots' memory
  steps_ = steps;
}

}  // namespace micromind
