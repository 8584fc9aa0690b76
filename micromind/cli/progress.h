// Shows training on standard error: one line rewritten in place on a terminal, plain lines in a pipe or file.
//
//   ProgressPrinter printer;
//   train_classification(recipe, graph, folder, {.progress = std::ref(printer)});
#pragma once

#include <chrono>

#include "micromind/train/progress.h"

namespace micromind {

class ProgressPrinter {
 public:
  ProgressPrinter();
  ~ProgressPrinter();  ///< ends a line that is still being rewritten
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;
  void operator()(const TrainProgress& progress);

 private:
  bool terminal_;
  bool open_line_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace micromind
