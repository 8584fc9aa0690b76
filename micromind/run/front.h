// A front of networks (scaling/pareto.h) as a folder that people look at and schedulers take:
//
//   pareto/front.html        the picture with a table of all points        front.svg      the picture alone
//          front.csv         one line a point                              front.json     the same and the budgets
//          recipes/NNN-….toml    a recipe a point, for `micromind run`     recipes.txt    their list
//          proxy/, runs/     brief trainings (run/proxy.h)
//
//   FrontFolder folder = FrontFolder::open("pareto", report, Overwrite::no);
//   folder.write(report);
//
// Every file is written atomically. Recipes that somebody has changed by hand are left as they are.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "micromind/run/halving.h"
#include "micromind/run/recipe.h"
#include "micromind/scaling/pareto.h"

namespace micromind {

struct ProxyScore {
  std::int64_t epochs = 0;
  double top1 = 0;     ///< on held-out training images, in [0, 1]; NaN: the training has none
  double seconds = 0;  ///< of training
};

struct Candidate {
  FrontPoint point;
  std::string name;                 ///< "003-phinet-94kB-312kB-4120k": its recipe's and its runs' names begin with it
  Recipe recipe;
  std::string recipe_text;          ///< what its file holds
  std::vector<ProxyScore> scores;   ///< ascending in epochs; empty: not trained
  int rank = 0;                     ///< 1 is the best; 0: not trained
  std::optional<bool> undominated;  ///< in RAM, flash, MACs and accuracy; nothing: not trained

  double use(Resource resource) const { return point.use(resource); }
};

struct FrontReport {
  std::string family, target;   ///< target: "" without one
  Shape input;
  int classes = 0;
  nlohmann::json request;       ///< what was asked for: a folder holds the answers to one request
  std::array<std::vector<double>, 3> budgets;  ///< as Front's
  int combinations = 0, infeasible = 0, dropped = 0;
  double ms = 0;
  std::vector<Candidate> candidates;
  std::string data;             ///< of the proxy trainings; "" without
  int eta = 0;
  std::vector<Rung> rungs;
};

/// The front with names and recipes. `recipe_of`: a recipe that `micromind run` takes (run/design_recipe.h).
FrontReport make_front_report(Front front, const DesignRequest& request, int steps, const std::function<Recipe(const Design&)>& recipe_of);

/// Sets rank and undominated from the scores: those trained longer rank before the others. Two candidates are compared by
/// what both were trained for longest, since accuracies after one and after four epochs are not of equals.
void rank_candidates(FrontReport& report);

nlohmann::json to_json(const FrontReport& report);
std::string front_csv(const FrontReport& report);   ///< RFC 4180, a header, UTF-8
std::string front_table(const FrontReport& report);  ///< for a terminal
std::string front_svg(const FrontReport& report);   ///< a file of its own
std::string front_page(const FrontReport& report);  ///< HTML that needs nothing else

enum class Overwrite { no, front };

class FrontFolder {
 public:
  /// A folder that is absent, empty, or holds the front of the same request. Makes nothing yet. Throws Error for one that
  /// holds something else, or, unless `overwrite`, another request's front.
  static FrontFolder open(const std::filesystem::path& path, const FrontReport& report, Overwrite overwrite);

  /// The scores that the folder's front.json knows. Throws Error when it is damaged.
  void recall(FrontReport& report) const;

  /// All files but proxy/ and runs/. Returns the recipes that were left as somebody has changed them.
  std::vector<std::string> write(const FrontReport& report);
  void write_results(const FrontReport& report);  ///< the files with scores: front.*

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path recipe_file(const Candidate& candidate) const { return path_ / "recipes" / (candidate.name + ".toml"); }
  std::filesystem::path recipe_list() const { return path_ / "recipes.txt"; }
  std::filesystem::path proxies() const { return path_ / "proxy"; }
  std::filesystem::path runs() const { return path_ / "runs"; }

 private:
  explicit FrontFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  nlohmann::json before_;  ///< front.json as it was; null: none
};

/// How a scheduler takes a list of recipe files: one GNU parallel and one Slurm line. `verb`: "run" or "train".
std::string scheduler_lines(std::string_view verb, const std::filesystem::path& list, const std::filesystem::path& runs, std::size_t count);

}  // namespace micromind
