#include "micromind/run/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "micromind/base/file.h"
#include "micromind/base/resource.h"
#include "micromind/base/text.h"
#include "micromind/cost/energy.h"
#include "micromind/run/charts.h"
#include "micromind/run/picture.h"

namespace micromind {
namespace {

std::string percent(double share) { return std::isfinite(share) ? fmt::format("{:.2f} %", share * 100) : "–"; }

std::string section(std::string_view id, std::string_view title, std::string_view intro, std::string_view body) {
  return fmt::format("<section id=\"{}\"><h2>{}</h2><p>{}</p>{}</section>\n", id, title, intro, body);
}

std::string not_yet(const ReportData& d, std::string_view what, std::string_view verb) {
  return fmt::format("<div class=\"todo\">{} not run yet: <code>micromind {} {}</code></div>", what, verb, escape_html(d.folder));
}

std::string cell(std::int64_t count) { return fmt::format("<td class=\"n\">{}</td>", format_count(count)); }
std::string bytes_cell(std::int64_t bytes) {
  return fmt::format("<td class=\"n\" title=\"{} bytes\">{}</td>", format_count(bytes), bytes == 0 ? "–" : format_bytes(bytes));
}

bool emulated(const ReportData& d) { return d.deployment && d.deployment->outputs_compared > 0; }
std::int64_t arena_bytes(const ReportData& d) { return d.deployment ? d.deployment->arena_bytes : d.peak_ram_bytes; }
std::int64_t flash_bytes(const ReportData& d) {
  return d.deployment && d.deployment->flash_bytes > 0 ? d.deployment->flash_bytes : d.flash_bytes;
}
std::int64_t ram_needed(const ReportData& d) {
  return arena_bytes(d) + d.stack_reserved + (d.deployment ? d.deployment->data_bss_bytes : 0);
}
bool fits(const ReportData& d) {
  return (d.ram_available == 0 || ram_needed(d) <= d.ram_available) && (d.flash_available == 0 || flash_bytes(d) <= d.flash_available);
}

std::string verdict(const ReportData& d) {
  std::string css, sign = "•", head, text;
  if (!emulated(d)) {
    head = "Not run on the chip yet";
    text = fmt::format("The emulated core has not compared outputs with this computer: <code>micromind deploy {} --target {} --emulate</code>",
                       escape_html(d.folder), escape_html(d.target));
  } else {
    const Deployment& e = *d.deployment;
    const bool same = e.outputs_identical == e.outputs_compared;
    css = same && fits(d) ? "good" : "bad";
    sign = same && fits(d) ? "✓" : "✗";
    head = fmt::format("{} of {} outputs identical, byte for byte, on an emulated {}", format_count(e.outputs_identical),
                       format_count(e.outputs_compared), escape_html(e.core));
    text = same ? "The C code on the core computes what this computer computes." : "The core computes something else than this computer. " + escape_html(e.first_difference);
  }
  if (d.ram_available > 0) {
    if (!fits(d)) css = "bad", sign = "✗";
    text += fits(d) ? fmt::format(" It fits {}.", escape_html(d.target))
                    : fmt::format(" <b>It does not fit {}.</b>", escape_html(d.target));
  }
  return fmt::format("<div class=\"verdict {}\" id=\"verdict\"><div class=\"sign\">{}</div><div><b>{}</b>{}</div></div>\n", css, sign, head, text);
}

std::string card(std::string_view label, std::string_view value, std::string_view below) {
  return fmt::format("<div class=\"card\"><span>{}</span><b>{}</b><span>{}</span></div>", label, value, below);
}

std::string cards(const ReportData& d) {
  std::string html = "<div class=\"cards\">";
  if (d.accuracy) {
    html += card("float top-1", percent(d.accuracy->top1), fmt::format("{} test images", format_count(d.accuracy->samples)));
    html += card("int8 top-1", percent(d.accuracy->int8_top1),
                 std::isfinite(d.accuracy->int8_top1) ? fmt::format("{:+.2f} points", 100 * (d.accuracy->int8_top1 - d.accuracy->top1)) : "not quantised yet");
    if (std::isfinite(d.accuracy->ptq_top1))
      html += card("int8 before QAT", percent(d.accuracy->ptq_top1), "quantised after training");
  } else if (d.is_run) {
    html += card("top-1", "–", "not evaluated yet");
  }
  html += card("arena (RAM)", format_bytes(arena_bytes(d)), d.deployment ? "exact" : "planned");
  html += card("flash", format_bytes(flash_bytes(d)), d.deployment && d.deployment->flash_bytes > 0 ? "linked image" : "estimated");
  if (emulated(d)) {
    const auto instructions = static_cast<double>(d.deployment->instructions);
    html += card("instructions", instructions >= 1e6 ? fmt::format("{:.2f} M", instructions / 1e6) : format_count(d.deployment->instructions),
                 d.macs > 0 ? fmt::format("{:.2f} a MAC", instructions / static_cast<double>(d.macs)) : "an inference");
    const double cycles = d.deployment->cycles_by_class > 0 ? d.deployment->cycles_by_class : static_cast<double>(d.deployment->cycles_estimate);
    if (d.clock_hz > 0 && cycles > 0)
      html += card("latency, estimated", fmt::format("{:.3g} ms", 1e3 * cycles / d.clock_hz), fmt::format("at {:.0f} MHz", d.clock_hz / 1e6));
  }
  html += card("parameters", format_count(d.parameters), fmt::format("{} MACs", format_count(d.macs)));
  return html + "</div>\n";
}

std::string budget(const ReportData& d) {
  const Deployment* e = d.deployment ? &*d.deployment : nullptr;
  std::vector<BarPart> ram = {{"arena", "p-a", arena_bytes(d)}, {"stack", "p-b", d.stack_reserved}};
  if (e != nullptr) ram.push_back({"data and bss", "p-c", e->data_bss_bytes});
  std::vector<BarPart> flash = {{"image", "p-a", flash_bytes(d)}};
  if (e != nullptr && e->constant_bytes > 0 && e->constant_bytes <= flash_bytes(d))
    flash = {{"constants", "p-a", e->constant_bytes}, {"code", "p-b", flash_bytes(d) - e->constant_bytes}};
  return section("budget", "Budget", fmt::format("{}. Stack is what is reserved{}.", escape_html(d.target_description.empty() ? d.target : d.target_description),
                                                 e != nullptr && e->stack_bytes > 0 ? fmt::format("; {} of it were used", format_bytes(e->stack_bytes)) : ""),
                 "<div class=\"two\">" + budget_bar("RAM", ram, d.ram_available) + budget_bar("Flash", flash, d.flash_available) + "</div>");
}

std::string network(const ReportData& d) {
  std::string html = "<div class=\"scroll\"><table><thead><tr><th>layer</th><th>operator</th><th>output</th><th class=\"n\">parameters</th>"
                     "<th class=\"n\">MACs</th><th class=\"n\">live RAM</th><th class=\"n\">flash</th></tr></thead><tbody>";
  for (std::size_t i = 0; i < d.layers.size(); ++i) {
    const ReportLayer& l = d.layers[i];
    const bool worst = static_cast<int>(i) == d.bottleneck;
    html += fmt::format("<tr{}><td class=\"mono\">{}{}</td><td>{}</td><td>{}</td>", worst ? " class=\"bottleneck\"" : "", escape_html(l.name),
                        worst ? "<span class=\"tag\">RAM bottleneck</span>" : "", escape_html(l.op), escape_html(l.output_shape));
    html += cell(l.parameters) + cell(l.macs) + bytes_cell(l.live_bytes) + bytes_cell(l.flash_bytes) + "</tr>";
  }
  html += fmt::format("</tbody><tfoot><tr><td>total</td><td></td><td></td>{}{}{}{}</tr></tfoot></table></div>", cell(d.parameters), cell(d.macs),
                      bytes_cell(d.peak_ram_bytes), bytes_cell(d.flash_bytes));
  return section("network", "Network",
                 fmt::format("{} on {} inputs, as it runs on the chip: batch norm folded, activations fused. Live RAM is what is in the arena while "
                             "a layer runs; the total of flash includes the kernels' code. torchinfo counts {} multiply-adds.",
                             escape_html(d.family), escape_html(d.input_shape), format_count(d.torchinfo_mult_adds)),
                 html);
}

std::string training(const ReportData& d) {
  if (d.epochs.empty()) return section("training", "Training", "Loss and accuracy by epoch.", not_yet(d, "Training has", "train"));
  Series loss{"training", "series-a", {}}, validation_loss{"validation", "series-b", {}};
  Series train_top1 = loss, validation_top1 = validation_loss;
  for (const ReportEpoch& e : d.epochs) {
    loss.values.push_back(e.train_loss);
    validation_loss.values.push_back(e.validation_loss);
    train_top1.values.push_back(e.train_top1);
    validation_top1.values.push_back(e.validation_top1);
  }
  return section("training", "Training", fmt::format("{} epochs on {}{}.", d.epochs.size(), escape_html(d.dataset),
                                                     d.train_seconds > 0 ? fmt::format(", {:.0f} s", d.train_seconds) : ""),
                 "<div class=\"two\">" + line_chart("Loss", {loss, validation_loss}, false) +
                     line_chart("Top-1 accuracy", {train_top1, validation_top1}, true) + "</div>");
}

std::string confusion(const ReportData& d) {
  const std::string intro = "What the int8 model takes for what, over the whole test set. Shades are shares of a row.";
  if (!d.accuracy || d.accuracy->int8_confusion.empty())
    return section("confusion", "Confusion matrix", intro, not_yet(d, "Evaluation has", "evaluate"));
  return section("confusion", "Confusion matrix", intro, confusion_table(*d.accuracy));
}

std::string memory(const ReportData& d) {
  return section("memory", "Life of every tensor in RAM",
                 "The arena over one inference: layers from left to right, addresses from bottom to top. A tensor lives from the layer that writes "
                 "it to the last one that reads it; hover for its name.",
                 peak_text(d.memory) + memory_chart(d.memory));
}

std::string stack(const ReportData& d) {
  const Deployment& e = *d.deployment;
  if (e.stack_bytes <= 0) return "<p class=\"soft\">The stack is measured on the emulated core: not run yet.</p>";
  return budget_bar("Stack of model_run", {{"used, measured by painting", "p-a", e.stack_bytes}}, d.stack_reserved) +
         "<p class=\"soft\">Interrupts come on top. What is not shown as used is left for the caller.</p>";
}

std::string layers(const ReportData& d) {
  const std::string chart = d.deployment ? layer_chart(*d.deployment) : "";
  if (chart.empty()) return "";
  return section("layers", "Cost of every layer",
                 "Instructions are counted on the emulated core; cycles are an estimate from instructions by class, memory without wait states. Layers without "
                 "multiply-accumulates have no bar in their ratio.",
                 chart);
}

std::string flash(const ReportData& d) {
  const std::string picture = d.deployment ? flash_picture(*d.deployment, d.flash_available) : "";
  if (picture.empty()) return "";
  return section("flash", "What takes flash and stack", "The linked image, by the names of its symbols.",
                 "<div class=\"two\"><div>" + picture + "</div><div>" + stack(d) + "</div></div>");
}

std::string energy(const ReportData& d) {
  if (!emulated(d) || d.deployment->cycles_by_class <= 0) return "";
  const Deployment& e = *d.deployment;
  const EnergyEstimate estimate = estimate_energy({static_cast<double>(e.instructions), e.cycles_by_class, static_cast<double>(e.constant_bytes),
                                                   "estimated from instructions counted by class on the emulated core"},
                                                  load_target(e.target));
  const auto row = [](const std::string& what, const EstimateRange& r, auto&& text) {
    return fmt::format("<tr><td>{}</td><td class=\"n\"><b>{}</b></td><td class=\"n\">{} to {}</td></tr>", what, text(r.likely), text(r.low), text(r.high));
  };
  std::string html = "<div class=\"scroll\"><table><thead><tr><th></th><th class=\"n\">likely</th><th class=\"n\">range</th></tr></thead><tbody>";
  html += row("time of an inference", estimate.seconds, format_time);
  if (estimate.microjoules) html += row("energy of an inference", *estimate.microjoules, format_energy);
  for (const OperatingPoint& p : estimate.points)
    html += row(fmt::format("frames a second at {:g} mW on average", p.budget_mw), {p.least, p.frames_per_second, p.most}, [](double frames) { return fmt::format("{:.3g}", frames); });
  html += fmt::format("</tbody></table></div><p class=\"soft\"><b>Basis.</b> {}.</p><p class=\"soft\"><b>Error.</b> {}.</p>", escape_html(estimate.basis), escape_html(estimate.error));
  return section("energy", "Time and energy, estimated", "Not measured: no board was at hand.", html);
}

std::string chip(const ReportData& d) {
  const std::string intro = "Every layer runs on the emulated core and on this computer on the same input; all output bytes are compared. "
                            "Instructions are counted, not modelled.";
  if (!emulated(d))
    return section("chip", "Host against chip", intro, not_yet(d, "The emulated core has", "deploy"));
  const Deployment& e = *d.deployment;
  std::int64_t most = 1;
  for (const LayerMeasurement& l : e.layers) most = std::max(most, l.instructions);
  std::string html = "<div class=\"scroll\"><table><thead><tr><th>layer</th><th>kernel</th><th class=\"n\">MACs</th><th class=\"n\">instructions</th>"
                     "<th></th><th class=\"n\">a MAC</th><th>same bytes</th></tr></thead><tbody>";
  for (const LayerMeasurement& l : e.layers)
    html += fmt::format("<tr><td class=\"mono\">{}</td><td class=\"mono\">{}</td>{}{}<td><span class=\"share\"><i style=\"width:{:.1f}%\"></i></span></td>"
                        "<td class=\"n\">{}</td><td class=\"{}\">{}</td></tr>",
                        escape_html(l.name), escape_html(l.kernel), cell(l.macs), cell(l.instructions),
                        100.0 * static_cast<double>(l.instructions) / static_cast<double>(most),
                        l.macs > 0 ? fmt::format("{:.2f}", static_cast<double>(l.instructions) / static_cast<double>(l.macs)) : "–",
                        l.identical ? "yes" : "no", l.identical ? "✓ identical" : "✗ differs");
  html += fmt::format("</tbody><tfoot><tr><td>an inference</td><td></td>{}{}<td></td><td class=\"n\">{}</td><td>{} of {}</td></tr></tfoot></table></div>",
                      cell(e.macs), cell(e.instructions),
                      e.macs > 0 ? fmt::format("{:.2f}", static_cast<double>(e.instructions) / static_cast<double>(e.macs)) : "–",
                      format_count(e.outputs_identical), format_count(e.outputs_compared));
  return section("chip", "Host against chip", intro, html);
}

std::string sizes(const ReportData& d) {
  std::string html = "<table><thead><tr><th>quantity</th><th class=\"n\">estimate before the build</th><th class=\"n\">measured</th></tr></thead><tbody>";
  const auto row = [&](std::string_view what, std::int64_t estimate, std::int64_t measured) {
    html += fmt::format("<tr><td>{}</td>{}{}</tr>", what, bytes_cell(estimate), bytes_cell(measured));
  };
  const Deployment none;
  const Deployment& e = d.deployment ? *d.deployment : none;
  row("arena", d.peak_ram_bytes, e.arena_bytes);
  row("static data beside the arena", 0, e.data_bss_bytes);
  row("stack", d.stack_reserved, e.stack_bytes);
  row("flash, linked image", d.flash_bytes, e.flash_bytes);
  row("of which constants", 0, e.constant_bytes);
  row("of which code", 0, e.code_bytes);
  html += "</tbody></table>";
  if (!d.files.empty()) {
    html += "<table style=\"margin-top:16px\"><thead><tr><th>file</th><th>what it is</th><th class=\"n\">size</th></tr></thead><tbody>";
    for (const ReportFile& f : d.files)
      html += fmt::format("<tr><td class=\"mono\">{}</td><td>{}</td>{}</tr>", escape_html(f.name), escape_html(f.what), bytes_cell(f.bytes));
    html += "</tbody></table>";
  }
  return section("sizes", "Sizes", "Estimated by the cost model, and measured on the linked image and on the emulated core.", html);
}

std::string reproduce(const ReportData& d) {
  return section("recipe", "Recipe",
                 fmt::format("The same recipe gives the same run: <code>micromind run {}/recipe.toml</code>. Every default is filled in.", escape_html(d.folder)),
                 fmt::format("<pre>{}</pre>", escape_html(d.recipe)));
}

}  // namespace

std::string render_report(const ReportData& d) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>{} – micromind</title><style>\n{}</style></head><body><main>\n",
      escape_html(d.name), resource("micromind/run/page/report.css"));
  html += fmt::format("<header><h1>{}</h1><p class=\"soft\">{} · {} · {}{}</p></header>\n", escape_html(d.name), escape_html(d.family),
                      escape_html(d.dataset), escape_html(d.target), d.core.empty() ? "" : " (" + escape_html(d.core) + ")");
  html += verdict(d) + cards(d) + budget(d);
  if (d.is_run) html += training(d) + confusion(d);
  html += memory(d) + layers(d) + flash(d) + energy(d) + chip(d) + network(d) + sizes(d);
  if (d.is_run) html += reproduce(d);
  return html + "<footer>Made by micromind. This page is one file and loads nothing.</footer></main></body></html>\n";
}

void write_model_report(const std::filesystem::path& page, const Model& model, const std::string& file, const Deployment& deployment) {
  write_atomic(page, render_report(model_report(model, file, deployment)));
}

void write_report(const RunFolder& run) { write_atomic(run.report_file(), render_report(gather_report(run))); }

}  // namespace micromind
