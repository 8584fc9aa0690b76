// safetensors files: a JSON header that names tensors, and their bytes behind it; nothing in it can run.
//
//   const Safetensors file = read_safetensors("model.safetensors");
//   const PyTensor& t = file.tensors.at("conv.weight").as_tensor();
//   write_safetensors("copy.safetensors", file.tensors, file.metadata);
//
// Layout (github.com/huggingface/safetensors, "Format"): eight bytes, little-endian: the header's length N; N bytes of
// JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, …, "__metadata__": {text: text}}, spaces may follow it;
// then the data, row-major and little-endian, without overlaps and holes.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "micromind/formats/py_value.h"

namespace micromind {

struct Safetensors {
  PyValue tensors = PyValue::dict();            ///< name → tensor, in the order of their data
  std::map<std::string, std::string> metadata;  ///< free text, "format" → "pt" in most files
};

/// By the first bytes: a length that fits the file, and "{".
bool looks_like_safetensors(std::span<const std::uint8_t> bytes);

/// Strict, as the format demands. Throws Error that names the file on a header beyond 100 MB, JSON of another form, a
/// name given twice, offsets that overlap, leave holes, run past the end or do not fit dtype and shape, and on dtypes
/// that PyDtype does not have (complex numbers, parts of a byte).
Safetensors read_safetensors(const std::filesystem::path& path);
Safetensors parse_safetensors(const Bytes& bytes, const std::string& where);

/// `tensors` is a flat dict of tensors. Wider types come first, then by name, so that data are aligned; the same tensors
/// give the same bytes. Throws Error when a value is no tensor or a name is "__metadata__".
Bytes safetensors_bytes(const PyValue& tensors, const std::map<std::string, std::string>& metadata = {});
void write_safetensors(const std::filesystem::path& path, const PyValue& tensors, const std::map<std::string, std::string>& metadata = {});  ///< atomically

}  // namespace micromind
