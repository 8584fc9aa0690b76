// TensorFlow Lite files, both ways.
//
//   write_tflite(int8_model, "model.tflite");     // runs in TensorFlow Lite (Micro) with the same bytes
//   const Model model = read_tflite("anyones.tflite");
//
// What becomes what (int8 forms; see graph/model.h):
//   conv2d               CONV_2D, DEPTHWISE_CONV_2D; padding that is neither SAME nor VALID: PAD in front. Groups other
//                        than depthwise: CONV_2D whose filter has fewer input channels than the tensor
//   linear               FULLY_CONNECTED           activation  RELU, RELU6, HARD_SWISH, LOGISTIC; silu: LOGISTIC, MUL
//   add, multiply        ADD, MUL                  concat      CONCATENATION
//   split                SPLIT or SPLIT_V          pad         PAD
//   max_pool2d           MAX_POOL_2D, PADV2 (−128) in front where needed
//   avg_pool2d           AVERAGE_POOL_2D           flatten     RESHAPE (or none: FULLY_CONNECTED flattens)
//   adaptive_avg_pool2d  MEAN for global pooling, AVERAGE_POOL_2D for whole ratios, else STRIDED_SLICE,
//                        AVERAGE_POOL_2D and CONCATENATION
//   upsample             RESIZE_NEAREST_NEIGHBOR   softmax     SOFTMAX       requantize  QUANTIZE
// Padding is explicit in a Model, so SAME is resolved on reading and found again on writing. Names of inputs and
// outputs are kept in the file's signature. The format has no place for entry points, states and mutable parameters.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "micromind/base/file.h"
#include "micromind/graph/model.h"

namespace micromind {

/// The file's bytes; equal models give equal bytes. Throws Error that names the node when the model is not int8, a
/// weight has the wrong form or the format has no operator for it (hard_sigmoid, average pooling whose padding is not
/// SAME's).
Bytes to_tflite(const Model& model);
void write_tflite(const Model& model, const std::filesystem::path& path);

/// An int8 file becomes the int8 form of Model. QUANTIZE and DEQUANTIZE at the edges (a float or uint8 interface) are
/// dropped: the model's inputs and outputs are the int8 tensors behind them. A float file becomes the float form
/// (int8 weights of a float network are dequantised).
/// Throws Error on a damaged file, and one Error that lists every operator that cannot be read.
Model read_tflite(const std::filesystem::path& path);

/// The same from memory; `name` (a file name) stands in error messages.
Model tflite_from_bytes(std::span<const std::uint8_t> bytes, std::string_view name);

}  // namespace micromind
