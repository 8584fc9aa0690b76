#include "micromind/networks/options.h"

namespace micromind {

void expect_input(std::string_view family, const Shape& shape) {
  if (shape.rank() != 3) fail(family, "input_shape = {}: expected an image (C, H, W)", to_string(shape));
  const bool ok = shape[0] >= 1 && shape[0] <= 4096 && shape[1] >= 1 && shape[1] <= 16384 && shape[2] >= 1 && shape[2] <= 16384;
  if (!ok) fail(family, "input_shape = {}: expected 1 to 4096 channels and 1 to 16384 pixels a side", to_string(shape));
}

void expect_layers(std::string_view family, std::string_view name, const std::vector<int>& layers, int count) {
  for (const int i : layers)
    if (i < 0 || i >= count) fail(family, "{} names layer {}; this network has layers 0 to {}", name, i, count - 1);
}

WidthReader::WidthReader(std::string_view family, std::span<const int> widths, int expected) : family_(family), widths_(widths) {
  if (widths.size() != static_cast<std::size_t>(expected))
    fail(family, "{} widths: with these options the network has {} channel counts to set", widths.size(), expected);
  for (std::size_t i = 0; i < widths.size(); ++i)
    if (widths[i] < 1 || widths[i] > kMostChannels) fail(family, "width {} is {}: expected 1 to {}", i, widths[i], kMostChannels);
}

int WidthReader::next() {
  if (done()) fail(family_, "the network has more than {} channel counts to set", widths_.size());
  return widths_[at_++];
}

}  // namespace micromind
