#include "micromind/formats/pytorch.h"

#include <algorithm>
#include <array>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/formats/pickle.h"
#include "micromind/formats/zip.h"

namespace micromind {
namespace {

// The command that makes a readable file.
std::string in_python(std::string_view what, const std::string& where) {
  return fmt::format("convert it with PyTorch 1.6 or later: python3 -c \"import torch; old = '{}'; torch.save({}, old + '.new.pt')\"", where, what);
}

// What the file is instead of a zip archive.
[[noreturn]] void not_a_zip(const Bytes& bytes, const std::string& where) {
  // The pickled magic number 0x1950a86a20f9469cfc6c of torch.save before 1.6.
  constexpr std::array<std::uint8_t, 10> magic = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
  const auto head = bytes.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(bytes.size(), 32));
  const bool legacy = std::search(bytes.begin(), head, magic.begin(), magic.end()) != head;
  const bool tar = bytes.size() > 262 && std::equal(bytes.begin() + 257, bytes.begin() + 262, "ustar");
  const std::string again = in_python("torch.load(old, map_location='cpu')", where);
  if (legacy || tar) fail_with_hint("pytorch", again, "{}: written in the format before PyTorch 1.6", where);
  if (bytes.size() > 1 && bytes[0] == 0x80 && bytes[1] <= 5) fail_with_hint("pytorch", again, "{}: a raw pickle, not a zip checkpoint", where);
  if (bytes.empty()) fail("pytorch", "{}: the file is empty", where);
  const auto printable = [](std::uint8_t c) { return (c >= 0x20 && c != 0x7f) || (c >= '\t' && c <= '\r'); };
  const bool text = std::all_of(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(bytes.size(), 512)), printable);
  fail("pytorch", "{}: not a PyTorch checkpoint ({})", where, text ? "a text" : "no zip archive");
}

// "model/data.pkl" → "model"
std::string find_root(const ZipReader& zip, const std::string& where) {
  constexpr std::string_view tail = "/data.pkl";
  std::vector<std::string> roots;
  for (const std::string& name : zip.names())
    if (name.ends_with(tail) && name.find('/') == name.size() - tail.size()) roots.push_back(name.substr(0, name.size() - tail.size()));
  if (roots.size() != 1) fail("pytorch", "{}: a zip archive, but no PyTorch checkpoint (no data.pkl in its folder)", where);
  if (zip.has(roots[0] + "/constants.pkl"))
    fail_with_hint("pytorch", in_python("torch.jit.load(old, map_location='cpu').state_dict()", where), "{}: a TorchScript archive", where);
  return roots[0];
}

}  // namespace

PyValue parse_pytorch(Bytes bytes, const std::string& where) {
  if (!looks_like_zip(bytes)) not_a_zip(bytes, where);
  const ZipReader zip(std::move(bytes), where);
  const std::string root = find_root(zip, where);
  if (zip.has(root + "/byteorder")) {
    const Bytes order = zip.read(root + "/byteorder");
    if (std::string_view(reinterpret_cast<const char*>(order.data()), order.size()) != "little")
      fail("pytorch", "{}: written on a big-endian machine", where);
  }
  std::map<std::string, std::shared_ptr<const Bytes>> storages;
  const StorageLoader load = [&](const std::string& key) {
    std::shared_ptr<const Bytes>& storage = storages[key];
    if (!storage) storage = std::make_shared<const Bytes>(zip.read(root + "/data/" + key));
    return storage;
  };
  return unpickle(zip.read(root + "/data.pkl"), where, load);
}

PyValue read_pytorch(const std::filesystem::path& path) { return parse_pytorch(read_bytes(path), path.string()); }

Weights weights_from_state(const Graph& graph, const PyValue& state, const StateOptions& options) {
  std::map<std::string, const PyTensor*> tensors;
  const auto& entries = state.entries();
  const auto key_of = [](const PyEntry& e) { return e.key.as_string(); };
  constexpr std::string_view wrapper = "module.";
  const bool wrapped = !entries.empty() && std::all_of(entries.begin(), entries.end(), [&](const PyEntry& e) { return key_of(e).starts_with(wrapper); });
  for (const PyEntry& e : entries) {
    const std::string key = wrapped ? key_of(e).substr(wrapper.size()) : key_of(e);
    if (key.ends_with("num_batches_tracked")) continue;
    if (!e.value.is_tensor())
      fail_with_hint("pytorch", "the state dict may lie below a key such as 'state_dict'", "'{}' is {}, expected a tensor", key, e.value.type_name());
    tensors[key] = &e.value.as_tensor();
  }
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : tensors) keys.push_back(key);

  Weights weights;
  for (const NamedParameter& p : parameters(graph)) {
    const auto named = options.names.find(p.name);
    const std::string& key = named == options.names.end() ? p.name : named->second;
    const auto it = tensors.find(key);
    if (it == tensors.end()) {
      const std::string near = nearest_name(key, keys);
      fail_with_hint("pytorch", near.empty() ? "the checkpoint may belong to other options" : "the nearest key is '" + near + "'",
                     "{}: no '{}' among {} tensors", p.name, key, keys.size());
    }
    Array array = it->second->to_array();
    if (!(array.shape() == p.shape))
      fail_with_hint("pytorch", "the checkpoint belongs to other options", "{}: '{}' is {}, the network needs {}", p.name, key, to_string(array.shape()),
                     to_string(p.shape));
    weights.emplace(p.name, std::move(array));
    tensors.erase(it);
  }
  if (!tensors.empty() && !options.allow_unexpected)
    fail_with_hint("pytorch", "the checkpoint belongs to other options", "the network has no use for '{}' and {} more tensors", tensors.begin()->first,
                   tensors.size() - 1);
  return weights;
}

PyValue state_from_weights(const Weights& weights, const std::map<std::string, std::string>& names) {
  PyValue::Dict state;
  for (const auto& [name, array] : weights) {
    const auto it = names.find(name);
    state.entries.push_back({it == names.end() ? name : it->second, PyTensor::of(array)});
  }
  return state;
}

}  // namespace micromind
