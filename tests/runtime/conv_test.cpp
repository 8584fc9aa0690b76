// Convolutions and the linear layer against loops written from the definition, on random shapes, strides,
// dilations, paddings (windows wholly in the padding included), groups, zero points, biases, factors and
// limits.
#include <gtest/gtest.h>

#include <tuple>

#include "runtime/kernels/conv2d_s8.h"
#include "runtime/kernels/depthwise_conv2d_s8.h"
#include "runtime/kernels/linear_s8.h"
#include "tests/runtime/naive.h"

namespace micromind {
namespace {

using naive::pick;

struct Case {
  std::vector<std::int8_t> input, weights;
  std::vector<std::int32_t> bias, multiplier;
  std::vector<std::int8_t> shift;

  template <class Params>
  void scales(Random& random, Params& p, int channels, int terms) {
    bias = naive::biases(random, channels);
    for (int o = 0; o < channels; ++o) {
      multiplier.push_back(naive::multiplier(random));
      shift.push_back(static_cast<std::int8_t>(naive::shift(random, terms * 2000.0)));
    }
    p.input_offset = pick(random, -127, 128);
    p.output_offset = pick(random, -128, 127);
    naive::limits(random, &p.act_min, &p.act_max);
    p.weights = weights.data();
    p.bias = bias.empty() ? nullptr : bias.data();
    p.multiplier = multiplier.data();
    p.shift = shift.data();
  }
};

template <class Params>
std::int8_t finish(const Params& p, int o, std::int64_t sum) {
  return naive::finish(sum + (p.bias ? p.bias[o] : 0), p.multiplier[o], p.shift[o], p.output_offset,
                       p.act_min, p.act_max);
}

int output_size(int in, int kernel, int stride, int dilation, int padding) {
  return std::max(1, (in + padding - dilation * (kernel - 1) - 1) / stride + 1);
}

template <class Params>
void random_geometry(Random& random, Params& p) {
  p.in_h = pick(random, 1, 9);
  p.in_w = pick(random, 1, 9);
  p.kernel_h = pick(random, 1, 5);
  p.kernel_w = pick(random, 1, 5);
  p.stride_h = pick(random, 1, 3);
  p.stride_w = pick(random, 1, 3);
  p.dilation_h = random.below(3) == 0 ? pick(random, 2, 3) : 1;
  p.dilation_w = random.below(3) == 0 ? pick(random, 2, 3) : 1;
  p.pad_top = pick(random, 0, p.kernel_h + 1);
  p.pad_left = pick(random, 0, p.kernel_w + 1);
  p.out_h =
      output_size(p.in_h, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top + pick(random, 0, p.kernel_h + 1));
  p.out_w =
      output_size(p.in_w, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left + pick(random, 0, p.kernel_w + 1));
}

std::vector<std::int8_t> naive_conv2d(const mm_conv2d_s8_params& p, const std::vector<std::int8_t>& input) {
  std::vector<std::int8_t> output;
  const int depth = p.in_c / p.groups;
  for (int y = 0; y < p.out_h; ++y)
    for (int x = 0; x < p.out_w; ++x)
      for (int o = 0; o < p.out_c; ++o) {
        std::int64_t sum = 0;
        for (int ky = 0; ky < p.kernel_h; ++ky)
          for (int kx = 0; kx < p.kernel_w; ++kx)
            for (int i = 0; i < depth; ++i) {
              const int row = y * p.stride_h - p.pad_top + ky * p.dilation_h;
              const int column = x * p.stride_w - p.pad_left + kx * p.dilation_w;
              if (row < 0 || row >= p.in_h || column < 0 || column >= p.in_w) continue;
              const int channel = o / (p.out_c / p.groups) * depth + i;
              const auto at = static_cast<std::size_t>((row * p.in_w + column) * p.in_c + channel);
              sum += (input.at(at) + p.input_offset) *
                     p.weights[((o * p.kernel_h + ky) * p.kernel_w + kx) * depth + i];
            }
        output.push_back(finish(p, o, sum));
      }
  return output;
}

void check_conv2d(Random& random, mm_conv2d_s8_params p, int i) {
  Case c;
  c.input = naive::bytes(random, static_cast<std::size_t>(p.in_h * p.in_w * p.in_c));
  const int filter = p.kernel_h * p.kernel_w * p.in_c / p.groups;
  c.weights = naive::bytes(random, static_cast<std::size_t>(p.out_c * filter));
  c.scales(random, p, p.out_c, filter);
  naive::Output output(static_cast<std::size_t>(p.out_h * p.out_w * p.out_c));
  mm_conv2d_s8(&p, c.input.data(), output.data());
  ASSERT_TRUE(output.guarded()) << "case " << i;
  ASSERT_EQ(output.values(), naive_conv2d(p, c.input))
      << "case " << i << ": " << p.in_h << 'x' << p.in_w << 'x' << p.in_c << " -> " << p.out_c << " kernel "
      << p.kernel_h << 'x' << p.kernel_w << " stride " << p.stride_h << ',' << p.stride_w << " dilation "
      << p.dilation_h << ',' << p.dilation_w << " pad " << p.pad_top << ',' << p.pad_left << " groups "
      << p.groups;
}

TEST(Conv2d, IsItsDefinition) {
  Random random(21);
  for (int i = 0; i < 1500 && !HasFatalFailure(); ++i) {
    mm_conv2d_s8_params p{};
    random_geometry(random, p);
    p.groups = random.below(2) != 0 ? 1 : pick(random, 2, 4);
    p.in_c = p.groups * pick(random, 1, 24);
    p.out_c = p.groups * pick(random, 1, 10);
    check_conv2d(random, p, i);
  }
}

TEST(Conv2d, PointwisePathIsItsDefinition) {
  Random random(22);
  for (int i = 0; i < 500 && !HasFatalFailure(); ++i) {
    mm_conv2d_s8_params p{};
    p.in_h = p.out_h = pick(random, 1, 7);
    p.in_w = p.out_w = pick(random, 1, 7);
    p.kernel_h = p.kernel_w = p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = p.groups = 1;
    p.in_c = pick(random, 1, 130);
    p.out_c = pick(random, 1, 19);
    ASSERT_TRUE(mm_conv2d_s8_is_pointwise(&p));
    check_conv2d(random, p, i);
  }
}

TEST(Conv2d, OnePixelKernelsThatAreNotPointwiseTakeTheGeneralPath) {
  mm_conv2d_s8_params p{};
  p.in_h = p.out_h = p.in_w = p.out_w = 4;
  p.kernel_h = p.kernel_w = p.stride_h = p.stride_w = p.groups = 1;
  EXPECT_TRUE(mm_conv2d_s8_is_pointwise(&p));
  auto strided = p, padded = p, grouped = p, smaller = p;
  strided.stride_w = 2;
  padded.pad_left = 1;
  grouped.groups = 2;
  smaller.out_h = 3;
  for (const auto& q : {strided, padded, grouped, smaller}) EXPECT_FALSE(mm_conv2d_s8_is_pointwise(&q));
}

TEST(Conv2d, LongSumsStayExact) {  // every product at its largest magnitude, 65,536 terms
  mm_conv2d_s8_params p{};
  p.in_h = p.in_w = p.kernel_h = p.kernel_w = 16;
  p.in_c = 256;
  p.out_h = p.out_w = p.out_c = p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = p.groups = 1;
  const std::vector<std::int8_t> input(65536, 127), weights(65536, -128);
  const std::int32_t multiplier = 1 << 30;
  const std::int8_t shift = -23;
  p.input_offset = 128;
  p.act_min = -128;
  p.act_max = 127;
  p.weights = weights.data();
  p.multiplier = &multiplier;
  p.shift = &shift;
  std::int8_t output = 0;
  mm_conv2d_s8(&p, input.data(), &output);
  EXPECT_EQ(output, naive::requantize(std::int64_t{65536} * 255 * -128, multiplier, shift));
  EXPECT_EQ(output, -128);  // -2139095040 / 2^24 = -127.5, a tie
}

std::vector<std::int8_t> naive_depthwise(const mm_depthwise_conv2d_s8_params& p,
                                         const std::vector<std::int8_t>& input) {
  std::vector<std::int8_t> output;
  for (int y = 0; y < p.out_h; ++y)
    for (int x = 0; x < p.out_w; ++x)
      for (int o = 0; o < p.out_c; ++o) {
        std::int64_t sum = 0;
        for (int ky = 0; ky < p.kernel_h; ++ky)
          for (int kx = 0; kx < p.kernel_w; ++kx) {
            const int row = y * p.stride_h - p.pad_top + ky * p.dilation_h;
            const int column = x * p.stride_w - p.pad_left + kx * p.dilation_w;
            if (row < 0 || row >= p.in_h || column < 0 || column >= p.in_w) continue;
            const int channel = o / (p.out_c / p.in_c);
            const auto at = static_cast<std::size_t>((row * p.in_w + column) * p.in_c + channel);
            sum += (input.at(at) + p.input_offset) * p.weights[(ky * p.kernel_w + kx) * p.out_c + o];
          }
        output.push_back(finish(p, o, sum));
      }
  return output;
}

TEST(DepthwiseConv2d, IsItsDefinition) {
  Random random(23);
  for (int i = 0; i < 1500; ++i) {
    mm_depthwise_conv2d_s8_params p{};
    random_geometry(random, p);
    p.in_c = pick(random, 1, 40);
    p.out_c = p.in_c * (random.below(3) == 0 ? pick(random, 2, 4) : 1);
    Case c;
    c.input = naive::bytes(random, static_cast<std::size_t>(p.in_h * p.in_w * p.in_c));
    c.weights = naive::bytes(random, static_cast<std::size_t>(p.out_c * p.kernel_h * p.kernel_w));
    c.scales(random, p, p.out_c, p.kernel_h * p.kernel_w);
    naive::Output output(static_cast<std::size_t>(p.out_h * p.out_w * p.out_c));
    mm_depthwise_conv2d_s8(&p, c.input.data(), output.data());
    ASSERT_TRUE(output.guarded()) << "case " << i;
    ASSERT_EQ(output.values(), naive_depthwise(p, c.input)) << "case " << i;
  }
}

TEST(Linear, IsItsDefinition) {
  Random random(24);
  for (int i = 0; i < 600; ++i) {
    mm_linear_s8_params p{};
    p.in_features = pick(random, 1, 300);
    p.out_features = pick(random, 1, 21);
    p.per_channel = pick(random, 0, 1);
    Case c;
    c.input = naive::bytes(random, static_cast<std::size_t>(p.in_features));
    c.weights = naive::bytes(random, static_cast<std::size_t>(p.in_features * p.out_features));
    c.scales(random, p, p.out_features, p.in_features);
    naive::Output output(static_cast<std::size_t>(p.out_features));
    mm_linear_s8(&p, c.input.data(), output.data());
    ASSERT_TRUE(output.guarded());
    std::vector<std::int8_t> expected;
    for (int o = 0; o < p.out_features; ++o) {
      std::int64_t sum = p.bias ? p.bias[o] : 0;
      for (int k = 0; k < p.in_features; ++k) {
        sum += (c.input[static_cast<std::size_t>(k)] + p.input_offset) * p.weights[o * p.in_features + k];
      }
      const int s = p.per_channel ? o : 0;
      expected.push_back(
          naive::finish(sum, p.multiplier[s], p.shift[s], p.output_offset, p.act_min, p.act_max));
    }
    ASSERT_EQ(output.values(), expected) << "case " << i;
  }
}

}  // namespace
}  // namespace micromind
