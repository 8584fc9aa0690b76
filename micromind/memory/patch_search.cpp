#include "micromind/memory/patch_search.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::vector<FoundPatches> candidates(const Graph& lowered, const PatchSearch& search) {
  std::vector<FoundPatches> list;
  for (const int last : patch_ends(lowered)) {
    const std::int32_t height = lowered.shape(lowered.nodes()[static_cast<std::size_t>(last)].outputs[0])[1];
    const int from = search.strips > 0 ? search.strips : 2, to = search.strips > 0 ? search.strips : search.most_strips;
    for (int strips = from; strips <= std::min(to, height); ++strips) {
      const Patches patches{.first = 0, .last = last, .strips = strips};
      try {
        list.push_back({patches, extra_macs(lowered, patches), 0});
      } catch (const Error&) {  // a strip of padding alone, and so are those of more strips
        break;
      }
    }
  }
  std::stable_sort(list.begin(), list.end(), [](const FoundPatches& a, const FoundPatches& b) {
    return std::tuple(a.extra_macs, a.patches.strips, a.patches.last) < std::tuple(b.extra_macs, b.patches.strips, b.patches.last);
  });
  return list;
}

}  // namespace

std::optional<FoundPatches> search_patches(const Graph& lowered, const PatchSearch& search) {
  std::optional<FoundPatches> best;
  for (FoundPatches& candidate : candidates(lowered, search)) {
    const MemoryPlan plan = plan_memory(split_rows(lowered, candidate.patches).graph, search.plan);
    candidate.arena_bytes = plan.arena_bytes;
    if (search.fits) {
      if (search.fits(plan)) return candidate;
    } else if (!best || candidate.arena_bytes < best->arena_bytes) {
      best = candidate;
    }
  }
  return best;
}

}  // namespace micromind
