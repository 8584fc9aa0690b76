// Sums over an image and scales for each channel: squeeze-and-excite.

template <bool kFull>
MM_INLINE void products_of(const float* x, const float* y, Int rows, Int channels, Int n, float* sum) {
  V s0 = splat(0), s1 = s0, s2 = s0, s3 = s0;
  const auto at_row = [&](Int r) __attribute__((always_inline)) {
    const V v = take<kFull>(x + r * channels, n);
    return y ? v * take<kFull>(y + r * channels, n) : v;
  };
  Int r = 0;
  for (; r + 4 <= rows; r += 4) s0 += at_row(r), s1 += at_row(r + 1), s2 += at_row(r + 2), s3 += at_row(r + 3);
  for (; r < rows; ++r) s0 += at_row(r);
  put<kFull>(sum, take<kFull>(sum, n) + ((s0 + s1) + (s2 + s3)), n);
}

static void channel_products(const float* x, const float* y, Int rows, Int channels, float* sum) {
  const Int tile = tile_rows(channels);
  for (Int r = 0; r < rows; r += tile) {
    const Int count = std::min(tile, rows - r), i = r * channels;
    fetch(x, (r + tile) * channels, (r + 2 * tile) * channels);
    if (y) fetch(y, (r + tile) * channels, (r + 2 * tile) * channels);
    Int c = 0;
    for (; c + kLanes <= channels; c += kLanes) products_of<true>(x + i + c, y ? y + i + c : y, count, channels, kLanes, sum + c);
    if (c < channels) products_of<false>(x + i + c, y ? y + i + c : y, count, channels, channels - c, sum + c);
  }
}
static void channel_sums(const float* x, Int rows, Int channels, float* sum) { channel_products(x, nullptr, rows, channels, sum); }

template <bool kFull>
MM_INLINE void scale_of(const float* x, Int rows, Int channels, Int n, const float* gate, const float* level, float* y) {
  const V g = take<kFull>(gate, n), l = level ? take<kFull>(level, n) : splat(0);
  for (Int i = 0; i < rows * channels; i += channels) put<kFull>(y + i, take<kFull>(x + i, n) * g + l, n);
}

static void channel_scale(const float* x, Int rows, Int channels, const float* gate, const float* level, float* y) {
  const Int tile = tile_rows(channels);
  for (Int r = 0; r < rows; r += tile) {
    const Int count = std::min(tile, rows - r), i = r * channels;
    fetch(x, (r + tile) * channels, (r + 2 * tile) * channels);
    Int c = 0;
    for (; c + kLanes <= channels; c += kLanes) scale_of<true>(x + i + c, count, channels, kLanes, gate + c, level ? level + c : level, y + i + c);
    if (c < channels) scale_of<false>(x + i + c, count, channels, channels - c, gate + c, level ? level + c : level, y + i + c);
  }
}

template <bool kFull>
MM_INLINE void gate_at(const float* x, const float* g, Int n, float* y) {
  put<kFull>(y, take<kFull>(x, n) * sigmoid(take<kFull>(g, n)), n);
}
static void gate_forward(const float* x, const float* g, Int n, float* y) {
  Int i = 0;
  for (; i + kLanes <= n; i += kLanes) gate_at<true>(x + i, g + i, kLanes, y + i);
  if (i < n) gate_at<false>(x + i, g + i, n - i, y + i);
}

template <bool kFull>
MM_INLINE void gate_gradient_at(const float* x, const float* g, const float* dy, Int n, float* dx, float* dg) {
  const V s = sigmoid(take<kFull>(g, n)), d = take<kFull>(dy, n), scaled = d * s;
  const V in = take<kFull>(x, n);
  put<kFull>(dx, scaled, n);
  put<kFull>(dg, scaled * in * (splat(1) - s), n);
}
static void gate_backward(const float* x, const float* g, const float* dy, Int n, float* dx, float* dg) {
  Int i = 0;
  for (; i + kLanes <= n; i += kLanes) gate_gradient_at<true>(x + i, g + i, dy + i, kLanes, dx + i, dg + i);
  if (i < n) gate_gradient_at<false>(x + i, g + i, dy + i, n - i, dx + i, dg + i);
}
