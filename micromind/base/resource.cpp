#include "micromind/base/resource.h"

#include <algorithm>

#include "micromind/base/error.h"

namespace micromind {

std::string_view resource(std::string_view name) {
  for (const CarriedFile& r : resources())
    if (r.name == name) return r.content;
  fail("resource", "this binary carries no file '{}'", name);
}

std::vector<std::string> resource_stems(std::string_view folder, std::string_view extension) {
  std::vector<std::string> names;
  for (const CarriedFile& r : resources())
    if (r.name.starts_with(folder) && r.name.ends_with(extension))
      names.emplace_back(r.name.substr(folder.size(), r.name.size() - folder.size() - extension.size()));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace micromind
