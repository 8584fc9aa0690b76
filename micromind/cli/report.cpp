// micromind report: a run on one page.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/cli/verbs.h"
#include "micromind/run/report.h"

namespace micromind {

void add_report(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "report", "Write a run's report page",
                            "One HTML file that loads nothing else: verdict, accuracy, memory picture, host against chip, sizes and the recipe.\n"
                            "Stages that have not run yet are shown with the command that runs them.",
                            {{"Write it again", "micromind report runs/demo"}, {"Look at it", "xdg-open runs/demo/report.html"}});
  const auto path = std::make_shared<std::string>();
  verb->add_option("run", *path, "The run folder")->required()->type_name("RUN");
  verb->callback([&console, path] {
    const RunFolder run = RunFolder::open(*path);
    write_report(run);
    console.print(run.report_file().string());
    console.result({{"report", run.report_file().string()}});
  });
}

}  // namespace micromind
