// Depthwise convolution of one image, one vector of channels at a time. The rows in question are first copied into a
// buffer [rows, width] of vectors with their zero padding: the loops that multiply then know neither edges nor left-over
// channels, and the buffer stays in the first cache.

// Copies rows [first, first + rows) × columns [left, left + width) of image [height, in_width] (out of range: zeros) to
// every `step`-th place of the buffer, starting at (0, 0) with the given offsets.
template <bool kFull>
MM_INLINE void fill(const float* x, Int height, Int in_width, Int channels, Int n, Int first, Int rows, Int left, Int width, float* buffer) {
  const V zero = splat(0);
  for (Int r = 0; r < rows; ++r) {
    float* out = buffer + r * width * kLanes;
    const Int y = first + r;
    if (y < 0 || y >= height) {
      for (Int i = 0; i < width; ++i) store(out + i * kLanes, zero);
      continue;
    }
    const Int begin = std::min(width, std::max<Int>(0, -left)), end = std::max(begin, std::min(width, in_width - left));
    for (Int i = 0; i < begin; ++i) store(out + i * kLanes, zero);
    const float* in = x + (y * in_width + left) * channels;
    for (Int i = begin; i < end; ++i) store(out + i * kLanes, take<kFull>(in + i * channels, n));
    for (Int i = end; i < width; ++i) store(out + i * kLanes, zero);
  }
}

// The same with mask·f(scale·x + offset) of the pixels: a batch norm and activation in front that nobody wrote down.
template <bool kFull, Function kF>
static void fill_activated(const float* x, Int height, Int in_width, Int channels, Int n, Int first, Int rows, Int left, Int width,
                           const NormLine& line, float* buffer) {
  const V zero = splat(0), scale = take<kFull>(line.scale, n), offset = take<kFull>(line.offset, n);
  const V mask = line.mask ? take<kFull>(line.mask, n) : splat(1);
  const Int begin = std::min(width, std::max<Int>(0, -left)), end = std::max(begin, std::min(width, in_width - left));
  for (Int r = 0; r < rows; ++r) {
    float* out = buffer + r * width * kLanes;
    const Int y = first + r;
    const bool inside = y >= 0 && y < height;
    const float* in = x + (y * in_width + left) * channels;
    const Int from = inside ? begin : 0, to = inside ? end : 0;
    for (Int i = 0; i < from; ++i) store(out + i * kLanes, zero);
    for (Int i = from; i < to; ++i) store(out + i * kLanes, value<kF>(take<kFull>(in + i * channels, n) * scale + offset) * mask);
    for (Int i = to; i < width; ++i) store(out + i * kLanes, zero);
  }
}

// What the convolution reads: x, or what `line` makes of it.
template <bool kFull>
MM_INLINE void fill_input(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, Int n, Int first, Int rows, Int width,
                          float* buffer) {
  if (!line) return fill<kFull>(x, s.height, s.width, s.channels, n, first, rows, -s.left, width, buffer);
  switch (f) {
#define MM_FILL(name)                                                                                                              \
  case Function::name:                                                                                                             \
    return fill_activated<kFull, Function::name>(x, s.height, s.width, s.channels, n, first, rows, -s.left, width, *line, buffer);
    MM_FILL(none) MM_FILL(relu) MM_FILL(relu6) MM_FILL(hard_swish) MM_FILL(silu) MM_FILL(sigmoid) MM_FILL(hard_sigmoid)
#undef MM_FILL
  }
}

// dz = dh·mask·f'(scale·x + offset) in place of dh, and its sums: see norm_backward_sums.
template <bool kFull, Function kF>
static void activation_gradient(const float* x, float* dh, Int pixels, Int channels, Int n, const NormLine& line, const float* mean,
                                double* sum, double* product) {
  const V scale = take<kFull>(line.scale, n), offset = take<kFull>(line.offset, n), level = take<kFull>(mean, n);
  const V mask = line.mask ? take<kFull>(line.mask, n) : splat(1);
  V s = splat(0), p = s;
  for (Int i = 0; i < pixels * channels; i += channels) {
    const V in = take<kFull>(x + i, n);
    const V dz = slope_times<kF>(take<kFull>(dh + i, n) * mask, in * scale + offset);
    put<kFull>(dh + i, dz, n);
    s += dz, p += dz * (in - level);
  }
  add_to(sum, s, n);
  add_to(product, p, n);
}

// The same for a gradient that is spread by the stride: place (r, i) holds dy(p / stride, q / stride) where both
// p = first + r and q = left + i are multiples of it, else 0.
template <bool kFull>
MM_INLINE void spread(const float* dy, Int height, Int in_width, Int channels, Int n, Int stride, Int first, Int rows, Int left, Int width,
                      float* buffer) {
  const V zero = splat(0);
  for (Int i = 0; i < rows * width; ++i) store(buffer + i * kLanes, zero);
  for (Int r = 0; r < rows; ++r) {
    const Int p = first + r;
    if (p < 0 || p % stride != 0 || p / stride >= height) continue;
    for (Int x = std::max<Int>(0, (left + stride - 1) / stride); x < in_width && x * stride < left + width; ++x)
      store(buffer + (r * width + x * stride - left) * kLanes, take<kFull>(dy + (p / stride * in_width + x) * channels, n));
  }
}

