// The serial program on an emulated machine, behind its real (emulated) serial port: an example of a board without one.
//
//   SerialEmulator board(model, load_target("mps2-an500"));
//   SerialChip chip(open_line(board.line()), board.line());
#pragma once

#include <filesystem>
#include <string>

#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/graph/model.h"
#include "micromind/targets/target.h"

namespace micromind {

class SerialEmulator {
 public:
  /// Builds the program (with the trace of layers) and starts it. Throws Error for what deploy() refuses and for a
  /// machine whose serial port has no driver here: mps2-an385, -an386, -an500 and the RISC-V machines have one.
  SerialEmulator(const Model& model, const Target& target, bool trace = true);

  /// What the port is connected to, for open_line(): "unix:…". One connection at a time.
  const std::string& line() const { return line_; }
  bool running() { return process_.running(); }
  void stop() { process_.stop(); }

 private:
  TemporaryFolder folder_;
  std::string line_;
  BackgroundProcess process_;
};

}  // namespace micromind
