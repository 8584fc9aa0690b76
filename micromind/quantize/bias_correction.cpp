#include "micromind/quantize/bias_correction.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/quantize/execute.h"
#include "micromind/quantize/quantize.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

bool weighted(const Op& op) { return std::holds_alternative<Conv2d>(op) || std::holds_alternative<Linear>(op); }

}  // namespace

// A convolution's geometry; a linear layer is one of 1×1 over a 1×1 image.
struct BiasCorrection::Window {
  std::size_t channels, groups = 1;
  int height = 1, width = 1, out_height = 1, out_width = 1;
  Conv2d conv;
  std::size_t taps() const { return at(conv.kernel.h) * at(conv.kernel.w); }
  double positions() const { return static_cast<double>(out_height) * out_width; }
};

BiasCorrection::Window BiasCorrection::window_of(const Graph& graph, const Node& node) {
  const Shape &in = graph.shape(node.inputs[0]), &out = graph.shape(node.outputs[0]);
  Window w{.channels = at(in.channels()), .conv = {}};
  if (const auto* conv = std::get_if<Conv2d>(&node.op)) {
    w.conv = *conv;
    w.groups = at(conv->groups);
    w.height = in.height(), w.width = in.width(), w.out_height = out.height(), w.out_width = out.width();
  }
  return w;
}

namespace {

// Adds one image's (C, H, W) numbers to the sums of the taps; `read(c, y, x)` gives a number.
template <class Window, class Read>
void add_image(const Window& w, std::vector<double>& taps, Read&& read) {
  std::size_t t = 0;
  for (std::size_t c = 0; c < w.channels; ++c)
    for (int kh = 0; kh < w.conv.kernel.h; ++kh)
      for (int kw = 0; kw < w.conv.kernel.w; ++kw, ++t) {
        double sum = 0;
        for (int oy = 0; oy < w.out_height; ++oy) {
          const int y = oy * w.conv.stride.h + kh * w.conv.dilation.h - w.conv.padding.top;
          if (y < 0 || y >= w.height) continue;
          for (int ox = 0; ox < w.out_width; ++ox) {
            const int x = ox * w.conv.stride.w + kw * w.conv.dilation.w - w.conv.padding.left;
            if (x >= 0 && x < w.width) sum += read(c, y, x);
          }
        }
        taps[t] += sum;
      }
}

// Σ over taps of weight · sum for each output channel; weights in the runtime's layout.
template <class Window, class Weight>
std::vector<double> outputs_of(const Window& w, std::size_t outputs, bool depthwise, const std::vector<double>& taps, Weight&& weight) {
  std::vector<double> sums(outputs, 0);
  const std::size_t columns = w.channels / w.groups, rows = outputs / w.groups;
  for (std::size_t o = 0; o < outputs; ++o)
    for (std::size_t i = 0; i < columns; ++i)
      for (std::size_t k = 0; k < w.taps(); ++k) {
        const std::size_t channel = o / rows * columns + i;
        sums[o] += weight(depthwise ? k * outputs + o : (o * w.taps() + k) * columns + i) * taps[channel * w.taps() + k];
      }
  return sums;
}

// Runs work(i) for 0 ≤ i < count on some threads.
template <class Work>
void each_in_parallel(std::size_t count, int threads, Work&& work) {
  const unsigned wanted = threads > 0 ? static_cast<unsigned>(threads) : std::max(1u, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next{0};
  const auto some = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> pool;
  for (unsigned t = 1; t < std::min<std::size_t>(wanted, count); ++t) pool.emplace_back(some);
  some();
  for (std::thread& t : pool) t.join();
}

}  // namespace

BiasCorrection::BiasCorrection(const FoldedNetwork& network)
    : network_(network), lowered_(lower(network.graph)), sums_(lowered_.graph.nodes().size()), readers_(network.graph.values().size()) {
  for (std::size_t n = 0; n < sums_.size(); ++n) {
    const Node& node = lowered_.graph.nodes()[n];
    if (!weighted(node.op)) continue;
    const Window w = window_of(lowered_.graph, node);
    sums_[n].taps.assign(w.channels * w.taps(), 0);
    readers_[at(lowered_.source_value[at(node.inputs[0])])].push_back(n);
  }
}

void BiasCorrection::observe(int value, std::span<const float> numbers) {
  for (const std::size_t n : readers_.at(at(value))) {
    const Window w = window_of(lowered_.graph, lowered_.graph.nodes()[n]);
    const std::size_t area = at(w.height) * at(w.width), each = w.channels * area;
    if (numbers.empty() || numbers.size() % each != 0)
      fail("bias correction", "{}: expected images of {} numbers, found {}", lowered_.graph.nodes()[n].name, each, numbers.size());
    for (std::size_t first = 0; first < numbers.size(); first += each, ++sums_[n].images)
      add_image(w, sums_[n].taps, [&](std::size_t c, int y, int x) { return static_cast<double>(numbers[first + c * area + at(y) * at(w.width) + at(x)]); });
  }
}

// Sums of a layer's int8 input at each tap, zero points taken off, over all images.
std::vector<double> BiasCorrection::int8_sums(const Window& w, int zero_point, const std::vector<Bytes>& images, int threads) {
  std::vector<std::vector<double>> each(images.size());
  each_in_parallel(images.size(), threads, [&](std::size_t i) {
    each[i].assign(w.channels * w.taps(), 0);
    add_image(w, each[i], [&](std::size_t c, int y, int x) {
      return static_cast<double>(images[i][(at(y) * at(w.width) + at(x)) * w.channels + c] - zero_point);
    });
  });
  std::vector<double> total(w.channels * w.taps(), 0);
  for (const std::vector<double>& one : each)
    for (std::size_t t = 0; t < total.size(); ++t) total[t] += one[t];
  return total;
}

// The float sums; behind a flattened image in the order of the int8 bytes, (H, W, C).
std::vector<double> BiasCorrection::float_sums(std::size_t n) const {
  std::vector<double> sums = sums_[n].taps;
  const Shape& image = lowered_.origin[n].flattened;
  if (image.rank() != 3) return sums;
  const std::size_t area = at(image.height()) * at(image.width()), channels = at(image.channels());
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t p = 0; p < area; ++p) sums[p * channels + c] = sums_[n].taps[c * area + p];
  return sums;
}

