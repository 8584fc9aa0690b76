#include "micromind/train/fused/inverted_residual.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>

#include "micromind/train/fused/excite.h"
#include "micromind/train/fused/images.h"
#include "micromind/train/fused/moments.h"
#include "micromind/train/fused/norm_lines.h"
#include "micromind/train/fused/parts.h"
#include "micromind/train/fused/weights.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using F = micromind::Function;

constexpr Int kLargest = 1 << 17;  // floats of an expanded image

std::size_t index(Int i) { return static_cast<std::size_t>(i); }

// The counts of a block, its work in parts of images, and within a part in groups of images whose pixels make a matrix
// worth multiplying.
struct Sizes {
  Int images, in, mid, out;
  DepthwiseShape dw;

  Int pixels() const { return dw.height * dw.width; }
  Int out_pixels() const { return dw.out_height * dw.out_width; }
  Int group() const { return std::max<Int>(1, 128 / pixels()); }
  Int least() const { return std::max<Int>(group(), 256 / pixels()); }  ///< images of a part: each part has its own sums
  Int parts() const { return part_count(images, least()); }
  bool starts(Int part, Int image) const { return image == images * part / parts(); }

  /// Calls f(part, first image, images of the group, scratch of `floats` an image and those of a depthwise kernel).
  template <class Visit>
  void for_groups(Int floats, Visit&& visit) const {
    for_parts(images, mid * (pixels() * in + out_pixels() * out) / 4, [&](Int part, Int first, Int last) {
      const Int strip = depthwise_scratch(dw);
      const std::unique_ptr<float[]> scratch(new float[index(strip + std::min(group(), last - first) * floats)]);
      for (Int n = first; n < last; n += group()) visit(part, n, std::min(group(), last - n), scratch.get(), scratch.get() + strip);
    }, least());
  }
};

at::Tensor times_rows(const at::Tensor& weight, const float* scale) {
  at::Tensor result = at::empty_like(weight);
  const Int rows = weight.size(0), columns = weight.numel() / rows;
  const float* const in = data(weight);
  float* const out = result.data_ptr<float>();
  for (Int r = 0; r < rows; ++r)
    for (Int c = 0; c < columns; ++c) out[r * columns + c] = in[r * columns + c] * scale[r];
  return result;
}

// Weights [R, C, 1, 1] are matrices as they are.
void multiply(Int rows, Int columns, Int depth, const float* a, const at::Tensor& b, float* c, bool accumulate = false) {
  kernels().multiply(rows, columns, depth, a, depth, 1, data(b), columns, c, columns, accumulate);
}

// The input less its mean, so that the expanded image has mean 0, and what the first norm makes of that image.
struct Centre {
  at::Tensor one, minus;  ///< [C]: centred = one·x + minus
  at::Tensor spread;      ///< W·covariance [M, C] while training
  void apply(const float* x, Int rows, float* centred) const {
    kernels().channel_scale(x, rows, one.size(0), data(one), data(minus), centred);
  }
};

// Mean and variance of the expanded image from itself: for channels whose variance is a small difference.
void direct_variance(const Sizes& s, const Centre& centre, const at::Tensor& x, const at::Tensor& weight, std::vector<double>& variance) {
  PartStatistics statistics(s.parts(), s.mid);
  s.for_groups(s.pixels() * (s.in + s.mid), [&](Int part, Int n, Int count, float*, float* scratch) {
    const Int rows = count * s.pixels();
    float* const expanded = scratch + rows * s.in;
    centre.apply(data(x) + n * s.pixels() * s.in, rows, scratch);
    multiply(rows, s.mid, s.in, scratch, weight, expanded);
    statistics.add(part, expanded, rows);
  });
  std::vector<float> mean(index(s.mid));
  statistics.finish(mean.data(), variance);
}

