// Hardware-aware scaling: from a budget of RAM, flash and operations to the network that fills it.
//
//   const Design d = design({.family = "phinet", .input = {3, 160, 160}, .classes = 20, .target = load_target("stm32h743"),
//                            .budget = {.macs = 60e6}});
//   d.options        // {"alpha": 0.83, "beta": 0.71, "t_zero": 5.2, "num_layers": 7, …}: what build_network() takes
//   d.resources      // budget against use, what binds, how far each budget is from the next better network
//
// docs/scaling.md has the formulation. RAM is what the planner places, flash what the linker makes of it (by the measured
// model of cost/), MACs are counted: the chip's own figures, not proxies.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "micromind/cost/cost.h"
#include "micromind/scaling/search.h"
#include "micromind/targets/target.h"

namespace micromind {

/// Limits; an absent one is no limit. `most_` of what may be used, `least_` of what must be.
struct Budget {
  std::optional<double> ram_bytes;    ///< for the arena: stack and static data are extra
  std::optional<double> flash_bytes;  ///< of the linked image
  std::optional<double> macs;
  std::optional<double> latency_ms;   ///< needs a target with a latency model
  std::optional<double> least_flash_bytes, least_macs;  ///< "at a given size"
};

enum class Objective {
  fill,     ///< most Σ weight · log(use): fills all budgets
  macs,     ///< most operations
  latency,  ///< least latency; wants least_flash_bytes or least_macs
};
Objective objective_from_name(std::string_view name);  ///< "fill", "macs", "latency". Throws Error
std::string_view objective_name(Objective objective);

enum class Solver {
  exact,   ///< branch and bound over the lattice alone
  bonmin,  ///< first Bonmin on the smooth relaxation, whose answer starts the branch and bound
};
Solver solver_from_name(std::string_view name);

struct DesignRequest {
  std::string family;
  Shape input;      ///< channels × height × width
  int classes = 0;
  std::optional<Target> target;  ///< its RAM and flash are budgets
  Budget budget;                 ///< together with a target: the tighter of the two
  Objective objective = Objective::fill;
  std::optional<Resources<double>> weights;  ///< of `fill`; default 1 for RAM, flash and MACs, 0 for cycles
  nlohmann::json space = nlohmann::json::object();    ///< knobs narrowed: {"alpha": [0.1, 2], "num_layers": [5, 7]}
  nlohmann::json options = nlohmann::json::object();  ///< fixed options of the family: {"divisor": 8}
  Solver solver = Solver::exact;
  bool sensitivity = true;  ///< also find what each budget lacks to the next better network
  std::int64_t node_limit = 20'000'000;
};

/// One line of the table of budget against use.
struct ResourceUse {
  Resource resource = kRam;
  double budget = kUnlimited;  ///< bytes, bytes, MACs, milliseconds
  double used = 0;
  bool searched = false;       ///< whether more of it was tried
  bool binds = false;          ///< with more of it alone, a better network exists
  double next = 0;             ///< budget that the next better network needs, if it binds
  double share() const { return used / budget; }
};

struct Design {
  std::string family;
  nlohmann::json options;  ///< of the family, complete but for defaults
  Graph network;
  Lowered lowered;
  Cost cost;
  double latency_ms = 0;  ///< estimated; 0 without a model
  std::vector<ResourceUse> resources;
  std::vector<std::string> notes;  ///< knobs at the end of their range, budgets not given
  std::map<std::string, double> knobs;  ///< the real knobs, also where they are no options (phi)
  Resources<double> counted{};  ///< as the search counts them: of RAM the arena without overlap (width_cost.h)
  double objective = 0;
  double gap = 0;  ///< how much better a network could still be, a share; 0: proven best
  std::int64_t nodes = 0, candidates = 0;
  double solve_ms = 0, sensitivity_ms = 0;  ///< solving: making the lattice and the search

  struct Relaxation {  ///< what Bonmin found
    bool solved = false;
    double objective = 0, ms = 0;
    nlohmann::json options;
  } relaxation;
};

/// Throws Error on contradictory or unusable requests, on a space without a network for this input, and when no network
/// fits: which budget cannot be met, and the smallest that could.
Design design(const DesignRequest& request);

/// The same question at many budgets: the lattice, which can take longer to make than to search, is made once.
class Designer {
 public:
  /// Throws Error as design() does, but for what does not fit.
  explicit Designer(const DesignRequest& request);
  ~Designer();
  Designer(const Designer&) = delete;
  Designer& operator=(const Designer&) = delete;

  Design run();  ///< what design() returns

  /// The best network within `most` and the request's own budgets, without notes and sensitivity; nothing when none fits.
  /// A resource counts in the objective when either limits it. Throws Error when the node limit comes before an answer.
  std::optional<Design> within(const Resources<double>& most);

  /// The least of a resource that a network of the space takes, whatever the budgets.
  double smallest(Resource resource);

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

/// RAM for the arena and flash that a target leaves.
Budget budget_of(const Target& target);

std::string_view resource_name(Resource resource);                ///< "RAM", "flash", "MACs", "latency"
std::string format_resource(Resource resource, double amount);   ///< with unit

nlohmann::json to_json(const Design& design);
std::string design_table(const Design& design);

}  // namespace micromind
