#include "micromind/formats/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <variant>

#include "micromind/base/error.h"

namespace micromind {
namespace {

constexpr int kDeepest = 100;
constexpr std::size_t kLongestName = 120;  // of a class: a file could repeat it without end

struct StorageType {
  std::string_view name;
  PyDtype dtype;
};
constexpr std::array<StorageType, 10> kStorages = {{{"FloatStorage", PyDtype::float32},
                                                    {"DoubleStorage", PyDtype::float64},
                                                    {"HalfStorage", PyDtype::float16},
                                                    {"BFloat16Storage", PyDtype::bfloat16},
                                                    {"LongStorage", PyDtype::int64},
                                                    {"IntStorage", PyDtype::int32},
                                                    {"ShortStorage", PyDtype::int16},
                                                    {"CharStorage", PyDtype::int8},
                                                    {"ByteStorage", PyDtype::uint8},
                                                    {"BoolStorage", PyDtype::boolean}}};

// The admitted globals: what each of them makes is made here, and no other function is known.
enum class Callable { ordered_dict, default_dict, counter, size, rebuild_tensor, rebuild_parameter, rebuild_from_type, encode, numpy_dtype, numpy_scalar };
struct Global {
  std::string_view module, name;
  Callable callable;
};
constexpr std::array<Global, 14> kGlobals = {{{"collections", "OrderedDict", Callable::ordered_dict},
                                              {"collections", "defaultdict", Callable::default_dict},
                                              {"collections", "Counter", Callable::counter},
                                              {"torch", "Size", Callable::size},
                                              {"torch._utils", "_rebuild_tensor", Callable::rebuild_tensor},
                                              {"torch._utils", "_rebuild_tensor_v2", Callable::rebuild_tensor},
                                              {"torch._utils", "_rebuild_parameter", Callable::rebuild_parameter},
                                              {"torch._utils", "_rebuild_parameter_with_state", Callable::rebuild_parameter},
                                              {"torch._tensor", "_rebuild_from_type_v2", Callable::rebuild_from_type},
                                              {"_codecs", "encode", Callable::encode},
                                              {"numpy", "dtype", Callable::numpy_dtype},
                                              {"numpy.core.multiarray", "scalar", Callable::numpy_scalar},
                                              {"numpy._core.multiarray", "scalar", Callable::numpy_scalar},
                                              {"numpy.core.numeric", "scalar", Callable::numpy_scalar}}};
struct Storage {
  PyDtype dtype;
  std::shared_ptr<const Bytes> bytes;
};

using Index = std::size_t;  // into the machine's nodes: values share and may contain each other, so no ownership here
struct List { std::vector<Index> items; };
struct Tuple { std::vector<Index> items; };
struct Dict { std::vector<std::pair<Index, Index>> items; };
struct ByteString { std::string bytes; };
struct NumpyType {
  char kind;  // b, i, u, f
  int size;
  bool big_endian = false;
};
using Object = std::variant<std::monostate, bool, std::int64_t, double, std::string, PyTensor, List, Tuple, Dict, Storage, Callable, PyDtype, PyObject,
                            ByteString, NumpyType>;

class Machine {
 public:
  Machine(std::span<const std::uint8_t> bytes, const std::string& where, const StorageLoader& load)
      : bytes_(bytes), where_(where), load_(load), budget_(4 * bytes.size() + 65536) {}

  PyValue run() {
    while (step()) {
    }
    const Index root = pop();
    if (!stack_.empty() || !marks_.empty()) damaged("values are left over");
    return convert(root, 0);
  }

 private:
  [[noreturn]] void damaged(std::string_view what) const { fail("pytorch", "{}: the pickle is damaged: {}", where_, what); }

