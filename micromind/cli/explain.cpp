// micromind explain: small lessons with numbers of one's own.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"
#include "micromind/cost/convolutions.h"
#include "micromind/run/subject.h"

namespace micromind {
namespace {

using nlohmann::json;

struct Options {
  std::string topic, input = "3x64x64";
  std::int32_t output_channels = 16, kernel = 3;
};

struct Topic {
  std::string name, summary;
  void (*explain)(const Console&, const Options&);
};

// Breaks lines at spaces before `width` characters (bytes that continue a UTF-8 character are none).
std::string wrapped(const std::string& text, std::size_t width, const std::string& indent) {
  std::string out;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    const auto letters = static_cast<std::size_t>(
        std::count_if(word.begin(), word.end(), [](char c) { return (c & 0xC0) != 0x80; }));
    if (column > 0 && column + 1 + letters > width) {
      out += "\n" + indent;
      column = 0;
    }
    out += (column > 0 ? " " : "") + word;
    column += letters + (column > 0 ? 1 : 0);
    at = end + 1;
  }
  return out;
}

// "455×", "1×", "1/5.76×": MACs in units of the standard convolution's.
std::string ratio(std::int64_t macs, std::int64_t standard) {
  const double r =
      static_cast<double>(std::max(macs, standard)) / static_cast<double>(std::min(macs, standard));
  const std::string text = r < 1000 ? fmt::format("{:.3g}", r) : format_count(std::llround(r));
  return macs < standard ? fmt::format("1/{}×", text) : text + "×";
}

void explain_conv(const Console& console, const Options& options) {
  const Shape input = parse_shape(options.input);
  const std::vector<ConvolutionRow> rows =
      explain_convolutions(input, options.output_channels, options.kernel);
  const Shape output = {options.output_channels, input.height(), input.width()};
  console.print(fmt::format(
      "From C×H×W = {} to N×H×W = {} with a K×K = {}×{} kernel, stride 1, padded to keep the size",
      Console::bold(to_string(input)), Console::bold(to_string(output)), options.kernel, options.kernel));
  std::vector<std::vector<std::string>> table = {
      {"operator", "weights", "with bias", "MACs", "with bias", "to standard"}};
  json list = json::array();
  for (const ConvolutionRow& r : rows) {
    table.push_back({r.name, format_count(r.weights), format_count(r.parameters), format_count(r.macs),
                     format_count(r.macs_with_bias), ratio(r.macs, rows[1].macs)});
    list.push_back({{"name", r.name},
                    {"weights", r.weights},
                    {"parameters", r.parameters},
                    {"macs", r.macs},
                    {"macs_with_bias", r.macs_with_bias},
                    {"connects", r.connects},
                    {"parameters_formula", r.parameters_formula},
                    {"macs_formula", r.macs_formula},
                    {"lesson", r.lesson}});
  }
  console.print("\n" + format_table(table));
  for (const ConvolutionRow& r : rows)
    console.print(fmt::format("\n{}\n  connects    {}\n  parameters  {}\n  MACs        {}\n  {}",
                              Console::bold(r.name), r.connects, r.parameters_formula, r.macs_formula,
                              wrapped(r.lesson, 96, "  ")));
  console.print(
      "\nA MAC is one multiplication and addition. micromind's MACs leave the bias out; counting it adds an\n"
      "operation for each number of the output.");
  console.result({{"topic", "conv"},
                  {"input", input},
                  {"output", output},
                  {"kernel", options.kernel},
                  {"operators", list}});
}

const std::vector<Topic>& topics() {
  static const std::vector<Topic> list = {
      {"conv", "Dense, standard, pointwise and depthwise convolution: what each connects and costs",
       explain_conv}};
  return list;
}

void list_topics(const Console& console) {
  std::vector<std::vector<std::string>> rows = {{"topic", "what it explains"}};
  json list = json::array();
  for (const Topic& t : topics()) {
    rows.push_back({t.name, t.summary});
    list.push_back({{"name", t.name}, {"summary", t.summary}});
  }
  console.print(format_table(rows));
  console.result({{"topics", list}});
}

void explain(const Console& console, const Options& options) {
  if (options.topic.empty()) return list_topics(console);
  std::vector<std::string> names;
  for (const Topic& t : topics()) {
    if (t.name == options.topic) return t.explain(console, options);
    names.push_back(t.name);
  }
  fail_with_hint("explain", name_hint(options.topic, names), "unknown topic '{}'", options.topic);
}

}  // namespace

void add_explain(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "explain", "Small lessons, with numbers of your own",
                            "Without a topic it lists them.",
                            {{"Why a convolution is cheaper than a dense layer", "micromind explain conv"},
                             {"The same where channels are many",
                              "micromind explain conv --input 64x28x28 --output-channels 128 --kernel 5"}});
  const auto options = std::make_shared<Options>();
  verb->add_option("topic", options->topic, "What to explain; none lists the topics")->type_name("TOPIC");
  verb->add_option("--input", options->input, "Input shape: channels, height, width")
      ->type_name("CxHxW")
      ->capture_default_str();
  verb->add_option("--output-channels", options->output_channels, "Channels of the output")
      ->type_name("N")
      ->capture_default_str();
  verb->add_option("--kernel", options->kernel, "Side of the window")->type_name("K")->capture_default_str();
  verb->callback([&console, options] { explain(console, *options); });
}

}  // namespace micromind