double BiasCorrection::correct_layer(Model& model, std::size_t n, const std::vector<Bytes>& images, int threads) const {
  const Graph& graph = model.graph;
  const Node& node = graph.nodes()[n];
  if (images.empty() || sums_[n].images != static_cast<std::int64_t>(images.size()))
    fail("bias correction", "{}: the float network was seen on {} images, int8 has {}", node.name, sums_[n].images, images.size());
  const Window w = window_of(graph, node);
  const Quantization in = *graph.type(node.inputs[0]).quantization;
  const Array& weight = find(model.weights, node.name + ".weight");
  const auto int8 = weight.values<std::int8_t>();
  find(model.weights, node.name + ".bias");
  const auto bias = model.weights.at(node.name + ".bias").values<std::int32_t>();
  const FoldedNode real = fold(network_.graph, lowered_, network_.weights, static_cast<int>(n));
  if (real.weight.size() != int8.size() || real.bias.size() != bias.size())
    fail("bias correction", "{}: the int8 model is another network's", node.name);

  const auto* conv = std::get_if<Conv2d>(&node.op);
  const bool depthwise = conv != nullptr && conv->depthwise(graph.shape(node.inputs[0]));
  const std::vector<double> as_int8 = outputs_of(w, bias.size(), depthwise, int8_sums(w, in.zero_point, images, threads),
                                                 [&](std::size_t i) { return static_cast<double>(int8[i]); });
  const std::vector<double> as_float =
      outputs_of(w, bias.size(), depthwise, float_sums(n), [&](std::size_t i) { return static_cast<double>(real.weight[i]); });
  const double count = w.positions() * static_cast<double>(images.size());
  const double out_scale = graph.type(node.outputs[0]).quantization->scale;
  double magnitude = 0;
  for (std::size_t o = 0; o < bias.size(); ++o) {
    const double step = static_cast<double>(in.scale) * static_cast<double>(weight.scales[weight.scales.size() == 1 ? 0 : o]);
    const double shift = as_int8[o] / count + bias[o] - (as_float[o] / count + static_cast<double>(real.bias[o])) / step;
    bias[o] = static_cast<std::int32_t>(std::clamp(std::round(bias[o] - shift), -0x1p31, 0x1p31 - 1));
    magnitude += std::fabs(shift * step) / out_scale;
  }
  return magnitude / static_cast<double>(bias.size());
}

double BiasCorrection::correct(Model& model, std::span<const Bytes> inputs, int threads) const {
  const Graph& graph = model.graph;
  if (graph.nodes().size() != sums_.size() || graph.values().size() != lowered_.graph.values().size() || graph.inputs().size() != 1)
    fail("bias correction", "{}: the int8 model is another network's", graph.name);
  const int input = graph.inputs()[0].value;
  for (const Bytes& image : inputs)
    if (image.size() != static_cast<std::size_t>(graph.shape(input).elements()))
      fail("bias correction", "expected images of {} bytes, found {}", graph.shape(input).elements(), image.size());
  // All images go through node by node, so that each layer sees what the corrected ones before it make; the calls are bound
  // to the model's biases.
  const KernelCalls calls(model);
  std::vector<std::vector<Bytes>> values(graph.values().size());
  values[at(input)].assign(inputs.begin(), inputs.end());
  std::vector<int> readers = graph.use_counts();
  double magnitude = 0;
  int layers = 0;
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (weighted(node.op)) {
      magnitude += correct_layer(model, n, values[at(node.inputs[0])], threads);
      ++layers;
    }
    for (const int v : node.outputs) values[at(v)].assign(inputs.size(), Bytes(static_cast<std::size_t>(graph.shape(v).elements())));
    if (std::holds_alternative<Flatten>(node.op)) values[at(node.outputs[0])] = values[at(node.inputs[0])];
    each_in_parallel(inputs.size(), threads, [&](std::size_t image) {
      std::vector<const std::int8_t*> in;
      std::vector<std::int8_t*> out;
      for (const int v : node.inputs) in.push_back(values[at(v)][image].data());
      for (const int v : node.outputs) out.push_back(values[at(v)][image].data());
      execute(calls[n], in, out);
    });
    for (const int v : node.inputs)
      if (--readers[at(v)] == 0) values[at(v)].clear();
  }
  return layers == 0 ? 0 : magnitude / layers;
}

}  // namespace micromind
