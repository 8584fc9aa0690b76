#include "micromind/train/fused/winograd.h"

#include <torch/csrc/autograd/custom_function.h>

#include <memory>

#include "micromind/train/fused/images.h"
#include "micromind/train/fused/parts.h"
#include "micromind/train/fused/weights.h"

namespace micromind::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr Int kPlaces = 16;       // of a transformed tile
constexpr Int kLeastTiles = 64;   // of a part
constexpr Int kMostTiles = 128;    // in the second cache at a time, with
constexpr Int kColumns = 64;      // output channels at a time

// Floats from one place to the next: not a power of two, which would send all places to the same lines of the first cache.
Int pitch_of(Int size) { return (size + 15) / 16 * 16 + 16; }

struct Convolution {
  Int images, in, out;
  TileShape x, y;
  Int tiles, pitch;  ///< of an image; between the places of the weights
  Convolution(const at::Tensor& input, const at::Tensor& weight)
      : images(input.size(0)), in(weight.size(1)), out(weight.size(0)), x{in, input.size(2), input.size(3)},
        y{out, input.size(2), input.size(3)}, tiles(x.rows() * x.columns()),
        pitch(pitch_of(in * out)) {}

  Int least_images() const { return (kLeastTiles + tiles - 1) / tiles; }
  Int parts() const { return part_count(images, least_images()); }
  Int in_size() const { return x.height * x.width * in; }
  Int out_size() const { return y.height * y.width * out; }

  Int most_images() const { return std::max<Int>(1, kMostTiles / tiles); }

  /// Calls f(part, first image, last image).
  template <class F>
  void for_parts_of_images(F&& f) const {
    for_parts(images, tiles * in * out, f, least_images());
  }
};

// Whole lines of the cache.
class Buffer {
 public:
  explicit Buffer(Int size) : memory_(new float[static_cast<std::size_t>(size + kLine)]) {}
  float* begin() const { return memory_.get() + (kLine - reinterpret_cast<std::uintptr_t>(memory_.get()) / sizeof(float) % kLine) % kLine; }

 private:
  static constexpr Int kLine = 16;
  std::unique_ptr<float[]> memory_;
};

// [rows, 9, columns] → 16 times [rows, columns].
at::Tensor places_of(const float* weight, Int rows, Int row_step, Int place_step, Int columns) {
  const Int pitch = pitch_of(rows * columns);
  at::Tensor places = at::empty({kPlaces, pitch}, at::kFloat);
  float* const out = places.data_ptr<float>();
  for_parts(rows, kPlaces * columns, [&](Int, Int first, Int last) {
    for (Int r = first; r < last; ++r) kernels().weight_places(weight + r * row_step, place_step, columns, out + r * columns, pitch);
  });
  return places;
}

