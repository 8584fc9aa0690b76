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

// The admitted globals.
enum class Callable { ordered_dict, size, rebuild_tensor, rebuild_parameter };
struct Storage {
  PyDtype dtype;
  std::shared_ptr<const Bytes> bytes;
};

using Index = std::size_t;  // into the machine's nodes: values share and may contain each other, so no ownership here
struct List { std::vector<Index> items; };
struct Tuple { std::vector<Index> items; };
struct Dict { std::vector<std::pair<Index, Index>> items; };
using Object = std::variant<std::monostate, bool, std::int64_t, double, std::string, PyTensor, List, Tuple, Dict, Storage, Callable, PyDtype>;

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

  void put(std::uint64_t slot) { memo_[slot] = top(); }
  void get(std::uint64_t slot) {
    const auto it = memo_.find(slot);
    if (it == memo_.end()) damaged("a value is recalled before it is stored");
    stack_.push_back(it->second);
  }
  void append(const std::vector<Index>& items) {
    auto& list = as<List>(top(), "a list").items;
    list.insert(list.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<Index>& items) {
    if (items.size() % 2 != 0) damaged("a key without a value");
    auto& dict = as<Dict>(top(), "a dict").items;
    for (std::size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
  }

  bool step();
  void long_integer(std::uint64_t size);
  void global(const std::string& module, const std::string& name);
  void reduce();
  void persistent_load();
  PyTensor rebuild_tensor(const std::vector<Index>& arguments);
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
  std::uint64_t budget_;  // of values converted: shared values are copied, which a hostile file could multiply
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
    case 'b': {                                                        // BUILD: attributes of an OrderedDict (_metadata)
      pop();
      as<Dict>(top(), "an OrderedDict to set attributes of");
      return true;
    }
    default: fail("pytorch", "{}: the pickle holds the opcode 0x{:02x}, which plain values do not need; nothing was run", where_, op);
  }
}

void Machine::long_integer(std::uint64_t size) {
  if (size > 8) damaged("an integer of more than 64 bits");
  std::uint64_t v = number(static_cast<int>(size));
  if (size > 0 && size < 8 && (v >> (8 * size - 1) & 1) != 0) v |= ~std::uint64_t{0} << (8 * size);
  push(static_cast<std::int64_t>(v));
}

void Machine::global(const std::string& module, const std::string& name) {
  if (module == "collections" && name == "OrderedDict") return push(Callable::ordered_dict);
  if (module == "torch" && name == "Size") return push(Callable::size);
  if (module == "torch._utils" && name == "_rebuild_tensor_v2") return push(Callable::rebuild_tensor);
  if (module == "torch._utils" && name == "_rebuild_parameter") return push(Callable::rebuild_parameter);
  if (module == "torch")
    for (const StorageType& s : kStorages)
      if (s.name == name) return push(s.dtype);
  fail_with_hint("pytorch", "save plain tensors: torch.save(model.state_dict(), path)",
                 "{}: the checkpoint asks for the Python object '{}.{}'; only tensors and plain containers are read", where_, module, name);
}

void Machine::reduce() {
  const Index arguments_index = pop(), callable_index = pop();
  const std::vector<Index> arguments = as<Tuple>(arguments_index, "a tuple of arguments").items;
  switch (as<Callable>(callable_index, "a function")) {
    case Callable::ordered_dict: {
      Dict dict;
      if (arguments.size() > 1) damaged("OrderedDict with too many arguments");
      if (arguments.size() == 1)
        for (const Index pair : as<List>(arguments[0], "a list of pairs").items) {
          const auto& items = std::holds_alternative<List>(nodes_[pair]) ? as<List>(pair, "").items : as<Tuple>(pair, "a pair").items;
          if (items.size() != 2) damaged("expected a pair");
          dict.items.emplace_back(items[0], items[1]);
        }
      return push(std::move(dict));
    }
    case Callable::size:
      if (arguments.size() != 1) damaged("torch.Size without extents");
      stack_.push_back(arguments[0]);
      as<Tuple>(arguments[0], "a tuple of extents");
      return;
    case Callable::rebuild_tensor: return push(rebuild_tensor(arguments));
    case Callable::rebuild_parameter:
      if (arguments.empty()) damaged("a parameter without data");
      as<PyTensor>(arguments[0], "a tensor");
      stack_.push_back(arguments[0]);
      return;
  }
}

// ("storage", torch.FloatStorage, key, location, elements)
void Machine::persistent_load() {
  const Index id = pop();
  const std::vector<Index> items = as<Tuple>(id, "a storage's identity").items;
  if (items.size() != 5 || as<std::string>(items[0], "\"storage\"") != "storage") damaged("an unknown persistent identity");
  const PyDtype dtype = as<PyDtype>(items[1], "a storage type");
  const std::string& key = as<std::string>(items[2], "a storage's key");
  const std::int64_t count = as<std::int64_t>(items[4], "a storage's size");
  const std::shared_ptr<const Bytes> bytes = load_(key);
  if (count < 0 || static_cast<std::uint64_t>(count) > bytes->size() / static_cast<std::uint64_t>(byte_size(dtype)))
    damaged(fmt::format("storage {} has {} bytes, {} elements of {} are claimed", key, bytes->size(), count, to_string(dtype)));
  push(Storage{dtype, bytes});
}

// (storage, offset, size, stride, requires_grad, hooks[, metadata])
PyTensor Machine::rebuild_tensor(const std::vector<Index>& arguments) {
  if (arguments.size() < 4) damaged("a tensor with too few arguments");
  const Storage& storage = as<Storage>(arguments[0], "a storage");
  const auto extents = [&](Index index) {
    std::vector<std::int64_t> list;
    for (const Index i : as<Tuple>(index, "a tuple of extents").items) list.push_back(as<std::int64_t>(i, "an extent"));
    return list;
  };
  PyTensor t;
  t.dtype = storage.dtype;
  t.storage = storage.bytes;
  t.offset = as<std::int64_t>(arguments[1], "an offset");
  t.shape = extents(arguments[2]);
  t.strides = extents(arguments[3]);
  if (t.shape.size() != t.strides.size() || t.shape.size() > 32) damaged("a tensor whose shape and strides do not match");
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
        else if constexpr (std::is_same_v<T, Storage> || std::is_same_v<T, Callable> || std::is_same_v<T, PyDtype>)
          damaged("a storage or function stands where a value is expected");
        else {
          if constexpr (std::is_same_v<T, std::string>) spend(v.size());
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
