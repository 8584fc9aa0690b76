#include "micromind/cli/deployment_text.h"

#include <fmt/format.h>

#include "micromind/base/text.h"
#include "micromind/cli/console.h"

namespace micromind {

std::string deployment_text(const Deployment& d, bool layers) {
  const auto per_mac = [](std::int64_t instructions, std::int64_t macs) {
    return macs > 0 ? fmt::format("{:.2f}", static_cast<double>(instructions) / static_cast<double>(macs)) : std::string();
  };
  std::string text;
  if (layers && !d.layers.empty()) text += layer_table(d) + "\n";
  if (d.outputs_compared > 0) {
    const std::string verdict = fmt::format("{} of {} outputs identical on an emulated {}", d.outputs_identical, d.outputs_compared, d.core);
    text += (d.outputs_identical == d.outputs_compared ? Console::good(verdict) : Console::bad(verdict)) + "\n";
    if (!d.first_difference.empty()) text += "  " + d.first_difference + "\n";
  }
  const std::string bound = d.arena_bytes == d.arena_lower_bound_bytes ? "proven minimum for this order"
                                                                       : fmt::format("lower bound {}", format_bytes(d.arena_lower_bound_bytes));
  std::string banks;
  for (const Deployment::Arena& arena : d.arenas) banks += fmt::format("{}{} in {}", banks.empty() ? ": " : " and ", format_bytes(arena.bytes), arena.bank);
  text += fmt::format("  arena         {} ({}){}\n", format_bytes(d.arena_bytes), bound, d.arenas.size() > 1 ? banks : "");
  if (d.patches > 0)
    text += fmt::format("  patches       {} to {} in {} strips: {} more MACs ({:.1f} %); without patches the arena takes {}\n", d.patches_first,
                        d.patches_last, d.patches, format_count(d.extra_macs),
                        d.macs > 0 ? 100.0 * static_cast<double>(d.extra_macs) / static_cast<double>(d.macs) : 0.0,
                        format_bytes(d.arena_without_patches_bytes));
  text += fmt::format("  flash         {} ({} constants){}\n", format_bytes(d.flash_bytes), format_bytes(d.constant_bytes),
                      d.external_flash_bytes > 0 ? fmt::format(", external flash {} of weights", format_bytes(d.external_flash_bytes)) : "");
  if (d.stack_bytes > 0) text += fmt::format("  stack         {}, static data {}\n", format_bytes(d.stack_bytes), format_bytes(d.data_bss_bytes));
  if (d.instructions > 0)
    text += fmt::format("  instructions  {} an inference{}\n", format_count(d.instructions),
                        d.macs > 0 ? fmt::format(", {} a MAC", per_mac(d.instructions, d.macs)) : "");
  return text;
}

}  // namespace micromind
