// Activations of one int8 value as tables of 256 results, for mm_table_s8 (runtime/kernels/table_s8.h).
//
// A table holds, for every input byte, what the TFLite operator (or the standard sequence of operators)
// answers, so the chip spends one load on any activation and its bytes are still TensorFlow Lite Micro's.
//
//   const Table table = hard_swish_table(in.scale, in.zero_point, out.scale, out.zero_point);
//   table[table_index(x)]   // y for input x
//
// All functions throw Error when a scale is not positive and finite or a zero point not in -128…127.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace micromind {

/// table[x + 128] = f(x).
using Table = std::array<std::int8_t, 256>;
constexpr std::size_t table_index(std::int8_t x) {
  return static_cast<std::size_t>(x + 128);
}

/// HARD_SWISH, x * relu6(x + 3) / 6, in TFLite's 16-bit fixed point. Throws Error when the output's scale is
/// so small that in_scale / (128 out_scale) ≥ 1, which TFLite refuses too.
Table hard_swish_table(float in_scale, int in_zp, float out_scale, int out_zp);

/// LOGISTIC, 1 / (1 + exp(-x)), in gemmlowp's fixed point. The output has scale 1/256, zero point -128.
Table logistic_table(float in_scale, int in_zp);

/// QUANTIZE from int8 to int8: another scale and zero point for the same values.
Table requantize_table(float in_scale, int in_zp, float out_scale, int out_zp);

/// RELU (0, inf) and RELU6 (0, 6) as operators of their own, with scales of input and output (TFLite's
/// ReluX). TFLite Micro's RELU6 ignores the output's scale: equal bytes where input and output agree in it,
/// which its files do.
Table relu_table(float min, float max, float in_scale, int in_zp, float out_scale, int out_zp);

/// The sequence f, then MUL(x, f(x)): `f` maps the input's bytes to bytes of scale f_scale and zero point
/// f_zp.
Table multiply_table(const Table& f, float f_scale, int f_zp, float in_scale, int in_zp, float out_scale,
                     int out_zp);

/// SiLU as the sequence LOGISTIC, MUL with the gate at scale 1/256, zero point -128.
Table silu_table(float in_scale, int in_zp, float out_scale, int out_zp);

/// clamp(x / 6 + 1/2, 0, 1). TFLite has no such operator, so this is our own definition: computed in double
/// from the dequantised input, divided by the output's scale, rounded with ties away from zero, clamped to
/// int8.
Table hard_sigmoid_table(float in_scale, int in_zp, float out_scale, int out_zp);

/// second(first(x)).
Table compose(const Table& first, const Table& second);

}  // namespace micromind
