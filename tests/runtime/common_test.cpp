// Requantisation: known answers at the ties, and the definition on random numbers.
#include "runtime/kernels/common.h"

#include <gtest/gtest.h>

#include "tests/runtime/naive.h"

namespace micromind {
namespace {

constexpr std::int32_t kHalf = 1 << 30;  // 0.5 in Q31

TEST(Requantize, RoundsTiesUpAtBit31) {
  // value * 0.5: a tie for odd values goes towards plus infinity.
  EXPECT_EQ(mm_requantize(3, kHalf, 0), 2);
  EXPECT_EQ(mm_requantize(1, kHalf, 0), 1);
  EXPECT_EQ(mm_requantize(-1, kHalf, 0), 0);
  EXPECT_EQ(mm_requantize(-3, kHalf, 0), -1);
  EXPECT_EQ(mm_requantize(-4, kHalf, 0), -2);
}

TEST(Requantize, RoundsTiesAwayFromZeroAtTheShift) {
  // The multiplier of shift 1 undoes the half, so the value itself meets the right shift below.
  EXPECT_EQ(mm_rounding_shift_right(2, 2), 1);
  EXPECT_EQ(mm_rounding_shift_right(-2, 2), -1);
  EXPECT_EQ(mm_rounding_shift_right(-1, 2), 0);
  EXPECT_EQ(mm_rounding_shift_right(-3, 1), -2);
  EXPECT_EQ(mm_rounding_shift_right(3, 1), 2);
  EXPECT_EQ(mm_rounding_shift_right(INT32_MIN, 31), -1);
  EXPECT_EQ(mm_rounding_shift_right(INT32_MAX, 31), 1);
  EXPECT_EQ(mm_rounding_shift_right(INT32_MIN, 0), INT32_MIN);
}

TEST(Requantize, RoundsTwice) {
  // 5 * 0.5 = 2.5 -> 3, then 3 / 2 = 1.5 -> 2; a single rounding of 1.25 would give 1.
  EXPECT_EQ(mm_requantize(5, kHalf, -1), 2);
  // -5 * 0.5 = -2.5 -> -2, then -2 / 2 = -1.
  EXPECT_EQ(mm_requantize(-5, kHalf, -1), -1);
  // -6 * 0.5 = -3, then -1.5 -> -2.
  EXPECT_EQ(mm_requantize(-6, kHalf, -1), -2);
}

TEST(Requantize, ShiftsLeftBeforeItMultiplies) {
  EXPECT_EQ(mm_requantize(3, kHalf, 1), 3);
  EXPECT_EQ(mm_requantize(-3, kHalf, 1), -3);
  EXPECT_EQ(mm_requantize(100, kHalf, 4), 800);
  EXPECT_EQ(mm_requantize(12345, 0, 5), 0);
}

TEST(Requantize, SaturatesTheOneProductThatDoesNotFit) {
  EXPECT_EQ(mm_doubling_high_multiply(INT32_MIN, INT32_MIN), INT32_MAX);
  EXPECT_EQ(mm_doubling_high_multiply(INT32_MIN, INT32_MAX), -INT32_MAX);
  EXPECT_EQ(mm_doubling_high_multiply(INT32_MAX, INT32_MAX), INT32_MAX - 1);
}

TEST(Requantize, IsItsDefinitionOnRandomNumbers) {
  Random random(11);
  for (int i = 0; i < 200000; ++i) {
    const auto value = static_cast<std::int32_t>(random.next()) >> random.below(32);
    const std::int32_t multiplier = naive::multiplier(random);
    const int shift = naive::pick(random, -31, 31);
    ASSERT_EQ(mm_requantize(value, multiplier, shift), naive::requantize(value, multiplier, shift))
        << value << " * " << multiplier << " shift " << shift;
  }
}

TEST(RoundingDivide, GoesAwayFromZeroOnTies) {
  EXPECT_EQ(mm_rounding_divide(6, 4), 2);
  EXPECT_EQ(mm_rounding_divide(-6, 4), -2);
  EXPECT_EQ(mm_rounding_divide(-5, 4), -1);
  EXPECT_EQ(mm_rounding_divide(0, 9), 0);
  EXPECT_EQ(mm_rounding_divide(-128 * 9, 9), -128);
  for (int sum = -600; sum <= 600; ++sum) {
    for (int count = 1; count < 30; ++count) {
      ASSERT_EQ(mm_rounding_divide(sum, count), naive::round_divide(sum, count));
    }
  }
}

TEST(ClipWindow, KeepsTheTapsInsideTheImage) {
  for (int origin = -9; origin <= 9; ++origin) {
    for (int size = 1; size <= 6; ++size) {
      for (int kernel = 1; kernel <= 5; ++kernel) {
        for (int dilation = 1; dilation <= 3; ++dilation) {
          std::int32_t first, last;
          mm_clip_window(origin, size, kernel, dilation, &first, &last);
          ASSERT_LE(0, first);
          ASSERT_LE(first, last);
          ASSERT_LE(last, kernel);
          for (int tap = 0; tap < kernel; ++tap) {
            const int at = origin + tap * dilation;
            ASSERT_EQ(at >= 0 && at < size, tap >= first && tap < last)
                << origin << ' ' << size << ' ' << tap;
          }
        }
      }
    }
  }
}

TEST(LeadingZeros, CountsThem) {
  EXPECT_EQ(mm_leading_zeros(0), 32);
  for (int bit = 0; bit < 32; ++bit) EXPECT_EQ(mm_leading_zeros(1u << bit), 31 - bit);
  EXPECT_EQ(mm_leading_zeros(0xffffffffu), 0);
}

}  // namespace
}  // namespace micromind