// out rows × width from a buffer of (rows − 1)·stride + K rows.
template <Int kK, bool kFull>
MM_INLINE void correlate(const float* buffer, Int buffer_width, const V (&w)[kK * kK], V bias, Int stride, Int rows, Int width, float* out,
                         Int channels, Int n) {
  for (Int y = 0; y < rows; ++y)
    for (Int x = 0; x < width; ++x) {
      const float* in = buffer + (y * buffer_width + x) * stride * kLanes;
      V sum = bias;
#pragma GCC unroll 5
      for (Int ky = 0; ky < kK; ++ky)
#pragma GCC unroll 5
        for (Int kx = 0; kx < kK; ++kx) sum += w[ky * kK + kx] * load(in + (ky * buffer_width + kx) * kLanes);
      put<kFull>(out + (y * width + x) * channels, sum, n);
    }
}

// Rows of the output that one filling of the buffer serves.
MM_INLINE Int strip_rows(Int buffer_width, Int kernel, Int stride) {
  const Int fit = kDepthwiseBuffer / (buffer_width * kLanes);
  return std::max<Int>(1, (fit - kernel) / stride + 1);
}

template <Int kK, bool kFull>
MM_INLINE void forward_channels(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* weight, const float* bias,
                                float* y, float* scratch, Int n) {
  V w[kK * kK];
  for (Int i = 0; i < kK * kK; ++i) w[i] = take<kFull>(weight + i * s.channels, n);
  const V start = bias ? take<kFull>(bias, n) : splat(0);
  const Int width = (s.out_width - 1) * s.stride + kK, strip = strip_rows(width, kK, s.stride);
  for (Int row = 0; row < s.out_height; row += strip) {
    const Int count = std::min(strip, s.out_height - row);
    fill_input<kFull>(s, f, line, x, n, row * s.stride - s.top, (count - 1) * s.stride + kK, width, scratch);
    correlate<kK, kFull>(scratch, width, w, start, s.stride, count, s.out_width, y + row * s.out_width * s.channels, s.channels, n);
  }
}

// The gradient of the input is the correlation of the spread gradient with the turned kernel.
template <Int kK, bool kFull>
MM_INLINE void input_channels(const DepthwiseShape& s, const NormGradient* norm, const float* dy, const float* weight, float* dx, float* scratch,
                              Int n) {
  V w[kK * kK];
  for (Int i = 0; i < kK * kK; ++i) w[i] = take<kFull>(weight + (kK * kK - 1 - i) * s.channels, n);
  const Int width = s.width + kK - 1, strip = strip_rows(width, kK, 1);
  for (Int row = 0; row < s.height; row += strip) {
    const Int count = std::min(strip, s.height - row), first = row + s.top - (kK - 1), left = s.left - (kK - 1);
    if (s.stride == 1) fill<kFull>(dy, s.out_height, s.out_width, s.channels, n, first, count + kK - 1, left, width, scratch);
    else spread<kFull>(dy, s.out_height, s.out_width, s.channels, n, s.stride, first, count + kK - 1, left, width, scratch);
    correlate<kK, kFull>(scratch, width, w, splat(0), 1, count, s.width, dx + row * s.width * s.channels, s.channels, n);
    if (!norm) continue;
    const float* const x = norm->x + row * s.width * s.channels;
    float* const dh = dx + row * s.width * s.channels;
    switch (norm->function) {
#define MM_GRADIENT(name)                                                                                                          \
  case Function::name:                                                                                                             \
    activation_gradient<kFull, Function::name>(x, dh, count * s.width, s.channels, n, norm->line, norm->mean, norm->sum, norm->product); \
    break;
      MM_GRADIENT(none) MM_GRADIENT(relu) MM_GRADIENT(relu6) MM_GRADIENT(hard_swish) MM_GRADIENT(silu) MM_GRADIENT(sigmoid)
      MM_GRADIENT(hard_sigmoid)
#undef MM_GRADIENT
    }
  }
}

