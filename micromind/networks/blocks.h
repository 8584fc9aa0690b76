// The building blocks of the networks. A block takes the graph, its dotted name and the value it reads, adds nodes
// below that name and returns the value it makes:
//
//   int x = g.add_input("image", {3, 96, 96});
//   x = conv_bn_act(g, "stem", x, {.out_channels = 8, .kernel = 3, .stride = 2, .padding = 1});
//   x = xi_conv(g, "layers.0", x, {.out_channels = 32, .pool = 2});
//
// A new block of a paper is a function like these: everything else (training, cost, int8, C) follows from its nodes.
// Errors come from Graph::add and name the node whose shapes do not fit.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

/// The multiple of `divisor` nearest to `value`, at least `divisor`, never more than 10 % below `value` (Sandler et
/// al., MobileNetV2, reference code). With divisor 1 it only lifts 0 to 1.
int make_divisible(double value, int divisor);

/// A positive real to the integer below it, as Python's int(). Throws Error when it does not fit 31 bits.
int truncate(double value);

/// Zero padding of TensorFlow's SAME for one extent: ⌈in/stride⌉ outputs, the odd row at the end.
struct SamePadding {
  int before = 0, after = 0;
};
SamePadding same_padding(int in, int kernel, int stride);
Padding same_padding(const Shape& in, Size kernel, Size stride);

struct NormOptions {
  float eps = 1e-5f;
  float momentum = 0.1f;  ///< PyTorch's: share of the batch in the new running statistic
};

struct ConvOptions {
  int out_channels = 0;
  Size kernel = 1, stride = 1;
  Padding padding;
  int groups = 1;
  bool bias = false;                     ///< batch norm behind it makes a bias redundant
  bool batch_norm = true;
  NormOptions norm;
  Function activation = Function::relu;  ///< none: no node
};

/// Convolution, batch norm, activation as `name`.conv, `name`.norm, `name`.act.
int conv_bn_act(Graph& g, const std::string& name, int x, const ConvOptions& options);

/// Depthwise convolution over `options.kernel` with the channels of `x`, as conv_bn_act; out_channels and groups are
/// ignored.
int depthwise_bn_act(Graph& g, const std::string& name, int x, ConvOptions options);

struct SeparableOptions {
  int out_channels = 0;
  Size kernel = 3, stride = 1;
  Padding padding;
  bool norm_between = true;  ///< batch norm and activation between depthwise and pointwise (MobileNet); PhiNet: none
  NormOptions norm;
  Function activation = Function::relu;
};

/// Depthwise then pointwise convolution (Howard et al., MobileNets, 2017). With norm_between the nodes are
/// `name`.depthwise.{conv,norm,act} and `name`.pointwise.{conv,norm,act}; without, `name`.{depthwise,pointwise,norm,act}.
int separable_conv(Graph& g, const std::string& name, int x, const SeparableOptions& options);

/// Squeeze-and-excite (Hu et al., 2018): mean over the image, 1×1 to `reduced` channels, `activation`, 1×1 back,
/// sigmoid, product with x. Nodes `name`.{pool,reduce,act,expand,gate,scale}. `bias` is that of both convolutions.
int squeeze_excite(Graph& g, const std::string& name, int x, int reduced, Function activation, bool bias = false);

struct PhiNetBlockOptions {
  int out_channels = 0;
  int expanded = 0;  ///< channels of the depthwise convolution; 0: no expansion, those of the input
  int kernel = 3;
  int stride = 1;    ///< 2 pads by 1 whatever the kernel, as the reference does
  int squeezed = 0;  ///< channels inside squeeze-and-excite; 0: none
  bool residual = true;  ///< where shapes allow: equal channels and stride 1
  Function activation = Function::hard_swish;
  float dropout = 0.05f;  ///< of whole channels, before the depthwise convolution
  NormOptions norm{1e-3f, 0.999f};
};

/// PhiNet's block (Paissan et al., PhiNets, ACM TECS 2022): expand, depthwise, squeeze, project, add. Nodes
/// `name`.expand.*, `name`.dropout, `name`.depthwise.*, `name`.squeeze.*, `name`.project.{conv,norm}, `name`.add.
int phinet_block(Graph& g, const std::string& name, int x, const PhiNetBlockOptions& options);

struct XiConvOptions {
  int out_channels = 0;
  Size kernel = 3, stride = 1;
  int padding = -1;  ///< of the main convolution; −1: kernel/2
  int groups = 1;
  Function activation = Function::silu;  ///< none: no node
  int gamma = 4;          ///< compression: the main convolution reads out_channels/gamma channels; 1: none
  int compressed = 0;     ///< channels the main convolution reads, where gamma > 1; 0: out_channels/gamma
  bool attention = true;
  int attention_kernel = 3;
  bool attention_lite = true;  ///< 1×1 to fewer channels before the attention's convolution
  int attention_reduced = 0;   ///< those channels; 0: compressed/2
  int pool = 0;           ///< max pooling before the main convolution; 0: none
  bool batch_norm = true;
  NormOptions norm;
  double dropout = 0;
  int skip = -1;        ///< the broadcast tensor; −1: none. It is averaged to the size of x and convolved
  int skip_kernel = 1;
};

/// XiNet's convolution (Ancilotto, Paissan, Farella, XiNet, ICCV 2023): compress, add the broadcast tensor, pool,
/// convolve, attend. Nodes `name`.{compress, skip.pool, skip.conv, skip.add, pool, conv, norm, act, attention.reduce,
/// attention.conv, attention.gate, attention.scale, dropout}; convolutions without bias.
int xi_conv(Graph& g, const std::string& name, int x, const XiConvOptions& options);

struct ResidualOptions {
  int out_channels = 0;
  int stride = 1;
  NormOptions norm;
};

/// Two 3×3 convolutions (SAME) and the input added, ReLU behind the sum (He et al., 2016). Where the shape changes
/// the input goes through a strided 1×1 convolution with bias, `name`.shortcut. Nodes `name`.first.*, `name`.second.*.
int residual_block(Graph& g, const std::string& name, int x, const ResidualOptions& options);

struct InvertedResidualOptions {
  int out_channels = 0;
  int expansion = 6;  ///< 1: no expanding convolution
  int expanded = 0;   ///< channels of the depthwise convolution; 0: expansion × those of the input
  int kernel = 3, stride = 1;
  bool same = false;  ///< padding of the depthwise convolution: TensorFlow's SAME; else kernel/2
  int squeezed = 0;   ///< channels inside squeeze-and-excite, with biases; 0: none
  Function activation = Function::relu6;
  NormOptions norm;
};

/// MobileNetV2's block (Sandler et al., 2018): expand, depthwise, linear project, add where stride and channels allow;
/// with squeeze-and-excite behind the depthwise convolution EfficientNet's (Tan, Le, 2019). Nodes `name`.expand.*,
/// `name`.depthwise.*, `name`.squeeze.*, `name`.project.{conv,norm}, `name`.add.
int inverted_residual(Graph& g, const std::string& name, int x, const InvertedResidualOptions& options);

/// Mean over the image, flatten, linear layer: `classifier` and in front of it `head.pool`, `head.flatten`.
int classifier(Graph& g, int x, int num_classes);

/// Adds the outputs: "logits" behind a classifier when `include_top`, else "features".
void add_top(Graph& g, int x, bool include_top, int num_classes);

}  // namespace micromind
