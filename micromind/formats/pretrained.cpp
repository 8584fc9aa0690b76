#include "micromind/formats/pretrained.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/formats/state_dict.h"
#include "micromind/formats/tensor_file.h"

namespace micromind {
namespace {

using Names = std::map<std::string, std::string>;
constexpr std::size_t kShown = 4;

std::string node_of(std::string_view parameter) { return std::string(parameter.substr(0, parameter.rfind('.'))); }

bool same_shape(const PyTensor& tensor, const Shape& shape) {
  return std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin(), shape.end(), [](std::int64_t a, std::int32_t b) { return a == b; }) ||
         (tensor.shape.empty() && shape == Shape{1});
}

std::string shape_text(const PyTensor& tensor) { return tensor.shape.empty() ? "scalar" : fmt::format("{}", fmt::join(tensor.shape, "×")); }

// A way to read the file: a naming and what stands in front of the names.
struct Reading {
  const Names* names = nullptr;  // nullptr: our own
  std::string prefix;
  int shaped = 0, named = 0;  // parameters found with their shape; with any
};

class Loader {
 public:
  Loader(const Graph& graph, const FlatState& flat, std::string where, const PretrainedOptions& options)
      : graph_(graph), flat_(flat), where_(std::move(where)), options_(options), parameters_(parameters(graph)) {
    check_exceptions();
  }

  Pretrained run() {
    choose_reading();
    index_tensors();
    for (const NamedParameter& p : parameters_) take(p);
    find_unexpected();
    if (!missing_.empty() || !other_.empty() || !unexpected_.empty() || !not_finite_.empty()) complain();
    out_.prefix = best_.prefix;
    out_.own_names = best_.names == nullptr;
    summarize();
    return std::move(out_);
  }

 private:
  bool excepted(std::string_view name) const {
    return std::any_of(options_.except.begin(), options_.except.end(), [&](const std::string& e) { return !e.empty() && name.starts_with(e); });
  }

  const std::string& key_of(const Names* names, const std::string& parameter) const {
    if (names == nullptr) return parameter;
    const auto it = names->find(parameter);
    return it == names->end() ? parameter : it->second;
  }

  // An exception must leave out a parameter of the network or a tensor of the file, or it is a slip.
  void check_exceptions() const {
    for (const std::string& e : options_.except) {
      const auto begins = [&](const auto& x) { return !e.empty() && x.name.starts_with(e); };
      const auto inside = [&](const StateTensor& t) { return !e.empty() && t.name.find(e) != std::string::npos; };
      if (std::any_of(parameters_.begin(), parameters_.end(), begins) || std::any_of(flat_.tensors.begin(), flat_.tensors.end(), inside)) continue;
      std::vector<std::string> nodes;
      for (const NamedParameter& p : parameters_) nodes.push_back(node_of(p.name) + ".");
      const std::string near = nearest_name(e, nodes);
      fail_with_hint("weights", near.empty() ? "" : fmt::format("did you mean '{}'?", near), "{} = '{}': no parameter begins so", options_.except_key, e);
    }
  }

  void choose_reading() {
    std::vector<const Names*> namings = {nullptr};
    for (const Names& names : options_.other_names) namings.push_back(&names);
    const auto rank = [](const Reading& r) { return std::tuple{r.shaped, r.named, is_average(r.prefix)}; };
    for (const Names* names : namings) {
      std::unordered_map<std::string_view, const NamedParameter*> wanted;
      for (const NamedParameter& p : parameters_) wanted.emplace(key_of(names, p.name), &p);
      std::map<std::string, Reading> readings;
      for (const StateTensor& t : flat_.tensors)
        for (std::size_t at = 0; at != std::string::npos; at = t.name.find('.', at), at += at == std::string::npos ? 0 : 1) {
          const auto it = wanted.find(std::string_view(t.name).substr(at));
          if (it == wanted.end()) continue;
          Reading& r = readings[t.name.substr(0, at)];
          ++r.named;
          r.shaped += same_shape(*t.tensor, it->second->shape) ? 1 : 0;
        }
      for (auto& [prefix, r] : readings) {
        r.names = names;
        r.prefix = prefix;
        if (best_.named == 0 || rank(r) > rank(best_)) best_ = r;
      }
    }
    if (best_.named == 0 && !parameters_.empty()) nothing_fits();
  }

  [[noreturn]] void nothing_fits() const {
    if (flat_.tensors.empty()) fail_without_tensors(flat_, where_);
    std::vector<std::string> names;
    for (const StateTensor& t : flat_.tensors)
      if (names.size() < kShown) names.push_back(t.name);
    fail_with_hint("weights", fmt::format("micromind inspect {} lists its tensors", where_), "{}: a checkpoint of another network: none of the {} parameters of '{}' ({}, …) is among its {} tensors ({}, …)",
                   where_, parameters_.size(), graph_.name, parameters_.front().name, flat_.tensors.size(), fmt::join(names, ", "));
  }

  void index_tensors() {
    for (const StateTensor& t : flat_.tensors)
      if (t.name.starts_with(best_.prefix)) tensors_.emplace(std::string_view(t.name).substr(best_.prefix.size()), &t);
  }