template <Int kK, bool kFull>
MM_INLINE void weight_channels(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* dy, float* gradient, float* scratch, Int n) {
  V sum[kK * kK];
  for (Int i = 0; i < kK * kK; ++i) sum[i] = take<kFull>(gradient + i * s.channels, n);
  const Int width = (s.out_width - 1) * s.stride + kK, strip = strip_rows(width, kK, s.stride);
  for (Int row = 0; row < s.out_height; row += strip) {
    const Int count = std::min(strip, s.out_height - row);
    fill_input<kFull>(s, f, line, x, n, row * s.stride - s.top, (count - 1) * s.stride + kK, width, scratch);
    for (Int i = 0; i < count; ++i)
      for (Int j = 0; j < s.out_width; ++j) {
        const V g = take<kFull>(dy + ((row + i) * s.out_width + j) * s.channels, n);
        const float* in = scratch + (i * width + j) * s.stride * kLanes;
#pragma GCC unroll 5
        for (Int ky = 0; ky < kK; ++ky)
#pragma GCC unroll 5
          for (Int kx = 0; kx < kK; ++kx) sum[ky * kK + kx] += g * load(in + (ky * width + kx) * kLanes);
      }
  }
  for (Int i = 0; i < kK * kK; ++i) put<kFull>(gradient + i * s.channels, sum[i], n);
}

// While one vector of channels of an image is at work its share of the next image is fetched.
MM_INLINE void fetch_share(const float* image, Int size, Int c, Int channels) {
  const Int end = std::min(channels, c + kLanes);
  for (Int i = size + size * c / channels; i < size + size * end / channels; i += 16) __builtin_prefetch(image + i, 0, 2);
}
MM_INLINE Int in_size(const DepthwiseShape& s) { return s.height * s.width * s.channels; }
MM_INLINE Int out_size(const DepthwiseShape& s) { return s.out_height * s.out_width * s.channels; }

// The lines of the channels from c on.
MM_INLINE NormLine from_channel(const NormLine& line, Int c) { return {line.scale + c, line.offset + c, line.mask ? line.mask + c : nullptr}; }
MM_INLINE NormGradient from_channel(const NormGradient& g, Int c) {
  return {g.function, from_channel(g.line, c), g.mean + c, g.x + c, g.sum + c, g.product + c};
}

template <Int kK>
static void depthwise_forward_as(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* w, const float* b,
                                 float* y, float* scratch) {
  for (Int c = 0; c < s.channels; c += kLanes) {
    fetch_share(x, in_size(s), c, s.channels), fetch_share(y, out_size(s), c, s.channels);
    const NormLine here = line ? from_channel(*line, c) : NormLine{};
    const NormLine* const l = line ? &here : nullptr;
    const float* const bias = b ? b + c : nullptr;
    if (c + kLanes <= s.channels) forward_channels<kK, true>(s, f, l, x + c, w + c, bias, y + c, scratch, kLanes);
    else forward_channels<kK, false>(s, f, l, x + c, w + c, bias, y + c, scratch, s.channels - c);
  }
}
template <Int kK>
static void depthwise_input_as(const DepthwiseShape& s, const NormGradient* norm, const float* dy, const float* w, float* dx, float* scratch) {
  for (Int c = 0; c < s.channels; c += kLanes) {
    fetch_share(dx, in_size(s), c, s.channels);
    const NormGradient here = norm ? from_channel(*norm, c) : NormGradient{};
    const NormGradient* const g = norm ? &here : nullptr;
    if (c + kLanes <= s.channels) input_channels<kK, true>(s, g, dy + c, w + c, dx + c, scratch, kLanes);
    else input_channels<kK, false>(s, g, dy + c, w + c, dx + c, scratch, s.channels - c);
  }
}
template <Int kK>
static void depthwise_weight_as(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* dy, float* g,
                                float* scratch) {
  for (Int c = 0; c < s.channels; c += kLanes) {
    fetch_share(x, in_size(s), c, s.channels), fetch_share(dy, out_size(s), c, s.channels);
    const NormLine here = line ? from_channel(*line, c) : NormLine{};
    const NormLine* const l = line ? &here : nullptr;
    if (c + kLanes <= s.channels) weight_channels<kK, true>(s, f, l, x + c, dy + c, g + c, scratch, kLanes);
    else weight_channels<kK, false>(s, f, l, x + c, dy + c, g + c, scratch, s.channels - c);
  }
}

static void depthwise_forward(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* w, const float* b,
                              float* y, float* scratch) {
  return s.kernel == 3 ? depthwise_forward_as<3>(s, f, line, x, w, b, y, scratch) : depthwise_forward_as<5>(s, f, line, x, w, b, y, scratch);
}
static void depthwise_backward_input(const DepthwiseShape& s, const NormGradient* norm, const float* dy, const float* w, float* dx,
                                     float* scratch) {
  return s.kernel == 3 ? depthwise_input_as<3>(s, norm, dy, w, dx, scratch) : depthwise_input_as<5>(s, norm, dy, w, dx, scratch);
}
static void depthwise_backward_weight(const DepthwiseShape& s, Function f, const NormLine* line, const float* x, const float* dy, float* g,
                                      float* scratch) {
  return s.kernel == 3 ? depthwise_weight_as<3>(s, f, line, x, dy, g, scratch) : depthwise_weight_as<5>(s, f, line, x, dy, g, scratch);
}
