#include "micromind/deploy/emit_names.h"

#include <algorithm>
#include <array>

#include "micromind/base/error.h"

namespace micromind {
namespace {

constexpr std::size_t kLongest = 40;

// ASCII only, whatever the locale.
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_word(char c) {
  return is_digit(c) || is_lower(c) || is_upper(c) || c == '_';
}
char to_lower(char c) {
  return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}
char to_upper(char c) {
  return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

std::string Identifiers::make(std::string_view name) {
  std::string base;
  for (const char c : name.substr(0, 4 * kLongest)) {
    const char next = is_word(c) ? (letters_ == Case::lower ? to_lower(c) : c) : '_';
    if (next != '_' || (!base.empty() && base.back() != '_')) base.push_back(next);
  }
  if (base.size() > kLongest) base.erase(0, base.size() - kLongest);  // the end of a dotted name says most
  while (!base.empty() && base.back() == '_') base.pop_back();
  while (!base.empty() && base.front() == '_') base.erase(0, 1);
  if (base.empty() || is_digit(base.front()) || base.starts_with("mm_")) base.insert(0, "n");
  std::string id = base;
  for (int i = 2; !used_.insert(id).second; ++i) id = fmt::format("{}_{}", base, i);
  return id;
}

std::string plain_text(std::string_view text, std::size_t width) {
  static constexpr std::string_view unsafe = "\"'\\*?$#`|%<>&@";
  std::string plain;
  for (const char c : text)
    plain.push_back(c < ' ' || c > '~' || unsafe.find(c) != std::string_view::npos ? '_' : c);
  if (plain.size() <= width) return plain;
  const std::size_t head = (width - 3) / 2, tail = width - 3 - head;
  return plain.substr(0, head) + "..." + plain.substr(plain.size() - tail);
}

void check_prefix(std::string_view prefix) {
  static constexpr std::array<std::string_view, 34> reserved = {
      "auto",   "break",    "case",     "char",     "const", "continue", "default", "do",     "double",
      "else",   "enum",     "extern",   "float",    "for",   "goto",     "if",      "inline", "int",
      "long",   "register", "restrict", "return",   "short", "signed",   "sizeof",  "static", "struct",
      "switch", "typedef",  "union",    "unsigned", "void",  "volatile", "while"};
  const auto allowed = [](char c) { return is_lower(c) || is_digit(c) || c == '_'; };
  if (prefix.empty() || prefix.size() > 30 || !is_lower(prefix.front()) ||
      !std::all_of(prefix.begin(), prefix.end(), allowed) ||
      std::find(reserved.begin(), reserved.end(), prefix) != reserved.end() || prefix == "mm" ||
      prefix.starts_with("mm_"))
    fail_with_hint("emit",
                   "1 to 30 lower-case letters, digits and '_', beginning with a letter, for example 'model'",
                   "'{}' cannot begin the names of the C code", prefix);
}

std::string upper_case(std::string_view text) {
  std::string upper;
  for (const char c : text) upper.push_back(to_upper(c));
  return upper;
}

}  // namespace micromind