  void take(const NamedParameter& p) {
    const std::string& key = key_of(best_.names, p.name);
    const auto it = tensors_.find(key);
    if (it != tensors_.end()) {
      dicts_.insert(it->second->dict);
      used_.insert(it->second);
    }
    if (excepted(p.name)) {
      out_.random.push_back(p.name);
      excepted_nodes_.insert(node_of(key));
      return;
    }
    if (it == tensors_.end()) {
      missing_.push_back(p.name);
      return;
    }
    const PyTensor& tensor = *it->second->tensor;
    if (!same_shape(tensor, p.shape)) {
      other_.push_back(p.name);
      other_text_.push_back(fmt::format("{} is {} there, {} here", p.name, shape_text(tensor), to_string(p.shape)));
    } else if (!is_floating(tensor.dtype)) {
      other_.push_back(p.name);
      other_text_.push_back(fmt::format("{} is {}, floats are needed", p.name, to_string(tensor.dtype)));
    } else {
      Array array(ElementType::float32, p.shape);
      const std::vector<float> numbers = tensor.to_floats();
      std::copy(numbers.begin(), numbers.end(), array.values<float>().begin());
      if (!std::all_of(numbers.begin(), numbers.end(), [](float v) { return std::isfinite(v); })) not_finite_.push_back(p.name);
      out_.weights.emplace(p.name, std::move(array));
    }
  }

  void find_unexpected() {
    for (const auto& [key, t] : tensors_) {
      if (used_.contains(t) || !dicts_.contains(t->dict) || key.ends_with("num_batches_tracked")) continue;
      if (excepted(key) || excepted_nodes_.contains(node_of(key))) continue;
      unexpected_.emplace_back(key);
    }
  }

  static std::string first_few(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i > 0 ? ", " : "") + names[i];
    return names.size() > kShown ? text + ", …" : text;
  }

  [[noreturn]] void complain() const {
    std::vector<std::string> parts;
    const auto part = [&](std::string_view what, const std::vector<std::string>& names, const std::vector<std::string>& text) {
      if (!names.empty()) parts.push_back(fmt::format("{} {} ({})", names.size(), what, first_few(text)));
    };
    part("missing", missing_, missing_);
    part("of another shape or type", other_, other_text_);
    part("that it has no use for", unexpected_, unexpected_);
    part("not finite", not_finite_, not_finite_);
    std::set<std::string> nodes;
    for (const auto* list : {&missing_, &other_, &unexpected_})
      for (const std::string& name : *list) nodes.insert(node_of(name));
    std::string hint = "the checkpoint belongs to other options or to another network";
    if (nodes.empty()) {
      hint = "the run that made it diverged: take an earlier checkpoint";
    } else if (nodes.size() <= 2 && best_.shaped > 0 && !options_.except_key.empty()) {
      std::vector<std::string> quoted;
      for (const std::string& node : nodes) quoted.push_back(fmt::format("\"{}.\"", node));
      hint = fmt::format("everything else fits: {} = [{}] leaves it out and starts ours from random values", options_.except_key, fmt::join(quoted, ", "));
    }
    fail_with_hint("weights", hint, "{} does not fit the network '{}': of {} parameters {}", where_, graph_.name, parameters_.size(), fmt::join(parts, "; "));
  }

  void summarize() {
    std::set<std::string> random;
    for (const std::string& name : out_.random) random.insert(node_of(name));
    const auto unused = std::count_if(flat_.tensors.begin(), flat_.tensors.end(),
                                      [&](const StateTensor& t) { return !used_.contains(&t) && !t.name.ends_with("num_batches_tracked"); });
    out_.summary = fmt::format("starting from {}{}: {} of {} parameters", where_, best_.prefix.empty() ? "" : fmt::format(" at '{}'", best_.prefix), out_.weights.size(),
                               parameters_.size());
    if (best_.names != nullptr) out_.summary += ", by the original's names";
    if (!random.empty()) out_.summary += fmt::format("; random: {}", fmt::join(random, ", "));
    if (unused > 0) out_.summary += fmt::format("; {} tensors of the file unused", unused);
  }

  const Graph& graph_;
  const FlatState& flat_;
  std::string where_;
  const PretrainedOptions& options_;
  std::vector<NamedParameter> parameters_;
  Reading best_;
  std::map<std::string_view, const StateTensor*> tensors_;  // below the prefix
  std::set<const StateTensor*> used_;
  std::set<int> dicts_;  // that hold parameters
  std::set<std::string, std::less<>> excepted_nodes_;
  std::vector<std::string> missing_, other_, other_text_, unexpected_, not_finite_;
  Pretrained out_;
};

}  // namespace

Pretrained initial_weights_from(const Graph& graph, const PyValue& tree, const std::string& where, const PretrainedOptions& options) {
  const FlatState flat = flatten_state(tree);
  return Loader(graph, flat, where, options).run();
}

Pretrained load_initial_weights(const Graph& graph, const PretrainedOptions& options) {
  const TensorFile file = read_tensor_file(options.path);
  Pretrained out = initial_weights_from(graph, file.tree, file.path.string(), options);
  out.file = file.path;
  return out;
}

}  // namespace micromind