Centre first_norm(const Sizes& s, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_turned, const InvertedResidual& b,
                  Lines& lines) {
  Centre centre{at::ones({s.in}, at::kFloat), at::zeros({s.in}, at::kFloat), {}};
  std::vector<double> variance(index(s.mid));
  float *const mean = b.first.running_mean.data_ptr<float>(), *const var = b.first.running_var.data_ptr<float>();
  if (!b.options.training) {
    std::copy_n(mean, s.mid, lines.mean());
    variance.assign(var, var + s.mid);
    set_scale(lines, variance, b.first.weight, b.first.bias, b.options.norm.eps);
    return centre;
  }
  const Moments moments = moments_of(x);
  for (Int i = 0; i < s.in; ++i) centre.minus.data_ptr<float>()[i] = static_cast<float>(-moments.mean[index(i)]);
  centre.spread = at::empty({s.mid, s.in}, at::kFloat);
  multiply(s.mid, s.in, s.in, data(weight), moments.covariance, centre.spread.data_ptr<float>());
  std::vector<double> means(index(s.mid));
  bool cancels = false;
  for (Int c = 0; c < s.mid; ++c) {
    const float *const w = data(weight) + c * s.in, *const t = data(centre.spread) + c * s.in;
    double sum = 0, terms = 0;
    for (Int i = 0; i < s.in; ++i) {
      means[index(c)] += w[i] * moments.mean[index(i)];
      sum += double{w[i]} * t[i];
      terms += double{w[i]} * w[i] * data(moments.covariance)[i * (s.in + 1)];
    }
    variance[index(c)] = std::max(0.0, sum);
    cancels |= sum < 1e-3 * terms;
    lines.mean()[c] = 0;
  }
  if (cancels) direct_variance(s, centre, x, weight_turned, variance);
  const double count = static_cast<double>(s.images * s.pixels());
  for (Int c = 0; c < s.mid; ++c) move_running(b.options.norm, count, means[index(c)], variance[index(c)], mean[c], var[c]);
  set_scale(lines, variance, b.first.weight, b.first.bias, b.options.norm.eps);
  return centre;
}

void second_norm(const Sizes& s, const PartStatistics& statistics, const InvertedResidual& b, Lines& lines) {
  std::vector<double> variance(index(s.mid));
  float *const mean = b.second.running_mean.data_ptr<float>(), *const var = b.second.running_var.data_ptr<float>();
  if (b.second_options.training) {
    statistics.finish(lines.mean(), variance);
    const double count = static_cast<double>(s.images * s.out_pixels());
    for (Int c = 0; c < s.mid; ++c) move_running(b.second_options.norm, count, lines.mean()[c], variance[index(c)], mean[c], var[c]);
  } else {
    std::copy_n(mean, s.mid, lines.mean());
    variance.assign(var, var + s.mid);
  }
  set_scale(lines, variance, b.second.weight, b.second.bias, b.second_options.norm.eps);
}

