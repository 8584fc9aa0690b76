// A file of tensors in whichever format: PyTorch's or safetensors, told apart by its first bytes.
//
//   const TensorFile file = read_tensor_file("model.pt");        // .pt, .pth, .ckpt, .bin, .safetensors, or a run folder
//   write_tensor_file("model.safetensors", state);               // by the ending
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "micromind/formats/py_value.h"

namespace micromind {

struct TensorFile {
  std::filesystem::path path;  ///< of a run folder: its checkpoints/best.pt
  std::string format;          ///< "PyTorch", "safetensors"
  PyValue tree;
  std::map<std::string, std::string> metadata;  ///< safetensors
};

/// Of a run folder, its checkpoints/best.pt; of another path, the path.
/// Throws Error when it is absent, a run folder that was not trained or another folder.
std::filesystem::path tensor_file_path(const std::filesystem::path& path);

/// Throws Error as tensor_file_path, read_pytorch and read_safetensors do.
TensorFile read_tensor_file(const std::filesystem::path& path);

/// "pytorch" or "safetensors" by the ending of a path: .pt, .pth, .ckpt, .bin; .safetensors. "" for others.
std::string tensor_format(const std::filesystem::path& path);

/// Throws Error on other endings, before anything is written.
void write_tensor_file(const std::filesystem::path& path, const PyValue& state, const std::map<std::string, std::string>& metadata = {});

}  // namespace micromind
