// A pickle machine that builds plain values and runs nothing. Admitted are None, bool, int, float, str, tuple, list,
// dict, OrderedDict, defaultdict and Counter (read as dicts; their attributes are dropped), torch.Size (a tuple), numpy's
// scalars (as numbers), tensors and parameters on typed storages. Objects of any other class become a PyObject, which keeps
// the name of the class and nothing else: what a checkpoint holds beside its weights does not make them unreadable.
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
/// Throws Error on other opcodes, on damaged input, on tensors that leave their storage, on nesting deeper
/// than 100 and on values that contain themselves.
PyValue unpickle(std::span<const std::uint8_t> bytes, const std::string& where, const StorageLoader& load_storage);

}  // namespace micromind
