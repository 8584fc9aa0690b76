#include "micromind/run/design_recipe.h"

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

// Runs `read` and names the key in what it throws.
template <class Read>
std::optional<double> amount(const char* key, const std::string& text, Read&& read) {
  if (text.empty()) return std::nullopt;
  try {
    return static_cast<double>(read(text));
  } catch (const Error& e) {
    throw Error(fmt::format("design.{}", key), e.message(), e.hint());
  }
}

}  // namespace

DesignRequest design_request(const Recipe& recipe, const Shape& input, int classes) {
  const DesignSection& d = recipe.design;
  DesignRequest request{.family = recipe.network.family, .input = input, .classes = classes, .target = load_target(recipe.deploy.target)};
  request.budget.ram_bytes = amount("ram", d.ram, parse_bytes);
  request.budget.flash_bytes = amount("flash", d.flash, parse_bytes);
  request.budget.macs = amount("macs", d.macs, parse_count);
  request.budget.least_flash_bytes = amount("least_flash", d.least_flash, parse_bytes);
  request.budget.least_macs = amount("least_macs", d.least_macs, parse_count);
  if (!(d.latency_ms >= 0)) fail("design.latency_ms", "{}: expected more than 0, or 0 for no limit", d.latency_ms);
  if (d.latency_ms > 0) request.budget.latency_ms = d.latency_ms;
  request.objective = objective_from_name(d.objective);
  request.solver = solver_from_name(d.solver);
  request.space = d.space;
  request.options = recipe.network.options;
  if (!d.weights.empty()) {
    if (d.weights.size() != kResources) fail("design.weights", "{} numbers: expected {}, of RAM, flash, MACs and latency", d.weights.size(), kResources);
    request.weights.emplace();
    std::copy(d.weights.begin(), d.weights.end(), request.weights->begin());
  }
  return request;
}

Recipe with_design(Recipe recipe, const Design& design, bool same_images) {
  recipe.network.family = design.family;
  recipe.network.options = design.options;
  recipe.design = {};
  if (same_images) return recipe;
  const Shape& image = design.network.shape(design.network.inputs().front().value);
  if (image.height() != image.width())
    fail_with_hint("design", "take its hyperparameters into a recipe of your own for images of that shape", "no recipe: the network wants images of {}, and data sets are resized to squares only", to_string(image));
  recipe.data.image_size = image.height();
  if (image.channels() == 1 || image.channels() == 3) recipe.data.channels = image.channels();
  return recipe;
}

}  // namespace micromind
