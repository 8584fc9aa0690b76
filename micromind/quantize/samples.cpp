#include "micromind/quantize/samples.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>

#include "micromind/base/error.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

constexpr std::uintmax_t kMaxFile = std::uintmax_t{4} << 30;

struct Numbers {
  std::vector<std::int64_t> shape;  // empty: unknown (.bin)
  std::string type;                 // "<f4", "<f8", "|u1", "|i1"
  Bytes bytes;
  std::size_t start = 0;
  std::size_t size() const { return type == "<f8" ? 8 : type == "<f4" ? 4 : 1; }
};

// NumPy's format, versions 1 to 3: magic, version, length of the header, a Python dict, the numbers.
Numbers parse_npy(Bytes bytes, const std::string& name) {
  const auto damaged = [&](std::string_view what) { fail("samples", "{} is no sound .npy file: {}", name, what); };
  if (bytes.size() < 12 || std::memcmp(bytes.data(), "\x93NUMPY", 6) != 0) damaged("its first bytes are wrong");
  const int version = bytes[6];
  std::size_t length = bytes[8] | bytes[9] << 8, start = 10;
  if (version >= 2) {
    length |= std::size_t{bytes[10]} << 16 | std::size_t{bytes[11]} << 24;
    start = 12;
  }
  if (version < 1 || version > 3 || length > bytes.size() - start) damaged("its header is cut short");
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + start, length);
  const auto value_of = [&](std::string_view key) {
    const auto at = header.find(key);
    if (at == std::string_view::npos) damaged(fmt::format("its header has no {}", key));
    const auto colon = header.find(':', at);
    if (colon == std::string_view::npos) damaged("its header is no dict");
    const auto from = header.find_first_not_of(' ', colon + 1);
    return from == std::string_view::npos ? std::string_view() : header.substr(from);
  };
  Numbers n;
  const std::string_view type = value_of("'descr'");
  for (const char* known : {"<f4", "<f8", "|u1", "|i1"})
    if (type.substr(0, 5) == fmt::format("'{}'", known)) n.type = known;
  if (n.type.empty()) fail_with_hint("samples", "save it with .astype(numpy.float32)", "{} holds {}; expected float32, float64, uint8 or int8", name, type.substr(0, 12));
  if (!value_of("'fortran_order'").starts_with("False")) fail_with_hint("samples", "save it with numpy.ascontiguousarray", "{} is in Fortran order", name);
  std::string_view shape = value_of("'shape'");
  const auto close = shape.find(')');
  if (!shape.starts_with('(') || close == std::string_view::npos) damaged("its shape is no tuple");
  shape = shape.substr(1, close - 1);
  std::uint64_t count = 1;
  while (!shape.empty()) {
    const auto digit = shape.find_first_of("0123456789");
    if (digit == std::string_view::npos) break;
    std::int64_t extent = 0;
    const auto [end, error] = std::from_chars(shape.data() + digit, shape.data() + shape.size(), extent);
    if (error != std::errc{} || extent < 0 || extent > (std::int64_t{1} << 32)) damaged("its shape is not sound");
    n.shape.push_back(extent);
    count *= static_cast<std::uint64_t>(extent);
    if (count > bytes.size()) damaged("its shape needs more numbers than it has");
    shape.remove_prefix(static_cast<std::size_t>(end - shape.data()));
  }
  n.start = start + length;
  if ((bytes.size() - n.start) != count * n.size()) damaged(fmt::format("it has {} bytes of numbers; its shape needs {}", bytes.size() - n.start, count * n.size()));
  n.bytes = std::move(bytes);
  return n;
}

Numbers read_numbers(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) > kMaxFile && !error) fail("samples", "{} is larger than 4 GB", path.string());
  Bytes bytes = read_bytes(path);
  if (path.extension() == ".npy") return parse_npy(std::move(bytes), path.string());
  return {.shape = {}, .type = "<f4", .bytes = std::move(bytes), .start = 0};
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return {path};
  std::vector<std::filesystem::path> list;
  for (const auto& entry : std::filesystem::directory_iterator(path, error))
    if (entry.path().extension() == ".npy" || entry.path().extension() == ".bin") list.push_back(entry.path());
  if (error) fail("samples", "{} cannot be read: {}", path.string(), error.message());
  std::sort(list.begin(), list.end());
  return list;
}

