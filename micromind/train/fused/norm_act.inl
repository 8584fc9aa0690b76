// Batch norm, activation and channel dropout: the passes over memory. Rows are taken in tiles that stay in the first
// cache, and within a tile one vector of channels at a time, whose constants stay in registers.

template <bool kFull>
MM_INLINE void statistics_of(const float* x, Int rows, Int channels, Int n, const float* shift, double* sum, double* square) {
  const V level = take<kFull>(shift, n);
  V s0 = splat(0), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
  Int r = 0;
  for (; r + 4 <= rows; r += 4) {
    const float* p = x + r * channels;
    const V a = take<kFull>(p, n) - level, b = take<kFull>(p + channels, n) - level;
    const V c = take<kFull>(p + 2 * channels, n) - level, d = take<kFull>(p + 3 * channels, n) - level;
    s0 += a, s1 += b, s2 += c, s3 += d;
    q0 += a * a, q1 += b * b, q2 += c * c, q3 += d * d;
  }
  for (; r < rows; ++r) {
    const V a = take<kFull>(x + r * channels, n) - level;
    s0 += a, q0 += a * a;
  }
  add_to(sum, (s0 + s1) + (s2 + s3), n);
  add_to(square, (q0 + q1) + (q2 + q3), n);
}

static void norm_statistics(const float* x, Int rows, Int channels, const float* shift, double* sum, double* square) {
  const Int tile = tile_rows(channels);
  for (Int r = 0; r < rows; r += tile) {
    const Int count = std::min(tile, rows - r);
    fetch(x, (r + tile) * channels, (r + 2 * tile) * channels);
    Int c = 0;
    for (; c + kLanes <= channels; c += kLanes)
      statistics_of<true>(x + r * channels + c, count, channels, kLanes, shift + c, sum + c, square + c);
    if (c < channels) statistics_of<false>(x + r * channels + c, count, channels, channels - c, shift + c, sum + c, square + c);
  }
}

template <Function kF, bool kFull>
MM_INLINE void forward_of(const float* x, float* y, Int rows, Int channels, Int n, const NormLine& line, Int c) {
  const V scale = take<kFull>(line.scale + c, n), offset = take<kFull>(line.offset + c, n);
  const V mask = line.mask ? take<kFull>(line.mask + c, n) : splat(1);
  for (Int i = c; i < rows * channels; i += channels) put<kFull>(y + i, value<kF>(take<kFull>(x + i, n) * scale + offset) * mask, n);
}

template <Function kF>
static void norm_forward_as(const float* x, float* y, Int rows, Int channels, const NormLine& line) {
  const Int tile = tile_rows(channels);
  for (Int r = 0; r < rows; r += tile) {
    const Int count = std::min(tile, rows - r), i = r * channels;
    fetch(x, (r + tile) * channels, (r + 2 * tile) * channels);
    Int c = 0;
    for (; c + kLanes <= channels; c += kLanes) forward_of<kF, true>(x + i, y + i, count, channels, kLanes, line, c);
    if (c < channels) forward_of<kF, false>(x + i, y + i, count, channels, channels - c, line, c);
  }
}

template <Function kF, bool kFull>
MM_INLINE void backward_sums_of(const float* x, const float* dy, Int rows, Int channels, Int n, const NormLine& line, Int c,
                                const float* mean, double* sum, double* product) {
  const V scale = take<kFull>(line.scale + c, n), offset = take<kFull>(line.offset + c, n), level = take<kFull>(mean + c, n);
  const V mask = line.mask ? take<kFull>(line.mask + c, n) : splat(1);
  V s0 = splat(0), s1 = s0, p0 = s0, p1 = s0;
  const auto add = [&](Int i, V& s, V& p) __attribute__((always_inline)) {
    const V in = take<kFull>(x + i, n);
    const V dz = slope_times<kF>(take<kFull>(dy + i, n), in * scale + offset);
    s += dz, p += dz * (in - level);
  };
  Int r = 0;
  for (; r + 2 <= rows; r += 2) {
    add(r * channels + c, s0, p0);
    add((r + 1) * channels + c, s1, p1);
  }
  if (r < rows) add(r * channels + c, s0, p0);
  add_to(sum + c, (s0 + s1) * mask, n);
  add_to(product + c, (p0 + p1) * mask, n);
}

template <Function kF>
static void norm_backward_sums_as(const float* x, const float* dy, Int rows, Int channels, const NormLine& line, const float* mean,
                                  double* sum, double* product) {
  const Int tile = tile_rows(channels);
  for (Int r = 0; r < rows; r += tile) {
    const Int count = std::min(tile, rows - r), i = r * channels;
    fetch(x, (r + tile) * channels, (r + 2 * tile) * channels);
    fetch(dy, (r + tile) * channels, (r + 2 * tile) * channels);
    Int c = 0;
    for (; c + kLanes <= channels; c += kLanes)
      backward_sums_of<kF, true>(x + i, dy + i, count, channels, kLanes, line, c, mean, sum, product);
    if (c < channels) backward_sums_of<kF, false>(x + i, dy + i, count, channels, channels - c, line, c, mean, sum, product);
  }
}

