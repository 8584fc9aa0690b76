// The table of deployments as text, JSON and the page docs/benchmarks.md.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "micromind/base/text.h"
#include "micromind/bench/deployments.h"

namespace micromind {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string markdown(const Rows& rows) {
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    text += "|";
    for (const std::string& cell : rows[r]) text += " " + cell + " |";
    text += "\n";
    if (r > 0) continue;
    for (std::size_t c = 0; c < rows[0].size(); ++c) text += "|---";
    text += "|\n";
  }
  return text;
}

std::string millions(double count) { return fmt::format("{:.3f}", count / 1e6); }
std::string per(double a, double b) { return b > 0 ? fmt::format("{:.2f}", a / b) : "–"; }
std::string peer_text(std::int64_t figure) { return figure > 0 ? format_count(figure) : "–"; }

const PeerFigure* peer_of(const DeployRow& row) { return peers().figure(row.model, row.deployment.core); }

std::vector<std::string> header(bool with_peer) {
  std::vector<std::string> names = {"core", "M instr.", "a MAC", "cycles a MAC, est.", "arena B", "flash B", "stack B", "same bytes"};
  if (with_peer) names.insert(names.end(), {"peer: M instr.", "arena B", "flash B", "ours ÷ peer: instr.", "arena", "flash"});
  return names;
}

std::vector<std::string> cells(const DeployRow& row, bool with_peer) {
  const Deployment& d = row.deployment;
  const auto instructions = static_cast<double>(d.instructions), macs = static_cast<double>(d.macs);
  std::vector<std::string> out = {d.core, millions(instructions), per(instructions, macs), d.cycles_by_class > 0 ? per(d.cycles_by_class, macs) : "–",
                                  format_count(d.arena_bytes), format_count(d.flash_bytes), format_count(d.stack_bytes),
                                  fmt::format("{} of {}", d.outputs_identical, d.outputs_compared)};
  if (!with_peer) return out;
  const PeerFigure* peer = peer_of(row);
  if (peer == nullptr) {
    out.insert(out.end(), 6, "–");
    return out;
  }
  out.push_back(millions(static_cast<double>(peer->instructions)));
  out.push_back(peer_text(peer->arena_bytes));
  out.push_back(peer_text(peer->flash_bytes));
  out.push_back(per(instructions, static_cast<double>(peer->instructions)));
  out.push_back(per(static_cast<double>(d.arena_bytes), static_cast<double>(peer->arena_bytes)));
  out.push_back(per(static_cast<double>(d.flash_bytes), static_cast<double>(peer->flash_bytes)));
  return out;
}

struct ModelTable {
  std::string title;
  Rows rows;
};

// One table a model, with the peer's columns where the peers have it.
std::vector<ModelTable> model_tables(const DeployBench& bench, bool own) {
  std::vector<ModelTable> tables;
  std::string current;
  for (const DeployRow& row : bench.rows) {
    if (row.own != own) continue;
    const bool with_peer = peers().model(row.model) != nullptr;
    if (tables.empty() || row.model != current) {
      current = row.model;
      tables.push_back({fmt::format("{}, {} MACs", row.name, format_count(row.deployment.macs)), {header(with_peer)}});
    }
    tables.back().rows.push_back(cells(row, with_peer));
  }
  return tables;
}

Rows accuracy_rows(const DeployBench& bench) {
  Rows rows = {{"model", "core", "inputs", "right", "top-1", "asked for", "same bytes as this computer"}};
  for (const AccuracyRow& a : bench.accuracy)
    rows.push_back({a.name, a.core, format_count(a.inputs), format_count(a.correct),
                    fmt::format("{:.2f} %", 100.0 * static_cast<double>(a.correct) / static_cast<double>(std::max<std::int64_t>(1, a.inputs))),
                    fmt::format("{:.0f} %", 100 * a.quality_target), fmt::format("{} of {}", a.identical, a.inputs)});
  return rows;
}

double peer_per_mac(const PeerLayer& layer, const std::string& core) {
  for (const auto& [name, value] : layer.per_mac)
    if (name == core) return value;
  return 0;
}

Rows layer_rows(const DeployBench& bench) {
  Rows rows = {{"layer"}};
  for (const std::string& core : bench.layer_cores) {
    rows[0].push_back(core);
    if (!peers().layers.empty() && peer_per_mac(peers().layers[0], core) > 0) rows[0].insert(rows[0].end(), {"peer", "ratio"});
  }
  for (std::size_t i = 0; i < bench.layers.size(); ++i) {
    const LayerRow& layer = bench.layers[i];
    rows.push_back({layer.name});
    for (std::size_t c = 0; c < bench.layer_cores.size(); ++c) {
      rows.back().push_back(fmt::format("{:.2f} ({:.2f})", layer.instructions[c], layer.cycles[c]));
      const double peer = peer_per_mac(peers().layers[i], bench.layer_cores[c]);
      if (peer > 0) rows.back().insert(rows.back().end(), {fmt::format("{:.2f}", peer), per(layer.instructions[c], peer)});
    }
  }
  return rows;
}

