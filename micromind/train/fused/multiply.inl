// Matrix product for few columns and little depth, as 1×1 convolutions have: a block of C stays in registers, kR rows of
// kN vectors, while the depth runs; a row of A gives one broadcast for kN multiplications.

constexpr Int kAccumulators = kLanes == 16 ? 24 : 12;  // of 32 or 16 registers

template <Int kR, Int kN, bool kFull>
MM_INLINE void block(Int depth, const float* a, Int a_row, Int a_step, const float* b, Int ldb, float* c, Int ldc, Int last, bool accumulate) {
  V sum[kR][kN];
#pragma GCC unroll 24
  for (Int r = 0; r < kR; ++r)
#pragma GCC unroll 4
    for (Int j = 0; j < kN; ++j) sum[r][j] = splat(0);
  for (Int k = 0; k < depth; ++k) {
    V right[kN];
#pragma GCC unroll 4
    for (Int j = 0; j < kN; ++j) right[j] = j + 1 == kN ? take<kFull>(b + k * ldb + j * kLanes, last) : load(b + k * ldb + j * kLanes);
#pragma GCC unroll 24
    for (Int r = 0; r < kR; ++r) {
      const V left = splat(a[r * a_row + k * a_step]);
#pragma GCC unroll 4
      for (Int j = 0; j < kN; ++j) sum[r][j] += left * right[j];
    }
  }
#pragma GCC unroll 24
  for (Int r = 0; r < kR; ++r)
#pragma GCC unroll 4
    for (Int j = 0; j < kN; ++j) {
      float* out = c + r * ldc + j * kLanes;
      if (j + 1 == kN) put<kFull>(out, accumulate ? take<kFull>(out, last) + sum[r][j] : sum[r][j], last);
      else store(out, accumulate ? load(out) + sum[r][j] : sum[r][j]);
    }
}

// All rows of kN vectors of columns; what is left of the rows goes by four, by two, one by one.
template <Int kN, bool kFull>
static void columns_of(Int rows, Int depth, const float* a, Int a_row, Int a_step, const float* b, Int ldb, float* c, Int ldc, Int last,
                       bool accumulate) {
  constexpr Int kR = kAccumulators / kN;
  Int r = 0;
  for (; r + kR <= rows; r += kR) {
    if (a_step == 1) fetch(a, (r + kR) * a_row, (r + 2 * kR) * a_row);
    block<kR, kN, kFull>(depth, a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, last, accumulate);
  }
  for (; r + 4 <= rows; r += 4) block<4, kN, kFull>(depth, a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, last, accumulate);
  for (; r + 2 <= rows; r += 2) block<2, kN, kFull>(depth, a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, last, accumulate);
  for (; r < rows; ++r) block<1, kN, kFull>(depth, a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, last, accumulate);
}

template <Int kN>
static void columns_of(Int rows, Int depth, const float* a, Int a_row, Int a_step, const float* b, Int ldb, float* c, Int ldc, Int last,
                       bool accumulate) {
  if (last == kLanes) columns_of<kN, true>(rows, depth, a, a_row, a_step, b, ldb, c, ldc, last, accumulate);
  else columns_of<kN, false>(rows, depth, a, a_row, a_step, b, ldb, c, ldc, last, accumulate);
}

static void multiply(Int rows, Int columns, Int depth, const float* a, Int a_row, Int a_step, const float* b, Int ldb, float* c, Int ldc,
                     bool accumulate) {
  constexpr Int kMost = kLanes == 16 ? 4 : 3;  // vectors of columns in a block
  const Int vectors = (columns + kLanes - 1) / kLanes;
  // Blocks of even width: 5 vectors are 3 + 2, not 4 + 1.
  const Int blocks = (vectors + kMost - 1) / kMost;
  for (Int i = 0, v = 0; i < blocks; ++i) {
    const Int n = (vectors - v + blocks - i - 1) / (blocks - i), j = v * kLanes;
    const Int last = std::min(kLanes, columns - j - (n - 1) * kLanes);
    switch (n) {
      case 1: columns_of<1>(rows, depth, a, a_row, a_step, b + j, ldb, c + j, ldc, last, accumulate); break;
      case 2: columns_of<2>(rows, depth, a, a_row, a_step, b + j, ldb, c + j, ldc, last, accumulate); break;
      case 3: columns_of<3>(rows, depth, a, a_row, a_step, b + j, ldb, c + j, ldc, last, accumulate); break;
      default: columns_of<4>(rows, depth, a, a_row, a_step, b + j, ldb, c + j, ldc, last, accumulate); break;
    }
    v += n;
  }
}
