// 3×3 convolutions by Winograd's F(2×2, 3×3): an image falls into tiles of 2×2 results, each of which reads 4×4 pixels; in the
// transformed domain a tile is 16 places, and the convolution is a matrix product over channels at each. 16 products stand for 36.
// (Lavin, Gray, "Fast algorithms for convolutional neural networks", 2016.) Here are the transformations and their adjoints:
//
//   Bᵀ = 1  0 −1  0      G = 1   0   0       Aᵀ = 1 1  1  0
//        0  1  1  0          ½   ½   ½            0 1 −1 −1
//        0 −1  1  0          ½  −½   ½
//        0  1  0 −1          0   0   1

// Calls f(whole vector?, first channel, channels) for each vector of channels.
template <class F>
MM_INLINE void for_channels(Int channels, F&& f) {
  Int c = 0;
  for (; c + kLanes <= channels; c += kLanes) f(std::true_type{}, c, kLanes);
  if (c < channels) f(std::false_type{}, c, channels - c);
}

// v = Bᵀ·d·B of one tile.
MM_INLINE void to_places(const V (&d)[16], V (&v)[16]) {
  V h[16];
#pragma GCC unroll 4
  for (Int j = 0; j < 4; ++j) {
    h[j] = d[j] - d[8 + j];
    h[4 + j] = d[4 + j] + d[8 + j];
    h[8 + j] = d[8 + j] - d[4 + j];
    h[12 + j] = d[4 + j] - d[12 + j];
  }
#pragma GCC unroll 4
  for (Int i = 0; i < 16; i += 4) {
    v[i] = h[i] - h[i + 2];
    v[i + 1] = h[i + 1] + h[i + 2];
    v[i + 2] = h[i + 2] - h[i + 1];
    v[i + 3] = h[i + 1] - h[i + 3];
  }
}

// The adjoint: B·v·Bᵀ.
MM_INLINE void from_places(const V (&v)[16], V (&d)[16]) {
  V h[16];
#pragma GCC unroll 4
  for (Int j = 0; j < 4; ++j) {
    h[j] = v[j];
    h[4 + j] = (v[4 + j] - v[8 + j]) + v[12 + j];
    h[8 + j] = (v[4 + j] + v[8 + j]) - v[j];
    h[12 + j] = -v[12 + j];
  }
#pragma GCC unroll 4
  for (Int i = 0; i < 16; i += 4) {
    d[i] = h[i];
    d[i + 1] = (h[i + 1] - h[i + 2]) + h[i + 3];
    d[i + 2] = (h[i + 1] + h[i + 2]) - h[i];
    d[i + 3] = -h[i + 3];
  }
}

// Calls f(all inside?, tile, offset of its first pixel, bits of the pixels inside) for each tile of 4×4 pixels: pixel i lies (i / 4) rows and
// i % 4 pixels further.
template <class F>
MM_INLINE void for_tiles(const TileShape& s, F&& f) {
  for (Int ty = 0, t = 0; ty < s.rows(); ++ty)
    for (Int tx = 0; tx < s.columns(); ++tx, ++t) {
      const Int top = 2 * ty - 1, left = 2 * tx - 1, first = (top * s.width + left) * s.channels;
      if (top >= 0 && left >= 0 && top + 4 <= s.height && left + 4 <= s.width) {
        f(std::true_type{}, t, first, 0xffff);
        continue;
      }
      const auto range = [](Int begin, Int extent) {  // bits of the four places inside
        return (begin < 0 ? 14 : 15) & ((1 << std::min<Int>(4, extent - begin)) - 1);
      };
      const int row = range(left, s.width), rows = range(top, s.height);
      f(std::false_type{}, t, first, row * ((rows & 1) | (rows & 2) << 3 | (rows & 4) << 6 | (rows & 8) << 9));
    }
}

