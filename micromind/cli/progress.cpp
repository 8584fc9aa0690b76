#include "micromind/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace micromind {
namespace {

// Steps are shown at most this often; ends of epochs and validations always.
constexpr std::chrono::milliseconds kTerminalPause(200);
constexpr std::chrono::seconds kPipePause(30);

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
}

}  // namespace

ProgressPrinter::ProgressPrinter() : terminal_(::isatty(STDERR_FILENO) == 1), next_(std::chrono::steady_clock::now()) {
  if (!terminal_) next_ += kPipePause;
}

ProgressPrinter::~ProgressPrinter() {
  if (open_line_) std::fputs("\n", stderr);
}

void ProgressPrinter::operator()(const TrainProgress& progress) {
  const auto now = std::chrono::steady_clock::now();
  if (!progress.notable() && now < next_) return;
  next_ = now + (terminal_ ? std::chrono::steady_clock::duration(kTerminalPause) : kPipePause);
  std::string text = progress_text(progress);
  if (terminal_) {
    if (!progress.notable()) text.resize(std::min(text.size(), terminal_width()));
    text = "\r\x1b[K" + text;
  }
  open_line_ = terminal_ && !progress.notable();
  if (!open_line_) text += '\n';
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace micromind
