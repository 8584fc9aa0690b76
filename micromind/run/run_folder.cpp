#include "micromind/run/run_folder.h"

#include <algorithm>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/reflect.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;

// std::filesystem's exceptions and error codes as Error.
template <class F>
auto on_disk(const fs::path& path, std::string_view what, F&& f) {
  try {
    return f();
  } catch (const fs::filesystem_error& error) {
    fail("run", "{}: cannot {}: {}", path.string(), what, error.code().message());
  }
}

bool is_empty_or_absent(const fs::path& path) {
  return on_disk(path, "look into it", [&] { return !fs::exists(path) || (fs::is_directory(path) && fs::is_empty(path)); });
}

// Only what a run writes: a folder of the user's that happens to hold more keeps it.
void remove_run_files(const fs::path& path) {
  static const std::vector<std::string> names = {"recipe.toml", "network.json", "log.jsonl",    "checkpoints",  "model.tflite",
                                                 "model.onnx",  "c",            "results.json", "report.html", "build"};
  on_disk(path, "remove the earlier run", [&] {
    for (const std::string& name : names) fs::remove_all(path / name);
    for (const fs::directory_entry& entry : fs::directory_iterator(path))
      if (entry.path().filename().string().starts_with("events.out.tfevents.")) fs::remove(entry.path());
  });
}

fs::path next_free(const fs::path& path) {
  for (int n = 2;; ++n)
    if (const fs::path candidate = path.string() + "-" + std::to_string(n); is_empty_or_absent(candidate)) return candidate;
}

nlohmann::json recipe_json(const Recipe& recipe) {
  nlohmann::json network = recipe.network.options;
  network["family"] = recipe.network.family;
  return {{"run", members_to_json(recipe.run)},           {"data", members_to_json(recipe.data)},
          {"network", network},                           {"train", members_to_json(recipe.train)},
          {"quantize", members_to_json(recipe.quantize)}, {"deploy", members_to_json(recipe.deploy)}};
}

}  // namespace

const std::vector<std::string>& stage_names() {
  static const std::vector<std::string> names = {"network", "train", "quantize", "evaluate", "export", "deploy"};
  return names;
}

std::vector<std::string> differences(const Recipe& before, const Recipe& after) {
  const nlohmann::json a = recipe_json(before), b = recipe_json(after);
  const auto text = [](const nlohmann::json& section, const std::string& key) {
    return section.contains(key) ? section[key].dump() : std::string("(default)");
  };
  std::vector<std::string> list;
  for (const auto& [name, section] : a.items()) {
    nlohmann::json all = section;
    all.update(b[name]);
    for (const auto& [key, value] : all.items())
      if (text(section, key) != text(b[name], key) && !(section.contains(key) && b[name].contains(key) && section[key] == b[name][key]))
        list.push_back(fmt::format("{}.{}: {} → {}", name, key, text(section, key), text(b[name], key)));
  }
  return list;
}

bool RunFolder::is_run_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path / "recipe.toml", ignored);
}

fs::path RunFolder::choose(const fs::path& wanted, const Recipe& recipe, IfPresent if_present) {
  if (is_empty_or_absent(wanted)) return wanted;
  if (if_present == IfPresent::numbered) return next_free(wanted);
  if (!is_run_folder(wanted))
    fail_with_hint("run", "choose another --output", "{} is there already and is no run folder (it has no recipe.toml)", wanted.string());
  if (if_present == IfPresent::fail)
    fail_with_hint("run", "--resume goes on in it, --force replaces it", "{} holds a run already", wanted.string());
  if (if_present == IfPresent::resume)
    if (const std::vector<std::string> list = differences(open(wanted).recipe(), recipe); !list.empty())
      fail_with_hint("run", "--force replaces it; without --resume a new folder is made", "{} was made with another recipe: {}",
                     wanted.string(), fmt::join(list, "; "));
  return wanted;
}

RunFolder RunFolder::create(const fs::path& wanted, const Recipe& recipe, IfPresent if_present) {
  const fs::path path = choose(wanted, recipe, if_present);
  if (!is_empty_or_absent(path)) {
    if (if_present == IfPresent::resume) return open(path);
    remove_run_files(path);
  }
  on_disk(path, "make the folder", [&] { fs::create_directories(path); });
  RunFolder run(path, recipe);
  write_atomic(run.recipe_file(), to_toml(recipe));
  return run;
}

RunFolder RunFolder::open(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    fail_with_hint("run", "micromind run RECIPE makes a run below runs/", "{}: no such folder", path.string());
  if (!is_run_folder(path))
    fail_with_hint("run", "micromind run RECIPE makes one", "{} is no run folder: it has no recipe.toml", path.string());
  return {path, load_recipe((path / "recipe.toml").string())};
}

nlohmann::json RunFolder::results() const {
  std::error_code ignored;
  if (!fs::exists(results_file(), ignored)) return nlohmann::json::object();
  const nlohmann::json all = nlohmann::json::parse(read_text(results_file()), nullptr, false);
  const auto damaged = [&](std::string_view expected) {
    fail_with_hint("run", fmt::format("remove it, then: micromind run {} --resume", path_.string()), "{} is damaged: expected {}",
                   results_file().string(), expected);
  };
  if (!all.is_object()) damaged("a JSON object");
  for (const auto& [stage, result] : all.items())
    if (!result.is_object()) damaged(fmt::format("an object below \"{}\"", stage));
  return all;
}

nlohmann::json RunFolder::result(const std::string& stage) const {
  const nlohmann::json all = results();
  const auto found = all.find(stage);
  return found == all.end() ? nlohmann::json() : *found;
}

void RunFolder::set_result(const std::string& stage, const nlohmann::json& result) {
  const std::vector<std::string>& stages = stage_names();
  const auto at = std::find(stages.begin(), stages.end(), stage);
  if (at == stages.end()) fail("run", "unknown stage '{}'", stage);
  nlohmann::json all = results();
  const bool others_build_on_it = stage == "network" || stage == "train" || stage == "quantize";
  for (auto later = at + 1; others_build_on_it && later != stages.end(); ++later) all.erase(*later);
  all[stage] = result;
  write_atomic(results_file(), all.dump(1) + "\n");
}

fs::path RunFolder::need(const fs::path& file, std::string_view verb) const {
  std::error_code ignored;
  if (!fs::exists(file, ignored))
    fail_with_hint("run", fmt::format("micromind {} {}{}", verb, path_.string(), verb == "train" ? " --resume" : ""), "{} is missing: that stage has not run yet",
                   file.string());
  return file;
}

}  // namespace micromind
