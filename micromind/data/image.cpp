#include "micromind/data/image.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

using View = std::span<const std::uint8_t>;

std::uint32_t big_endian(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

bool starts_with(View bytes, std::initializer_list<std::uint8_t> magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

/// Before a decoder believes the header and asks for the memory.
void check_area(std::uint64_t height, std::uint64_t width, const std::string& path) {
  constexpr std::uint64_t largest = std::uint64_t{1} << 27;
  if (height == 0 || width == 0 || height * width > largest)
    fail("image", "{}: expected at most {} pixels, the header says {}x{}", path, largest, height, width);
}

/// libjpeg fills what is missing with grey and OpenCV says nothing, so the end is looked for here: the header
/// segments are walked (their lengths given), and after the start of scan there must be an end marker (ITU-T
/// T.81, annex B).
void check_jpeg(View bytes, const std::string& path) {
  std::size_t at = 2;
  for (;;) {
    while (at < bytes.size() && bytes[at] == 0xFF) ++at;  // fill bytes may precede a marker
    if (at + 2 >= bytes.size() || bytes[at - 1] != 0xFF)
      fail("image", "{}: damaged JPEG: no image data within its {} bytes", path, bytes.size());
    const std::uint8_t marker = bytes[at];
    const std::size_t length = std::size_t{bytes[at + 1]} << 8 | bytes[at + 2];
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && at + 7 < bytes.size())  // length, precision, height, width
      check_area(bytes[at + 4] << 8 | bytes[at + 5], bytes[at + 6] << 8 | bytes[at + 7], path);
    at += 1 + length;
    if (marker == 0xDA) break;
  }
  for (std::size_t i = std::min(at, bytes.size()); i + 1 < bytes.size(); ++i)
    if (bytes[i] == 0xFF && bytes[i + 1] == 0xD9) return;
  fail("image", "{}: truncated JPEG: {} bytes and no end marker", path, bytes.size());
}

/// Every chunk's length and CRC up to IEND (PNG specification, section 5).
void check_png(View bytes, const std::string& path) {
  if (bytes.size() >= 24) check_area(big_endian(&bytes[16]), big_endian(&bytes[20]), path);
  for (std::size_t at = 8;;) {
    if (bytes.size() < 12 || at > bytes.size() - 12)
      fail("image", "{}: truncated PNG: {} bytes and no end chunk", path, bytes.size());
    const std::size_t length = big_endian(&bytes[at]);
    if (length > bytes.size() - at - 12)
      fail("image", "{}: truncated PNG: a chunk at byte {} holds {} bytes, {} are left", path, at, length,
           bytes.size() - at - 12);
    const auto crc = crc32(crc32(0, nullptr, 0), &bytes[at + 4], static_cast<uInt>(length + 4));
    if (crc != big_endian(&bytes[at + 8 + length]))
      fail("image", "{}: damaged PNG: wrong checksum of the chunk at byte {}", path, at);
    if (std::memcmp(&bytes[at + 4], "IEND", 4) == 0) return;
    at += 12 + length;
  }
}

/// The next number of a PNM header or of a plain PNM; comments run from # to the end of the line. -1: there is none.
std::int64_t next_number(View bytes, std::size_t& at) {
  while (at < bytes.size() && (std::isspace(bytes[at]) != 0 || bytes[at] == '#')) {
    if (bytes[at] == '#')
      while (at < bytes.size() && bytes[at] != '\n') ++at;
    else ++at;
  }
  if (at == bytes.size() || std::isdigit(bytes[at]) == 0) return -1;
  std::int64_t value = 0;
  for (; at < bytes.size() && std::isdigit(bytes[at]) != 0; ++at) value = std::min<std::int64_t>(value * 10 + (bytes[at] - '0'), 1 << 30);
  return value;
}

/// OpenCV writes to standard error about a PNM or BMP that is cut short, so the length is checked here (netpbm's ppm(5)).
void check_pnm(View bytes, const std::string& path) {
  const int kind = bytes[1] - '0';  // 1 to 3 plain, 4 to 6 raw: bits, grey, RGB
  const bool bits = kind == 1 || kind == 4, rgb = kind == 3 || kind == 6;
  std::size_t at = 2;
  const std::int64_t width = next_number(bytes, at), height = next_number(bytes, at), most = bits ? 1 : next_number(bytes, at);
  if (width < 1 || height < 1 || most < 1 || most > 65535) fail("image", "{}: damaged PNM: its header has no sound width, height and maximum", path);
  check_area(static_cast<std::uint64_t>(height), static_cast<std::uint64_t>(width), path);
  const std::int64_t samples = width * height * (rgb ? 3 : 1);
  const std::int64_t expected = kind <= 3 ? (bits ? samples : 2 * samples)  // plain: a digit and, but for bits, a space
                                : bits    ? (width + 7) / 8 * height + 1
                                          : samples * (most > 255 ? 2 : 1) + 1;
  const auto found = static_cast<std::int64_t>(bytes.size() - at);
  if (found < expected) fail("image", "{}: truncated PNM: {} bytes of pixels expected for {}x{}, found {}", path, expected, height, width, found);
}

std::uint32_t little_endian(const std::uint8_t* p) {
  return std::uint32_t{p[3]} << 24 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[1]} << 8 | p[0];
}

