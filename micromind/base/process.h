// Running other programs (cross compiler, emulator): arguments as a list, never through a shell.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace micromind {

struct ProcessResult {
  int exit_status = 0;       ///< 128 + signal when it was killed
  bool timed_out = false;    ///< it was killed because it ran longer than allowed
  std::string out;           ///< standard output
  std::string err;           ///< standard error
};

struct ProcessOptions {
  std::filesystem::path folder;  ///< working folder; empty = the caller's
  double timeout_s = 600;
};

/// Runs `arguments[0]`, looked up in PATH. Throws Error when it cannot be started; a non-zero exit is no error here.
ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

/// A program that runs beside this one and ends with the object at the latest. Its output is not kept.
class BackgroundProcess {
 public:
  BackgroundProcess() = default;
  ~BackgroundProcess() { stop(); }
  BackgroundProcess(const BackgroundProcess&) = delete;
  BackgroundProcess& operator=(const BackgroundProcess&) = delete;

  /// Ends an earlier one first. Throws Error when it cannot be started.
  void start(const std::vector<std::string>& arguments, const std::filesystem::path& folder = {});
  bool running();
  void stop();  ///< kills it where it runs

 private:
  int pid_ = -1;
};

/// The path of a program in PATH, or nothing.
std::optional<std::filesystem::path> find_program(const std::string& name);

}  // namespace micromind
