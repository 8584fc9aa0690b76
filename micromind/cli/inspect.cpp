// micromind inspect: what a network costs on a chip, layer by layer; what a file of weights holds.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"
#include "micromind/cost/cost.h"
#include "micromind/cost/energy.h"
#include "micromind/cost/latency.h"
#include "micromind/formats/state_dict.h"
#include "micromind/formats/tensor_file.h"
#include "micromind/memory/order.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

struct Options {
  std::string subject, target;
  std::vector<std::string> powers;
  SubjectOptions build;
};

// How good the arena is, and what the peak consists of.
std::string ram_note(const Subject& s, const Cost& cost) {
  const MemoryPlan& plan = cost.plan;
  const Graph& graph = s.lowered.graph;
  std::string note = plan.minimal() ? " (proven minimum for this order" : fmt::format(" (lower bound for this order {}", format_bytes(plan.lower_bound_bytes));
  const NodeOrder order = best_order(graph, {.states = 20000});
  if (is_chain(graph)) note += ", the only one)";
  else if (order.lower_bound_bytes >= plan.arena_bytes) note += " and any other)";
  else note += fmt::format("; for any order {}{})", format_bytes(order.lower_bound_bytes), order.proven() ? "" : ", not proven to be reached");
  if (plan.peak_node < 0) return note;
  note += fmt::format("\n               step {} needs {}:", plan.peak_node + 1, format_bytes(plan.live_bytes[static_cast<std::size_t>(plan.peak_node)]));
  for (const int v : live_values(plan, plan.peak_node)) {
    const Placement& p = plan.placements[static_cast<std::size_t>(v)];
    const bool over = p.overlaps >= 0 && p.first == plan.peak_node;
    note += fmt::format(" {} {}{},", graph.value_name(v), format_bytes(p.bytes), over ? fmt::format(" (written over {})", graph.value_name(p.overlaps)) : "");
  }
  note.pop_back();
  return note;
}

std::string totals(const Subject& s, const Cost& cost) {
  const auto layer = [&](int i) { return i < 0 ? std::string("–") : s.lowered.graph.nodes()[static_cast<std::size_t>(i)].name; };
  return fmt::format(
      "{} {}\n"
      "  parameters   {}\n"
      "  MACs         {} (torchinfo counts {})\n"
      "  peak RAM     {}, at {}{}\n"
      "  flash        {} ({} constants, {} code), largest layer {}",
      Console::bold(s.name), to_string(s.network.shape(s.network.inputs().front().value)), format_count(cost.parameters),
      format_count(cost.macs), format_count(cost.torchinfo_mult_adds), format_bytes(cost.peak_ram_bytes), layer(cost.ram_bottleneck),
      ram_note(s, cost),
      format_bytes(cost.flash_bytes), format_bytes(cost.constant_bytes), format_bytes(cost.code_bytes), layer(cost.flash_bottleneck));
}

// The tensors of a .pt or .safetensors.
void inspect_weights(const Console& console, const std::string& path) {
  const TensorFile file = read_tensor_file(path);
  const FlatState state = flatten_state(file.tree);
  std::vector<std::vector<std::string>> rows = {{"tensor", "shape", "dtype", "numbers"}};
  nlohmann::json tensors = nlohmann::json::array();
  std::int64_t count = 0;
  for (const StateTensor& t : state.tensors) {
    const std::string shape = fmt::format("{}", fmt::join(t.tensor->shape, "×"));
    rows.push_back({t.name, shape.empty() ? "–" : shape, std::string(to_string(t.tensor->dtype)), format_count(t.tensor->elements())});
    tensors.push_back({{"name", t.name}, {"shape", t.tensor->shape}, {"dtype", to_string(t.tensor->dtype)}});
    count += t.tensor->elements();
  }
  std::string text = state.tensors.empty() ? "" : format_table(rows);
  text += fmt::format("{} {}: {} tensors, {} numbers", Console::bold(path), file.format, state.tensors.size(), format_count(count));
  if (state.training > 0) text += fmt::format("; beside them {} of optimisers and the like", state.training);
  for (const auto& [at, name] : state.objects) text += fmt::format("\n  {}: an object of {}, not read", at.empty() ? "the whole file" : at, name);
  for (const auto& [key, value] : file.metadata) text += fmt::format("\n  {}: {}", key, value);
  console.print(text);
  console.result({{"file", path}, {"format", file.format}, {"tensors", tensors}, {"numbers", count}, {"training_tensors", state.training},
                  {"objects", state.objects}, {"metadata", file.metadata}});
}

