// Mixed precision: inside its scope libtorch's products and convolutions run in bfloat16, what needs the range stays float32
// (Micikevicius et al., "Mixed precision training", ICLR 2018; bfloat16 needs no scaling of the loss). The backward pass follows the
// types of the forward pass by itself.
#pragma once

#include <c10/core/DeviceType.h>

namespace micromind {

class Autocast {
 public:
  /// Does nothing unless `on`. Of the calling thread.
  Autocast(c10::DeviceType device, bool on);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool on_, before_ = false;
};

}  // namespace micromind