struct Block : torch::autograd::Function<Block> {
  static Sizes sizes_of(const at::Tensor& x, Int mid, Int out, const std::vector<Int>& v) {
    return {x.size(0), x.size(1), mid, out, {mid, x.size(2), x.size(3), v[0], v[1], v[2], v[3], v[4], v[5]}};
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& expand, const at::Tensor&, const at::Tensor&,
                            const at::Tensor& taps_of, const at::Tensor&, const at::Tensor&, const Maybe& reduce, const Maybe& reduce_bias, const Maybe& excite_weight,
                            const Maybe& excite_bias, const at::Tensor& project, const InvertedResidual& b) {
    const at::Tensor x = as_rows(input);
    const Padding& pad = b.conv.padding;
    const Int k = b.conv.kernel.h, stride = b.conv.stride.h;
    const std::vector<Int> shape = {(x.size(2) + pad.top + pad.bottom - k) / stride + 1, (x.size(3) + pad.left + pad.right - k) / stride + 1,
                                    k, stride, pad.top, pad.left};
    const Sizes s = sizes_of(x, expand.size(0), project.size(0), shape);
    const at::Tensor widen_turned = turned(expand), taps = turned(taps_of), narrow_turned = turned(project);
    const at::Tensor mask = b.first.mask;
    Lines first(s.mid), second(s.mid);
    const Centre centre = first_norm(s, x, expand, widen_turned, b, first);

    at::Tensor middle = new_image(s.images, s.mid, s.dw.out_height, s.dw.out_width);
    PartStatistics statistics(s.parts(), s.mid);
    s.for_groups(s.pixels() * (s.in + s.mid), [&](Int part, Int n, Int count, float* strip, float* centred) {
      const Int rows = count * s.pixels(), out_size = s.out_pixels() * s.mid;
      float *const expanded = centred + rows * s.in, *const y = middle.data_ptr<float>() + n * out_size;
      centre.apply(data(x) + n * s.pixels() * s.in, rows, centred);
      multiply(rows, s.mid, s.in, centred, widen_turned, expanded);
      for (Int i = 0; i < count; ++i) {
        const NormLine line = {first.scale(), first.offset(), mask.defined() ? data(mask) + (n + i) * s.mid : nullptr};
        kernels().depthwise_forward(s.dw, b.options.function, &line, expanded + i * s.pixels() * s.mid, data(taps), nullptr, y + i * out_size,
                                    strip);
      }
      if (b.second_options.training) statistics.add(part, y, count * s.out_pixels());
    });
    second_norm(s, statistics, b, second);

    const F f = b.second_options.function;
    Excitation e;
    if (b.excite.reduce.defined()) {
      at::Tensor mean = at::zeros({s.images, s.mid}, at::kFloat);
      s.for_groups(s.out_pixels() * s.mid, [&](Int, Int n, Int count, float*, float* active) {
        const Int rows = s.out_pixels();
        for (Int i = n; i < n + count; ++i) {
          kernels().norm_forward(f, data(middle) + i * rows * s.mid, active, rows, s.mid, {second.scale(), second.offset(), nullptr});
          kernels().channel_sums(active, rows, s.mid, mean.data_ptr<float>() + i * s.mid);
        }
      });
      e = excite(mean.div_(static_cast<double>(s.out_pixels())), b.excite, b.excite_function);
    }
    at::Tensor y = new_image(s.images, s.out, s.dw.out_height, s.dw.out_width);
    s.for_groups(s.out_pixels() * s.mid, [&](Int, Int n, Int count, float*, float* active) {
      gated(s, f, second, e, middle, n, count, active);
      multiply(count * s.out_pixels(), s.out, s.mid, active, narrow_turned, y.data_ptr<float>() + n * s.out_pixels() * s.out);
    });

    ctx->save_for_backward({x, expand, taps_of, project, first.tensor, second.tensor, mask, centre.one, centre.minus, centre.spread, middle,
                            value_or_none(reduce), value_or_none(reduce_bias), value_or_none(excite_weight), value_or_none(excite_bias),
                            e.mean, e.z, e.a, e.gate});
    ctx->saved_data["shape"] = shape;
    ctx->saved_data["functions"] = std::vector<Int>{static_cast<Int>(b.options.function), static_cast<Int>(f), static_cast<Int>(b.excite_function)};
    ctx->saved_data["training"] = b.options.training;
    ctx->saved_data["input"] = input.requires_grad();
    return y;
  }

