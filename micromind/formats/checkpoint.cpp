#include "micromind/formats/checkpoint.h"

#include "micromind/base/error.h"
#include "micromind/formats/pytorch.h"

namespace micromind {
namespace {

constexpr std::string_view kOptimizer = "trainer/optimizer/", kState = "trainer/state", kAverage = "trainer/average/";

}  // namespace

Checkpoint parse_checkpoint(Bytes bytes, const std::string& where) {
  Checkpoint checkpoint;
  PyValue tree;
  try {
    tree = parse_pytorch(std::move(bytes), where);
  } catch (const Error& e) {
    throw Error(e.where(), e.message(), e.hint().empty() ? "put back a copy of the checkpoint, or train anew with --force" : e.hint());
  }
  try {
    for (const PyEntry& entry : tree.entries()) {
      const std::string& name = entry.key.as_string();
      const PyTensor& tensor = tree.at(name).as_tensor();
      if (name == kState) {
        const Bytes text = tensor.to_bytes();
        checkpoint.state.assign(text.begin(), text.end());
      } else if (name.starts_with(kOptimizer)) {
        checkpoint.optimizer.emplace(name.substr(kOptimizer.size()), tensor.to_array());
      } else if (name.starts_with(kAverage)) {
        checkpoint.average.emplace(name.substr(kAverage.size()), tensor.to_array());
      } else {
        checkpoint.weights.emplace(name, tensor.to_array());
      }
    }
  } catch (const Error& e) {
    throw Error("checkpoint", fmt::format("{} is no flat dict of tensors: {}", where, e.message()), e.hint());
  }
  return checkpoint;
}

Checkpoint read_checkpoint(const std::filesystem::path& path) { return parse_checkpoint(read_bytes(path), path.string()); }

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  PyValue tree = PyValue::dict();
  for (const auto& [name, array] : checkpoint.weights) tree.set(name, PyTensor::of(array));
  for (const auto& [name, array] : checkpoint.optimizer) tree.set(std::string(kOptimizer) + name, PyTensor::of(array));
  for (const auto& [name, array] : checkpoint.average) tree.set(std::string(kAverage) + name, PyTensor::of(array));
  if (!checkpoint.state.empty()) {
    const Bytes bytes(checkpoint.state.begin(), checkpoint.state.end());
    tree.set(std::string(kState), PyTensor::of(std::span<const std::uint8_t>(bytes), {static_cast<std::int64_t>(bytes.size())}));
  }
  write_pytorch(path, tree);
}

Weights load_checkpoint(const std::filesystem::path& path) { return read_checkpoint(path).weights; }

}  // namespace micromind
