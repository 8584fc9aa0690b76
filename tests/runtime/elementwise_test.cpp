// Sums, products, tables and the operators that only move bytes, against their definitions.
#include <gtest/gtest.h>

#include "micromind/quantize/fixed_point.h"
#include "runtime/kernels/add_s8.h"
#include "runtime/kernels/concat_s8.h"
#include "runtime/kernels/mul_s8.h"
#include "runtime/kernels/pad_s8.h"
#include "runtime/kernels/split_s8.h"
#include "runtime/kernels/table_s8.h"
#include "runtime/kernels/upsample_nearest2d_s8.h"
#include "tests/runtime/naive.h"

namespace micromind {
namespace {

using naive::pick;
using Bytes8 = std::vector<std::int8_t>;

std::size_t size(int n) {
  return static_cast<std::size_t>(n);
}

mm_add_s8_params random_add(Random& random, float* scales) {
  mm_add_s8_params p{};
  for (int i = 0; i < 3; ++i) scales[i] = random.uniform(0.001f, 0.2f);
  const AddFactors f = add_factors(scales[0], scales[1], scales[2]);
  p.count = pick(random, 1, 200);
  p.input1_offset = pick(random, -127, 128);
  p.input2_offset = pick(random, -127, 128);
  p.output_offset = pick(random, -128, 127);
  p.input1_multiplier = f.input1.multiplier;
  p.input1_shift = f.input1.shift;
  p.input2_multiplier = f.input2.multiplier;
  p.input2_shift = f.input2.shift;
  p.output_multiplier = f.output.multiplier;
  p.output_shift = f.output.shift;
  p.left_shift = f.left_shift;
  naive::limits(random, &p.act_min, &p.act_max);
  return p;
}

std::int8_t naive_add(const mm_add_s8_params& p, int a, int b) {
  const std::int64_t room = std::int64_t{1} << p.left_shift;
  const std::int64_t sum =
      naive::requantize((a + p.input1_offset) * room, p.input1_multiplier, p.input1_shift) +
      naive::requantize((b + p.input2_offset) * room, p.input2_multiplier, p.input2_shift);
  return naive::finish(sum, p.output_multiplier, p.output_shift, p.output_offset, p.act_min, p.act_max);
}

TEST(Add, IsItsDefinitionAlsoInPlace) {
  Random random(41);
  float scales[3];
  for (int i = 0; i < 500; ++i) {
    const auto p = random_add(random, scales);
    const auto a = naive::bytes(random, size(p.count)), b = naive::bytes(random, size(p.count));
    Bytes8 expected;
    for (std::size_t k = 0; k < a.size(); ++k) expected.push_back(naive_add(p, a[k], b[k]));
    naive::Output output(size(p.count));
    mm_add_s8(&p, a.data(), b.data(), output.data());
    ASSERT_TRUE(output.guarded());
    ASSERT_EQ(output.values(), expected) << "case " << i;
    Bytes8 first = a, second = b;
    mm_add_s8(&p, first.data(), b.data(), first.data());
    mm_add_s8(&p, a.data(), second.data(), second.data());
    ASSERT_EQ(first, expected);
    ASSERT_EQ(second, expected);
  }
}

TEST(Add, IsTheSumOfReals) {
  Random random(42);
  float scales[3];
  for (int i = 0; i < 200; ++i) {
    auto p = random_add(random, scales);
    p.count = 1;
    p.act_min = -128;
    p.act_max = 127;
    const auto a = static_cast<std::int8_t>(pick(random, -128, 127)),
               b = static_cast<std::int8_t>(pick(random, -128, 127));
    std::int8_t output = 0;
    mm_add_s8(&p, &a, &b, &output);
    const double real = scales[0] * (a + p.input1_offset) + scales[1] * (b + p.input2_offset);
    EXPECT_NEAR(output, std::clamp(real / scales[2] + p.output_offset, -128.0, 127.0), 0.51);
  }
}

TEST(Mul, IsItsDefinitionWithEveryBroadcast) {
  Random random(43);
  for (int i = 0; i < 800; ++i) {
    mm_mul_s8_params p{};
    p.out_h = pick(random, 1, 6);
    p.out_w = pick(random, 1, 6);
    p.out_c = pick(random, 1, 12);
    // Each axis of each input is whole or repeated.
    const auto strides = [&](std::int32_t* h, std::int32_t* w, std::int32_t* c) {
      const bool whole_h = random.below(2) != 0, whole_w = random.below(2) != 0,
                 whole_c = random.below(3) != 0;
      const int channels = whole_c ? p.out_c : 1, columns = whole_w ? p.out_w : 1;
      *c = whole_c ? 1 : 0;
      *w = whole_w ? channels : 0;
      *h = whole_h ? channels * columns : 0;
      return size(channels * columns * (whole_h ? p.out_h : 1));
    };
    const auto a = naive::bytes(random, strides(&p.stride1_h, &p.stride1_w, &p.stride1_c));
    const auto b = naive::bytes(random, strides(&p.stride2_h, &p.stride2_w, &p.stride2_c));
    p.input1_offset = pick(random, -127, 128);
    p.input2_offset = pick(random, -127, 128);
    p.output_offset = pick(random, -128, 127);
    p.multiplier = naive::multiplier(random);
    p.shift = naive::shift(random, 16000);
    naive::limits(random, &p.act_min, &p.act_max);
    Bytes8 expected;
    for (int y = 0; y < p.out_h; ++y)
      for (int x = 0; x < p.out_w; ++x)
        for (int c = 0; c < p.out_c; ++c) {
          const int u = a.at(size(y * p.stride1_h + x * p.stride1_w + c * p.stride1_c)) + p.input1_offset;
          const int v = b.at(size(y * p.stride2_h + x * p.stride2_w + c * p.stride2_c)) + p.input2_offset;
          expected.push_back(
              naive::finish(u * v, p.multiplier, p.shift, p.output_offset, p.act_min, p.act_max));
        }
    naive::Output output(expected.size());
    mm_mul_s8(&p, a.data(), b.data(), output.data());
    ASSERT_TRUE(output.guarded());
    ASSERT_EQ(output.values(), expected) << "case " << i;
    if (a.size() == expected.size()) {
      Bytes8 in_place = a;
      mm_mul_s8(&p, in_place.data(), b.data(), in_place.data());
      ASSERT_EQ(in_place, expected) << "case " << i;
    }
  }
}

TEST(Table, LooksUpEveryByteAlsoInPlace) {
  Random random(44);
  const auto table = naive::bytes(random, 256);
  Bytes8 data(256), expected = table;
  for (int x = -128; x < 128; ++x) data[size(x + 128)] = static_cast<std::int8_t>(x);
  const mm_table_s8_params p = {256, table.data()};
  mm_table_s8(&p, data.data(), data.data());
  EXPECT_EQ(data, expected);
}

struct Shape {
  int h, w, c;
  int count() const { return h * w * c; }
  std::size_t at(int y, int x, int channel) const { return size((y * w + x) * c + channel); }
  int& axis(int i) { return i == 0 ? h : i == 1 ? w : c; }
  int outer(int i) const { return i == 0 ? 1 : i == 1 ? h : h * w; }
  int inner(int i) const { return count() / outer(i); }
};

TEST(ConcatAndSplit, MoveEveryByteAlongEveryAxis) {
  Random random(45);
  for (int i = 0; i < 400; ++i) {
    const int axis = pick(random, 0, 2), parts = pick(random, 1, 4);
    Shape whole = {pick(random, 1, 5), pick(random, 1, 5), pick(random, 1, 7)};
    std::vector<Shape> shapes(size(parts), whole);
    whole.axis(axis) = 0;
    for (auto& shape : shapes) whole.axis(axis) += shape.axis(axis) = pick(random, 1, 6);
    std::vector<Bytes8> inputs;
    naive::Output output(size(whole.count()));
    Bytes8 expected(size(whole.count()));
    int start = 0, offset = 0;
    for (auto& shape : shapes) {
      inputs.push_back(naive::bytes(random, size(shape.count())));
      const mm_concat_s8_params p = {whole.outer(axis), shape.inner(axis), whole.inner(axis), start};
      mm_concat_s8(&p, inputs.back().data(), output.data());
      for (int y = 0; y < shape.h; ++y)
        for (int x = 0; x < shape.w; ++x)
          for (int c = 0; c < shape.c; ++c) {
            expected.at(whole.at(y + (axis == 0 ? offset : 0), x + (axis == 1 ? offset : 0),
                                 c + (axis == 2 ? offset : 0))) = inputs.back().at(shape.at(y, x, c));
          }
      start += shape.inner(axis);
      offset += shape.axis(axis);
    }
    ASSERT_TRUE(output.guarded());
    ASSERT_EQ(output.values(), expected) << "case " << i;
    start = 0;
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      const mm_split_s8_params p = {whole.outer(axis), whole.inner(axis), shapes[k].inner(axis), start};
      naive::Output part(size(shapes[k].count()));
      mm_split_s8(&p, expected.data(), part.data());
      ASSERT_TRUE(part.guarded());
      ASSERT_EQ(part.values(), inputs[k]) << "case " << i;
      start += shapes[k].inner(axis);
    }
  }
}

TEST(UpsampleNearest2d, RepeatsEveryPixel) {
  Random random(46);
  for (int i = 0; i < 300; ++i) {
    const mm_upsample_nearest2d_s8_params p = {pick(random, 1, 6), pick(random, 1, 6), pick(random, 1, 9),
                                               pick(random, 1, 4), pick(random, 1, 4)};
    const Shape in = {p.in_h, p.in_w, p.channels}, out = {p.in_h * p.scale_h, p.in_w * p.scale_w, p.channels};
    const auto input = naive::bytes(random, size(in.count()));
    naive::Output output(size(out.count()));
    mm_upsample_nearest2d_s8(&p, input.data(), output.data());
    ASSERT_TRUE(output.guarded());
    for (int y = 0; y < out.h; ++y)
      for (int x = 0; x < out.w; ++x)
        for (int c = 0; c < out.c; ++c) {
          ASSERT_EQ(output.data()[out.at(y, x, c)], input.at(in.at(y / p.scale_h, x / p.scale_w, c)));
        }
  }
}

TEST(Pad, SurroundsTheImage) {
  Random random(47);
  for (int i = 0; i < 300; ++i) {
    const mm_pad_s8_params p = {pick(random, 1, 6), pick(random, 1, 6),     pick(random, 1, 9),
                                pick(random, 0, 3), pick(random, 0, 3),     pick(random, 0, 3),
                                pick(random, 0, 3), pick(random, -128, 127)};
    const Shape in = {p.in_h, p.in_w, p.channels};
    const Shape out = {p.in_h + p.pad_top + p.pad_bottom, p.in_w + p.pad_left + p.pad_right, p.channels};
    const auto input = naive::bytes(random, size(in.count()));
    naive::Output output(size(out.count()));
    mm_pad_s8(&p, input.data(), output.data());
    ASSERT_TRUE(output.guarded());
    for (int y = 0; y < out.h; ++y)
      for (int x = 0; x < out.w; ++x)
        for (int c = 0; c < out.c; ++c) {
          const int row = y - p.pad_top, column = x - p.pad_left;
          const bool inside = row >= 0 && row < in.h && column >= 0 && column < in.w;
          ASSERT_EQ(output.data()[out.at(y, x, c)], inside ? input.at(in.at(row, column, c)) : p.value);
        }
  }
}

}  // namespace
}  // namespace micromind
