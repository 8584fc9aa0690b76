// Names of layers under a chart, hanging to the lower left: as many as there is room for.
#pragma once

#include <string>
#include <vector>

namespace micromind {

struct AxisMargins {
  double left = 0, bottom = 0;
};

/// Room for the names below a chart whose layers lie side by side from `left` on up to `right`.
AxisMargins label_margins(const std::vector<std::string>& layers, double right);

/// SVG texts; layer i has its middle at left + step·(i + 0.5). The name of `strong` is always there, and bold; −1: none is.
std::string layer_names(const std::vector<std::string>& layers, double left, double step, double y, int strong);

}  // namespace micromind
