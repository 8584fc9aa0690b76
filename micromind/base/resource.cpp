#include "micromind/base/resource.h"

#include "micromind/base/error.h"

namespace micromind {

std::string_view resource(std::string_view name) {
  for (const Resource& r : resources())
    if (r.name == name) return r.content;
  fail("resource", "this binary carries no file '{}'", name);
}

}  // namespace micromind
