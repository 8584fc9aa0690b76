#include "micromind/train/progress.h"

#include <fmt/format.h>

#include <cmath>

#include "micromind/base/text.h"

namespace micromind {

std::string format_duration(double seconds) {
  if (!(seconds >= 0 && seconds < 1e9)) return "? s";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

std::string progress_text(const TrainProgress& p) {
  const std::string speed = fmt::format("{} images/s", format_count(std::llround(p.images_per_second)));
  if (!p.notable())
    return fmt::format("epoch {}/{}  step {}/{}  loss {:.4f}  lr {:.2g}  {}  {} left", p.epoch, p.epochs, p.step,
                       p.total_steps, p.loss, p.learning_rate, speed, format_duration(p.eta_seconds));
  std::string text = fmt::format("epoch {}/{}", p.epoch, p.epochs);
  if (!p.epoch_ended) text += fmt::format("  step {}/{}", p.step, p.total_steps);
  text += fmt::format("  loss {:.4f}", p.loss);
  for (const auto& [name, value] : p.train_metrics) text += fmt::format("  train {} {:.4f}", name, value);
  for (const auto& [name, value] : p.metrics) text += fmt::format("  validation {} {:.4f}", name, value);
  return text + fmt::format("  {}{}", speed, p.best ? "  *" : "");
}

}  // namespace micromind
