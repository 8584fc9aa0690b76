// Which operator does the same work with less energy? The operators of tinyML networks at equal
// multiply-accumulates.
//
//   eta(operator) = (E_S / MAC_S) / (E_op / MAC_op)
//
// E_S, MAC_S: energy and multiply-accumulates of the standard convolution of the same size, E_op, MAC_op: the
// operator's. At equal MACs this is E_S / E_op (XiNet, ICCV 2023). Above 1: the operator gets more out of a
// joule.
//
// A size H×W×C means the standard 3×3 convolution from C to C channels over an H×W image, 9·C²·H·W MACs.
// Another operator reads an image of the same height and width; its channels (equal at input and output) are
// the multiple of 4, of 8 for xi_conv, that brings its MACs nearest, as long as no tensor exceeds 64 kB and
// its weights 256 kB. What rounding and those limits leave is evened out by dividing by the MACs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "micromind/graph/graph.h"

namespace micromind {

struct OperatorSize {
  int height = 0, width = 0, channels = 0;
  std::string text() const;  ///< "16x16x24"
  bool operator==(const OperatorSize&) const = default;
};
/// "HxWxC": 1 to 512 each, C a multiple of 4. Throws Error.
OperatorSize parse_operator_size(std::string_view text);

struct OperatorInfo {
  std::string name, label;  ///< "separable", "depthwise-separable"
  std::string description;
};
/// The standard convolution first.
const std::vector<OperatorInfo>& efficiency_operators();

struct OperatorCase {
  std::string name;
  OperatorSize size;
  int channels = 0;
  std::int64_t macs = 0;
  Graph graph;  ///< one input "image", one output "features"
};
/// Throws Error on an unknown name, naming the nearest.
OperatorCase operator_case(const std::string& name, const OperatorSize& size);

/// Every operator at every size, the sizes in the given order and the standard convolution first in each.
std::vector<OperatorCase> operator_cases(const std::vector<OperatorSize>& sizes);

/// 32x32x8, 24x24x16, 16x16x24, 8x8x48.
const std::vector<OperatorSize>& default_operator_sizes();

}  // namespace micromind
