// micromind data get | datasets: data sets that the program knows.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"
#include "micromind/data/dataset.h"
#include "micromind/data/download.h"

namespace micromind {
namespace {

// One line rewritten in place on a terminal; nothing in a pipe or file.
void show_download(const std::string& name, std::int64_t done, std::int64_t total) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r{}  {}{}   {}", name, format_bytes(done), total > 0 ? " of " + format_bytes(total) : "", done == total ? "\n" : "");
}

void list_datasets(const Console& console) {
  std::vector<std::vector<std::string>> rows = {{"data set", "classes", "shape", "train", "test", "download", "what it is"}};
  nlohmann::json list = nlohmann::json::array();
  const auto count = [](std::int64_t n) { return n > 0 ? format_count(n) : std::string("varies"); };
  for (const DatasetInfo& d : known_datasets()) {
    rows.push_back({d.name, count(d.classes), d.height > 0 ? fmt::format("{}×{}×{}", d.channels, d.height, d.width) : "varies", count(d.train),
                    count(d.test), d.downloadable() ? "yes" : "–", d.what});
    list.push_back({{"name", d.name}, {"what", d.what}, {"licence", d.licence}, {"classes", d.classes}, {"channels", d.channels}, {"height", d.height},
                    {"width", d.width}, {"train", d.train}, {"test", d.test}, {"downloadable", d.downloadable()}});
  }
  console.print(format_table(rows));
  console.result({{"datasets", list}});
}

}  // namespace

void add_data(CLI::App& app, Console& console) {
  CLI::App* verb = add_verb(app, console, "data", "Download data sets", "micromind data get NAME downloads, checks and unpacks a data set.",
                            {{"CIFAR-10", "micromind data get cifar10"}, {"What is there?", "micromind datasets"}});
  verb->require_subcommand(1);
  struct Options {
    std::string name, folder, mirror;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* get = add_verb(*verb, console, "get", "Download, check and unpack one",
                           "Files are verified by checksum; a broken download continues where it stopped. Files that are there and sound are kept.",
                           {{"CIFAR-10", "micromind data get cifar10"}, {"From a mirror of your own", "micromind data get mnist --mirror https://example.org/mnist"}});
  get->add_option("name", options->name, "micromind datasets lists them")->required()->type_name("NAME");
  get->add_option("--folder", options->folder, "Where to; default: below MICROMIND_DATA, ../shared/data or data")->type_name("DIR");
  get->add_option("--mirror", options->mirror, "Address that the same files lie below")->type_name("URL");
  get->callback([&console, options] {
    const FetchedDataset got = get_dataset(options->name, options->folder, options->mirror, show_download);
    console.print(fmt::format("{} {} {}", options->name, got.already_there ? "is there already:" : "is ready:", got.folder.string()));
    console.result({{"name", options->name}, {"folder", got.folder.string()}, {"already_there", got.already_there}});
  });
}

void add_datasets(CLI::App& app, Console& console) {
  add_verb(app, console, "datasets", "Data sets that the program knows", "A recipe names one in [data]; a folder of images in one folder a class is \"folder\".",
           {{"What is there?", "micromind datasets"}, {"Get one", "micromind data get cifar10"}})
      ->callback([&console] { list_datasets(console); });
}

}  // namespace micromind
