// Dotted names as C identifiers and as comment text, whatever characters they hold.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace micromind {

/// Makes identifiers that differ from each other. Every use appends a suffix of its own ("_weights",
/// "_offset"), so none can be a reserved word, and two suffixes never meet.
class Identifiers {
 public:
  enum class Case { kept, lower };
  explicit Identifiers(Case letters = Case::kept) : letters_(letters) {}

  /// "blocks.3.conv" → "blocks_3_conv"; at most 40 characters and a number where another name came to the
  /// same.
  std::string make(std::string_view name);

 private:
  Case letters_;
  std::set<std::string> used_;
};

/// Text that is safe inside a C comment, a quoted C string, a Makefile and a Markdown table: printable ASCII
/// without quotes, backslashes, '*', '?', '$', '#', '`' and '|'; others become '_'. Shortened in the middle
/// beyond `width`.
std::string plain_text(std::string_view text, std::size_t width = 80);

/// Throws Error unless `prefix` is a C identifier of 1 to 30 lower-case letters, digits and '_', no reserved
/// word, and not "mm" (the runtime's own).
void check_prefix(std::string_view prefix);

std::string upper_case(std::string_view text);

}  // namespace micromind
