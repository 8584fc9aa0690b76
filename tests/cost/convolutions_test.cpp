#include "micromind/cost/convolutions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "error_of.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::map<std::string, ConvolutionRow> rows(const Shape& input, std::int32_t n, std::int32_t k) {
  std::map<std::string, ConvolutionRow> named;
  for (const ConvolutionRow& r : explain_convolutions(input, n, k)) named[r.name] = r;
  return named;
}

// The worked example of the slide: 3×64×64 → 16×64×64 with a 3×3 kernel.
TEST(Convolutions, TheWorkedExampleGivesItsFormulasNumbers) {
  const auto r = rows({3, 64, 64}, 16, 3);
  ASSERT_EQ(r.size(), 5u);
  EXPECT_EQ(r.at("dense").weights, 805'306'368);
  EXPECT_EQ(r.at("standard").parameters, 448);
  EXPECT_EQ(r.at("pointwise").parameters, 64);
  EXPECT_EQ(r.at("depthwise").parameters, 43);
  EXPECT_EQ(r.at("standard").macs_with_bias, 1'835'008);
  EXPECT_EQ(r.at("pointwise").macs_with_bias, 262'144);
  EXPECT_EQ(r.at("depthwise").macs_with_bias, 176'128);
  EXPECT_EQ(r.at("dense").macs, 805'306'368);
  EXPECT_EQ(r.at("standard").macs, 1'769'472);
  EXPECT_EQ(r.at("pointwise").macs, 196'608);
  EXPECT_EQ(r.at("depthwise").macs, 110'592);
  EXPECT_EQ(r.at("standard").parameters_formula, "C·K²·N + N = 3·3²·16 + 16");
  EXPECT_THAT(r.at("depthwise").lesson, HasSubstr("3 → 16 is none"));
}

// The counts are the graph's; the formulas that stand beside them, written here once more, must give the
// same.
TEST(Convolutions, FormulasAndCountsAgree) {
  for (const Shape& in : {Shape{3, 64, 64}, Shape{8, 5, 9}, Shape{1, 1, 1}, Shape{32, 7, 7}})
    for (const std::int64_t n : {1, 8, 16, 33})
      for (const std::int64_t k : {1, 2, 3, 5, 9}) {
        const std::int64_t c = in.channels(), area = std::int64_t{in.height()} * in.width();
        const auto r = rows(in, static_cast<std::int32_t>(n), static_cast<std::int32_t>(k));
        const auto expect = [&](const char* name, std::int64_t weights, std::int64_t biases,
                                std::int64_t macs, std::int64_t bias_additions) {
          EXPECT_EQ(r.at(name).weights, weights) << name;
          EXPECT_EQ(r.at(name).parameters, weights + biases) << name;
          EXPECT_EQ(r.at(name).macs, macs) << name;
          EXPECT_EQ(r.at(name).macs_with_bias, macs + bias_additions) << name;
        };
        expect("dense", c * area * n * area, n * area, c * area * n * area, n * area);
        expect("standard", c * k * k * n, n, c * k * k * n * area, n * area);
        expect("pointwise", c * n, n, c * n * area, n * area);
        expect("depthwise", c * k * k, n, c * k * k * area, n * area);
        expect("separable", c * k * k + c * n, c + n, (c * k * k + c * n) * area, (c + n) * area);
      }
}

TEST(Convolutions, SayWhatAMultiplierWouldDo) {
  EXPECT_THAT(rows({8, 4, 4}, 16, 3).at("depthwise").lesson, HasSubstr("8 → 16 needs the multiplier 2"));
  EXPECT_THAT(rows({16, 4, 4}, 16, 3).at("depthwise").lesson, testing::Not(HasSubstr("multiplier")));
}

TEST(Convolutions, BadSizesAreRefused) {
  const auto error = [](const Shape& in, std::int32_t n, std::int32_t k) {
    return error_of([&] { explain_convolutions(in, n, k); });
  };
  EXPECT_THAT(error({3, 64, 64}, 16, 0), HasSubstr("the kernel is 0: expected 1 to 255"));
  EXPECT_THAT(error({3, 64, 64}, 16, 256), HasSubstr("the kernel is 256"));
  EXPECT_THAT(error({3, 64, 64}, 16, -3), HasSubstr("the kernel is -3"));
  EXPECT_THAT(error({0, 0, 0}, 16, 3), HasSubstr("every extent must be at least 1"));
  EXPECT_THAT(error({3, -1, 64}, 16, 3), HasSubstr("every extent"));
  EXPECT_THAT(error({3, 64}, 16, 3), AllOf(HasSubstr("2 extents"), HasSubstr("3x64x64")));
  EXPECT_THAT(error({3, 64, 64}, 0, 3), HasSubstr("0 output channels"));
  EXPECT_THAT(error({2147483647, 2147483647, 2147483647}, 16, 3), HasSubstr("the input has more than"));
  EXPECT_THAT(error({3, 64, 64}, 2147483647, 3), HasSubstr("the output has more than"));
  // The largest that passes: dense (2³¹−1)² + …, where the next operator's count does not fit any more.
  EXPECT_EQ(error({2147483647, 1, 1}, 2147483647, 1), "no error");
  EXPECT_THAT(error({2147483647, 1, 1}, 2147483647, 3), HasSubstr("exceed 64 bits"));
}

}  // namespace
}  // namespace micromind
