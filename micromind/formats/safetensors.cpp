#include "micromind/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLargestHeader = 100'000'000;  // the format's own bound
constexpr std::string_view kMetadata = "__metadata__";

constexpr std::array<std::pair<std::string_view, PyDtype>, 15> kNames = {{{"F32", PyDtype::float32},
                                                                          {"F64", PyDtype::float64},
                                                                          {"F16", PyDtype::float16},
                                                                          {"BF16", PyDtype::bfloat16},
                                                                          {"I64", PyDtype::int64},
                                                                          {"I32", PyDtype::int32},
                                                                          {"I16", PyDtype::int16},
                                                                          {"I8", PyDtype::int8},
                                                                          {"U8", PyDtype::uint8},
                                                                          {"BOOL", PyDtype::boolean},
                                                                          {"U16", PyDtype::uint16},
                                                                          {"U32", PyDtype::uint32},
                                                                          {"U64", PyDtype::uint64},
                                                                          {"F8_E4M3", PyDtype::float8_e4m3fn},
                                                                          {"F8_E5M2", PyDtype::float8_e5m2}}};

std::uint64_t header_size(std::span<const std::uint8_t> bytes) {
  std::uint64_t size = 0;
  for (std::size_t i = 8; i-- > 0;) size = size << 8 | bytes[i];
  return size;
}

struct Placed {
  std::uint64_t begin, end;
  std::string name;
  PyTensor tensor;
};

class Reader {
 public:
  Reader(const Bytes& bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  Safetensors run() {
    const json header = read_header();
    const std::uint64_t data = 8 + header_size(bytes_), available = bytes_.size() - data;
    Safetensors file;
    std::vector<Placed> placed;
    for (const auto& [name, entry] : header.items()) {
      if (name == kMetadata) file.metadata = read_metadata(entry);
      else placed.push_back(read_entry(name, entry, available));
    }
    std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) { return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name); });
    std::uint64_t expected = 0;
    PyValue::Dict tensors;
    tensors.entries.reserve(placed.size());
    for (Placed& p : placed) {
      if (p.begin != expected) damaged(fmt::format("the data of '{}' begin at {}, expected {} ({})", p.name, p.begin, expected, p.begin < expected ? "an overlap" : "a hole"));
      expected = p.end;
      const auto first = bytes_.begin() + static_cast<std::ptrdiff_t>(data + p.begin);
      p.tensor.storage = std::make_shared<const Bytes>(first, first + static_cast<std::ptrdiff_t>(p.end - p.begin));
      tensors.entries.push_back({std::move(p.name), std::move(p.tensor)});
    }
    if (expected != available) damaged(fmt::format("{} bytes of data belong to no tensor", available - expected));
    file.tensors = std::move(tensors);
    return file;
  }

 private:
  [[noreturn]] void damaged(std::string_view what) const { fail("safetensors", "{}: the file is damaged or cut short: {}", where_, what); }

  json read_header() const {
    if (bytes_.size() < 10) damaged("it is too short");
    const std::uint64_t size = header_size(bytes_);
    if (size > kLargestHeader) fail("safetensors", "{}: no safetensors file: a header of {} bytes, at most {} are allowed", where_, size, kLargestHeader);
    if (size > bytes_.size() - 8) damaged(fmt::format("a header of {} bytes, {} follow", size, bytes_.size() - 8));
    if (bytes_[8] != '{') fail("safetensors", "{}: no safetensors file: the header does not begin with '{{'", where_);
    std::array<std::set<std::string>, 3> seen;  // JSON's readers take the last of two equal keys without a word
    const auto check = [&](int depth, json::parse_event_t event, json& value) {
      if (depth > 4) damaged("its header is nested too deeply");
      const auto level = static_cast<std::size_t>(depth);
      if (event == json::parse_event_t::object_start && level + 1 < seen.size()) seen[level + 1].clear();
      if (event == json::parse_event_t::key && level < seen.size() && !seen[level].insert(value.get<std::string>()).second)
        fail("safetensors", "{}: '{}' is given twice", where_, value.get<std::string>());
      return true;
    };
    try {
      json header = json::parse(bytes_.begin() + 8, bytes_.begin() + static_cast<std::ptrdiff_t>(8 + size), check);
      if (!header.is_object()) damaged("its header is no object");
      return header;
    } catch (const json::exception& e) {
      damaged(fmt::format("its header is no JSON: {}", without_tag(e.what())));
    }
  }

  std::map<std::string, std::string> read_metadata(const json& entry) const {
    if (!entry.is_object()) damaged("__metadata__ is no object");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, text] : entry.items()) {
      if (!text.is_string()) damaged(fmt::format("'{}' in __metadata__ is no text", key));
      metadata[key] = text.get<std::string>();
    }
    return metadata;
  }

  Placed read_entry(const std::string& name, const json& entry, std::uint64_t available) const {
    const auto wrong = [&](std::string_view what) { damaged(fmt::format("'{}': {}", name, what)); };
    if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets"))
      wrong("expected dtype, shape and data_offsets");
    const json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
    if (!dtype.is_string()) wrong("dtype is no text");
    const auto row = std::find_if(kNames.begin(), kNames.end(), [&](const auto& r) { return r.first == dtype.get_ref<const std::string&>(); });
    if (row == kNames.end()) fail("safetensors", "{}: '{}' has the dtype {}, which is not read", where_, name, dtype.dump());
    const auto natural = [](const json& v) { return v.is_number_unsigned(); };
    if (!shape.is_array() || shape.size() > 32 || !std::all_of(shape.begin(), shape.end(), natural)) wrong("shape is no list of extents");
    if (!offsets.is_array() || offsets.size() != 2 || !natural(offsets[0]) || !natural(offsets[1])) wrong("data_offsets are no two numbers");
    Placed p{offsets[0].get<std::uint64_t>(), offsets[1].get<std::uint64_t>(), name, {}};
    if (p.begin > p.end || p.end > available) wrong(fmt::format("data from {} to {} of {}", p.begin, p.end, available));
    constexpr std::uint64_t kMost = std::uint64_t{1} << 56;
    std::uint64_t nonzero = 1;  // strides of empty tensors must not overflow either
    bool empty = false;
    for (const json& extent : shape) {
      const auto e = extent.get<std::uint64_t>();
      empty = empty || e == 0;
      if (e > kMost / nonzero) wrong("its shape is too large");
      nonzero *= std::max<std::uint64_t>(e, 1);
      p.tensor.shape.push_back(static_cast<std::int64_t>(e));
    }
    p.tensor.dtype = row->second;
    const std::uint64_t needed = empty ? 0 : nonzero * static_cast<std::uint64_t>(byte_size(row->second));
    if (p.end - p.begin != needed) wrong(fmt::format("{} bytes of data, its shape [{}] needs {}", p.end - p.begin, fmt::join(p.tensor.shape, ", "), needed));
    p.tensor.strides.assign(p.tensor.shape.size(), 1);
    for (std::size_t i = p.tensor.shape.size(); i-- > 1;) p.tensor.strides[i - 1] = p.tensor.strides[i] * std::max<std::int64_t>(p.tensor.shape[i], 1);
    return p;
  }

  const Bytes& bytes_;
  const std::string& where_;
};

