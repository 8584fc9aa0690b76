// One picture in memory, and the way in and out of image files (OpenCV decodes and encodes; its types stay
// inside).
//
//   Image photo = read_image("cat.jpg", 3);           // [3, H, W], RGB
//   Image input = resize_cover(photo, 160);           // [3, 160, 160]
//   write_image("seen.png", contact_sheet(images, 10));
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace micromind {

/// 8-bit pixels in (C, H, W) order; the channels of a colour image are R, G, B.
struct Image {
  int channels = 0, height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  ///< channels · height · width values

  Image() = default;
  Image(int c, int h, int w);  ///< all zero
  std::uint8_t* plane(int c) { return pixels.data() + std::size_t(c) * height * width; }
  const std::uint8_t* plane(int c) const { return pixels.data() + std::size_t(c) * height * width; }
};

/// Decodes JPEG, PNG, BMP, PPM/PGM. `channels` is 1 (grey) or 3 (RGB); alpha is dropped, 16 bits become 8,
/// the EXIF orientation is applied. `size` > 0: as resize_cover(). Throws Error naming `path` when the bytes
/// are cut short or damaged (a JPEG without its end marker and a PNG with a wrong chunk checksum included) or
/// of an unknown format.
Image read_image(const std::filesystem::path& path, int channels = 3, int size = 0);
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& path, int channels = 3,
                   int size = 0);

/// Encodes by the extension (.png without loss, .jpg with quality 95, .bmp) and writes atomically. Channels:
/// 1 or 3.
void write_image(const std::filesystem::path& path, const Image& image);

/// True for the extensions that read_image() is meant for (any case).
bool is_image_name(const std::filesystem::path& path);

/// Scales the shorter side to `size` (area average when shrinking, bilinear when growing), then crops the
/// centre: [C, size, size]. An image of that size already comes back unchanged.
Image resize_cover(const Image& image, int size);

/// Grey to RGB by copying, RGB to grey by ITU-R BT.601 weights (0.299, 0.587, 0.114). `channels` is 1 or 3.
Image convert_channels(const Image& image, int channels);

/// Images of one shape side by side, row by row, with a gap of two pixels; for looking at data.
Image contact_sheet(std::span<const Image> images, int columns);

}  // namespace micromind