  // What the last convolution reads, of `count` images from n on.
  static void gated(const Sizes& s, F f, const Lines& lines, const Excitation& e, const at::Tensor& middle, Int n, Int count, float* active) {
    const Int size = s.out_pixels() * s.mid;
    const float* const in = data(middle) + n * size;
    if (!e.gate.defined()) return kernels().norm_forward(f, in, active, count * s.out_pixels(), s.mid, {lines.scale(), lines.offset(), nullptr});
    for (Int i = 0; i < count; ++i)
      kernels().norm_forward(f, in + i * size, active + i * size, s.out_pixels(), s.mid,
                             {lines.scale(), lines.offset(), data(e.gate) + (n + i) * s.mid});
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list v = ctx->get_saved_variables();
    const at::Tensor &x = v[0], &expand = v[1], &taps_of = v[2], &project = v[3], &mask = v[6], &middle = v[10], dy = as_rows(gradients[0]);
    const Lines first(v[4]), second(v[5]);
    const Centre centre = {v[7], v[8], v[9]};
    const SqueezeWeights weights = {v[11], v[12], v[13], v[14]};
    const Excitation e = {v[15], v[16], v[17], v[18]};
    const std::vector<Int> functions = ctx->saved_data["functions"].toIntVector();
    const F f1 = static_cast<F>(functions[0]), f2 = static_cast<F>(functions[1]), f3 = static_cast<F>(functions[2]);
    const bool training = ctx->saved_data["training"].toBool(), wants_input = ctx->saved_data["input"].toBool();
    const Sizes s = sizes_of(x, expand.size(0), project.size(0), ctx->saved_data["shape"].toIntVector());

    // The last convolution, squeeze-and-excite, and the second norm up to its sums.
    const Int size = s.out_pixels() * s.mid;
    at::Tensor dz = new_image_like(middle), of_project = at::empty({s.parts(), s.mid, s.out}, at::kFloat);
    at::Tensor dgate = e.gate.defined() ? at::zeros({s.images, s.mid}, at::kFloat) : at::Tensor();
    std::vector<double> sums(index(2 * s.mid * s.parts()), 0.0);
    const auto through_norm = [&](Int part, Int n, Int images, const float* gate, const float* level) {
      double* const sum = sums.data() + 2 * s.mid * part;
      kernels().norm_backward_through(f2, data(middle) + n * size, dz.data_ptr<float>() + n * size, images * s.out_pixels(), s.mid,
                                      {second.scale(), second.offset(), gate}, level, second.mean(), sum, sum + s.mid);
    };
    s.for_groups(size, [&](Int part, Int n, Int count, float*, float* active) {
      const Int rows = count * s.out_pixels();
      const float* const d = data(dy) + n * s.out_pixels() * s.out;
      float* const da = dz.data_ptr<float>() + n * size;
      multiply(rows, s.mid, s.out, d, project, da);
      gated(s, f2, second, e, middle, n, count, active);
      add_product(of_project, part, !s.starts(part, n), rows, active, s.mid, d, s.out);
      if (!e.gate.defined()) return through_norm(part, n, count, nullptr, nullptr);
      for (Int i = 0; i < count; ++i)  // Σ da·gate·a, of which σ's own gradient takes the share 1 − gate
        kernels().channel_products(active + i * size, da + i * size, s.out_pixels(), s.mid, dgate.data_ptr<float>() + (n + i) * s.mid);
    });
    ExcitationGradients of_excite;
    if (e.gate.defined()) {
      of_excite = excite_backward(e, weights, f3, dgate.mul_(1 - e.gate));
      const at::Tensor level = of_excite.mean.div(static_cast<double>(s.out_pixels()));
      s.for_groups(0, [&](Int part, Int n, Int count, float*, float*) {
        for (Int i = n; i < n + count; ++i) through_norm(part, i, 1, data(e.gate) + i * s.mid, data(level) + i * s.mid);
      });
    }
    const NormGradients of_second = finish(sums, second, s.images * s.out_pixels(), training);

    // The second norm's gradient, the depthwise convolution, the first norm up to its sums, the first convolution.
    const at::Tensor taps = turned(taps_of), widen_turned = turned(expand), scaled = times_rows(expand, first.scale());
    at::Tensor of_taps = at::zeros({s.parts(), s.dw.kernel * s.dw.kernel, s.mid}, at::kFloat);
    at::Tensor of_expand = at::empty({s.parts(), s.in, s.mid}, at::kFloat), dx = wants_input ? new_image_like(x) : at::Tensor();
    std::fill(sums.begin(), sums.end(), 0.0);
    s.for_groups(s.pixels() * (s.in + 2 * s.mid) + size, [&](Int part, Int n, Int count, float* strip, float* centred) {
      const Int rows = count * s.pixels(), each = s.pixels() * s.mid;
      float *const expanded = centred + rows * s.in, *const dh = expanded + rows * s.mid, *const d = dh + rows * s.mid;
      double* const sum = sums.data() + 2 * s.mid * part;
      kernels().norm_backward(F::none, data(middle) + n * size, data(dz) + n * size, d, count * s.out_pixels(), s.mid,
                              {second.scale(), second.offset(), nullptr}, of_second.slope(), of_second.level());
      centre.apply(data(x) + n * s.pixels() * s.in, rows, centred);
      multiply(rows, s.mid, s.in, centred, widen_turned, expanded);
      for (Int i = 0; i < count; ++i) {
        const float* const image = expanded + i * each;
        const NormLine line = {first.scale(), first.offset(), mask.defined() ? data(mask) + (n + i) * s.mid : nullptr};
        const NormGradient norm = {f1, line, first.mean(), image, sum, sum + s.mid};
        kernels().depthwise_backward_weight(s.dw, f1, &line, image, d + i * size,
                                            of_taps.data_ptr<float>() + part * s.dw.kernel * s.dw.kernel * s.mid, strip);
        kernels().depthwise_backward_input(s.dw, &norm, d + i * size, data(taps), dh + i * each, strip);
      }
      add_product(of_expand, part, !s.starts(part, n), rows, centred, s.in, dh, s.mid);
      if (wants_input) multiply(rows, s.in, s.mid, dh, scaled, dx.data_ptr<float>() + n * s.pixels() * s.in);
    });
    const NormGradients of_first = finish(sums, first, s.images * s.pixels(), training);
    std::vector<float> more(index(s.mid));
    for (Int c = 0; c < s.mid; ++c) more[index(c)] = of_first.slope()[c] * static_cast<float>(s.images * s.pixels());
    if (training && wants_input) add_through_statistics(s, centre, x, expand, of_first, dx);
    return {dx, add_up_turned(of_expand, expand, first.scale(), training ? more.data() : nullptr, data(centre.spread)), of_first.weight, of_first.bias,
            add_up_turned(of_taps, taps_of), of_second.weight, of_second.bias, of_excite.reduce, of_excite.reduce_bias, of_excite.expand,
            of_excite.expand_bias, add_up_turned(of_project, project), {}};
  }