std::string_view name_of(PyDtype dtype) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& r) { return r.second == dtype; })->first;
}

}  // namespace

bool looks_like_safetensors(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 10 && bytes[8] == '{' && header_size(bytes) <= bytes.size() - 8;
}

Safetensors parse_safetensors(const Bytes& bytes, const std::string& where) { return Reader(bytes, where).run(); }
Safetensors read_safetensors(const std::filesystem::path& path) { return parse_safetensors(read_bytes(path), path.string()); }

Bytes safetensors_bytes(const PyValue& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, const PyTensor*>> sorted;
  for (const PyEntry& e : tensors.entries()) {
    const std::string& name = e.key.as_string();
    if (!e.value.is_tensor()) fail("safetensors", "'{}' is {}; the format holds tensors alone", name, e.value.type_name());
    if (name == kMetadata) fail("safetensors", "a tensor cannot be named {}", kMetadata);
    sorted.emplace_back(name, &e.value.as_tensor());
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    const int x = byte_size(a.second->dtype), y = byte_size(b.second->dtype);
    return x != y ? x > y : a.first < b.first;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : sorted) {
    if (header.contains(name)) fail("safetensors", "'{}' is given twice", name);
    const std::uint64_t end = at + static_cast<std::uint64_t>(tensor->elements()) * static_cast<std::uint64_t>(byte_size(tensor->dtype));
    header[name] = {{"dtype", name_of(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    fail("safetensors", "a name or a text of the metadata is no UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  Bytes out(8);
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(text.size() >> (8 * i));
  out.reserve(8 + text.size() + at);
  out.insert(out.end(), text.begin(), text.end());
  for (const auto& [name, tensor] : sorted) {
    const Bytes data = tensor->contiguous();
    out.insert(out.end(), data.begin(), data.end());
  }
  return out;
}

void write_safetensors(const std::filesystem::path& path, const PyValue& tensors, const std::map<std::string, std::string>& metadata) {
  write_atomic(path, safetensors_bytes(tensors, metadata));
}

}  // namespace micromind
