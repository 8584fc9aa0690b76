#include "micromind/base/error.h"

namespace micromind {
namespace {

std::string compose(std::string_view where, std::string_view what, std::string_view hint) {
  std::string text = fmt::format("[{}] {}", where, what);
  if (!hint.empty()) text += fmt::format("\n  hint: {}", hint);
  return text;
}

}  // namespace

Error::Error(std::string_view where, std::string_view what, std::string_view hint)
    : std::runtime_error(compose(where, what, hint)), where_(where), message_(what), hint_(hint) {}

}  // namespace micromind
