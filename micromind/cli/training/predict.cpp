// micromind predict: image files to classes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"
#include "micromind/tasks/pipeline.h"

namespace micromind {

void add_predict(CLI::App& app, Console& console) {
  struct Options {
    std::string run;
    std::vector<std::string> files;
    bool real = false;
  };
  CLI::App* verb = add_verb(app, console, "predict", "Classify image files with a run's model",
                            "Images are scaled to the network's input. By default the int8 model answers, as on the chip.",
                            {{"What is in this picture?", "micromind predict runs/demo photo.jpg"},
                             {"What does the float network say?", "micromind predict runs/demo --float photo.jpg other.png"}});
  const auto options = std::make_shared<Options>();
  verb->add_option("run", options->run, "The run folder")->required()->type_name("RUN");
  verb->add_option("files", options->files, "Images: JPEG, PNG, BMP, PPM")->required()->type_name("FILE");
  verb->add_flag("--float", options->real, "Ask the float network instead of the int8 model");
  verb->callback([&console, options] {
    nlohmann::json list = nlohmann::json::array();
    std::vector<std::vector<std::string>> rows = {{"file", "class", "probability"}};
    for (const Prediction& p : predict(RunFolder::open(options->run), options->files, !options->real)) {
      rows.push_back({p.file, p.label, fmt::format("{:.1f} %", 100 * p.probability)});
      list.push_back({{"file", p.file}, {"class", p.label}, {"class_index", p.index}, {"probability", p.probability}});
    }
    console.print(format_table(rows));
    console.result({{"predictions", list}, {"int8", !options->real}});
  });
}

}  // namespace micromind