const DeployRow* find_row(const DeployBench& bench, const std::string& model, const std::string& core) {
  for (const DeployRow& row : bench.rows)
    if (row.model == model && row.deployment.core == core) return &row;
  return nullptr;
}

// Published board timings beside our estimate at the same clock, and at the power that the published figures imply.
Rows board_rows(const DeployBench& bench) {
  Rows rows = {{"board", "model", "published ms", "published µJ", "cycles a MAC", "ours: cycles a MAC, est.", "ms, est.", "µJ, est."}};
  for (const PeerBoard& board : peers().boards)
    for (const BoardResult& r : board.results) {
      const DeployRow* row = find_row(bench, r.file, board.core);
      if (row == nullptr || row->deployment.cycles_by_class <= 0) continue;
      const auto macs = static_cast<double>(row->deployment.macs);
      const double seconds = row->deployment.cycles_by_class / board.clock_hz, watts = r.microjoules / r.milliseconds * 1e-3;
      rows.push_back({fmt::format("{}, {:.0f} MHz", board.board, board.clock_hz / 1e6), row->name, fmt::format("{:g}", r.milliseconds),
                      fmt::format("{:g}", r.microjoules), per(r.milliseconds * 1e-3 * board.clock_hz, macs), per(row->deployment.cycles_by_class, macs),
                      fmt::format("{:.3g}", seconds * 1e3), fmt::format("{:.0f}", seconds * watts * 1e6)});
    }
  return rows;
}

std::string command(const DeployBench& bench) {
  std::string text = "micromind bench deploy";
  const std::filesystem::path models = bench.options.models;
  if (!models.empty()) text += " --models " + (models.filename() == "mlperf_tiny" ? "$MICROMIND_DATA/mlperf_tiny" : models.string());
  if (bench.options.targets != emulated_machines()) text += fmt::format(" --target {}", fmt::join(bench.options.targets, " --target "));
  if (bench.options.accuracy_inputs != 0) text += fmt::format(" --inputs {}", bench.options.accuracy_inputs);
  return text + " --markdown docs/benchmarks.md";
}

constexpr std::string_view kMethod = R"(
**Instructions** are those of one inference as the emulated core executes them, by its own clock (QEMU, `-icount`): exact, the same every time, but not
time. QEMU models no cache, no wait state and no dual issue. **Cycles** are therefore an estimate beside them: instructions counted by class, times a
table of cycles ([operators.md](operators.md) has tables, sources and assumptions), memory without wait states. They are there so that no figure is
won by an instruction that loads many words. **Arena** is all the RAM of activations, inputs and outputs, asserted by the compiler. **Flash** is the linked image:
code, constants, start-up, vector table. **Stack** is the high-water mark of `model_run`, by painting. **Same bytes** counts the inferences whose
every output byte is this computer's.
)";

}  // namespace

std::string deploy_bench_text(const DeployBench& bench) {
  std::string text;
  for (const bool own : {false, true})
    for (const ModelTable& table : model_tables(bench, own)) text += table.title + "\n" + format_table(table.rows) + "\n";
  if (!bench.layers.empty() && !bench.layer_cores.empty()) text += "Single layers, instructions a MAC (cycles a MAC, estimated)\n" + format_table(layer_rows(bench)) + "\n";
  if (const Rows rows = board_rows(bench); rows.size() > 1) text += "Published boards and our estimate\n" + format_table(rows) + "\n";
  if (!bench.accuracy.empty()) text += "Accuracy on the emulated core\n" + format_table(accuracy_rows(bench));
  return text;
}

