#include "micromind/formats/tensor_file.h"

#include "micromind/base/error.h"
#include "micromind/formats/pytorch.h"
#include "micromind/formats/safetensors.h"

namespace micromind {

namespace fs = std::filesystem;

fs::path tensor_file_path(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) fail_with_hint("weights", "a run folder, a .pt or a .safetensors file", "{}: there is no such file or folder", path.string());
  if (!fs::is_directory(path, ignored)) return path;
  const fs::path best = path / "checkpoints/best.pt";
  if (fs::exists(best, ignored)) return best;
  if (fs::exists(path / "recipe.toml", ignored))
    fail_with_hint("weights", fmt::format("micromind train {}", path.string()), "{}: the run has not been trained (no checkpoints/best.pt)", path.string());
  fail_with_hint("weights", "name the file", "{} is a folder, and no run's", path.string());
}

TensorFile read_tensor_file(const fs::path& path) {
  TensorFile file{.path = tensor_file_path(path)};
  const Bytes bytes = read_bytes(file.path);
  if (looks_like_safetensors(bytes) || tensor_format(file.path) == "safetensors") {
    Safetensors content = parse_safetensors(bytes, file.path.string());
    file.format = "safetensors";
    file.tree = std::move(content.tensors);
    file.metadata = std::move(content.metadata);
  } else {
    file.format = "PyTorch";
    file.tree = parse_pytorch(bytes, file.path.string());
  }
  return file;
}

std::string tensor_format(const fs::path& path) {
  const fs::path ending = path.extension();
  if (ending == ".safetensors") return "safetensors";
  for (const char* known : {".pt", ".pth", ".ckpt", ".bin"})
    if (ending == known) return "pytorch";
  return "";
}

void write_tensor_file(const fs::path& path, const PyValue& state, const std::map<std::string, std::string>& metadata) {
  const std::string format = tensor_format(path);
  if (format.empty()) fail_with_hint("weights", "end the name in .pt or .safetensors", "{}: the format is told by the name's ending", path.string());
  if (format == "safetensors") write_safetensors(path, state, metadata);
  else write_pytorch(path, state);
}

}  // namespace micromind