static void tiles_of_input(const TileShape& s, const float* x, float* places, Int pitch) {
  for_tiles(s, [&](auto whole, Int t, Int first, int inside) __attribute__((always_inline)) {
    float* const out = places + t * s.channels;
    for_channels(s.channels, [&](auto full, Int c, Int n) __attribute__((always_inline)) {
      constexpr bool kFull = decltype(full)::value, kWhole = decltype(whole)::value;
      V d[16], v[16];
#pragma GCC unroll 16
      for (Int i = 0; i < 16; ++i)
        d[i] = kWhole || (inside >> i & 1) ? take<kFull>(x + (first + (i / 4 * s.width + i % 4) * s.channels + c), n) : splat(0);
      to_places(d, v);
#pragma GCC unroll 16
      for (Int i = 0; i < 16; ++i) put<kFull>(out + i * pitch + c, v[i], n);
    });
  });
}

static void tiles_to_input_gradient(const TileShape& s, const float* places, Int pitch, float* dx) {
  for (Int i = 0; i < s.height * s.width * s.channels; ++i) dx[i] = 0;
  for_tiles(s, [&](auto whole, Int t, Int first, int inside) __attribute__((always_inline)) {
    const float* const in = places + t * s.channels;
    for_channels(s.channels, [&](auto full, Int c, Int n) __attribute__((always_inline)) {
      constexpr bool kFull = decltype(full)::value, kWhole = decltype(whole)::value;
      V v[16], d[16];
#pragma GCC unroll 16
      for (Int i = 0; i < 16; ++i) v[i] = take<kFull>(in + i * pitch + c, n);
      from_places(v, d);
#pragma GCC unroll 16
      for (Int i = 0; i < 16; ++i)
        if (kWhole || (inside >> i & 1)) {
          float* const to = dx + (first + (i / 4 * s.width + i % 4) * s.channels + c);
          put<kFull>(to, take<kFull>(to, n) + d[i], n);
        }
    });
  });
}

// `some` of the channels: those of one block of columns, which lie at y + first channel.
static void tiles_to_output(const TileShape& s, const float* places, Int pitch, Int some, float* y) {
  const Int row = s.width * s.channels;
  for (Int ty = 0, t = 0; ty < s.rows(); ++ty)
    for (Int tx = 0; tx < s.columns(); ++tx, ++t) {
      const float* const in = places + t * some;
      float* const out = y + 2 * ty * row + 2 * tx * s.channels;
      const bool right = 2 * tx + 1 < s.width, below = 2 * ty + 1 < s.height;
      for_channels(some, [&](auto full, Int c, Int n) __attribute__((always_inline)) {
        constexpr bool kFull = decltype(full)::value;
        V h[8];
#pragma GCC unroll 4
        for (Int j = 0; j < 4; ++j) {
          const V m0 = take<kFull>(in + j * pitch + c, n), m1 = take<kFull>(in + (4 + j) * pitch + c, n);
          const V m2 = take<kFull>(in + (8 + j) * pitch + c, n), m3 = take<kFull>(in + (12 + j) * pitch + c, n);
          h[j] = m0 + (m1 + m2);
          h[4 + j] = (m1 - m2) - m3;
        }
        put<kFull>(out + c, h[0] + (h[1] + h[2]), n);
        if (right) put<kFull>(out + s.channels + c, (h[1] - h[2]) - h[3], n);
        if (below) put<kFull>(out + row + c, h[4] + (h[5] + h[6]), n);
        if (below && right) put<kFull>(out + row + s.channels + c, (h[5] - h[6]) - h[7], n);
      });
    }
}

