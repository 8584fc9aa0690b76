// Groups of bars as SVG, for a page in the report's style or as a file by itself; one picture serves light
// and dark.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace micromind {

struct BarSeries {
  std::string label;
  std::vector<double> values;     ///< one a category; NaN: no bar
  std::vector<double> low, high;  ///< ends of the whiskers; empty: none
};

struct BarChart {
  std::string title, y_label;
  std::vector<std::string> categories;
  std::vector<BarSeries> series;
  double baseline = 0;  ///< a line across at this value; 0: none
  std::string baseline_label;
};

std::string bar_chart(const BarChart& chart);  ///< <figure> for a page with report.css and bars.css
std::string standalone_bar_chart(const BarChart& chart);  ///< a whole SVG file with its own style

}  // namespace micromind