// From the fitted latency model: nothing is built or run.
void add_energy(const Console& console, const Options& options, const Subject& subject, const Cost& cost, const Target& target, nlohmann::json& json) {
  if (!has_latency_model(target.core)) {
    if (!options.powers.empty()) fail("inspect", "there is no latency model of a {}, so no energy", core_name(target.core));
    return;
  }
  const Latency latency = estimate_latency(subject.lowered, target);
  const EnergyEstimate e = estimate_energy({latency.instructions, latency.cycles, static_cast<double>(cost.constant_bytes),
                                            "by the latency model fitted to layers on the emulated core (itself off by up to a tenth on whole networks)"},
                                           target, parse_powers(options.powers));
  console.print(energy_text(e));
  json["energy"] = to_json(e);
}

void inspect(const Console& console, const Options& options) {
  if (!tensor_format(options.subject).empty()) return inspect_weights(console, options.subject);
  const Subject subject = load_subject(options.subject, options.build);
  const std::string name = options.target.empty() ? subject.target : options.target;
  if (name.empty() && !options.powers.empty()) fail_with_hint("inspect", "micromind targets lists them", "--power needs --target NAME");
  const std::optional<Target> target = name.empty() ? std::nullopt : std::optional(load_target(name));
  const Cost cost = estimate_cost(subject.network, subject.lowered);
  nlohmann::json json = to_json(cost, subject.lowered);
  json["name"] = subject.name;
  console.print(cost_table(cost, subject.lowered));
  console.print(totals(subject, cost));
  if (target) {
    const Fit fit = check_fit(cost, subject.lowered, *target);
    json["target"] = name;
    json["fits"] = fit.fits();
    json["fit"] = fit.text;
    json["ram_needed_bytes"] = fit.ram_needed;
    json["ram_available_bytes"] = fit.ram_available;
    json["flash_needed_bytes"] = fit.flash_needed;
    json["flash_available_bytes"] = fit.flash_available;
    console.print(fit.fits() ? Console::good(fit.text) : Console::bad(fit.text));
    add_energy(console, options, subject, cost, *target, json);
  }
  console.result(json);
}

}  // namespace

void add_inspect(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "inspect", "What a network costs on a chip, layer by layer; what a file of weights holds",
                            "Counts parameters, multiply-accumulates, peak RAM as the planner places it, and flash; names the layer that decides\n"
                            "each, and says whether it fits a target. Nothing is trained or built. Of a checkpoint (.pt, .pth, .ckpt, .bin, .safetensors) it lists\n"
                            "the tensors; a checkpoint is data, nothing in it is run.",
                            {{"A family, with options of its own", "micromind inspect phinet --input 3x160x160 --classes 20 --set alpha=0.5"},
                             {"Does this model of somebody's fit my board?", "micromind inspect model.tflite --target nrf52840"},
                             {"What is in this checkpoint?", "micromind inspect checkpoint.pth"}});
  const auto options = std::make_shared<Options>();
  verb->add_option("subject", options->subject, "A run folder, a .tflite or .onnx file, a file of weights, or a family (micromind networks)")->required()->type_name("RUN|FILE|FAMILY");
  verb->add_option("--input", options->build.input, "Input shape of a family: channels, height, width")->type_name("CxHxW");
  verb->add_option("--classes", options->build.classes, "Number of classes of a family; adds its classifier")->check(CLI::Range(1, 1'000'000));
  verb->add_option("--set", options->build.set, "An option of the family; may be repeated")->type_name("KEY=VALUE")->allow_extra_args(false);
  verb->add_option("--target", options->target, "Say whether it fits this board (micromind targets)")->type_name("NAME");
  verb->add_option("--power", options->powers, "With --target: frames a second at this average power, estimated; may be repeated; default 10mW and 20mW")->type_name("POWER")->allow_extra_args(false);
  verb->callback([&console, options] { inspect(console, *options); });
}

}  // namespace micromind
