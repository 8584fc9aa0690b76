// What a PyTorch checkpoint holds, as a tree: None, numbers, texts, lists, tuples, dicts and tensors; and, by the name of
// its class alone, whatever else lay in it.
//
//   PyValue tree = PyValue::dict();
//   tree.set("epoch", 3);
//   tree.set("weight", PyTensor::of(std::span<const float>(w), {8, 3, 3, 3}));
//   const PyTensor& t = tree.at("weight").as_tensor();
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "micromind/base/file.h"
#include "micromind/graph/weights.h"

namespace micromind {

enum class PyDtype : std::uint8_t {
  float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, boolean,
  uint16, uint32, uint64, float8_e4m3fn, float8_e5m2  // safetensors files only: PyTorch's pickles have no storage for them
};
std::string_view to_string(PyDtype dtype);  ///< PyTorch's name: "float32", "bool"
int byte_size(PyDtype dtype);
bool is_floating(PyDtype dtype);

/// A view of a storage that several tensors may share. Invariant: every element lies inside the storage.
struct PyTensor {
  PyDtype dtype = PyDtype::float32;
  std::vector<std::int64_t> shape, strides;  ///< strides in elements
  std::int64_t offset = 0;                   ///< of the first element
  std::shared_ptr<const Bytes> storage;      ///< little-endian

  static PyTensor of(std::span<const float> numbers, std::vector<std::int64_t> shape);
  static PyTensor of(std::span<const std::int64_t> numbers, std::vector<std::int64_t> shape);
  static PyTensor of(std::span<const std::int32_t> numbers, std::vector<std::int64_t> shape);
  static PyTensor of(std::span<const std::int8_t> numbers, std::vector<std::int64_t> shape);
  static PyTensor of(std::span<const std::uint8_t> numbers, std::vector<std::int64_t> shape);
  static PyTensor of(const Array& array);  ///< float32, int8 or int32

  std::int64_t elements() const;
  Bytes contiguous() const;                    ///< the elements in row-major order, little-endian
  std::vector<float> to_floats() const;        ///< of any floating type; throws Error for integers
  std::vector<std::int64_t> to_int64() const;  ///< of any integer type and bool; throws Error for floats and beyond 2^63 − 1
  Bytes to_bytes() const;                      ///< of uint8 and bool; throws Error otherwise
  Array to_array() const;  ///< floats as float32, int8 and int32 as they are; rank 0 becomes {1}. Throws Error otherwise
};

struct PyEntry;

/// An object of a class that is none of the plain ones (argparse.Namespace, a whole module): nothing of it is kept but
/// the name of the class, and nothing of it was ever run. It cannot be written.
struct PyObject {
  std::string class_name;  ///< "argparse.Namespace"
};

/// The accessors throw Error that says what was expected and found. A value reached through at() is named in the text
/// by its key.
class PyValue {
 public:
  using List = std::vector<PyValue>;
  struct Tuple {
    List items;
  };
  struct Dict {
    std::vector<PyEntry> entries;  ///< in the order of insertion
  };

  PyValue() = default;  ///< None
  PyValue(bool v) : value_(v) {}                      // NOLINT: trees are written as literals
  PyValue(int v) : value_(std::int64_t{v}) {}         // NOLINT
  PyValue(std::int64_t v) : value_(v) {}              // NOLINT
  PyValue(double v) : value_(v) {}                    // NOLINT
  PyValue(const char* v) : value_(std::string(v)) {}  // NOLINT
  PyValue(std::string v) : value_(std::move(v)) {}    // NOLINT
  PyValue(PyTensor v) : value_(std::move(v)) {}       // NOLINT
  PyValue(List v) : value_(std::move(v)) {}           // NOLINT
  PyValue(Tuple v) : value_(std::move(v)) {}          // NOLINT
  PyValue(Dict v) : value_(std::move(v)) {}           // NOLINT
  PyValue(PyObject v) : value_(std::move(v)) {}       // NOLINT
  static PyValue dict();

  std::string_view type_name() const;  ///< Python's: "NoneType", "int", "dict", "Tensor", …; an object's class
  bool is_none() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_tensor() const { return std::holds_alternative<PyTensor>(value_); }
  bool is_dict() const { return std::holds_alternative<Dict>(value_); }
  bool is_object() const { return std::holds_alternative<PyObject>(value_); }

  bool as_bool() const;
  std::int64_t as_int() const;
  double as_float() const;  ///< of an int as well
  const std::string& as_string() const;
  const PyTensor& as_tensor() const;
  const List& as_list() const;  ///< of a tuple as well
  const std::vector<PyEntry>& entries() const;  ///< of a dict

  bool contains(std::string_view key) const;          ///< false where this is no dict
  const PyValue& at(std::string_view key) const;      ///< of a dict; names the nearest key where there is none
  void set(std::string key, PyValue value);           ///< of a dict: adds or replaces

  template <class Visitor>
  decltype(auto) visit(Visitor&& visitor) const {
    return std::visit(std::forward<Visitor>(visitor), value_);
  }

 private:
  template <class T>
  const T& get(std::string_view expected) const;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, PyTensor, List, Tuple, Dict, PyObject> value_;
};

struct PyEntry {
  PyValue key, value;
};

}  // namespace micromind
