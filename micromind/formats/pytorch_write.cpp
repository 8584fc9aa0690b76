// The writing half: pickle protocol 2 in the shape that torch.save gives it, in a zip archive of stored entries.
#include <array>
#include <bit>

#include "micromind/base/error.h"
#include "micromind/formats/pytorch.h"
#include "micromind/formats/zip.h"

namespace micromind {
namespace {

constexpr int kDeepest = 100;

std::string_view storage_name(PyDtype dtype) {
  switch (dtype) {
    case PyDtype::float32: return "FloatStorage";
    case PyDtype::float64: return "DoubleStorage";
    case PyDtype::float16: return "HalfStorage";
    case PyDtype::bfloat16: return "BFloat16Storage";
    case PyDtype::int64: return "LongStorage";
    case PyDtype::int32: return "IntStorage";
    case PyDtype::int16: return "ShortStorage";
    case PyDtype::int8: return "CharStorage";
    case PyDtype::uint8: return "ByteStorage";
    case PyDtype::boolean: return "BoolStorage";
    default: fail_with_hint("pytorch", "write a .safetensors file", "a PyTorch checkpoint holds no tensors of {}", to_string(dtype));
  }
}

class Pickler {
 public:
  std::string run(const PyValue& tree) {
    text("\x80\x02");
    value(tree, 0);
    text(".");
    return std::move(out_);
  }
  const std::vector<const PyTensor*>& storages() const { return storages_; }

 private:
  void text(std::string_view s) { out_ += s; }
  void number(std::uint64_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) out_ += static_cast<char>(v >> (8 * i) & 0xff);
  }
  void string(std::string_view s) {
    if (s.size() > 0x7fffffff) fail("pytorch", "a text of {} bytes", s.size());
    text("X");
    number(s.size(), 4);
    text(s);
  }
  void integer(std::int64_t v) {
    if (v == static_cast<std::int32_t>(v)) {
      text("J");
      number(static_cast<std::uint32_t>(v), 4);
    } else {
      text("\x8a\x08");
      number(static_cast<std::uint64_t>(v), 8);
    }
  }
  void integers(const std::vector<std::int64_t>& list) {
    text("(");
    for (const std::int64_t v : list) integer(v);
    text("t");
  }

  void tensor(const PyTensor& t) {
    text("ctorch._utils\n_rebuild_tensor_v2\n((");
    string("storage");
    text("ctorch\n");
    text(storage_name(t.dtype));
    text("\n");
    string(std::to_string(storages_.size()));
    string("cpu");
    integer(t.elements());
    text("tQ");
    storages_.push_back(&t);
    std::vector<std::int64_t> strides(t.shape.size(), 1);
    for (std::size_t i = t.shape.size(); i-- > 1;) strides[i - 1] = strides[i] * t.shape[i];
    integer(0);
    integers(t.shape);
    integers(strides);
    text("\x89" "ccollections\nOrderedDict\n)RtR");
  }

  void items(const PyValue::List& list, int depth) {
    text("(");
    for (const PyValue& v : list) value(v, depth + 1);
  }

  void value(const PyValue& v, int depth) {
    if (depth > kDeepest) fail("pytorch", "a tree nested deeper than {}", kDeepest);
    v.visit(Overloaded{
        [&](std::monostate) { text("N"); },
        [&](bool b) { text(b ? "\x88" : "\x89"); },
        [&](std::int64_t i) { integer(i); },
        [&](double d) {
          const auto bits = std::bit_cast<std::uint64_t>(d);
          text("G");
          for (int i = 7; i >= 0; --i) out_ += static_cast<char>(bits >> (8 * i) & 0xff);
        },
        [&](const std::string& s) { string(s); },
        [&](const PyTensor& t) { tensor(t); },
        [&](const PyObject& o) { fail("pytorch", "an object of {} cannot be written", o.class_name); },
        [&](const PyValue::List& list) {
          text("]");
          items(list, depth);
          text("e");
        },
        [&](const PyValue::Tuple& tuple) {
          items(tuple.items, depth);
          text("t");
        },
        [&](const PyValue::Dict& dict) {
          text("}(");
          for (const PyEntry& e : dict.entries) {
            value(e.key, depth + 1);
            value(e.value, depth + 1);
          }
          text("u");
        },
    });
  }

  std::string out_;
  std::vector<const PyTensor*> storages_;
};

void add_text(ZipWriter& zip, std::string_view name, std::string_view content) {
  zip.add(name, {reinterpret_cast<const std::uint8_t*>(content.data()), content.size()});
}

}  // namespace

Bytes pytorch_bytes(const PyValue& tree) {
  Pickler pickler;
  const std::string pickle = pickler.run(tree);
  ZipWriter zip;
  add_text(zip, "archive/data.pkl", pickle);
  add_text(zip, "archive/byteorder", "little");
  for (std::size_t i = 0; i < pickler.storages().size(); ++i) zip.add("archive/data/" + std::to_string(i), pickler.storages()[i]->contiguous());
  add_text(zip, "archive/version", "3\n");
  return zip.finish();
}

void write_pytorch(const std::filesystem::path& path, const PyValue& tree) { write_atomic(path, pytorch_bytes(tree)); }

}  // namespace micromind
