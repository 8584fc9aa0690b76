#include "micromind/formats/state_dict.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

constexpr std::array<std::string_view, 3> kInside = {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."};
constexpr std::array<std::string_view, 3> kWrappers = {"module.", "_orig_mod.", "model."};

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// What training needs and the network does not; "trainer/" is that of our own checkpoints.
bool of_training(std::string_view key) {
  const std::string name = lower_case(key);
  if (name.starts_with("trainer/")) return true;
  if (name.find('.') != std::string::npos) return false;  // a parameter's name
  for (const std::string_view start : {"optim", "lr_sched", "scheduler", "scaler", "amp_scaler", "grad_scaler"})
    if (name.starts_with(start)) return true;
  return false;
}

std::optional<std::string> key_of(const PyValue& key) {
  if (key.type_name() == "str") return key.as_string();
  if (key.type_name() == "int") return std::to_string(key.as_int());
  return std::nullopt;
}

class Flattener {
 public:
  explicit Flattener(FlatState& out) : out_(out) {}

  void value(const PyValue& v, const std::string& name, std::size_t own, int dict, bool training) {
    if (v.is_tensor()) {
      if (training) ++out_.training;
      else out_.tensors.push_back({without_inside(name), &v.as_tensor(), dict, own});
    } else if (v.is_object()) {
      if (!training) out_.objects.emplace(name, std::string(v.type_name()));
    } else if (v.is_dict()) {
      const int number = dicts_++;
      for (const PyEntry& e : v.entries())
        if (const auto key = key_of(e.key)) child(e.value, name, *key, number, training);
    } else if (v.type_name() == "list" || v.type_name() == "tuple") {
      const int number = dicts_++;
      std::size_t i = 0;
      for (const PyValue& item : v.as_list()) child(item, name, std::to_string(i++), number, training);
    }
  }

 private:
  void child(const PyValue& v, const std::string& parent, const std::string& key, int dict, bool training) {
    if (!v.is_tensor() && !v.is_object() && !v.is_dict() && v.type_name() != "list" && v.type_name() != "tuple") return;
    const std::string front = parent.empty() ? "" : parent + ".";
    value(v, front + key, without_inside(front).size(), dict, training || of_training(key));
  }

  static std::string without_inside(std::string name) {
    for (const std::string_view part : kInside)
      for (std::size_t at = name.find(part); at != std::string::npos; at = name.find(part, at))
        if (at == 0 || name[at - 1] == '.') name.erase(at, part.size());
        else at += part.size();
    return name;
  }

  FlatState& out_;
  int dicts_ = 0;
};

struct Group {
  std::string prefix;
  std::vector<const StateTensor*> members;
};

std::vector<Group> groups_of(const FlatState& flat) {
  std::vector<Group> groups;
  std::map<int, std::size_t> index;
  for (const StateTensor& t : flat.tensors) {
    const auto [it, added] = index.emplace(t.dict, groups.size());
    if (added) groups.push_back({t.name.substr(0, t.own), {}});
    groups[it->second].members.push_back(&t);
  }
  return groups;
}

}  // namespace

FlatState flatten_state(const PyValue& tree) {
  FlatState out;
  Flattener(out).value(tree, "", 0, 0, false);
  return out;
}

bool is_average(std::string_view name) {
  std::string word;
  for (const char c : lower_case(name) + ".") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += c;
      continue;
    }
    if (word == "ema" || word == "swa" || word == "averaged") return true;
    word.clear();
  }
  return false;
}

void fail_without_tensors(const FlatState& state, const std::string& where) {
  if (state.objects.empty()) fail("weights", "{}: there are no tensors in it{}", where, state.training > 0 ? " but an optimiser's" : "");
  const auto& [at, name] = *state.objects.begin();
  std::string access;
  for (std::size_t from = 0; from < at.size();) {
    const std::size_t dot = std::min(at.find('.', from), at.size());
    access += fmt::format("['{}']", at.substr(from, dot - from));
    from = dot + 1;
  }
  fail_with_hint("weights",
                 fmt::format("only PyTorch can open it; where the class is installed: python3 -c \"import torch; m = torch.load('{}', map_location='cpu'){}; "
                             "torch.save(m.state_dict(), '{}.state.pt')\"",
                             where, access, where),
                 "{}: a whole pickled object of the class {} instead of its state_dict(); no object is made and no code run here", where, name);
}

MainState main_state(const PyValue& tree, const std::string& key, const std::string& where) {
  const FlatState flat = flatten_state(tree);
  if (flat.tensors.empty()) fail_without_tensors(flat, where);
  const std::vector<Group> groups = groups_of(flat);
  const Group* best = nullptr;
  std::vector<std::string> names;
  for (const Group& g : groups) {
    const std::string name = g.prefix.empty() ? "" : g.prefix.substr(0, g.prefix.size() - 1);
    names.push_back(name);
    if (!key.empty() && name != key && !name.starts_with(key + ".")) continue;
    const auto rank = [](const Group& x) { return std::pair{x.members.size(), is_average(x.prefix)}; };
    if (best == nullptr || rank(g) > rank(*best)) best = &g;
  }
  if (best == nullptr) fail_with_hint("weights", name_hint(key, names), "{}: no tensors at '{}'", where, key);
  std::string front;
  const auto common = [&](std::string_view wrapper) {
    return std::all_of(best->members.begin(), best->members.end(), [&](const StateTensor* t) {
      return std::string_view(t->name).substr(t->own).starts_with(front + std::string(wrapper));
    });
  };
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view wrapper : kWrappers)
      if (common(wrapper)) {
        front += wrapper;
        again = true;
      }
  }
  MainState out;
  out.prefix = best->prefix + front;
  PyValue::Dict state;
  for (const StateTensor* t : best->members) state.entries.push_back({t->name.substr(out.prefix.size()), *t->tensor});
  out.state = std::move(state);
  for (const Group& g : groups)
    if (&g != best) out.others.push_back(g.prefix);
  return out;
}

}  // namespace micromind
