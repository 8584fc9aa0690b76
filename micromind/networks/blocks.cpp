#include "micromind/networks/blocks.h"

#include <algorithm>

#include "micromind/base/error.h"

namespace micromind {

int make_divisible(double value, int divisor) {
  const int rounded = std::max(divisor, truncate(value + divisor / 2.0) / divisor * divisor);
  return rounded < 0.9 * value ? rounded + divisor : rounded;
}

int truncate(double value) {
  if (!(value > -1e9 && value < 1e9)) fail("network", "a width of {} channels", value);
  return static_cast<int>(value);
}

SamePadding same_padding(int in, int kernel, int stride) {
  const int out = (in + stride - 1) / stride;
  const int total = std::max(0, (out - 1) * stride + kernel - in);
  return {total / 2, total - total / 2};
}

Padding same_padding(const Shape& in, Size kernel, Size stride) {
  const SamePadding h = same_padding(in.height(), kernel.h, stride.h), w = same_padding(in.width(), kernel.w, stride.w);
  return {h.before, h.after, w.before, w.after};
}

int conv_bn_act(Graph& g, const std::string& name, int x, const ConvOptions& o) {
  x = g.add(name + ".conv",
            Conv2d{.out_channels = o.out_channels, .kernel = o.kernel, .stride = o.stride, .padding = o.padding, .groups = o.groups, .bias = o.bias},
            {x});
  if (o.batch_norm) x = g.add(name + ".norm", BatchNorm{o.norm.eps, o.norm.momentum}, {x});
  if (o.activation != Function::none) x = g.add(name + ".act", Activation{o.activation}, {x});
  return x;
}

int depthwise_bn_act(Graph& g, const std::string& name, int x, ConvOptions options) {
  options.out_channels = options.groups = g.shape(x).channels();
  return conv_bn_act(g, name, x, options);
}

int separable_conv(Graph& g, const std::string& name, int x, const SeparableOptions& o) {
  if (o.norm_between) {
    x = depthwise_bn_act(g, name + ".depthwise", x,
                         {.kernel = o.kernel, .stride = o.stride, .padding = o.padding, .norm = o.norm, .activation = o.activation});
    return conv_bn_act(g, name + ".pointwise", x, {.out_channels = o.out_channels, .norm = o.norm, .activation = o.activation});
  }
  const int channels = g.shape(x).channels();
  x = g.add(name + ".depthwise",
            Conv2d{.out_channels = channels, .kernel = o.kernel, .stride = o.stride, .padding = o.padding, .groups = channels, .bias = false}, {x});
  x = g.add(name + ".pointwise", Conv2d{.out_channels = o.out_channels, .bias = false}, {x});
  x = g.add(name + ".norm", BatchNorm{o.norm.eps, o.norm.momentum}, {x});
  return o.activation == Function::none ? x : g.add(name + ".act", Activation{o.activation}, {x});
}

int squeeze_excite(Graph& g, const std::string& name, int x, int reduced, Function activation, bool bias) {
  int s = g.add(name + ".pool", AdaptiveAvgPool2d{}, {x});
  s = g.add(name + ".reduce", Conv2d{.out_channels = reduced, .bias = bias}, {s});
  s = g.add(name + ".act", Activation{activation}, {s});
  s = g.add(name + ".expand", Conv2d{.out_channels = g.shape(x).channels(), .bias = bias}, {s});
  s = g.add(name + ".gate", Activation{Function::sigmoid}, {s});
  return g.add(name + ".scale", Multiply{}, {x, s});
}

int phinet_block(Graph& g, const std::string& name, int x, const PhiNetBlockOptions& o) {
  const int input = x;
  if (o.expanded > 0)
    x = conv_bn_act(g, name + ".expand", x, {.out_channels = o.expanded, .norm = o.norm, .activation = o.activation});
  if (o.dropout > 0) x = g.add(name + ".dropout", Dropout{.p = o.dropout, .channels = true}, {x});
  x = depthwise_bn_act(
      g, name + ".depthwise", x,
      {.kernel = o.kernel, .stride = o.stride, .padding = o.stride == 1 ? o.kernel / 2 : 1, .norm = o.norm, .activation = o.activation});
  if (o.squeezed > 0) x = squeeze_excite(g, name + ".squeeze", x, o.squeezed, o.activation);
  x = conv_bn_act(g, name + ".project", x, {.out_channels = o.out_channels, .norm = o.norm, .activation = Function::none});
  if (o.residual && o.stride == 1 && g.shape(input) == g.shape(x)) x = g.add(name + ".add", Add{}, {x, input});
  return x;
}

namespace {

// The broadcast tensor at the size and width of the compressed x.
int broadcast_skip(Graph& g, const std::string& name, int x, const XiConvOptions& o) {
  const Shape wanted = g.shape(x), from = g.shape(o.skip);
  int s = o.skip;
  if (from.height() != wanted.height() || from.width() != wanted.width())
    s = g.add(name + ".skip.pool", AdaptiveAvgPool2d{.output = {wanted.height(), wanted.width()}}, {s});
  s = g.add(name + ".skip.conv",
            Conv2d{.out_channels = wanted.channels(), .kernel = o.skip_kernel, .padding = o.skip_kernel / 2, .groups = o.groups, .bias = false}, {s});
  return g.add(name + ".skip.add", Add{}, {x, s});
}

int attend(Graph& g, const std::string& name, int x, int reduced, const XiConvOptions& o) {
  int y = x;
  if (o.attention_lite)
    y = g.add(name + ".reduce", Conv2d{.out_channels = reduced, .groups = o.groups, .bias = false}, {y});
  y = g.add(name + ".conv",
            Conv2d{.out_channels = o.out_channels, .kernel = o.attention_kernel, .padding = o.attention_kernel / 2, .groups = o.groups, .bias = false},
            {y});
  y = g.add(name + ".gate", Activation{Function::sigmoid}, {y});
  return g.add(name + ".scale", Multiply{}, {x, y});
}

}  // namespace

int xi_conv(Graph& g, const std::string& name, int x, const XiConvOptions& o) {
  if (o.gamma < 1) fail("xi_conv", "{}: gamma = {}: expected at least 1", name, o.gamma);
  const int compressed = o.compressed > 0 ? o.compressed : o.out_channels / o.gamma;
  const int reduced = o.attention_reduced > 0 ? o.attention_reduced : compressed / 2;
  if (compressed < 1) fail("xi_conv", "{}: gamma = {} leaves no channel of {}", name, o.gamma, o.out_channels);
  if (o.attention && o.attention_lite && reduced < 1)
    fail_with_hint("xi_conv", "use more channels (alpha) or less compression (gamma)", "{}: no channel is left for attention: {} / {} / 2",
                   name, o.out_channels, o.gamma);
  if (o.gamma > 1) x = g.add(name + ".compress", Conv2d{.out_channels = compressed, .groups = o.groups, .bias = false}, {x});
  if (o.skip >= 0) x = broadcast_skip(g, name, x, o);
  if (o.pool > 0) x = g.add(name + ".pool", MaxPool2d{.kernel = o.pool, .stride = o.pool}, {x});
  const Padding padding = o.padding >= 0 ? Padding(o.padding) : Padding(o.kernel.h / 2, o.kernel.h / 2, o.kernel.w / 2, o.kernel.w / 2);
  x = conv_bn_act(g, name, x,
                  {.out_channels = o.out_channels, .kernel = o.kernel, .stride = o.stride, .padding = padding, .groups = o.groups,
                   .batch_norm = o.batch_norm, .norm = o.norm, .activation = o.activation});
  if (o.attention) x = attend(g, name + ".attention", x, reduced, o);
  if (o.dropout > 0) x = g.add(name + ".dropout", Dropout{.p = static_cast<float>(o.dropout)}, {x});
  return x;
}

int residual_block(Graph& g, const std::string& name, int x, const ResidualOptions& o) {
  const Shape in = g.shape(x);
  int y = conv_bn_act(g, name + ".first", x,
                      {.out_channels = o.out_channels, .kernel = 3, .stride = o.stride, .padding = same_padding(in, 3, o.stride), .norm = o.norm});
  y = conv_bn_act(g, name + ".second", y,
                  {.out_channels = o.out_channels, .kernel = 3, .padding = 1, .norm = o.norm, .activation = Function::none});
  if (o.stride != 1 || in.channels() != o.out_channels)
    x = g.add(name + ".shortcut", Conv2d{.out_channels = o.out_channels, .stride = o.stride, .padding = same_padding(in, 1, o.stride)}, {x});
  x = g.add(name + ".add", Add{}, {x, y});
  return g.add(name + ".act", Activation{Function::relu}, {x});
}

int inverted_residual(Graph& g, const std::string& name, int x, const InvertedResidualOptions& o) {
  const int input = x, channels = g.shape(x).channels();
  if (o.expansion != 1)
    x = conv_bn_act(g, name + ".expand", x, {.out_channels = o.expanded > 0 ? o.expanded : channels * o.expansion, .norm = o.norm, .activation = o.activation});
  const Padding padding = o.same ? same_padding(g.shape(x), o.kernel, o.stride) : Padding(o.kernel / 2);
  x = depthwise_bn_act(g, name + ".depthwise", x,
                       {.kernel = o.kernel, .stride = o.stride, .padding = padding, .norm = o.norm, .activation = o.activation});
  if (o.squeezed > 0) x = squeeze_excite(g, name + ".squeeze", x, o.squeezed, o.activation, true);
  x = conv_bn_act(g, name + ".project", x, {.out_channels = o.out_channels, .norm = o.norm, .activation = Function::none});
  if (o.stride == 1 && channels == o.out_channels) x = g.add(name + ".add", Add{}, {x, input});
  return x;
}

int classifier(Graph& g, int x, int num_classes) {
  x = g.add("head.pool", AdaptiveAvgPool2d{}, {x});
  x = g.add("head.flatten", Flatten{}, {x});
  return g.add("classifier", Linear{.out_features = num_classes}, {x});
}

void add_top(Graph& g, int x, bool include_top, int num_classes) {
  if (include_top) g.add_output("logits", classifier(g, x, num_classes));
  else g.add_output("features", x);
}

}  // namespace micromind
