// Several models in one firmware: emitted into one folder, built into one image, run in turn on one arena of the emulated core, every
// output byte compared with the host's.
//
//   const ModelsDeployment d = deploy_models({{"keyword", keyword, inputs_a}, {"person", person, inputs_b}}, load_target("stm32h743"), "c");
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "micromind/deploy/deploy.h"

namespace micromind {

struct ModelToDeploy {
  std::string name;  ///< prefix of its C names
  Model model;
  std::vector<std::vector<std::int8_t>> inputs;  ///< as many for every model
};

struct ModelOfImage {
  std::string name, network;
  std::int64_t arena_bytes = 0, macs = 0;
  std::int64_t instructions = 0;  ///< of the first input, in the common image
  std::int64_t outputs_compared = 0, outputs_identical = 0;
};

struct ModelsDeployment {
  std::string target, core, machine, compiler;
  std::int64_t arena_bytes = 0;  ///< the largest model's
  std::string arena_bank;
  std::int64_t flash_bytes = 0;       ///< of the image with all models
  std::int64_t kernel_bytes = 0;      ///< of these, kernels' code
  std::int64_t shared_kernels = 0;    ///< functions that more than one model calls, each there once
  std::vector<ModelOfImage> models;
  std::string first_difference;  ///< "" when all is identical
  bool identical() const;        ///< something was compared, and nothing differed
};

/// Throws Error as deploy() and emit_models() do; DeployOptions::name and projects have no meaning here.
ModelsDeployment deploy_models(const std::vector<ModelToDeploy>& models, const Target& target, const std::filesystem::path& folder,
                               const DeployOptions& options = {});

nlohmann::json to_json(const ModelsDeployment& deployment);
std::string models_table(const ModelsDeployment& deployment);

}  // namespace micromind
