#include "micromind/train/autocast.h"

#include <ATen/autocast_mode.h>
#include <torch/version.h>

namespace micromind {
namespace {

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
bool enabled(c10::DeviceType device) { return at::autocast::is_autocast_enabled(device); }
void enable(c10::DeviceType device, bool on) {
  at::autocast::set_autocast_enabled(device, on);
  if (on) at::autocast::set_autocast_dtype(device, at::kBFloat16);
}
#else
bool enabled(c10::DeviceType device) { return device == c10::kCPU ? at::autocast::is_cpu_enabled() : at::autocast::is_enabled(); }
void enable(c10::DeviceType device, bool on) {
  if (device == c10::kCPU) {
    at::autocast::set_cpu_enabled(on);
    if (on) at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
  } else {
    at::autocast::set_enabled(on);
    if (on) at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
  }
}
#endif

}  // namespace

Autocast::Autocast(c10::DeviceType device, bool on) : device_(device), on_(on) {
  if (!on_) return;
  before_ = enabled(device_);
  at::autocast::increment_nesting();
  enable(device_, true);
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();  // casts of weights that the next step changes
  enable(device_, before_);
}

}  // namespace micromind
