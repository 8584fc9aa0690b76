// A step of Adam over a part of a parameter.

template <bool kFull>
MM_INLINE void adam_at(const AdamLine& o, Int n, const float* gradient, float* p, float* m, float* v) {
  const V x = take<kFull>(p, n) * splat(o.keep), g = take<kFull>(gradient, n) + splat(o.decay) * x;
  const V mean = splat(o.beta1) * take<kFull>(m, n) + splat(o.share1) * g;
  const V square = splat(o.beta2) * take<kFull>(v, n) + splat(o.share2) * g * g;
  put<kFull>(m, mean, n);
  put<kFull>(v, square, n);
  put<kFull>(p, x - splat(o.rate) * (mean / (root(square) * splat(o.scale) + splat(o.epsilon))), n);
}

static void adam(const AdamLine& o, Int n, const float* gradient, float* p, float* m, float* v) {
  Int i = 0;
  for (; i + kLanes <= n; i += kLanes) adam_at<true>(o, kLanes, gradient + i, p + i, m + i, v + i);
  if (i < n) adam_at<false>(o, n - i, gradient + i, p + i, m + i, v + i);
}
