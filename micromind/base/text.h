// Small text helpers that several rooms need: near names for error messages, byte quantities, tables.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace micromind {

/// The candidate with the least edit distance to `word`, or "" when none is near (more than a third differs).
std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

/// "did you mean 'epochs'?" or the list of what is known: the hint of an unknown-name error.
std::string name_hint(std::string_view word, std::span<const std::string> candidates);

/// "64kB", "1 MB", "512", "2MiB", "1.5M" to bytes; kB and MB are 2^10 and 2^20. Throws Error on zero, negative
/// or unknown units.
std::int64_t parse_bytes(std::string_view text);

/// "60M", "1.5G", "250000" to a count; k, M, G are powers of 1000 (operations, parameters). Throws Error.
std::int64_t parse_count(std::string_view text);

std::string format_bytes(std::int64_t bytes);  ///< "812 B", "54.3 kB", "1.95 MB" (2^10, 2^20)
std::string format_count(std::int64_t count);  ///< "9,817,670"

/// What a JSON library's exception says without its "[json.exception…]" in front.
std::string_view without_tag(std::string_view text);

/// A plain text table: the first row is the header; columns whose cells are numbers are aligned to the right.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace micromind