template <Function kF, bool kFull>
MM_INLINE void backward_of(const float* x, const float* dy, float* dx, Int rows, Int channels, Int n, const NormLine& line, Int c,
                           const float* slope, const float* level) {
  const V scale = take<kFull>(line.scale + c, n), offset = take<kFull>(line.offset + c, n);
  const V times = line.mask ? scale * take<kFull>(line.mask + c, n) : scale;
  const V s = take<kFull>(slope + c, n), l = take<kFull>(level + c, n);
  for (Int i = c; i < rows * channels; i += channels) {
    const V in = take<kFull>(x + i, n);
    const V dz = slope_times<kF>(take<kFull>(dy + i, n), in * scale + offset);
    put<kFull>(dx + i, times * dz + (s * in + l), n);
  }
}

template <Function kF>
static void norm_backward_as(const float* x, const float* dy, float* dx, Int rows, Int channels, const NormLine& line, const float* slope,
                             const float* level) {
  const Int tile = tile_rows(channels);
  for (Int r = 0; r < rows; r += tile) {
    const Int count = std::min(tile, rows - r), i = r * channels;
    fetch(x, (r + tile) * channels, (r + 2 * tile) * channels);
    fetch(dy, (r + tile) * channels, (r + 2 * tile) * channels);
    Int c = 0;
    for (; c + kLanes <= channels; c += kLanes)
      backward_of<kF, true>(x + i, dy + i, dx + i, count, channels, kLanes, line, c, slope, level);
    if (c < channels) backward_of<kF, false>(x + i, dy + i, dx + i, count, channels, channels - c, line, c, slope, level);
  }
}

template <Function kF, bool kFull>
MM_INLINE void backward_through_of(const float* x, float* dy, Int rows, Int channels, Int n, const NormLine& line, Int c, const float* level,
                                   const float* mean, double* sum, double* product) {
  const V scale = take<kFull>(line.scale + c, n), offset = take<kFull>(line.offset + c, n), middle = take<kFull>(mean + c, n);
  const V mask = line.mask ? take<kFull>(line.mask + c, n) : splat(1), more = level ? take<kFull>(level + c, n) : splat(0);
  V s0 = splat(0), s1 = s0, p0 = s0, p1 = s0;
  const auto add = [&](Int i, V& s, V& p) __attribute__((always_inline)) {
    const V in = take<kFull>(x + i, n);
    const V dz = slope_times<kF>(take<kFull>(dy + i, n) * mask + more, in * scale + offset);
    put<kFull>(dy + i, dz, n);
    s += dz, p += dz * (in - middle);
  };
  Int r = 0;
  for (; r + 2 <= rows; r += 2) {
    add(r * channels + c, s0, p0);
    add((r + 1) * channels + c, s1, p1);
  }
  if (r < rows) add(r * channels + c, s0, p0);
  add_to(sum + c, s0 + s1, n);
  add_to(product + c, p0 + p1, n);
}

template <Function kF>
static void norm_backward_through_as(const float* x, float* dy, Int rows, Int channels, const NormLine& line, const float* level,
                                     const float* mean, double* sum, double* product) {
  const Int tile = tile_rows(channels);
  for (Int r = 0; r < rows; r += tile) {
    const Int count = std::min(tile, rows - r), i = r * channels;
    fetch(x, i + tile * channels, i + 2 * tile * channels);
    fetch(dy, i + tile * channels, i + 2 * tile * channels);
    Int c = 0;
    for (; c + kLanes <= channels; c += kLanes)
      backward_through_of<kF, true>(x + i, dy + i, count, channels, kLanes, line, c, level, mean, sum, product);
    if (c < channels) backward_through_of<kF, false>(x + i, dy + i, count, channels, channels - c, line, c, level, mean, sum, product);
  }
}

// Calls action with the function as a template argument.
#define MM_BY_FUNCTION(f, name, ...)                                                       \
  switch (f) {                                                                             \
    case Function::none: return name<Function::none>(__VA_ARGS__);                         \
    case Function::relu: return name<Function::relu>(__VA_ARGS__);                         \
    case Function::relu6: return name<Function::relu6>(__VA_ARGS__);                       \
    case Function::hard_swish: return name<Function::hard_swish>(__VA_ARGS__);             \
    case Function::silu: return name<Function::silu>(__VA_ARGS__);                         \
    case Function::sigmoid: return name<Function::sigmoid>(__VA_ARGS__);                   \
    case Function::hard_sigmoid: return name<Function::hard_sigmoid>(__VA_ARGS__);         \
  }

static void norm_forward(Function f, const float* x, float* y, Int rows, Int channels, const NormLine& line) {
  MM_BY_FUNCTION(f, norm_forward_as, x, y, rows, channels, line)
}
static void norm_backward_sums(Function f, const float* x, const float* dy, Int rows, Int channels, const NormLine& line, const float* mean,
                               double* sum, double* product) {
  MM_BY_FUNCTION(f, norm_backward_sums_as, x, dy, rows, channels, line, mean, sum, product)
}
static void norm_backward(Function f, const float* x, const float* dy, float* dx, Int rows, Int channels, const NormLine& line,
                          const float* slope, const float* level) {
  MM_BY_FUNCTION(f, norm_backward_as, x, dy, dx, rows, channels, line, slope, level)
}
static void norm_backward_through(Function f, const float* x, float* dy, Int rows, Int channels, const NormLine& line, const float* level,
                                  const float* mean, double* sum, double* product) {
  MM_BY_FUNCTION(f, norm_backward_through_as, x, dy, rows, channels, line, level, mean, sum, product)
}
#undef MM_BY_FUNCTION
