// A design as a table and as JSON.
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "micromind/base/text.h"
#include "micromind/scaling/design.h"

namespace micromind {
namespace {

using nlohmann::json;

constexpr const char* kJsonNames[] = {"ram_bytes", "flash_bytes", "macs", "latency_ms"};

// Bytes and counts are whole, milliseconds are not.
json amount_or_null(Resource resource, double amount) {
  if (!std::isfinite(amount)) return {};
  return resource == kCycles ? json(amount) : json(std::llround(amount));
}

}  // namespace

json to_json(const Design& d) {
  json budget, used, share, next;
  json binding = json::array();
  for (const ResourceUse& r : d.resources) {
    const char* name = kJsonNames[r.resource];
    budget[name] = amount_or_null(r.resource, r.budget);
    used[name] = amount_or_null(r.resource, r.used);
    share[name] = std::isfinite(r.budget) ? json(r.share()) : json();
    next[name] = r.binds ? amount_or_null(r.resource, r.next) : json();
    if (r.binds) binding.push_back(name);
  }
  json all = {{"family", d.family},
              {"hyperparameters", d.options},
              {"budget", budget},
              {"used", used},
              {"share", share},
              {"binding", binding},
              {"next_better_needs", next},
              {"knobs", d.knobs},
              {"parameters", d.cost.parameters},
              {"ram_lower_bound_bytes", d.cost.plan.lower_bound_bytes},
              {"objective", d.objective},
              {"gap", d.gap},
              {"nodes", d.nodes},
              {"candidates", d.candidates},
              {"solve_ms", d.solve_ms},
              {"sensitivity_ms", d.sensitivity_ms},
              {"notes", d.notes}};
  if (d.latency_ms > 0) all["latency_ms_estimate"] = d.latency_ms;
  if (d.relaxation.solved)
    all["relaxation"] = {{"objective", d.relaxation.objective}, {"ms", d.relaxation.ms}, {"hyperparameters", d.relaxation.options}};
  return all;
}

std::string design_table(const Design& d) {
  std::vector<std::vector<std::string>> rows = {{"", "budget", "used", "share", "the next better network needs"}};
  for (const ResourceUse& r : d.resources) {
    const bool limited = std::isfinite(r.budget);
    std::string next = r.searched ? "no budget of it would help" : "";
    if (r.binds) next = fmt::format("{} (+{})", format_resource(r.resource, r.next), format_resource(r.resource, r.next - r.budget));
    rows.push_back({std::string(resource_name(r.resource)), limited ? format_resource(r.resource, r.budget) : "no limit",
                    format_resource(r.resource, r.used), limited ? fmt::format("{:.2f} %", 100 * r.share()) : "", next});
  }
  return format_table(rows);
}

}  // namespace micromind
