// Pooling of windows that tile an image: one row of windows. x: the first of `window.height` rows of the input.

template <bool kFull>
MM_INLINE void window_maximum(const float* x, const PoolWindow& w, Int row, Int channels, Int n, float* y) {
  V most_yet = take<kFull>(x, n);
  for (Int i = 0; i < w.height; ++i)
    for (Int j = 0; j < w.width; ++j) {
      const V v = take<kFull>(x + i * row + j * channels, n);
      most_yet = v <= most_yet ? most_yet : most_yet == most_yet ? v : most_yet;  // once NaN, always NaN
    }
  put<kFull>(y, most_yet, n);
}

template <bool kFull>
MM_INLINE void window_maximum_gradient(const float* x, const float* y, const float* dy, const PoolWindow& w, Int row, Int channels, Int n,
                                       float* dx) {
  const V top = take<kFull>(y, n), zero = splat(0);
  V left = take<kFull>(dy, n);  // 0 once given away
  for (Int i = 0; i < w.height; ++i)
    for (Int j = 0; j < w.width; ++j) {
      const Int at = i * row + j * channels;
      const V v = take<kFull>(x + at, n);
      put<kFull>(dx + at, v == top ? left : zero, n);
      left = v == top ? zero : left;
    }
}

template <bool kFull>
MM_INLINE void window_mean(const float* x, const PoolWindow& w, Int row, Int channels, Int n, float* y) {
  V sum = splat(0);
  for (Int i = 0; i < w.height; ++i)
    for (Int j = 0; j < w.width; ++j) sum += take<kFull>(x + i * row + j * channels, n);
  put<kFull>(y, sum * splat(1.0f / static_cast<float>(w.height * w.width)), n);
}

template <bool kFull>
MM_INLINE void window_mean_gradient(const float* dy, const PoolWindow& w, Int row, Int channels, Int n, float* dx) {
  const V share = take<kFull>(dy, n) * splat(1.0f / static_cast<float>(w.height * w.width));
  for (Int i = 0; i < w.height; ++i)
    for (Int j = 0; j < w.width; ++j) put<kFull>(dx + i * row + j * channels, share, n);
}

#define MM_WINDOWS(name, ...)                                                              \
  for (Int o = 0; o < w.count; ++o) {                                                      \
    const Int in = o * w.width * channels, out = o * channels, row = w.count * w.width * channels; \
    Int c = 0, n = kLanes;                                                                 \
    for (; c + kLanes <= channels; c += kLanes) name<true>(__VA_ARGS__);                   \
    n = channels - c;                                                                      \
    if (n > 0) name<false>(__VA_ARGS__);                                                   \
  }
static void max_pool(const float* x, const PoolWindow& w, Int channels, float* y) {
  MM_WINDOWS(window_maximum, x + in + c, w, row, channels, n, y + out + c)
}
static void max_pool_backward(const float* x, const float* y, const float* dy, const PoolWindow& w, Int channels, float* dx) {
  MM_WINDOWS(window_maximum_gradient, x + in + c, y + out + c, dy + out + c, w, row, channels, n, dx + in + c)
}
static void mean_pool(const float* x, const PoolWindow& w, Int channels, float* y) {
  MM_WINDOWS(window_mean, x + in + c, w, row, channels, n, y + out + c)
}
static void mean_pool_backward(const float* dy, const PoolWindow& w, Int channels, float* dx) {
  MM_WINDOWS(window_mean_gradient, dy + out + c, w, row, channels, n, dx + in + c)
}
#undef MM_WINDOWS