  // sum[part] (+)= aᵀ·b.
  static void add_product(at::Tensor& sum, Int part, bool accumulate, Int rows, const float* a, Int m, const float* b, Int n) {
    constexpr Int kTile = 128;  // rows that stay in the cache while the product walks over their channels
    for (Int r = 0; r < rows; r += kTile)
      kernels().multiply(m, n, std::min(kTile, rows - r), a + r * m, 1, m, b + r * n, n, sum.data_ptr<float>() + part * m * n, n,
                         accumulate || r > 0);
  }

  // dx += Wᵀ·diag(slope)·W·(x − mean) + Wᵀ·level.
  static void add_through_statistics(const Sizes& s, const Centre& centre, const at::Tensor& x, const at::Tensor& widen, const NormGradients& g,
                                     at::Tensor& dx) {
    const at::Tensor sloped = times_rows(widen, g.slope());
    at::Tensor through = at::empty({s.in, s.in}, at::kFloat), level = at::empty({s.in}, at::kFloat);
    multiply(1, s.in, s.mid, g.level(), widen, level.data_ptr<float>());
    kernels().multiply(s.in, s.in, s.mid, data(widen), 1, s.in, data(sloped), s.in, data(through), s.in, false);
    s.for_groups(s.pixels() * s.in, [&](Int, Int n, Int count, float*, float* centred) {
      const Int rows = count * s.pixels();
      float* const out = dx.data_ptr<float>() + n * s.pixels() * s.in;
      centre.apply(data(x) + n * s.pixels() * s.in, rows, centred);
      multiply(rows, s.in, s.in, centred, through, out, true);
      kernels().channel_scale(out, rows, s.in, data(centre.one), data(level), out);
    });
  }
};

}  // namespace

bool inverted_residual_fits(Int channels, Int pixels) { return channels * pixels <= kLargest; }

at::Tensor inverted_residual(const at::Tensor& x, const InvertedResidual& b) {
  return Block::apply(x, b.expand.contiguous(), b.first.weight, b.first.bias, b.depthwise.contiguous(), b.second.weight, b.second.bias, maybe(b.excite.reduce),
                      maybe(b.excite.reduce_bias), maybe(b.excite.expand), maybe(b.excite.expand_bias), b.project.contiguous(), b);
}

}  // namespace micromind::fused