  // --- reading -------------------------------------------------------------------------------------------
  std::span<const std::uint8_t> take(std::uint64_t count) {
    if (count > bytes_.size() - at_) damaged("it ends early");
    const auto part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }
  std::uint64_t number(int bytes) {
    std::uint64_t v = 0;
    const auto part = take(static_cast<std::uint64_t>(bytes));
    for (std::size_t i = part.size(); i-- > 0;) v = v << 8 | part[i];
    return v;
  }
  std::string text(std::uint64_t count) {
    const auto part = take(count);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  std::string line() {
    std::string s;
    for (std::uint8_t c = take(1)[0]; c != '\n'; c = take(1)[0]) s += static_cast<char>(c);
    return s;
  }

  // --- stack ---------------------------------------------------------------------------------------------
  void push(Object object) {
    nodes_.push_back(std::move(object));
    stack_.push_back(nodes_.size() - 1);
  }
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Index pop() {
    if (stack_.size() <= floor()) damaged("its stack is empty");
    const Index top = stack_.back();
    stack_.pop_back();
    return top;
  }
  Index top() const {
    if (stack_.size() <= floor()) damaged("its stack is empty");
    return stack_.back();
  }
  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) damaged("a mark is missing");
    std::vector<Index> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  std::vector<Index> pop_items(std::size_t count) {
    std::vector<Index> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }
  template <class T>
  T& as(Index index, std::string_view expected) {
    if (T* v = std::get_if<T>(&nodes_[index])) return *v;
    damaged(fmt::format("expected {}", expected));
  }

  bool is_object(Index index) const { return std::holds_alternative<PyObject>(nodes_[index]); }
  void push_object(std::string name) { push(PyObject{std::move(name)}); }

