// Several models in one folder of C: each with its own names, the kernels' files once, their code shared where the linker can, one
// arena as large as the largest.
//
//   emit_models({{"keyword", keyword}, {"person", person}})
//
//   models.h               every model's header, and models_arena: run one model at a time in it
//   keyword.h, keyword.c   keyword_run(), KEYWORD_ARENA_BYTES …: as the emitter writes a model alone (emit.h)
//   kernels/…, CMakeLists.txt, Makefile, README.md, test/keyword/…
#pragma once

#include <string>
#include <vector>

#include "micromind/deploy/emit.h"

namespace micromind {

struct NamedModel {
  std::string name;  ///< prefix of its C names
  const Model* model = nullptr;
  std::vector<std::vector<std::int8_t>> test_inputs;  ///< EmitOptions::test_inputs
};

/// Throws Error for fewer than two models, a name twice or "models", and as emit_c() does.
std::vector<EmittedFile> emit_models(const std::vector<NamedModel>& models);

/// "kws ref-model.tflite" → "kws_ref_model": what check_prefix() accepts, and none of `taken`.
std::string model_name(const std::string& file, const std::vector<std::string>& taken);

}  // namespace micromind
