#include "micromind/formats/node_names.h"

#include <fmt/format.h>

namespace micromind {

std::string NodeNames::fresh(std::string_view file_name) {
  std::string name;
  for (const char c : file_name.substr(0, 200)) {
    const bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    const char next = c == '/' ? '.' : keep ? c : '_';
    if (next != '.' || (!name.empty() && name.back() != '.')) name += next;
  }
  while (!name.empty() && name.back() == '.') name.pop_back();
  if (name.empty()) name = "tensor";
  std::string unique = name;
  while (used_.contains(unique)) unique = fmt::format("{}_{}", name, ++used_[name]);
  used_.emplace(unique, 1);
  return unique;
}

}  // namespace micromind
