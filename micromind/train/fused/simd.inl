// Vectors of kLanes floats for the instruction set that kernels.cpp has switched on, with loads and stores of the
// first n lanes for the channels that are left over.

#define MM_INLINE static inline __attribute__((always_inline))

#if MICROMIND_LANES == 16
using V = __m512;
MM_INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
MM_INLINE void store(float* p, V v) { _mm512_storeu_ps(p, v); }
MM_INLINE V splat(float x) { return _mm512_set1_ps(x); }
MM_INLINE V root(V x) { return _mm512_maskz_sqrt_ps(static_cast<__mmask16>(0xffff), x); }
MM_INLINE __mmask16 first(Int n) { return static_cast<__mmask16>((1u << n) - 1); }
MM_INLINE V load(const float* p, Int n) { return _mm512_maskz_loadu_ps(first(n), p); }
MM_INLINE void store(float* p, V v, Int n) { _mm512_mask_storeu_ps(p, first(n), v); }
#elif MICROMIND_LANES == 8
using V = __m256;
MM_INLINE V load(const float* p) { return _mm256_loadu_ps(p); }
MM_INLINE void store(float* p, V v) { _mm256_storeu_ps(p, v); }
MM_INLINE V splat(float x) { return _mm256_set1_ps(x); }
MM_INLINE V root(V x) { return _mm256_sqrt_ps(x); }
MM_INLINE __m256i first(Int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
MM_INLINE V load(const float* p, Int n) { return _mm256_maskload_ps(p, first(n)); }
MM_INLINE void store(float* p, V v, Int n) { _mm256_maskstore_ps(p, first(n), v); }
#else
typedef float V __attribute__((vector_size(16)));
typedef float Unaligned __attribute__((vector_size(16), aligned(4), may_alias));
MM_INLINE V load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
MM_INLINE void store(float* p, V v) { *reinterpret_cast<Unaligned*>(p) = v; }
MM_INLINE V splat(float x) { return V{x, x, x, x}; }
MM_INLINE V root(V x) {
  for (Int i = 0; i < 4; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
MM_INLINE V load(const float* p, Int n) {
  V v{};
  for (Int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
MM_INLINE void store(float* p, V v, Int n) {
  for (Int i = 0; i < n; ++i) p[i] = v[i];
}
#endif

constexpr Int kLanes = MICROMIND_LANES;
typedef int VI __attribute__((vector_size(MICROMIND_LANES * 4)));

// Whole vectors where kFull, else the first n lanes: the same loop body serves both.
template <bool kFull>
MM_INLINE V take(const float* p, Int n) {
  if constexpr (kFull) return load(p);
  else return load(p, n);
}
template <bool kFull>
MM_INLINE void put(float* p, V v, Int n) {
  if constexpr (kFull) store(p, v);
  else store(p, v, n);
}

MM_INLINE V least(V a, V b) { return a < b ? a : b; }
MM_INLINE V most(V a, V b) { return a > b ? a : b; }

typedef double Doubles __attribute__((vector_size(MICROMIND_LANES * 4)));
typedef double UnalignedDoubles __attribute__((vector_size(MICROMIND_LANES * 4), aligned(8), may_alias));
typedef float Half __attribute__((vector_size(MICROMIND_LANES * 2), may_alias));

// sums[0 … n) += v, in double.
MM_INLINE void add_to(double* sums, V v, Int n) {
  alignas(64) float lanes[kLanes];
  store(lanes, v);
  if (n < kLanes) {
    for (Int i = 0; i < n; ++i) sums[i] += lanes[i];
    return;
  }
  for (int i = 0; i < 2; ++i) {
    const Half half = *reinterpret_cast<const Half*>(lanes + i * kLanes / 2);
    *reinterpret_cast<UnalignedDoubles*>(sums + i * kLanes / 2) += __builtin_convertvector(half, Doubles);
  }
}

// e^x to 2 units in the last place: x = n·ln 2 + r, |r| ≤ ln 2 / 2, e^r by its series to r⁷.
MM_INLINE V exponential(V x) {
  x = most(least(x, splat(88.0f)), splat(-87.0f));
  const V magic = splat(12582912.0f);  // 1.5·2²³: adding it rounds to a whole number
  const V n = (x * splat(1.44269504f) + magic) - magic;
  const V r = (x - n * splat(0.693359375f)) - n * splat(-2.12194440e-4f);
  V p = splat(1.0f / 5040);
  p = p * r + splat(1.0f / 720);
  p = p * r + splat(1.0f / 120);
  p = p * r + splat(1.0f / 24);
  p = p * r + splat(1.0f / 6);
  p = p * r + splat(0.5f);
  p = p * r + splat(1.0f);
  p = p * r + splat(1.0f);
  const VI power = (__builtin_convertvector(n, VI) + 127) << 23;
  return p * reinterpret_cast<V>(power);
}

MM_INLINE V sigmoid(V x) { return splat(1.0f) / (splat(1.0f) + exponential(-x)); }

template <Function kF>
MM_INLINE V value(V z) {
  const V zero = splat(0), six = splat(6);
  if constexpr (kF == Function::relu) return most(z, zero);
  else if constexpr (kF == Function::relu6) return least(most(z, zero), six);
  else if constexpr (kF == Function::hard_swish) return z * least(most(z + splat(3), zero), six) * splat(1.0f / 6);
  else if constexpr (kF == Function::hard_sigmoid) return least(most(z + splat(3), zero), six) * splat(1.0f / 6);
  else if constexpr (kF == Function::silu) return z * sigmoid(z);
  else if constexpr (kF == Function::sigmoid) return sigmoid(z);
  else return z;
}

// g·f'(z), with libtorch's choice at the corners.
template <Function kF>
MM_INLINE V slope_times(V g, V z) {
  const V zero = splat(0), three = splat(3);
  if constexpr (kF == Function::relu) return z > zero ? g : zero;
  else if constexpr (kF == Function::relu6) return z > zero ? (z < splat(6) ? g : zero) : zero;
  else if constexpr (kF == Function::hard_swish) {
    const V inside = z <= three ? z * splat(1.0f / 3) + splat(0.5f) : splat(1);
    return g * (z < -three ? zero : inside);
  } else if constexpr (kF == Function::hard_sigmoid) return z > -three ? (z < three ? g * splat(1.0f / 6) : zero) : zero;
  else if constexpr (kF == Function::silu) {
    const V s = sigmoid(z);
    return g * s * (splat(1) + z * (splat(1) - s));
  } else if constexpr (kF == Function::sigmoid) {
    const V s = sigmoid(z);
    return g * s * (splat(1) - s);
  } else return g;
}

// Rows of a tile that stays in the first cache.
MM_INLINE Int tile_rows(Int channels) { return std::max<Int>(16, 4096 / channels); }

// Fetches floats [first, last) of p in order, which may lie behind its end: within a tile the vectors of one channel are far apart, which the
// processor's own prefetching does not follow.
MM_INLINE void fetch(const float* p, Int first, Int last) {
  for (Int i = first; i < last; i += 16) __builtin_prefetch(p + i);
}
