// What the fuzzers and the replay of their corpus do with the bytes of a file: read it, and take what was read one step
// further. Error is the one exception that may leave a reader; anything else, a sanitizer's report, more memory or
// more time than allowed is a finding.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "micromind/base/error.h"
#include "micromind/formats/onnx.h"
#include "micromind/formats/tflite.h"
#include "micromind/lower/lower.h"

namespace micromind::fuzz {

/// Either a model or the text of an Error, which must not be empty.
struct Outcome {
  bool read = false;
  std::string error;
};

/// The step behind reading: an int8 model is written as .tflite, a float one is lowered.
inline void take_further(const Model& model) {
  if (is_quantized(model)) to_tflite(model);
  else lower(model.graph);
}

template <class Read>
Outcome outcome_of(Read&& read_file) {
  Outcome outcome;
  try {
    const Model model = read_file();
    outcome.read = true;
    take_further(model);
  } catch (const Error& error) {
    outcome.error = error.what();
    if (outcome.error.empty()) __builtin_trap();
  }
  return outcome;
}

inline Outcome read_as_tflite(std::span<const std::uint8_t> bytes) {
  return outcome_of([&] { return tflite_from_bytes(bytes, "fuzzed.tflite"); });
}

inline Outcome read_as_onnx(std::span<const std::uint8_t> bytes) {
  return outcome_of([&] { return onnx_from_bytes(bytes, "fuzzed.onnx"); });
}

}  // namespace micromind::fuzz