static void tiles_of_output_gradient(const TileShape& s, const float* dy, Int some, float* places, Int pitch) {
  const Int row = s.width * s.channels;
  for (Int ty = 0, t = 0; ty < s.rows(); ++ty)
    for (Int tx = 0; tx < s.columns(); ++tx, ++t) {
      float* const out = places + t * some;
      const float* const in = dy + 2 * ty * row + 2 * tx * s.channels;
      const bool right = 2 * tx + 1 < s.width, below = 2 * ty + 1 < s.height;
      for_channels(some, [&](auto full, Int c, Int n) __attribute__((always_inline)) {
        constexpr bool kFull = decltype(full)::value;
        const V zero = splat(0);
        const V a = take<kFull>(in + c, n), b = right ? take<kFull>(in + s.channels + c, n) : zero;
        const V e = below ? take<kFull>(in + row + c, n) : zero, f = below && right ? take<kFull>(in + row + s.channels + c, n) : zero;
        const V left[4] = {a, a + e, a - e, -e}, other[4] = {b, b + f, b - f, -f};
#pragma GCC unroll 4
        for (Int i = 0; i < 4; ++i) {
          put<kFull>(out + 4 * i * pitch + c, left[i], n);
          put<kFull>(out + (4 * i + 1) * pitch + c, left[i] + other[i], n);
          put<kFull>(out + (4 * i + 2) * pitch + c, left[i] - other[i], n);
          put<kFull>(out + (4 * i + 3) * pitch + c, -other[i], n);
        }
      });
    }
}

static void weight_places(const float* weight, Int step, Int columns, float* places, Int pitch) {
  const V half = splat(0.5f);
  for_channels(columns, [&](auto full, Int c, Int n) __attribute__((always_inline)) {
    constexpr bool kFull = decltype(full)::value;
    V h[12];
#pragma GCC unroll 3
    for (Int j = 0; j < 3; ++j) {
      const V g0 = take<kFull>(weight + j * step + c, n), g1 = take<kFull>(weight + (3 + j) * step + c, n);
      const V g2 = take<kFull>(weight + (6 + j) * step + c, n), ends = half * (g0 + g2), middle = half * g1;
      h[j] = g0, h[3 + j] = ends + middle, h[6 + j] = ends - middle, h[9 + j] = g2;
    }
#pragma GCC unroll 4
    for (Int i = 0; i < 4; ++i) {
      const V ends = half * (h[3 * i] + h[3 * i + 2]), middle = half * h[3 * i + 1];
      put<kFull>(places + 4 * i * pitch + c, h[3 * i], n);
      put<kFull>(places + (4 * i + 1) * pitch + c, ends + middle, n);
      put<kFull>(places + (4 * i + 2) * pitch + c, ends - middle, n);
      put<kFull>(places + (4 * i + 3) * pitch + c, h[3 * i + 2], n);
    }
  });
}

static void weight_gradient_of_places(const float* places, Int pitch, Int columns, float* gradient, Int step) {
  const V half = splat(0.5f);
  for_channels(columns, [&](auto full, Int c, Int n) __attribute__((always_inline)) {
    constexpr bool kFull = decltype(full)::value;
    V h[12];
#pragma GCC unroll 4
    for (Int j = 0; j < 4; ++j) {
      const V u0 = take<kFull>(places + j * pitch + c, n), u1 = take<kFull>(places + (4 + j) * pitch + c, n);
      const V u2 = take<kFull>(places + (8 + j) * pitch + c, n), u3 = take<kFull>(places + (12 + j) * pitch + c, n);
      const V sum = half * (u1 + u2);
      h[j] = u0 + sum, h[4 + j] = half * (u1 - u2), h[8 + j] = sum + u3;
    }
#pragma GCC unroll 3
    for (Int i = 0; i < 3; ++i) {
      const V sum = half * (h[4 * i + 1] + h[4 * i + 2]);
      put<kFull>(gradient + 3 * i * step + c, h[4 * i] + sum, n);
      put<kFull>(gradient + (3 * i + 1) * step + c, half * (h[4 * i + 1] - h[4 * i + 2]), n);
      put<kFull>(gradient + (3 * i + 2) * step + c, sum + h[4 * i + 3], n);
    }
  });
}
