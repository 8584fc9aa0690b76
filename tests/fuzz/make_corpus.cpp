// Writes the seeds of the fuzzers: make_fuzz_corpus tests/fuzz/corpus. Small files of our writers that between them hold
// every operator in both forms.
#include <cstdio>

#include "formats/sample_models.h"
#include "fuzz/readers.h"

namespace micromind {
namespace {

Model tiny_linear() {
  Int8Builder b("tiny_linear");
  int x = b.input("x", {8}, {0.05f, -3});
  x = b.add("hidden", Linear{.out_features = 4, .activation = Function::relu}, {x}, {0.1f, -128});
  b.model.graph.add_output("y", b.add("softmax", Softmax{}, {x}, kUnit));
  return std::move(b.model);
}

Model tiny_conv() {
  Int8Builder b("tiny_conv");
  const Quantization a = {0.05f, -3}, c = {0.031f, 7};
  int x = b.input("image", {3, 6, 5}, a);
  x = b.add("conv", Conv2d{.out_channels = 4, .kernel = 3, .stride = 2, .padding = 1, .activation = Function::relu6}, {x}, c);
  const int skip = x;
  x = b.add("depthwise", Conv2d{.out_channels = 4, .kernel = 3, .padding = 1, .groups = 4}, {x}, a);
  x = b.add("silu", Activation{Function::silu}, {x}, a);
  x = b.add("add", Add{}, {x, skip}, c);
  x = b.add("pool", AdaptiveAvgPool2d{}, {x}, c);
  x = b.add("flat", Flatten{}, {x}, c);
  b.model.graph.add_output("y", b.add("fc", Linear{.out_features = 3}, {x}, a));
  return std::move(b.model);
}

Model tiny_float() {
  Graph g("tiny_float");
  int x = g.add_input("image", {3, 7, 6});
  x = g.add("pad", Pad{{0, 1, 0, 1}}, {x});
  x = g.add("conv", Conv2d{.out_channels = 4, .kernel = 3, .stride = 2, .bias = false}, {x});
  x = g.add("norm", BatchNorm{}, {x});
  x = g.add("act", Activation{Function::hard_swish}, {x});
  int s = g.add("se.pool", AdaptiveAvgPool2d{}, {x});
  s = g.add("se.gate", Activation{Function::hard_sigmoid}, {s});
  x = g.add("se.scale", Multiply{}, {x, s});
  const int half = g.add("split", Split{.axis = 0, .sizes = {1, 3}}, {x});
  x = g.add("concat", Concat{}, {half + 1, half});
  x = g.add("silu", Activation{Function::silu}, {x});
  x = g.add("up", Upsample{2}, {x});
  x = g.add("max", MaxPool2d{.kernel = 3, .stride = 2, .padding = 1}, {x});
  x = g.add("avg", AvgPool2d{.kernel = 2, .stride = 1, .padding = 0}, {x});
  x = g.add("flatten", Flatten{}, {x});
  x = g.add("fc", Linear{.out_features = 3}, {x});
  g.add_output("y", g.add("softmax", Softmax{}, {x}));
  Model m;
  m.weights = random_weights(g);
  m.graph = std::move(g);
  return m;
}

void make(const std::filesystem::path& folder) {
  write_tflite(every_int8_operator(), folder / "tflite" / "every_operator.tflite");
  write_tflite(tiny_linear(), folder / "tflite" / "linear.tflite");
  write_tflite(tiny_conv(), folder / "tflite" / "conv.tflite");
  write_onnx(every_int8_operator(), folder / "onnx" / "every_operator_qdq.onnx");
  write_onnx(tiny_linear(), folder / "onnx" / "linear_qdq.onnx");
  write_onnx(tiny_conv(), folder / "onnx" / "conv_qdq.onnx");
  write_onnx(tiny_float(), folder / "onnx" / "float.onnx");
}

}  // namespace
}  // namespace micromind

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("make_fuzz_corpus FOLDER\n", stderr);
    return 2;
  }
  micromind::make(argv[1]);
  return 0;
}
