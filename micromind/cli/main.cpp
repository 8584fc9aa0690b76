// micromind: the command line. Parses, calls the library, prints. Exit status: 0 done, 1 it failed, 2 wrong usage,
// 130 interrupted.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/text.h"
#include "micromind/cli/verbs.h"

namespace micromind {
namespace {

constexpr int kFailed = 1, kUsage = 2, kInterrupted = 130;

constexpr const char* kFooter =
    "Examples:\n"
    "  # Everything at once: train, quantise, emit C, prove it on an emulated chip, write a report\n"
    "  micromind run demo\n"
    "  # The network that fills a board, as a recipe\n"
    "  micromind design phinet --input 3x96x96 --classes 10 --target stm32l4r5 --macs 20M --output net.toml\n"
    "  # What a network costs before a weight is trained\n"
    "  micromind inspect phinet --input 3x160x160 --target stm32h743\n\n"
    "micromind VERB --help teaches a verb.";

void add_verbs(CLI::App& app, Console& console) {
  add_design(app, console);
  add_run(app, console);
  add_train(app, console);
  add_evaluate(app, console);
  add_quantize(app, console);
  add_export(app, console);
  add_convert(app, console);
  add_deploy(app, console);
  add_validate(app, console);
  add_report(app, console);
  add_inspect(app, console);
  add_explain(app, console);
  add_bench(app, console);
  add_predict(app, console);
  add_data(app, console);
  add_datasets(app, console);
  add_networks(app, console);
  add_operators(app, console);
  add_recipes(app, console);
  add_targets(app, console);
}

int complain(std::string_view text, std::string_view hint, int status) {
  Console::note(fmt::format("micromind: {}", text));
  if (!hint.empty()) Console::note(fmt::format("hint: {}", hint));
  return status;
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands(nullptr)) names.push_back(verb->get_name());
  return names;
}

// "--traget" → "did you mean '--target'?", from the options of the verb that was given.
std::string option_hint(const CLI::App& app, int argc, char** argv) {
  const std::vector<CLI::App*> given = app.get_subcommands();
  const CLI::App* verb = given.empty() ? &app : given.front();
  std::vector<std::string> known;
  for (const CLI::Option* option : verb->get_options())
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  for (int i = 1; i < argc; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
    if (word.starts_with("--") && std::find(known.begin(), known.end(), word) == known.end())
      if (const std::string near = nearest_name(word, known); !near.empty()) return fmt::format("did you mean '{}'?", near);
  }
  return given.empty() ? "micromind --help lists the verbs" : fmt::format("micromind {} --help", verb->get_name());
}

// A closed standard stream would lend its number to the next file that is opened, and messages would land in a checkpoint.
// Standard output becomes unwritable, so that finish() still finds it lost.
void hold_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) == -1 && ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) < 0) std::_Exit(kFailed);
}

// Standard output may have been a full disk or a closed pipe.
int finish(int status) {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) return complain("the output could not be written", "", kFailed);
  return status;
}

int run(int argc, char** argv) {
  Console console;
  CLI::App app("micromind: a tinyML network from an idea to a microcontroller", "micromind");
  app.footer(kFooter);
  app.set_version_flag("--version", MICROMIND_VERSION);
  app.get_formatter()->column_width(34);
  add_verbs(app, console);
  if (argc < 2) {
    std::fputs(app.help().c_str(), stderr);
    return kUsage;
  }
  const std::vector<std::string> verbs = verb_names(app);
  const std::string first = argv[1];
  if (!first.starts_with("-") && std::find(verbs.begin(), verbs.end(), first) == verbs.end())
    return complain(fmt::format("unknown verb '{}'", first), name_hint(first, verbs), kUsage);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForVersion&) {
    fmt::print("micromind {}\n", MICROMIND_VERSION);
  } catch (const CLI::Success&) {  // --help
    fmt::print("{}", app.help());
  } catch (const CLI::ParseError& error) {
    return complain(error.what(), option_hint(app, argc, argv), kUsage);
  }
  return finish(console.exit_status);
}

}  // namespace
}  // namespace micromind

int main(int argc, char** argv) {
  using namespace micromind;
  try {
    limit_spinning(argc, argv);
    hold_standard_streams();
    catch_interrupts();
    return run(argc, argv);
  } catch (const Interrupted& error) {
    return complain(error.what(), "", kInterrupted);
  } catch (const Error& error) {
    return complain(error.where().empty() ? error.message() : fmt::format("[{}] {}", error.where(), error.message()), error.hint(), kFailed);
  } catch (const std::bad_alloc&) {
    return complain("not enough memory", "a smaller batch_size or image takes less", kFailed);
  } catch (const nlohmann::json::exception& error) {  // ours are written and read by one program: somebody changed a file
    return complain(fmt::format("a stored result of the run is not as expected: {}", without_tag(error.what())),
                    "remove results.json from the run folder, then: micromind run RUN --resume", kFailed);
  } catch (const std::exception& error) {
    return complain(fmt::format("internal error: {}", error.what()), "this is a fault of micromind: please report it with the command you gave", kFailed);
  } catch (...) {
    return complain("internal error of an unknown kind", "this is a fault of micromind: please report it with the command you gave", kFailed);
  }
}