std::string benchmarks_page(const DeployBench& bench) {
  std::string text = fmt::format(
      "# Benchmarks: deployed networks on emulated cores\n\nThis page is written by one command, in a few minutes:\n\n    {}\n{}\nCompiler: {}, -O2.\n",
      command(bench), kMethod, bench.compiler);
  if (!bench.options.models.empty()) {
    text += fmt::format("\n## Given models, beside {}\n\n{}\n", peers().runtime, peers().method);
    for (const ModelTable& table : model_tables(bench, false)) text += fmt::format("\n### {}\n\n{}", table.title, markdown(table.rows));
    text += "\nThe peer's reference kernels on the M7:";
    for (const PeerModel& m : peers().models)
      for (const PeerFigure& f : m.figures)
        if (f.kernels == "reference") text += fmt::format(" {} {} M instructions;", m.name, millions(static_cast<double>(f.instructions)));
    text.back() = '.';
    text += "\n";
  }
  if (!bench.accuracy.empty())
    text += fmt::format(
        "\n## Accuracy on the emulated core\n\nEvery supplied input of MLPerf Tiny's accuracy sets (`kws01`; `ic01` and `vww01` as far as they are at hand), "
        "run on {}; \"asked for\" is the closed division's quality target, over its whole test set.\nThe anomaly detector's inputs are not supplied.\n\n{}",
        bench.options.accuracy_target, markdown(accuracy_rows(bench)));
  if (const Rows rows = board_rows(bench); rows.size() > 1)
    text += fmt::format(
        "\n## Published boards, and our estimate\n\nPublished: {}, measured on boards. Ours is the cycle estimate at the board's clock, and energy at the mean power "
        "that the published\nfigures imply (energy over time): what our code would take if memory had no wait states. It is not a measurement; on a board, wait "
        "states and cache misses come on top.\n\n{}",
        peers().boards_source, markdown(rows));
  if (!bench.layers.empty() && !bench.layer_cores.empty())
    text += fmt::format("\n## Single layers\n\nInstructions a MAC, in brackets cycles a MAC (estimated); the peer is CMSIS-NN's kernel alone, by the same count.\n\n{}",
                        markdown(layer_rows(bench)));
  if (bench.options.own_networks) {
    text += "\n## Our own networks\n\nThe networks of recipes with random weights: what is executed hardly depends on them (only channels whose "
            "output never changes, which training can leave behind, cost less).\n";
    for (const ModelTable& table : model_tables(bench, true)) text += fmt::format("\n### {}\n\n{}", table.title, markdown(table.rows));
  }
  return text;
}

nlohmann::json to_json(const DeployBench& bench) {
  nlohmann::json rows = nlohmann::json::array(), accuracy = nlohmann::json::array(), layers = nlohmann::json::array();
  for (const DeployRow& row : bench.rows) {
    nlohmann::json j = to_json(row.deployment);
    j["model"] = row.model;
    j["name"] = row.name;
    j["own_network"] = row.own;
    j["instructions_per_mac"] = static_cast<double>(row.deployment.instructions) / static_cast<double>(std::max<std::int64_t>(1, row.deployment.macs));
    if (const PeerFigure* peer = peer_of(row)) {
      j["peer"] = {{"runtime", peers().runtime}, {"instructions", peer->instructions}, {"arena_bytes", peer->arena_bytes}, {"flash_bytes", peer->flash_bytes}};
      j["ratio_to_tflm_cmsis_nn"] = {{"instructions", static_cast<double>(row.deployment.instructions) / static_cast<double>(peer->instructions)},
                                     {"arena_bytes", static_cast<double>(row.deployment.arena_bytes) / static_cast<double>(peer->arena_bytes)},
                                     {"flash_bytes", static_cast<double>(row.deployment.flash_bytes) / static_cast<double>(peer->flash_bytes)}};
    }
    rows.push_back(std::move(j));
  }
  for (const AccuracyRow& a : bench.accuracy)
    accuracy.push_back({{"model", a.model}, {"name", a.name}, {"target", a.target}, {"core", a.core}, {"inputs", a.inputs}, {"correct", a.correct},
                        {"top1", static_cast<double>(a.correct) / static_cast<double>(std::max<std::int64_t>(1, a.inputs))},
                        {"outputs_identical", a.identical}, {"quality_target", a.quality_target}});
  for (std::size_t i = 0; i < bench.layers.size(); ++i) {
    nlohmann::json j = {{"name", bench.layers[i].name}, {"macs", bench.layers[i].macs}, {"cores", nlohmann::json::object()}};
    for (std::size_t c = 0; c < bench.layer_cores.size(); ++c) {
      const double ours = bench.layers[i].instructions[c], peer = peer_per_mac(peers().layers[i], bench.layer_cores[c]);
      nlohmann::json core = {{"instructions_per_mac", ours}, {"cycles_per_mac_estimate", bench.layers[i].cycles[c]}};
      if (peer > 0) core["ratio_to_cmsis_nn"] = ours / peer;
      j["cores"][bench.layer_cores[c]] = core;
    }
    layers.push_back(std::move(j));
  }
  return {{"compiler", bench.compiler}, {"rows", std::move(rows)}, {"accuracy", std::move(accuracy)}, {"layers", std::move(layers)}};
}

}  // namespace micromind
