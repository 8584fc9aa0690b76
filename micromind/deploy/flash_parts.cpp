#include "micromind/deploy/flash_parts.h"

#include <algorithm>

#include "micromind/base/resource.h"
#include "micromind/deploy/emit_names.h"

namespace micromind {
namespace {

bool in_flash(const ElfImage& image, const ElfSymbol& symbol) {
  const ElfSection* section = image.section(symbol.section);
  return section != nullptr && section->allocated && section->in_file && !section->writable;
}

// The node whose C identifier begins the symbol's name, "stem_conv" of "stem_conv_weights": the longest. −1: none.
int layer_of(const std::string& symbol, const std::vector<std::string>& ids) {
  int best = -1;
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (symbol.starts_with(ids[i] + "_") && (best < 0 || ids[i].size() > ids[static_cast<std::size_t>(best)].size())) best = static_cast<int>(i);
  return best;
}

}  // namespace

bool is_kernel_function(std::string_view symbol) {
  const std::string name(symbol.substr(0, symbol.find('.')));  // "mm_rows.constprop.0" is a copy of mm_rows
  if (name.ends_with("_kernel") || name.find("_kernel_") != std::string::npos) return true;
  const auto defines = [&](const CarriedFile& file) { return file.name.starts_with("runtime/kernels/") && file.content.find(" " + name + "(") != std::string_view::npos; };
  return name.starts_with("mm_") && std::any_of(resources().begin(), resources().end(), defines);
}

std::vector<FlashPart> flash_parts(const Model& model, const BuildResult& built) {
  Identifiers identifiers;  // as the emitter makes them
  std::vector<std::string> ids;
  std::vector<FlashPart> parts, kernels;
  for (const Node& node : model.graph.nodes()) {
    ids.push_back(identifiers.make(node.name));
    parts.push_back({"constants", node.name, 0});
  }
  std::int64_t known = 0;
  for (const ElfSymbol& symbol : built.image.symbols) {
    if (symbol.bytes == 0 || !in_flash(built.image, symbol)) continue;
    if (symbol.function && is_kernel_function(symbol.name)) {
      kernels.push_back({"kernel", symbol.name, symbol.bytes});
    } else if (const int layer = symbol.function ? -1 : layer_of(symbol.name, ids); layer >= 0) {
      parts[static_cast<std::size_t>(layer)].bytes += symbol.bytes;
    } else {
      continue;
    }
    known += symbol.bytes;
  }
  std::erase_if(parts, [](const FlashPart& p) { return p.bytes == 0; });
  std::stable_sort(kernels.begin(), kernels.end(), [](const FlashPart& a, const FlashPart& b) { return a.bytes > b.bytes; });
  parts.insert(parts.end(), kernels.begin(), kernels.end());
  parts.push_back({"rest", "calls of the layers, start-up, library", built.flash_bytes - known});
  return parts;
}

}  // namespace micromind