struct Winograd : torch::autograd::Function<Winograd> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, const Maybe& channel_bias) {
    const at::Tensor bias = value_or_none(channel_bias), x = as_rows(input), rows = as_rows(weight);
    const Convolution s(x, weight);
    const at::Tensor columns = turned(rows.permute({0, 2, 3, 1}));  // [9·in, out]
    const at::Tensor u = places_of(data(columns), s.in, s.out, s.in * s.out, s.out);
    at::Tensor y = new_image(s.images, s.out, s.y.height, s.y.width);
    const Int most = s.most_images();
    s.for_parts_of_images([&](Int, Int begin, Int end) {
      const Int tiles = std::min(most, end - begin) * s.tiles, width = std::min(kColumns, s.out);
      const Buffer scratch(kPlaces * (pitch_of(tiles * s.in) + pitch_of(tiles * width)));
      float *const v = scratch.begin(), *const m = v + kPlaces * pitch_of(tiles * s.in);
      for (Int first = begin; first < end; first += most) {
        const Int images = std::min(most, end - first), count = images * s.tiles, pitch = pitch_of(count * s.in);
        for (Int i = 0; i < images; ++i) kernels().tiles_of_input(s.x, data(x) + (first + i) * s.in_size(), v + i * s.tiles * s.in, pitch);
        for (Int j = 0; j < s.out; j += kColumns) {
          const Int some = std::min(kColumns, s.out - j), some_pitch = pitch_of(count * some);
          for (Int f = 0; f < kPlaces; ++f)
            kernels().multiply(count, some, s.in, v + f * pitch, s.in, 1, data(u) + f * s.pitch + j, s.out, m + f * some_pitch, some, false);
          for (Int i = 0; i < images; ++i)
            kernels().tiles_to_output(s.y, m + i * s.tiles * some, some_pitch, some, y.data_ptr<float>() + (first + i) * s.out_size() + j);
        }
      }
    });
    if (bias.defined()) y.add_(bias.view({1, s.out, 1, 1}));
    ctx->save_for_backward({x, weight});
    ctx->saved_data["bias"] = bias.defined();
    ctx->saved_data["input"] = input.requires_grad();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], dy = as_rows(gradients[0]), weight = as_rows(saved[1]);
    const Convolution s(x, weight);
    const bool wants_input = ctx->saved_data["input"].toBool();
    const at::Tensor u = wants_input ? places_of(data(weight), s.out, 9 * s.in, s.in, s.in) : at::Tensor();  // [16, out, in]
    at::Tensor dx = wants_input ? new_image_like(x) : at::Tensor();
    // The weights' gradient, [16, out, in] or turned: its columns are the channels that fill whole vectors better.
    const bool turn = better_turned(s.out, s.in);
    const Int size = kPlaces * s.pitch;
    at::Tensor sums = at::empty({s.parts(), size}, at::kFloat);
    const Int most = s.most_images();
    s.for_parts_of_images([&](Int part, Int begin, Int end) {
      const Int tiles = std::min(most, end - begin) * s.tiles, width = std::min(kColumns, s.out);
      const Int each = kPlaces * pitch_of(tiles * s.in);
      const Buffer scratch(2 * each + kPlaces * pitch_of(tiles * width));
      float *const v = scratch.begin(), *const dv = v + each, *const dm = dv + each;
      float* const du = sums.data_ptr<float>() + part * size;
      for (Int first = begin; first < end; first += most) {
        const Int images = std::min(most, end - first), count = images * s.tiles, pitch = pitch_of(count * s.in);
        const bool more = first > begin;
        for (Int i = 0; i < images; ++i) kernels().tiles_of_input(s.x, data(x) + (first + i) * s.in_size(), v + i * s.tiles * s.in, pitch);
        for (Int j = 0; j < s.out; j += kColumns) {
          const Int some = std::min(kColumns, s.out - j), some_pitch = pitch_of(count * some);
          for (Int i = 0; i < images; ++i)
            kernels().tiles_of_output_gradient(s.y, data(dy) + (first + i) * s.out_size() + j, some, dm + i * s.tiles * some, some_pitch);
          for (Int f = 0; f < kPlaces; ++f) {
            const float *const at_v = v + f * pitch, *const at_dm = dm + f * some_pitch;
            float* const to = du + f * s.pitch;
            if (turn) kernels().multiply(s.in, some, count, at_v, 1, s.in, at_dm, some, to + j, s.out, more);
            else kernels().multiply(some, s.in, count, at_dm, 1, some, at_v, s.in, to + j * s.in, s.in, more);
            if (wants_input)
              kernels().multiply(count, s.in, some, at_dm, some, 1, data(u) + f * s.pitch + j * s.in, s.in, dv + f * pitch, s.in, j > 0);
          }
        }
        for (Int i = 0; wants_input && i < images; ++i)
          kernels().tiles_to_input_gradient(s.x, dv + i * s.tiles * s.in, pitch, dx.data_ptr<float>() + (first + i) * s.in_size());
      }
    });
    return {dx, weight_gradient(sums, s, turn), ctx->saved_data["bias"].toBool() ? dy.sum({0, 2, 3}) : at::Tensor()};
  }

  static at::Tensor weight_gradient(at::Tensor& sums, const Convolution& s, bool turn) {
    const float* const du = add_parts(sums);
    at::Tensor dw = new_image(s.out, s.in, 3, 3);
    at::Tensor columns = turn ? at::empty({9 * s.in, s.out}, at::kFloat) : at::Tensor();
    float* const to = turn ? columns.data_ptr<float>() : dw.data_ptr<float>();
    const Int rows = turn ? s.in : s.out, width = turn ? s.out : s.in, row_step = turn ? s.out : 9 * s.in;
    for_parts(rows, kPlaces * width, [&](Int, Int first, Int last) {
      for (Int r = first; r < last; ++r)
        kernels().weight_gradient_of_places(du + r * width, s.pitch, width, to + r * row_step, turn ? s.in * s.out : s.in);
    });
    if (turn) turn_to(columns.data_ptr<float>(), 9 * s.in, s.out, dw.data_ptr<float>());
    return dw;
  }
};

}  // namespace

bool winograd_applies(const Conv2d& conv, Int channels) {
  return conv.kernel == Size(3) && conv.stride == Size(1) && conv.padding == Padding(1) && conv.groups == 1 && conv.dilation == Size(1) &&
         conv.activation == Function::none && channels >= 4 && conv.out_channels >= 16;
}

at::Tensor winograd(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) { return Winograd::apply(x, weight, maybe(bias)); }

}  // namespace micromind::fused