  void put(std::uint64_t slot) { memo_[slot] = top(); }
  void get(std::uint64_t slot) {
    const auto it = memo_.find(slot);
    if (it == memo_.end()) damaged("a value is recalled before it is stored");
    stack_.push_back(it->second);
  }
  void append(const std::vector<Index>& items) {
    if (is_object(top())) return;  // a list of a class of its own, or a set
    auto& list = as<List>(top(), "a list").items;
    list.insert(list.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<Index>& items) {
    if (items.size() % 2 != 0) damaged("a key without a value");
    if (is_object(top())) return;
    auto& dict = as<Dict>(top(), "a dict").items;
    for (std::size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
  }

  bool step();
  void long_integer(std::uint64_t size);
  void global(const std::string& module, const std::string& name);
  void reduce();
  void apply(Callable callable, const std::vector<Index>& arguments);
  void build();
  void persistent_load();
  Dict ordered_dict(const std::vector<Index>& arguments);
  Object numpy_type(const std::vector<Index>& arguments);
  Object numpy_scalar(const std::vector<Index>& arguments);
  Object rebuild_tensor(const std::vector<Index>& arguments);
  PyValue convert(Index index, int depth);
  PyValue::Dict convert_dict(const Dict& dict, int depth);
  void spend(std::uint64_t cost) {
    if (cost > budget_) damaged("its values refer to each other without end");
    budget_ -= cost;
  }

  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
  const std::string& where_;
  const StorageLoader& load_;
  std::deque<Object> nodes_;  // references stay valid while it grows
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Index> memo_;
  std::uint64_t budget_;  // of values copied: a hostile file could multiply shared ones
};

// One opcode; false after STOP. The names are those of Python's pickletools.
bool Machine::step() {
  const std::uint8_t op = take(1)[0];
  switch (op) {
    case 0x80:  // PROTO
      if (const std::uint64_t version = number(1); version > 5) damaged(fmt::format("protocol {}", version));
      return true;
    case 0x95: take(8); return true;                                   // FRAME
    case '.': return false;                                            // STOP
    case '(': marks_.push_back(stack_.size()); return true;            // MARK
    case '0': pop(); return true;                                      // POP
    case '1': pop_to_mark(); return true;                              // POP_MARK
    case '2': stack_.push_back(top()); return true;                    // DUP
    case 'N': push(std::monostate{}); return true;                     // NONE
    case 0x88: push(true); return true;                                // NEWTRUE
    case 0x89: push(false); return true;                               // NEWFALSE
    case 'J': push(std::int64_t{static_cast<std::int32_t>(number(4))}); return true;  // BININT
    case 'K': push(static_cast<std::int64_t>(number(1))); return true;                // BININT1
    case 'M': push(static_cast<std::int64_t>(number(2))); return true;                // BININT2
    case 0x8a: long_integer(number(1)); return true;                   // LONG1
    case 0x8b: long_integer(number(4)); return true;                   // LONG4
    case 'G': {                                                        // BINFLOAT, big-endian
      std::uint64_t bits = 0;
      for (const std::uint8_t b : take(8)) bits = bits << 8 | b;
      push(std::bit_cast<double>(bits));
      return true;
    }
    case 'X': push(text(number(4))); return true;                      // BINUNICODE
    case 0x8c: push(text(number(1))); return true;                     // SHORT_BINUNICODE
    case 0x8d: push(text(number(8))); return true;                     // BINUNICODE8
    case 'U': push(text(number(1))); return true;                      // SHORT_BINSTRING
    case 'T': push(text(number(4))); return true;                      // BINSTRING
    case 'C': push(ByteString{text(number(1))}); return true;          // SHORT_BINBYTES
    case 'B': push(ByteString{text(number(4))}); return true;          // BINBYTES
    case 0x8e:                                                         // BINBYTES8
    case 0x96: push(ByteString{text(number(8))}); return true;         // BYTEARRAY8
    case 0x8f: push_object("set"); return true;                        // EMPTY_SET
    case 0x90: {                                                       // ADDITEMS
      pop_to_mark();
      as<PyObject>(top(), "a set");
      return true;
    }
    case 0x91: pop_to_mark(); push_object("frozenset"); return true;   // FROZENSET
    case ']': push(List{}); return true;                               // EMPTY_LIST
    case ')': push(Tuple{}); return true;                              // EMPTY_TUPLE
    case '}': push(Dict{}); return true;                               // EMPTY_DICT
    case 't': push(Tuple{pop_to_mark()}); return true;                 // TUPLE
    case 'l': push(List{pop_to_mark()}); return true;                  // LIST
    case 0x85: push(Tuple{pop_items(1)}); return true;                 // TUPLE1
    case 0x86: push(Tuple{pop_items(2)}); return true;                 // TUPLE2
    case 0x87: push(Tuple{pop_items(3)}); return true;                 // TUPLE3
    case 'a': append(pop_items(1)); return true;                       // APPEND
    case 'e': append(pop_to_mark()); return true;                      // APPENDS
    case 's': set_items(pop_items(2)); return true;                    // SETITEM
    case 'u': set_items(pop_to_mark()); return true;                   // SETITEMS
    case 'q': put(number(1)); return true;                             // BINPUT
    case 'r': put(number(4)); return true;                             // LONG_BINPUT
    case 0x94: put(memo_.size()); return true;                         // MEMOIZE
    case 'h': get(number(1)); return true;                             // BINGET
    case 'j': get(number(4)); return true;                             // LONG_BINGET
    case 'Q': persistent_load(); return true;                          // BINPERSID
    case 0x92: as<Dict>(pop(), "a dict of arguments"); reduce(); return true;  // NEWOBJ_EX
    case 0x81:                                                         // NEWOBJ
    case 'R': reduce(); return true;                                   // REDUCE
    case 'c': {                                                        // GLOBAL
      const std::string module = line();
      global(module, line());
      return true;
    }
    case 0x93: {                                                       // STACK_GLOBAL
      const Index name = pop(), module = pop();
      global(as<std::string>(module, "a module's name"), as<std::string>(name, "a name"));
      return true;
    }
    case 'b': build(); return true;                                    // BUILD
    default: fail("pytorch", "{}: the pickle holds the opcode 0x{:02x}, which plain values do not need; nothing was run", where_, op);
  }
}

void Machine::long_integer(std::uint64_t size) {
  if (size > 8) {  // the state of a random generator, for one
    take(size);
    return push_object("int of more than 64 bits");
  }
  std::uint64_t v = number(static_cast<int>(size));
  if (size > 0 && size < 8 && (v >> (8 * size - 1) & 1) != 0) v |= ~std::uint64_t{0} << (8 * size);
  push(static_cast<std::int64_t>(v));
}

void Machine::global(const std::string& module, const std::string& name) {
  for (const Global& g : kGlobals)
    if (g.module == module && g.name == name) return push(g.callable);
  if (module == "torch")
    for (const StorageType& s : kStorages)
      if (s.name == name) return push(s.dtype);
  push_object((module + "." + name).substr(0, kLongestName));
}

// REDUCE, and making an object of a class: the same here, since only what is admitted is made.
void Machine::reduce() {
  const Index arguments_index = pop(), callable_index = pop();
  const std::vector<Index>& arguments = as<Tuple>(arguments_index, "a tuple of arguments").items;
  if (const auto* object = std::get_if<PyObject>(&nodes_[callable_index])) {
    // copyreg._reconstructor, numpy's _reconstruct: the first argument is the class.
    const bool has_class = object->class_name.find("_reconstruct") != std::string::npos && !arguments.empty() && is_object(arguments[0]);
    return push_object(has_class ? std::get<PyObject>(nodes_[arguments[0]]).class_name : object->class_name);
  }
  apply(as<Callable>(callable_index, "a function"), arguments);
}

void Machine::apply(Callable callable, const std::vector<Index>& arguments) {
  const auto need = [&](std::size_t count, std::string_view what) {
    if (arguments.size() < count) damaged(fmt::format("{} with too few arguments", what));
  };
  switch (callable) {
    case Callable::ordered_dict: return push(ordered_dict(arguments));
    case Callable::default_dict: return push(Dict{});
    case Callable::counter: {
      Dict counts = arguments.empty() ? Dict{} : as<Dict>(arguments[0], "a dict of counts");
      spend(counts.items.size());
      return push(std::move(counts));
    }
    case Callable::size:
      need(1, "torch.Size");
      as<Tuple>(arguments[0], "a tuple of extents");
      return stack_.push_back(arguments[0]);
    case Callable::rebuild_tensor: return push(rebuild_tensor(arguments));
    case Callable::rebuild_parameter:
      need(1, "a parameter");
      if (!is_object(arguments[0])) as<PyTensor>(arguments[0], "a tensor");
      return stack_.push_back(arguments[0]);
    case Callable::rebuild_from_type: {  // (function, class, its arguments, attributes): a tensor with attributes
      need(3, "a tensor with attributes");
      const auto* function = std::get_if<Callable>(&nodes_[arguments[0]]);
      if (function == nullptr || (*function != Callable::rebuild_tensor && *function != Callable::rebuild_parameter)) return push_object("torch.Tensor");
      return apply(*function, as<Tuple>(arguments[2], "a tuple of arguments").items);
    }
    case Callable::encode: {  // bytes, as protocol 2 writes them
      need(2, "encode");
      if (as<std::string>(arguments[1], "an encoding") != "latin1") return push_object("bytes");
      ByteString out;
      const std::string& utf8 = as<std::string>(arguments[0], "a text");
      for (std::size_t i = 0; i < utf8.size(); ++i) {
        auto c = static_cast<std::uint8_t>(utf8[i]);
        if (c >= 0x80) {
          if ((c != 0xc2 && c != 0xc3) || ++i == utf8.size() || (utf8[i] & 0xc0) != 0x80) damaged("bytes that are no Latin-1");
          c = static_cast<std::uint8_t>(c << 6 | (utf8[i] & 0x3f));
        }
        out.bytes += static_cast<char>(c);
      }
      return push(std::move(out));
    }
    case Callable::numpy_dtype: return push(numpy_type(arguments));
    case Callable::numpy_scalar: return push(numpy_scalar(arguments));
  }
}

Dict Machine::ordered_dict(const std::vector<Index>& arguments) {
  Dict dict;
  if (arguments.size() > 1) damaged("OrderedDict with too many arguments");
  if (arguments.size() == 1)
    for (const Index pair : as<List>(arguments[0], "a list of pairs").items) {
      spend(1);
      const auto& items = std::holds_alternative<List>(nodes_[pair]) ? as<List>(pair, "").items : as<Tuple>(pair, "a pair").items;
      if (items.size() != 2) damaged("expected a pair");
      dict.items.emplace_back(items[0], items[1]);
    }
  return dict;
}

// Attributes: those of an OrderedDict (_metadata), a tensor or an object are dropped, a numpy type gets its byte order.
void Machine::build() {
  const Index state = pop(), object = top();
  if (auto* type = std::get_if<NumpyType>(&nodes_[object])) {
    const std::vector<Index>& items = as<Tuple>(state, "a numpy type's state").items;
    if (items.size() < 2) damaged("a numpy type without a byte order");
    type->big_endian = as<std::string>(items[1], "a byte order") == ">";
  } else if (!is_object(object) && !std::holds_alternative<PyTensor>(nodes_[object])) {
    as<Dict>(object, "an OrderedDict to set attributes of");
  }
}

// ("f8", align, copy)
Object Machine::numpy_type(const std::vector<Index>& arguments) {
  if (arguments.empty()) damaged("a numpy type without a name");
  const auto* code = std::get_if<std::string>(&nodes_[arguments[0]]);
  const auto is = [&](std::string_view kinds, std::string_view sizes) {
    return code != nullptr && code->size() == 2 && kinds.find((*code)[0]) != std::string_view::npos && sizes.find((*code)[1]) != std::string_view::npos;
  };
  if (is("b", "1") || is("iu", "1248") || is("f", "248")) return NumpyType{(*code)[0], (*code)[1] - '0'};
  return PyObject{"numpy.dtype"};
}

// (type, bytes)
Object Machine::numpy_scalar(const std::vector<Index>& arguments) {
  if (arguments.size() < 2) damaged("a numpy number with too few arguments");
  const auto* type = std::get_if<NumpyType>(&nodes_[arguments[0]]);
  if (type == nullptr) return PyObject{"numpy.generic"};
  std::string bytes = as<ByteString>(arguments[1], "the bytes of a numpy number").bytes;
  if (bytes.size() != static_cast<std::size_t>(type->size)) damaged("a numpy number whose bytes do not fit its type");
  if (type->big_endian) std::reverse(bytes.begin(), bytes.end());
  std::uint64_t bits = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) bits = bits << 8 | static_cast<std::uint8_t>(bytes[i]);
  if (type->kind == 'b') return bits != 0;
  if (type->kind == 'f') {
    if (type->size == 8) return std::bit_cast<double>(bits);
    if (type->size == 4) return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    PyTensor half;
    half.dtype = PyDtype::float16;
    half.storage = std::make_shared<const Bytes>(bytes.begin(), bytes.end());
    return static_cast<double>(half.to_floats()[0]);
  }
  const int unused = 64 - 8 * type->size;
  if (type->kind == 'i') return static_cast<std::int64_t>(bits << unused) >> unused;
  if (bits >> 63 != 0) return PyObject{"int of more than 64 bits"};
  return static_cast<std::int64_t>(bits);
}

// ("storage", torch.FloatStorage, key, location, elements)
void Machine::persistent_load() {
  const Index id = pop();
  const std::vector<Index> items = as<Tuple>(id, "a storage's identity").items;
  if (items.size() != 5 || as<std::string>(items[0], "\"storage\"") != "storage") damaged("an unknown persistent identity");
  if (is_object(items[1])) return push_object("torch.Tensor on " + std::get<PyObject>(nodes_[items[1]]).class_name);  // of complex numbers, for one
  const PyDtype dtype = as<PyDtype>(items[1], "a storage type");
  const std::string& key = as<std::string>(items[2], "a storage's key");
  const std::int64_t count = as<std::int64_t>(items[4], "a storage's size");
  const std::shared_ptr<const Bytes> bytes = load_(key);
  if (count < 0 || static_cast<std::uint64_t>(count) > bytes->size() / static_cast<std::uint64_t>(byte_size(dtype)))
    damaged(fmt::format("storage {} has {} bytes, {} elements of {} are claimed", key, bytes->size(), count, to_string(dtype)));
  push(Storage{dtype, bytes});
}

// (storage, offset, size, stride, requires_grad, hooks[, metadata])
Object Machine::rebuild_tensor(const std::vector<Index>& arguments) {
  if (arguments.size() < 4) damaged("a tensor with too few arguments");
  if (const auto* object = std::get_if<PyObject>(&nodes_[arguments[0]])) return *object;
  const Storage& storage = as<Storage>(arguments[0], "a storage");
  const auto extents = [&](Index index) {
    std::vector<std::int64_t> list;
    const std::vector<Index>& items = as<Tuple>(index, "a tuple of extents").items;
    if (items.size() > 32) damaged("a tensor of more than 32 dimensions");
    for (const Index i : items) list.push_back(as<std::int64_t>(i, "an extent"));
    return list;
  };
  PyTensor t;
  t.dtype = storage.dtype;
  t.storage = storage.bytes;
  t.offset = as<std::int64_t>(arguments[1], "an offset");
  t.shape = extents(arguments[2]);
  t.strides = extents(arguments[3]);
  if (t.shape.size() != t.strides.size()) damaged("a tensor whose shape and strides do not match");
  const auto available = static_cast<std::int64_t>(storage.bytes->size()) / byte_size(t.dtype);
  const auto outside = [&] { damaged(fmt::format("a tensor [{}] reaches outside its storage of {}", fmt::join(t.shape, ", "), available)); };
  bool empty = false;
  std::int64_t product = 1;  // of the extents that are not 0: strides of empty tensors must not overflow either
  for (const std::int64_t d : t.shape) {
    if (d < 0 || (d > 0 && product > (std::int64_t{1} << 62) / d)) outside();
    empty = empty || d == 0;
    product *= std::max<std::int64_t>(d, 1);
  }
  if (t.offset < 0 || t.offset > available) outside();
  if (empty) return t;
  std::int64_t count = 1, last = t.offset;
  for (std::size_t i = 0; i < t.shape.size(); ++i) {
    const std::int64_t steps = t.shape[i] - 1;
    if (t.strides[i] < 0 || t.shape[i] > available / count) outside();  // an expanded view has more elements than its storage
    count *= t.shape[i];
    if (steps > 0 && t.strides[i] > (available - 1 - last) / steps) outside();
    last += steps * t.strides[i];
  }
  if (last >= available) outside();
  return t;
}

PyValue Machine::convert(Index index, int depth) {
  if (depth > kDeepest) damaged("its values are nested too deeply");
  spend(1);
  const auto list = [&](const std::vector<Index>& items) {
    PyValue::List values;
    values.reserve(items.size());
    for (const Index i : items) values.push_back(convert(i, depth + 1));
    return values;
  };
  return std::visit(
      [&](const auto& v) -> PyValue {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::monostate>) return {};
        else if constexpr (std::is_same_v<T, List>) return list(v.items);
        else if constexpr (std::is_same_v<T, Tuple>) return PyValue::Tuple{list(v.items)};
        else if constexpr (std::is_same_v<T, Dict>) return convert_dict(v, depth);
        else if constexpr (std::is_same_v<T, Storage>) return PyObject{"torch.Storage"};
        else if constexpr (std::is_same_v<T, Callable> || std::is_same_v<T, PyDtype>) return PyObject{"type"};
        else if constexpr (std::is_same_v<T, ByteString>) return PyObject{"bytes"};
        else if constexpr (std::is_same_v<T, NumpyType>) return PyObject{"numpy.dtype"};
        else {
          if constexpr (std::is_same_v<T, std::string>) spend(v.size());
          if constexpr (std::is_same_v<T, PyObject>) spend(v.class_name.size());
          return v;
        }
      },
      nodes_[index]);
}

// A key that occurs again replaces the value, as in Python.
PyValue::Dict Machine::convert_dict(const Dict& dict, int depth) {
  PyValue::Dict out;
  std::unordered_map<std::string, std::size_t> position;
  for (const auto& [key, value] : dict.items) {
    const Object& k = nodes_[key];
    std::string identity;
    if (const auto* s = std::get_if<std::string>(&k)) identity = "s" + *s;
    else if (const auto* i = std::get_if<std::int64_t>(&k)) identity = "i" + std::to_string(*i);
    PyEntry entry{convert(key, depth + 1), convert(value, depth + 1)};
    const auto [it, added] = identity.empty() ? std::pair{position.end(), true} : position.emplace(identity, out.entries.size());
    if (added) out.entries.push_back(std::move(entry));
    else out.entries[it->second].value = std::move(entry.value);
  }
  return out;
}

}  // namespace

PyValue unpickle(std::span<const std::uint8_t> bytes, const std::string& where, const StorageLoader& load_storage) {
  return Machine(bytes, where, load_storage).run();
}

}  // namespace micromind
