// A pickle machine that builds plain values and runs nothing. Admitted are None, bool, int, float, str, tuple, list,
// dict, OrderedDict (read as a dict; its attributes are dropped), torch.Size (a tuple), tensors and parameters on
// typed storages. Any other global is an Error that names it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "micromind/formats/py_value.h"

namespace micromind {

/// Returns the bytes of the storage with that key; throws Error when there is none.
using StorageLoader = std::function<std::shared_ptr<const Bytes>(const std::string& key)>;

/// Python pickle protocols 2 to 5, in the opcodes that PyTorch writes. `where` names the file in errors.
/// Throws Error on anything not admitted, on damaged input, on tensors that leave their storage, on nesting deeper
/// than 100 and on values that contain themselves.
PyValue unpickle(std::span<const std::uint8_t> bytes, const std::string& where, const StorageLoader& load_storage);

}  // namespace micromind
