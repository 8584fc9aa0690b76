#include "micromind/networks/mlperf_tiny.h"

#include "micromind/base/error.h"
#include "micromind/networks/blocks.h"
#include "micromind/networks/options.h"

namespace micromind {
namespace {

constexpr NormOptions kKerasNorm{1e-3f, 0.01f};  // Keras: momentum 0.99 of the old statistic

Graph build_resnet(const ResNetOptions& o) {
  Graph g("resnet-8");
  g.reserve(10 * o.filters.size() + 8);
  int x = g.add_input("image", o.input);
  x = conv_bn_act(g, "stem", x, {.out_channels = o.filters[0], .kernel = 3, .padding = 1, .norm = kKerasNorm});
  for (std::size_t i = 0; i < o.filters.size(); ++i)
    x = residual_block(g, "blocks." + std::to_string(i), x, {.out_channels = o.filters[i], .stride = i == 0 ? 1 : 2, .norm = kKerasNorm});
  add_top(g, x, o.include_top, o.num_classes);
  return g;
}

Graph build_ds_cnn(const DsCnnOptions& o) {
  Graph g("ds-cnn");
  g.reserve(static_cast<std::size_t>(6 * o.num_layers + 10));
  int x = g.add_input("image", o.input);
  x = conv_bn_act(g, "stem", x,
                  {.out_channels = o.filters, .kernel = {10, 4}, .stride = 2, .padding = same_padding(o.input, {10, 4}, 2), .norm = kKerasNorm});
  x = g.add("stem.dropout", Dropout{.p = 0.2f}, {x});
  for (int i = 0; i < o.num_layers; ++i)
    x = separable_conv(g, "blocks." + std::to_string(i), x, {.out_channels = o.filters, .padding = 1, .norm = kKerasNorm});
  x = g.add("dropout", Dropout{.p = 0.4f}, {x});
  add_top(g, x, o.include_top, o.num_classes);
  return g;
}

int dense(Graph& g, const std::string& name, int x, int features) {
  x = g.add(name + ".linear", Linear{.out_features = features}, {x});
  x = g.add(name + ".norm", BatchNorm{kKerasNorm.eps, kKerasNorm.momentum}, {x});
  return g.add(name + ".act", Activation{Function::relu}, {x});
}

}  // namespace

Graph resnet8(const ResNetOptions& o) {
  expect_input("resnet-8", o.input);
  if (o.filters.empty() || o.filters.size() > 16) fail("resnet-8", "filters has {} entries: expected 1 to 16", o.filters.size());
  for (const int f : o.filters) expect_range("resnet-8", "filters", f, 1, 65536);
  expect_range("resnet-8", "num_classes", o.num_classes, 1, 1'000'000);
  return build_family("resnet-8", o.input, [&] { return build_resnet(o); });
}

Graph ds_cnn(const DsCnnOptions& o) {
  expect_input("ds-cnn", o.input);
  expect_range("ds-cnn", "filters", o.filters, 1, 65536);
  expect_range("ds-cnn", "num_layers", o.num_layers, 1, 64);
  expect_range("ds-cnn", "num_classes", o.num_classes, 1, 1'000'000);
  return build_family("ds-cnn", o.input, [&] { return build_ds_cnn(o); });
}

Graph autoencoder(const AutoencoderOptions& o) {
  if (o.input.rank() != 1) fail("autoencoder", "input_shape = {}: expected a vector, such as [640]", to_string(o.input));
  expect_range("autoencoder", "input_shape", o.input[0], 1, 1'000'000);
  expect_range("autoencoder", "hidden", o.hidden, 1, 65536);
  expect_range("autoencoder", "bottleneck", o.bottleneck, 1, 65536);
  Graph g("autoencoder");
  int x = g.add_input("frames", o.input);
  for (int i = 0; i < 4; ++i) x = dense(g, "encoder." + std::to_string(i), x, o.hidden);
  x = dense(g, "bottleneck", x, o.bottleneck);
  for (int i = 0; i < 4; ++i) x = dense(g, "decoder." + std::to_string(i), x, o.hidden);
  g.add_output("reconstruction", g.add("reconstruction", Linear{.out_features = o.input[0]}, {x}));
  return g;
}

}  // namespace micromind
