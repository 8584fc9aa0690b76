// Pictures of the report page as inline SVG and HTML. Colours are CSS classes of page/report.css, so that one picture
// serves light and dark.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "micromind/run/report.h"

namespace micromind {

/// &, <, > and quotes as HTML entities.
std::string escape_html(std::string_view text);

struct Series {
  std::string label;
  std::string css;             ///< class of line and dots: "series-a", "series-b"
  std::vector<double> values;  ///< one an epoch; the line passes over NaN
};

/// Lines over epochs 1, 2, …; `percent` writes values in [0, 1] as per cent.
std::string line_chart(std::string_view title, const std::vector<Series>& series, bool percent);

/// The arena over time: layers from left to right, addresses from bottom to top, one rectangle a tensor.
std::string memory_chart(const ReportMemory& memory);

/// Rows are true classes, columns predictions; cells are shaded by their share of the row.
std::string confusion_table(const ReportAccuracy& accuracy);

struct BarPart {
  std::string label, css;
  std::int64_t bytes = 0;
};
/// Use against a budget: parts side by side in a bar as long as `available` (0: no budget known).
std::string budget_bar(std::string_view title, const std::vector<BarPart>& parts, std::int64_t available);

}  // namespace micromind
