// A deployment as text, for `deploy` and `run`.
#pragma once

#include <string>

#include "micromind/deploy/deploy.h"

namespace micromind {

/// Verdict and sizes, a few lines; with `layers`, the table of layers in front.
std::string deployment_text(const Deployment& deployment, bool layers);

}  // namespace micromind
