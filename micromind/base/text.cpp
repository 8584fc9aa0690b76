#include "micromind/base/text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <numeric>

#include "micromind/base/error.h"

namespace micromind {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substitute, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// A number and a unit; the unit's factor comes from `factor`, which returns 0 for one it does not know.
std::int64_t parse_quantity(std::string_view text, std::string_view expected, double (*factor)(std::string_view)) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  std::string unit;
  for (const char c : std::string_view(rest, static_cast<std::size_t>(end - rest)))
    if (!std::isspace(static_cast<unsigned char>(c))) unit += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const double scale = error == std::errc{} ? factor(unit) : 0;
  if (scale == 0) fail("units", "'{}' is no quantity; expected {}", text, expected);
  const double value = number * scale;
  if (!(value >= 1) || value > 9e15) fail("units", "'{}' is out of range; expected a positive quantity", text);
  return std::llround(value);
}

bool is_numeric(std::string_view cell) {
  return !cell.empty() && (std::isdigit(static_cast<unsigned char>(cell[0])) != 0 || (cell[0] == '-' && cell.size() > 1));
}

// Width in columns of UTF-8 text (continuation bytes take none).
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string nearest_name(std::string_view word, std::span<const std::string> candidates) {
  std::string best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates)
    if (const std::size_t d = edit_distance(word, candidate); d < least) {
      least = d;
      best = candidate;
    }
  return best;
}

std::string name_hint(std::string_view word, std::span<const std::string> candidates) {
  if (const std::string near = nearest_name(word, candidates); !near.empty()) return fmt::format("did you mean '{}'?", near);
  return fmt::format("known: {}", fmt::join(candidates, ", "));
}

std::int64_t parse_bytes(std::string_view text) {
  return parse_quantity(text, "bytes such as 512, 64kB or 1.5MB", [](std::string_view unit) -> double {
    if (unit.empty() || unit == "b") return 1;
    if (unit == "k" || unit == "kb" || unit == "kib") return 1024;
    if (unit == "m" || unit == "mb" || unit == "mib") return 1024.0 * 1024;
    if (unit == "g" || unit == "gb" || unit == "gib") return 1024.0 * 1024 * 1024;
    return 0;
  });
}

std::int64_t parse_count(std::string_view text) {
  return parse_quantity(text, "a count such as 250000, 60M or 1.5G", [](std::string_view unit) -> double {
    if (unit.empty()) return 1;
    if (unit == "k") return 1e3;
    if (unit == "m") return 1e6;
    if (unit == "g") return 1e9;
    return 0;
  });
}

std::string format_bytes(std::int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  const double kb = static_cast<double>(bytes) / 1024;
  if (kb < 1024) return fmt::format("{:.1f} kB", kb);
  return fmt::format("{:.2f} MB", kb / 1024);
}

std::string format_count(std::int64_t count) {
  std::string digits = std::to_string(count);
  for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > (count < 0 ? 1 : 0); i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) return {};
  const std::size_t columns = rows[0].size();
  std::vector<std::size_t> widths(columns, 0);
  std::vector<bool> right(columns, rows.size() > 1);
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < columns && c < rows[r].size(); ++c) {
      widths[c] = std::max(widths[c], width(rows[r][c]));
      if (r > 0 && !rows[r][c].empty() && !is_numeric(rows[r][c])) right[c] = false;
    }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < columns && c < rows[r].size(); ++c) {
      const std::string pad(widths[c] - width(rows[r][c]), ' ');
      if (c > 0) line += "  ";
      line += right[c] ? pad + rows[r][c] : rows[r][c] + pad;
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text += line + '\n';
    if (r == 0) {
      std::size_t total = 2 * (columns - 1);
      for (const std::size_t w : widths) total += w;
      text += std::string(total, '-') + '\n';
    }
  }
  return text;
}

std::string_view without_tag(std::string_view text) {
  const std::size_t end = text.starts_with("[") ? text.find("] ") : std::string_view::npos;
  return end == std::string_view::npos ? text : text.substr(end + 2);
}

}  // namespace micromind
