// libFuzzer target of the .tflite reader: cmake --preset fuzz; docs/formats.md.
#include "fuzz/readers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  micromind::fuzz::read_as_tflite({data, size});
  return 0;
}
