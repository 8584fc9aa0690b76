// Between recipes and the scaling room: what a recipe asks for, and a design as a recipe that `micromind run` takes.
//
//   const Design d = design(design_request(recipe, {3, 160, 160}, 20));
//   write_atomic("network.toml", to_toml(with_design(recipe, d, true)));
#pragma once

#include "micromind/run/recipe.h"
#include "micromind/scaling/design.h"

namespace micromind {

/// The recipe's [design] for its [network] family and deploy.target, for images of this shape and so many classes.
/// Throws Error that names the key whose value is wrong.
DesignRequest design_request(const Recipe& recipe, const Shape& input, int classes);

/// The recipe with the designed network in [network] and without [design]; `same_images`: the data have its image size as
/// they are, otherwise data.image_size makes them so. Throws Error when the network's image is not square and not the data's.
Recipe with_design(Recipe recipe, const Design& design, bool same_images);

}  // namespace micromind