/// Uncompressed BMP (BITMAPINFOHEADER): rows are padded to four bytes; a negative height is a top-down image.
void check_bmp(View bytes, const std::string& path) {
  if (bytes.size() < 54 || little_endian(&bytes[14]) < 40) return;
  const auto width = static_cast<std::int32_t>(little_endian(&bytes[18]));
  const std::int64_t height = std::abs(std::int64_t{static_cast<std::int32_t>(little_endian(&bytes[22]))});
  check_area(static_cast<std::uint64_t>(height), static_cast<std::uint64_t>(std::max(0, width)), path);
  const std::int64_t bits = bytes[28] | bytes[29] << 8;
  const std::int64_t expected = std::int64_t{little_endian(&bytes[10])} + (width * bits + 31) / 32 * 4 * height;
  if (little_endian(&bytes[30]) == 0 && static_cast<std::int64_t>(bytes.size()) < expected)
    fail("image", "{}: truncated BMP: {} bytes expected, found {}", path, expected, bytes.size());
}

void check_bytes(View bytes, const std::string& path) {
  if (bytes.empty()) fail("image", "{}: the file is empty", path);
  if (starts_with(bytes, {0xFF, 0xD8})) return check_jpeg(bytes, path);
  if (starts_with(bytes, {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'})) return check_png(bytes, path);
  if (starts_with(bytes, {'B', 'M'}) && bytes.size() > 26) return check_bmp(bytes, path);
  if (starts_with(bytes, {'P'}) && bytes.size() > 8 && bytes[1] >= '1' && bytes[1] <= '6') return check_pnm(bytes, path);
  fail("image", "{}: neither JPEG, PNG, BMP nor PPM (it starts with bytes {:02x} {:02x})", path, bytes[0],
       bytes.size() > 1 ? bytes[1] : 0);
}

cv::Mat cover(const cv::Mat& source, int size) {
  const int shorter = std::min(source.rows, source.cols);
  if (source.rows == size && source.cols == size) return source;
  const double scale = static_cast<double>(size) / shorter;
  const int height = std::max(size, static_cast<int>(std::lround(source.rows * scale)));
  const int width = std::max(size, static_cast<int>(std::lround(source.cols * scale)));
  cv::Mat scaled = source;
  if (shorter != size)
    cv::resize(source, scaled, {width, height}, 0, 0, size < shorter ? cv::INTER_AREA : cv::INTER_LINEAR);
  return scaled(cv::Rect((scaled.cols - size) / 2, (scaled.rows - size) / 2, size, size));
}

Image to_planar(const cv::Mat& mat) {  // BGR or grey, interleaved
  Image image(mat.channels(), mat.rows, mat.cols);
  const int channels = mat.channels();
  for (int c = 0; c < channels; ++c) {
    const int source = channels == 3 ? 2 - c : c;
    std::uint8_t* out = image.plane(c);
    for (int y = 0; y < mat.rows; ++y) {
      const std::uint8_t* row = mat.ptr<std::uint8_t>(y) + source;
      for (int x = 0; x < mat.cols; ++x) *out++ = row[x * channels];
    }
  }
  return image;
}

cv::Mat plane_view(const Image& image, int c) {  // read only by convention: OpenCV has no const view
  return cv::Mat(image.height, image.width, CV_8UC1, const_cast<std::uint8_t*>(image.plane(c)));
}

void require_channels(int channels) {
  if (channels != 1 && channels != 3)
    fail("image", "expected 1 (grey) or 3 (RGB) channels, found {}", channels);
}

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

}  // namespace

Image::Image(int c, int h, int w)
    : channels(c), height(h), width(w), pixels(static_cast<std::size_t>(c) * h * w, std::uint8_t{0}) {}

Image decode_image(View bytes, const std::string& path, int channels, int size) {
  require_channels(channels);
  check_bytes(bytes, path);
  try {
    const cv::Mat raw(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<std::uint8_t*>(bytes.data()));
    const cv::Mat mat = cv::imdecode(raw, channels == 1 ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR);
    if (mat.empty()) fail("image", "{}: cannot be decoded ({} bytes)", path, bytes.size());
    return to_planar(size > 0 ? cover(mat, size) : mat);
  } catch (const cv::Exception& error) {
    fail("image", "{}: cannot be decoded: {}", path, error.err);
  } catch (const std::bad_alloc&) {
    fail("image", "{}: cannot be decoded: out of memory", path);
  }
}

Image read_image(const std::filesystem::path& path, int channels, int size) {
  return decode_image(read_bytes(path), path.string(), channels, size);
}

void write_image(const std::filesystem::path& path, const Image& image) {
  require_channels(image.channels);
  if (image.height < 1 || image.width < 1)
    fail("image", "{}: an empty image cannot be written", path.string());
  const std::string extension = lower_extension(path);
  if (extension != ".png" && extension != ".jpg" && extension != ".jpeg" && extension != ".bmp")
    fail("image", "{}: expected the extension .png, .jpg or .bmp, found '{}'", path.string(), extension);
  cv::Mat mat(image.height, image.width, CV_MAKETYPE(CV_8U, image.channels));
  for (int c = 0; c < image.channels; ++c)
    cv::insertChannel(plane_view(image, c), mat, image.channels == 3 ? 2 - c : c);
  std::vector<std::uint8_t> bytes;
  try {
    if (!cv::imencode(extension, mat, bytes)) fail("image", "{}: cannot be encoded", path.string());
  } catch (const cv::Exception& error) {
    fail("image", "{}: cannot be encoded: {}", path.string(), error.err);
  }
  write_atomic(path, bytes);
}

bool is_image_name(const std::filesystem::path& path) {
  constexpr std::array<const char*, 6> known = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm"};
  const std::string extension = lower_extension(path);
  return std::any_of(known.begin(), known.end(), [&](const char* e) { return extension == e; });
}

Image resize_cover(const Image& image, int size) {
  if (size < 1) fail("image", "expected a size of at least 1 pixel, found {}", size);
  if (image.height < 1 || image.width < 1) fail("image", "an empty image cannot be resized");
  if (image.height == size && image.width == size) return image;
  Image result(image.channels, size, size);
  for (int c = 0; c < image.channels; ++c) {
    cv::Mat out(size, size, CV_8UC1, result.plane(c));
    cover(plane_view(image, c), size).copyTo(out);
  }
  return result;
}

Image convert_channels(const Image& image, int channels) {
  require_channels(channels);
  require_channels(image.channels);
  if (image.channels == channels) return image;
  Image result(channels, image.height, image.width);
  const std::size_t area = static_cast<std::size_t>(image.height) * image.width;
  if (channels == 3) {
    for (int c = 0; c < 3; ++c) std::copy_n(image.pixels.data(), area, result.plane(c));
    return result;
  }
  const std::uint8_t *r = image.plane(0), *g = image.plane(1), *b = image.plane(2);
  for (std::size_t i = 0; i < area; ++i)  // 16-bit fixed point, rounded; the weights sum to 65536
    result.pixels[i] =
        static_cast<std::uint8_t>((r[i] * 19595u + g[i] * 38470u + b[i] * 7471u + 32768u) >> 16);
  return result;
}

Image contact_sheet(std::span<const Image> images, int columns) {
  if (images.empty() || columns < 1) fail("image", "a contact sheet needs at least one image and one column");
  constexpr int gap = 2;
  const Image& first = images.front();
  const int rows = (static_cast<int>(images.size()) + columns - 1) / columns;
  Image sheet(first.channels, rows * (first.height + gap) + gap, columns * (first.width + gap) + gap);
  std::fill(sheet.pixels.begin(), sheet.pixels.end(), std::uint8_t{255});
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Image& image = images[i];
    if (image.channels != first.channels || image.height != first.height || image.width != first.width)
      fail("image", "contact sheet: image {} is {}x{}x{}, expected {}x{}x{}", i, image.channels, image.height,
           image.width, first.channels, first.height, first.width);
    const int top = gap + static_cast<int>(i) / columns * (first.height + gap);
    const int left = gap + static_cast<int>(i) % columns * (first.width + gap);
    for (int c = 0; c < image.channels; ++c)
      for (int y = 0; y < image.height; ++y)
        std::copy_n(image.plane(c) + y * image.width, image.width,
                    sheet.plane(c) + (top + y) * sheet.width + left);
  }
  return sheet;
}

}  // namespace micromind
