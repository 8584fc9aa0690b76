// The weights inside a checkpoint, wherever they lie in it.
//
// People's checkpoints are dicts in dicts: {"epoch", "state_dict": {"module.conv.weight", …}, "model_ema": {…},
// "optimizer": {…}, "args"}. Here they become one list of tensors under dotted names ("state_dict.module.conv.weight"),
// and what stands in front of the parameters' own names is a prefix, found and left out whatever it is made of.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "micromind/formats/py_value.h"

namespace micromind {

struct StateTensor {
  std::string name;              ///< dotted, through all dicts
  const PyTensor* tensor = nullptr;
  int dict = 0;                  ///< tensors of one dict have one number
  std::size_t own = 0;           ///< where in `name` the key of that dict begins
};

/// Refers to the tree it was made from.
struct FlatState {
  std::vector<StateTensor> tensors;            ///< in the order of the file
  std::map<std::string, std::string> objects;  ///< where an object of another class stands → its class; "": the whole file
  std::int64_t training = 0;                   ///< tensors of optimisers, schedulers and the like, which are left out
};

/// All tensors but those of optimisers. What torch.compile and FSDP put in the middle of names ("_orig_mod.") is left out.
FlatState flatten_state(const PyValue& tree);

/// Does a part of the dotted name say that these are averaged weights ("model_ema", "ema.module")?
bool is_average(std::string_view name);

/// Parameters under their own names: one dict of a checkpoint, without the wrapper in front of all its keys.
struct MainState {
  PyValue state = PyValue::dict();  ///< flat, the tensors as they are in the file
  std::string prefix;               ///< what was in front: "state_dict.module."
  std::vector<std::string> others;  ///< the prefixes of the other dicts of tensors
};

/// The dict at `key` ("model_ema"), or, where that is empty, the one with most tensors, averaged weights first among
/// equals. "module.", "_orig_mod." and "model." in front of all its keys are left out. `where` names the file in errors.
/// Throws Error, listing what there is, when nothing or no such key is there.
MainState main_state(const PyValue& tree, const std::string& key, const std::string& where);

/// Throws the Error for a file without weights: it holds pickled objects (which PyTorch alone can open), or nothing.
[[noreturn]] void fail_without_tensors(const FlatState& state, const std::string& where);

}  // namespace micromind
