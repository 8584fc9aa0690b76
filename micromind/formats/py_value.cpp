#include "micromind/formats/py_value.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/formats/half.h"

namespace micromind {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian");

struct DtypeRow {
  std::string_view name;
  int bytes;
};
constexpr std::array<DtypeRow, 15> kDtypes = {{{"float32", 4}, {"float64", 8}, {"float16", 2}, {"bfloat16", 2}, {"int64", 8},
                                               {"int32", 4}, {"int16", 2}, {"int8", 1}, {"uint8", 1}, {"bool", 1},
                                               {"uint16", 2}, {"uint32", 4}, {"uint64", 8}, {"float8_e4m3fn", 1}, {"float8_e5m2", 1}}};

std::vector<std::int64_t> row_major(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

template <class T>
PyTensor make(PyDtype dtype, std::span<const T> numbers, std::vector<std::int64_t> shape) {
  PyTensor t;
  t.dtype = dtype;
  t.strides = row_major(shape);
  t.shape = std::move(shape);
  if (t.elements() != static_cast<std::int64_t>(numbers.size()))
    fail("pytorch", "a tensor of shape [{}] from {} numbers", fmt::join(t.shape, ", "), numbers.size());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(numbers.data());
  t.storage = std::make_shared<const Bytes>(bytes, bytes + numbers.size_bytes());
  return t;
}

template <class T>
T load(const std::uint8_t* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinities, and 1111.111 alone is no number (Micikevicius et al., 2022).
float e4m3_to_float(std::uint8_t b) {
  const int exponent = b >> 3 & 15, fraction = b & 7;
  const float magnitude = exponent == 0                     ? std::ldexp(static_cast<float>(fraction), -9)
                          : exponent == 15 && fraction == 7 ? NAN
                                                            : std::ldexp(static_cast<float>(fraction + 8), exponent - 10);
  return (b & 0x80) != 0 ? -magnitude : magnitude;
}

template <class To, class Read>
std::vector<To> convert(const Bytes& bytes, int size, Read read) {
  std::vector<To> out(bytes.size() / static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<To>(read(bytes.data() + i * static_cast<std::size_t>(size)));
  return out;
}

}  // namespace

std::string_view to_string(PyDtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].name; }
int byte_size(PyDtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].bytes; }
bool is_floating(PyDtype dtype) { return to_string(dtype).find("float") != std::string_view::npos; }

PyTensor PyTensor::of(std::span<const float> n, std::vector<std::int64_t> s) { return make(PyDtype::float32, n, std::move(s)); }
PyTensor PyTensor::of(std::span<const std::int64_t> n, std::vector<std::int64_t> s) { return make(PyDtype::int64, n, std::move(s)); }
PyTensor PyTensor::of(std::span<const std::int32_t> n, std::vector<std::int64_t> s) { return make(PyDtype::int32, n, std::move(s)); }
PyTensor PyTensor::of(std::span<const std::int8_t> n, std::vector<std::int64_t> s) { return make(PyDtype::int8, n, std::move(s)); }
PyTensor PyTensor::of(std::span<const std::uint8_t> n, std::vector<std::int64_t> s) { return make(PyDtype::uint8, n, std::move(s)); }

PyTensor PyTensor::of(const Array& a) {
  const std::vector<std::int64_t> shape(a.shape().begin(), a.shape().end());
  switch (a.element()) {
    case ElementType::float32: return of(a.values<float>(), shape);
    case ElementType::int8: return of(a.values<std::int8_t>(), shape);
    case ElementType::int32: return of(a.values<std::int32_t>(), shape);
  }
  fail("pytorch", "an array of unknown type");
}

std::int64_t PyTensor::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

Bytes PyTensor::contiguous() const {
  const auto size = static_cast<std::size_t>(byte_size(dtype));
  const auto count = static_cast<std::size_t>(elements());
  Bytes out(count * size);
  if (count == 0) return out;
  const std::uint8_t* base = storage->data() + static_cast<std::size_t>(offset) * size;
  if (strides == row_major(shape)) {
    std::memcpy(out.data(), base, out.size());
    return out;
  }
  std::vector<std::int64_t> index(shape.size(), 0);
  std::int64_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(out.data() + i * size, base + static_cast<std::size_t>(at) * size, size);
    for (std::size_t d = shape.size(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}

std::vector<float> PyTensor::to_floats() const {
  const Bytes bytes = contiguous();
  switch (dtype) {
    case PyDtype::float32: return convert<float>(bytes, 4, load<float>);
    case PyDtype::float64: return convert<float>(bytes, 8, load<double>);
    case PyDtype::float16: return convert<float>(bytes, 2, [](const std::uint8_t* p) { return half_to_float(load<std::uint16_t>(p)); });
    case PyDtype::bfloat16:
      return convert<float>(bytes, 2, [](const std::uint8_t* p) { return std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(p)} << 16); });
    case PyDtype::float8_e4m3fn: return convert<float>(bytes, 1, [](const std::uint8_t* p) { return e4m3_to_float(*p); });
    case PyDtype::float8_e5m2:  // the upper half of a binary16
      return convert<float>(bytes, 1, [](const std::uint8_t* p) { return half_to_float(static_cast<std::uint16_t>(*p << 8)); });
    default: fail("pytorch", "expected a tensor of floats, found {}", to_string(dtype));
  }
}

std::vector<std::int64_t> PyTensor::to_int64() const {
  const Bytes bytes = contiguous();
  switch (dtype) {
    case PyDtype::int64: return convert<std::int64_t>(bytes, 8, load<std::int64_t>);
    case PyDtype::int32: return convert<std::int64_t>(bytes, 4, load<std::int32_t>);
    case PyDtype::int16: return convert<std::int64_t>(bytes, 2, load<std::int16_t>);
    case PyDtype::int8: return convert<std::int64_t>(bytes, 1, load<std::int8_t>);
    case PyDtype::uint8:
    case PyDtype::boolean: return convert<std::int64_t>(bytes, 1, load<std::uint8_t>);
    case PyDtype::uint16: return convert<std::int64_t>(bytes, 2, load<std::uint16_t>);
    case PyDtype::uint32: return convert<std::int64_t>(bytes, 4, load<std::uint32_t>);
    case PyDtype::uint64:
      return convert<std::int64_t>(bytes, 8, [](const std::uint8_t* p) {
        const auto v = load<std::uint64_t>(p);
        if (v >> 63 != 0) fail("pytorch", "{} does not fit 63 bits", v);
        return v;
      });
    default: fail("pytorch", "expected a tensor of integers, found {}", to_string(dtype));
  }
}

Bytes PyTensor::to_bytes() const {
  if (dtype != PyDtype::uint8 && dtype != PyDtype::boolean) fail("pytorch", "expected a tensor of uint8, found {}", to_string(dtype));
  return contiguous();
}

Array PyTensor::to_array() const {
  if (shape.size() > 4) fail("pytorch", "a tensor of rank {}; at most 4 are held", shape.size());
  Shape s;
  for (const std::int64_t d : shape) {
    if (d > 0x7fffffff) fail("pytorch", "a tensor with an extent of {}", d);
    s.append(static_cast<std::int32_t>(d));
  }
  if (shape.empty()) s.append(1);
  if (dtype == PyDtype::int8 || dtype == PyDtype::int32) {
    Array a(dtype == PyDtype::int8 ? ElementType::int8 : ElementType::int32, s);
    const Bytes bytes = contiguous();
    if (bytes.empty()) return a;
    if (dtype == PyDtype::int8) std::memcpy(a.values<std::int8_t>().data(), bytes.data(), bytes.size());
    else std::memcpy(a.values<std::int32_t>().data(), bytes.data(), bytes.size());
    return a;
  }
  Array a(ElementType::float32, s);
  const std::vector<float> numbers = to_floats();
  std::copy(numbers.begin(), numbers.end(), a.values<float>().begin());
  return a;
}

PyValue PyValue::dict() { return PyValue(Dict{}); }

std::string_view PyValue::type_name() const {
  if (const auto* object = std::get_if<PyObject>(&value_)) return object->class_name;
  static constexpr std::array<std::string_view, 9> names = {"NoneType", "bool", "int", "float", "str", "Tensor", "list", "tuple", "dict"};
  return names[value_.index()];
}

template <class T>
const T& PyValue::get(std::string_view expected) const {
  if (const T* v = std::get_if<T>(&value_)) return *v;
  fail("pytorch", "expected {}, found {}", expected, type_name());
}

bool PyValue::as_bool() const { return get<bool>("bool"); }
std::int64_t PyValue::as_int() const { return get<std::int64_t>("int"); }
double PyValue::as_float() const {
  if (const auto* i = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*i);
  return get<double>("float");
}
const std::string& PyValue::as_string() const { return get<std::string>("str"); }
const PyTensor& PyValue::as_tensor() const { return get<PyTensor>("Tensor"); }
const PyValue::List& PyValue::as_list() const {
  if (const auto* t = std::get_if<Tuple>(&value_)) return t->items;
  return get<List>("list");
}
const std::vector<PyEntry>& PyValue::entries() const { return get<Dict>("dict").entries; }

namespace {

const PyValue* look_up(const std::vector<PyEntry>& entries, std::string_view key) {
  for (const PyEntry& e : entries)
    if (e.key.type_name() == "str" && e.key.as_string() == key) return &e.value;
  return nullptr;
}

}  // namespace

bool PyValue::contains(std::string_view key) const { return is_dict() && look_up(entries(), key) != nullptr; }

const PyValue& PyValue::at(std::string_view key) const {
  if (!is_dict()) fail("pytorch", "expected a dict with '{}', found {}", key, type_name());
  if (const PyValue* found = look_up(entries(), key)) return *found;
  std::vector<std::string> names;
  for (const PyEntry& e : entries())
    if (e.key.type_name() == "str" && names.size() < 1000) names.push_back(e.key.as_string());
  const std::string near = nearest_name(key, names);
  fail_with_hint("pytorch", near.empty() ? "" : "the nearest key is '" + near + "'", "no key '{}' among {}", key, entries().size());
}

void PyValue::set(std::string key, PyValue value) {
  if (!is_dict()) fail("pytorch", "expected a dict to set '{}' in, found {}", key, type_name());
  auto& list = std::get<Dict>(value_).entries;
  for (PyEntry& e : list)
    if (e.key.type_name() == "str" && e.key.as_string() == key) {
      e.value = std::move(value);
      return;
    }
  list.push_back({std::move(key), std::move(value)});
}

}  // namespace micromind
