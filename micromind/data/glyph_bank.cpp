#include "micromind/data/glyph_bank.h"

#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <string>

namespace micromind {
namespace {

constexpr int kDraw = 256;  // side of the canvas on which a mask is drawn before it is reduced

/// Cuts the drawing to its bounding box, reduces it to kMaskGlyph on the longer side and centres it.
GlyphMask reduce(const cv::Mat& drawing) {
  const cv::Rect box = cv::boundingRect(drawing);
  const double scale = static_cast<double>(kMaskGlyph) / std::max(box.width, box.height);
  const cv::Size size(std::max(1, static_cast<int>(std::lround(box.width * scale))),
                      std::max(1, static_cast<int>(std::lround(box.height * scale))));
  cv::Mat small, mask = cv::Mat::zeros(kMaskSize, kMaskSize, CV_8UC1);
  cv::resize(drawing(box), small, size, 0, 0, cv::INTER_AREA);
  small.copyTo(
      mask(cv::Rect((kMaskSize - size.width) / 2, (kMaskSize - size.height) / 2, size.width, size.height)));
  cv::GaussianBlur(mask, mask, {3, 3}, 0.7);  // it will be sampled at half its size: no aliasing
  GlyphMask result;
  for (int i = 0; i < kMaskSize * kMaskSize; ++i)
    result.coverage[static_cast<std::size_t>(i)] = static_cast<float>(mask.data[i]) / 255.0f;
  return result;
}

GlyphMask text(const std::string& letter, int font, int thickness) {
  cv::Mat canvas = cv::Mat::zeros(kDraw, kDraw, CV_8UC1);
  cv::putText(canvas, letter, {kDraw / 4, kDraw * 3 / 4}, font, 5.0, cv::Scalar(255), thickness, cv::LINE_AA);
  return reduce(canvas);
}

/// A closed polygon through `corners` points at `radii` taken in turn (one radius: regular; two: a star).
std::vector<cv::Point> polygon(int corners, std::vector<double> radii, double phase) {
  std::vector<cv::Point> points;
  for (int i = 0; i < corners; ++i) {
    const double angle = phase + 2 * std::numbers::pi * i / corners;
    const double radius = radii[static_cast<std::size_t>(i) % radii.size()];
    points.emplace_back(static_cast<int>(std::lround(kDraw / 2 + radius * std::sin(angle))),
                        static_cast<int>(std::lround(kDraw / 2 - radius * std::cos(angle))));
  }
  return points;
}

std::vector<cv::Point> cross() {  // twelve corners, arms a third of the side
  constexpr int n = kDraw / 2, a = 32, b = 96;
  return {{n - a, n - b}, {n + a, n - b}, {n + a, n - a}, {n + b, n - a}, {n + b, n + a}, {n + a, n + a},
          {n + a, n + b}, {n - a, n + b}, {n - a, n + a}, {n - b, n + a}, {n - b, n - a}, {n - a, n - a}};
}

GlyphMask outline(const std::vector<cv::Point>& points, int thickness) {  // thickness < 0: filled
  cv::Mat canvas = cv::Mat::zeros(kDraw, kDraw, CV_8UC1);
  const std::vector<std::vector<cv::Point>> all = {points};
  if (thickness < 0)
    cv::fillPoly(canvas, all, cv::Scalar(255), cv::LINE_AA);
  else
    cv::polylines(canvas, all, true, cv::Scalar(255), thickness, cv::LINE_AA);
  return reduce(canvas);
}

std::vector<GlyphMask> letter_masks(const char* letter) {
  std::vector<GlyphMask> masks;
  constexpr std::array<int, 8> fonts = {cv::FONT_HERSHEY_SIMPLEX,
                                        cv::FONT_HERSHEY_PLAIN,
                                        cv::FONT_HERSHEY_DUPLEX,
                                        cv::FONT_HERSHEY_COMPLEX,
                                        cv::FONT_HERSHEY_TRIPLEX,
                                        cv::FONT_HERSHEY_COMPLEX_SMALL,
                                        cv::FONT_HERSHEY_SIMPLEX | cv::FONT_ITALIC,
                                        cv::FONT_HERSHEY_TRIPLEX | cv::FONT_ITALIC};
  for (const int font : fonts)
    for (const int thickness : {6, 10, 15}) masks.push_back(text(letter, font, thickness));
  return masks;
}

std::vector<GlyphMask> shape_masks(const std::vector<cv::Point>& points) {
  std::vector<GlyphMask> masks;
  for (const int thickness : {8, 12, 18, 26, -1}) masks.push_back(outline(points, thickness));
  return masks;
}

std::array<std::vector<GlyphMask>, kGlyphClasses> make_bank() {  // in the order of glyph_class_names()
  constexpr double pi = std::numbers::pi;
  return {letter_masks("3"),
          letter_masks("5"),
          letter_masks("8"),
          letter_masks("B"),
          letter_masks("S"),
          shape_masks(polygon(90, {90}, 0)),
          shape_masks(polygon(4, {110}, pi / 4)),
          shape_masks(polygon(3, {105}, 0)),
          shape_masks(cross()),
          shape_masks(polygon(10, {105, 48}, 0))};
}

}  // namespace

const std::vector<GlyphMask>& glyph_masks(int label) {
  static const std::array<std::vector<GlyphMask>, kGlyphClasses> bank = make_bank();
  return bank.at(static_cast<std::size_t>(label));
}

}  // namespace micromind