// How many samples a file holds; throws when its shape is not a batch of the input.
std::size_t samples_in(const Numbers& n, const std::string& name, const Shape& input, SampleLayout layout) {
  const auto each = static_cast<std::size_t>(input.elements());
  const std::size_t count = (n.bytes.size() - n.start) / n.size();
  std::vector<std::int64_t> wanted(input.begin(), input.end());
  if (layout == SampleLayout::channels_last) std::rotate(wanted.begin(), wanted.begin() + 1, wanted.end());
  std::vector<std::int64_t> found = n.shape;
  if (found.size() == wanted.size() + 1) found.erase(found.begin());
  const bool flat = found.size() == 1 && found[0] == static_cast<std::int64_t>(each);
  if (!n.shape.empty() && found != wanted && !flat)
    fail_with_hint("samples", "--layout nhwc or nchw says where the channels are", "{} has the shape ({}); expected a batch of ({})", name, fmt::join(n.shape, ", "),
                   fmt::join(wanted, ", "));
  if (count == 0 || count % each != 0) fail("samples", "{} holds {} numbers, no whole number of samples of {}", name, count, each);
  return count / each;
}

std::vector<float> numbers_of(const Numbers& n, std::size_t index, std::size_t each) {
  std::vector<float> out(each);
  const std::uint8_t* from = n.bytes.data() + n.start + index * each * n.size();
  for (std::size_t i = 0; i < each; ++i) {
    if (n.type == "<f4") std::memcpy(&out[i], from + i * 4, 4);
    else if (n.type == "|u1") out[i] = from[i];
    else if (n.type == "|i1") out[i] = static_cast<std::int8_t>(from[i]);
    else {
      double d;
      std::memcpy(&d, from + i * 8, 8);
      out[i] = static_cast<float>(d);
    }
  }
  return out;
}

}  // namespace

Array sample_from(std::span<const float> numbers, const Shape& input, const SampleOptions& options, bool pixels) {
  const auto channels = static_cast<std::size_t>(input.channels());
  for (const auto* list : {&options.mean, &options.deviation})
    if (!list->empty() && list->size() != 1 && list->size() != channels) fail("samples", "{} numbers of mean or deviation for {} channels", list->size(), channels);
  for (const double d : options.deviation)
    if (!(d > 0)) fail("samples", "a deviation of {}; expected more than 0", d);
  Array array(ElementType::float32, input);
  const std::size_t area = numbers.size() / channels;
  const double scale = options.scale != 0 ? options.scale : pixels ? 1.0 / 255 : 1;
  const auto out = array.values<float>();
  const auto of = [](const std::vector<double>& v, std::size_t c, double otherwise) { return v.empty() ? otherwise : v[v.size() == 1 ? 0 : c]; };
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t p = 0; p < area; ++p) {
      const float x = numbers[options.layout == SampleLayout::channels_last ? p * channels + c : c * area + p];
      if (!std::isfinite(x)) fail("samples", "a sample holds a number that is not finite");
      out[c * area + p] = static_cast<float>((x * scale - of(options.mean, c, 0)) / of(options.deviation, c, 1));
    }
  return array;
}

std::vector<Array> read_samples(std::span<const std::filesystem::path> files, const Shape& input, const SampleOptions& options) {
  std::vector<std::filesystem::path> all;
  for (const auto& f : files) {
    const auto found = files_in(f);
    all.insert(all.end(), found.begin(), found.end());
  }
  std::vector<std::size_t> counts;
  std::size_t total = 0;
  for (const auto& f : all) {
    if (f.extension() != ".npy" && f.extension() != ".bin") fail("samples", "{}: expected .npy or .bin", f.string());
    counts.push_back(samples_in(read_numbers(f), f.string(), input, options.layout));
    total += counts.back();
  }
  if (total == 0) fail("samples", "no .npy or .bin file in {}", files.empty() ? std::string("nothing") : files[0].string());
  const std::size_t wanted = std::min(total, std::max<std::size_t>(1, options.limit)), each = static_cast<std::size_t>(input.elements());
  std::vector<Array> samples;
  std::size_t before = 0;
  for (std::size_t k = 0; k < all.size(); before += counts[k++]) {
    std::optional<Numbers> numbers;
    for (std::size_t i = 0; i < counts[k]; ++i) {
      if ((before + i) * wanted / total == (before + i + 1) * wanted / total) continue;  // evenly over all
      if (!numbers) numbers = read_numbers(all[k]);
      samples.push_back(sample_from(numbers_of(*numbers, i, each), input, options, numbers->type == "|u1"));
    }
  }
  return samples;
}

}  // namespace micromind
