#include "micromind/deploy/emit_shared.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/resource.h"

namespace micromind {
namespace {

constexpr std::string_view kColumns = "uint32_t columns[";

bool in_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

// Calls visit(begin, end) for every word of the text.
template <class Visit>
void each_word(std::string_view text, Visit&& visit) {
  for (std::size_t at = 0; at < text.size();) {
    if (!in_word(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && in_word(text[end])) ++end;
    visit(text.substr(at, end - at));
    at = end;
  }
}

struct Definition {
  std::size_t begin = 0, end = 0;  // in the source, from "MODEL_KERNEL" to behind the closing brace
  std::string name;
};

std::vector<Definition> definitions(const KernelSource& source) {
  const std::string key = "\n" + source.upper + "_KERNEL ";
  std::vector<Definition> list;
  for (std::size_t at = source.text.find(key); at != std::string::npos; at = source.text.find(key, at + 1)) {
    const std::size_t open = source.text.find('(', at), close = source.text.find("\n}\n", at);
    if (open == std::string::npos || close == std::string::npos) continue;
    std::size_t from = open;
    while (from > at && in_word(source.text[from - 1])) --from;
    list.push_back({at + 1, close + 3, source.text.substr(from, open - from)});
  }
  return list;
}

std::string text_of(const KernelSource& source, const Definition& d) { return source.text.substr(d.begin, d.end - d.begin); }

// The number in "uint32_t columns[123]"; 0: there is none.
std::int64_t columns_of(const std::string& text) {
  const std::size_t at = text.find(kColumns);
  std::int64_t words = 0;
  if (at != std::string::npos) std::from_chars(text.data() + at + kColumns.size(), text.data() + text.size(), words);
  return words;
}

std::string with_columns(std::string text, std::int64_t words) {
  const std::size_t at = text.find(kColumns);
  if (at == std::string::npos) return text;
  const std::size_t from = at + kColumns.size(), to = text.find(']', from);
  return text.replace(from, to - from, std::to_string(words));
}

// The text without what bears the model's prefix, so that equal kernels of two models are equal.
std::string neutral(const KernelSource& source, const Definition& d) {
  std::string text = text_of(source, d);
  return with_columns(text.replace(0, source.upper.size(), ""), 0);
}

bool own_word(const KernelSource& source, std::string_view word) {
  const auto begins = [&](const std::string& id) { return word.size() > id.size() && word.starts_with(id) && word[id.size()] == '_'; };
  if (word == source.upper + "_KERNEL") return false;
  return begins(source.prefix) || begins(source.upper) || std::any_of(source.ids.begin(), source.ids.end(), begins);
}

// Names of kernels that know nothing of the model, nor call one that does.
std::set<std::string> shareable(const KernelSource& source, const std::vector<Definition>& list) {
  std::set<std::string> names, own;
  for (const Definition& d : list) names.insert(d.name);
  for (bool changed = true; changed;) {
    changed = false;
    for (const Definition& d : list) {
      if (own.contains(d.name)) continue;
      bool found = false;
      each_word(text_of(source, d), [&](std::string_view word) {
        found = found || (word != d.name && (own_word(source, word) || own.contains(std::string(word))));
      });
      if (found) changed = own.insert(d.name).second;
    }
  }
  for (const std::string& name : own) names.erase(name);
  return names;
}

std::uint32_t checksum(std::string_view text, std::uint32_t hash) {  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619u;
  return hash;
}

std::uint32_t runtime_checksum() {
  std::uint32_t hash = 2166136261u;
  for (const CarriedFile& file : resources())
    if (file.name.starts_with("runtime/kernels/")) hash = checksum(file.content, hash);
  return hash;
}

std::string rename_words(const std::string& text, const std::map<std::string, std::string>& names) {
  std::string out;
  out.reserve(text.size() + 4096);
  std::size_t done = 0;
  each_word(text, [&](std::string_view word) {
    const auto found = names.find(std::string(word));
    if (found == names.end()) return;
    const auto at = static_cast<std::size_t>(word.data() - text.data());
    out.append(text, done, at - done);
    out += found->second;
    done = at + word.size();
  });
  return out.append(text, done, std::string::npos);
}

void share_in(KernelSource& source, const std::map<std::string, std::int64_t>& columns) {
  const std::vector<Definition> list = definitions(source);
  const std::set<std::string> names = shareable(source, list);
  std::map<std::string, std::uint32_t> sums;
  std::string text;
  std::size_t done = 0;
  for (const Definition& d : list) {
    if (!names.contains(d.name)) continue;
    std::string body = text_of(source, d);
    if (const auto found = columns.find(neutral(source, d)); found != columns.end()) body = with_columns(body, found->second);
    body.replace(0, source.upper.size() + std::string_view("_KERNEL").size(), source.upper + "_SHARED_KERNEL");
    auto& sum = sums.try_emplace(d.name, runtime_checksum()).first->second;
    sum = checksum(body.substr(source.upper.size()), sum);
    text.append(source.text, done, d.begin - done);
    text += body;
    done = d.end;
  }
  text.append(source.text, done, std::string::npos);
  std::map<std::string, std::string> renamed;
  for (const auto& [name, sum] : sums) renamed[name] = fmt::format("mm_{}_{:08x}", name, sum);
  source.text = rename_words(text, renamed);
}

}  // namespace

KernelSource kernel_source(const Program& program, std::string text) {
  KernelSource source{std::move(text), program.prefix, program.upper, program.nodes};
  source.ids.insert(source.ids.end(), program.values.begin(), program.values.end());
  return source;
}

void share_kernels(std::vector<KernelSource>& sources) {
  std::map<std::string, std::int64_t> columns;
  for (const KernelSource& source : sources)
    for (const Definition& d : definitions(source)) {
      std::int64_t& most = columns[neutral(source, d)];
      most = std::max(most, columns_of(text_of(source, d)));
    }
  for (KernelSource& source : sources) share_in(source, columns);
}

}  // namespace micromind
