#include <algorithm>
#include <map>

#include "micromind/formats/tflite_file.h"

namespace micromind::tflite {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

class Serializer {
 public:
  explicit Serializer(const File& file) : file_(file) {}

  Bytes run() {
    // Buffer 0 is the empty one by convention.
    buffers_.push_back(CreateBuffer(b_));
    std::vector<Offset<Tensor>> tensors;
    for (const FileTensor& t : file_.tensors) tensors.push_back(tensor(t));
    std::vector<Offset<Operator>> operators;
    for (const FileOperator& o : file_.operators) operators.push_back(op(o));
    const auto graph = CreateSubGraphDirect(b_, &tensors, &file_.inputs, &file_.outputs, &operators, file_.name.c_str());
    const std::vector<Offset<SubGraph>> graphs = {graph};
    std::vector<Offset<Metadata>> metadata;
    if (!file_.minimum_runtime.empty()) {
      Bytes version(16, 0);  // the converter's form: 16 bytes, zero-padded
      std::copy_n(file_.minimum_runtime.begin(), std::min<std::size_t>(15, file_.minimum_runtime.size()), version.begin());
      metadata.push_back(CreateMetadataDirect(b_, "min_runtime_version", static_cast<std::uint32_t>(buffers_.size())));
      buffers_.push_back(buffer(version));
    }
    const std::vector<Offset<SignatureDef>> signatures = signature();
    const auto model = CreateModelDirect(b_, 3, &codes_, &graphs, file_.description.c_str(), &buffers_, nullptr,
                                         metadata.empty() ? nullptr : &metadata, signatures.empty() ? nullptr : &signatures);
    FinishModelBuffer(b_, model);
    return Bytes(b_.GetBufferPointer(), b_.GetBufferPointer() + b_.GetSize());
  }

 private:
  Offset<Buffer> buffer(const Bytes& data) {
    b_.ForceVectorAlignment(data.size(), 1, 16);
    const auto content = b_.CreateVector(data);
    return CreateBuffer(b_, content);
  }

  Offset<Tensor> tensor(const FileTensor& t) {
    std::uint32_t index = 0;
    if (t.constant) {
      index = static_cast<std::uint32_t>(buffers_.size());
      buffers_.push_back(buffer(t.data));
    }
    Offset<QuantizationParameters> quantization;
    if (!t.scales.empty())
      quantization = CreateQuantizationParametersDirect(b_, nullptr, nullptr, &t.scales, &t.zero_points, 0, 0, t.quantized_dimension);
    return CreateTensorDirect(b_, &t.shape, t.type, index, t.name.c_str(), quantization, t.variable, 0, nullptr, t.shape.empty());
  }

  std::uint32_t code(const FileOperator& o) {
    const auto [it, is_new] = code_index_.try_emplace({o.code, o.version, o.custom_code}, static_cast<std::uint32_t>(codes_.size()));
    if (is_new)
      codes_.push_back(CreateOperatorCodeDirect(b_, static_cast<std::int8_t>(std::min<std::int32_t>(o.code, 127)),
                                                o.custom_code.empty() ? nullptr : o.custom_code.c_str(), o.version, o.code));
    return it->second;
  }

  Offset<Operator> op(const FileOperator& o) {
    const std::uint32_t index = code(o);
    const auto [type, options] = make_options(o);
    return CreateOperatorDirect(b_, index, &o.inputs, &o.outputs, type, options);
  }

  std::pair<BuiltinOptions, Offset<void>> make_options(const FileOperator& op) {
    const FileOptions& o = op.options;
    switch (op.code) {
      case BuiltinOperator_CONV_2D:
        return {BuiltinOptions_Conv2DOptions,
                CreateConv2DOptions(b_, o.padding, o.stride.w, o.stride.h, o.activation, o.dilation.w, o.dilation.h).Union()};
      case BuiltinOperator_DEPTHWISE_CONV_2D:
        return {BuiltinOptions_DepthwiseConv2DOptions,
                CreateDepthwiseConv2DOptions(b_, o.padding, o.stride.w, o.stride.h, o.depth_multiplier, o.activation, o.dilation.w,
                                             o.dilation.h)
                    .Union()};
      case BuiltinOperator_AVERAGE_POOL_2D:
      case BuiltinOperator_MAX_POOL_2D:
        return {BuiltinOptions_Pool2DOptions,
                CreatePool2DOptions(b_, o.padding, o.stride.w, o.stride.h, o.filter.w, o.filter.h, o.activation).Union()};
      case BuiltinOperator_FULLY_CONNECTED:
        return {BuiltinOptions_FullyConnectedOptions,
                CreateFullyConnectedOptions(b_, o.activation, static_cast<std::int8_t>(o.weights_format), o.keep_dims).Union()};
      case BuiltinOperator_SOFTMAX: return {BuiltinOptions_SoftmaxOptions, CreateSoftmaxOptions(b_, o.beta).Union()};
      case BuiltinOperator_CONCATENATION:
        return {BuiltinOptions_ConcatenationOptions, CreateConcatenationOptions(b_, o.axis, o.activation).Union()};
      case BuiltinOperator_ADD: return {BuiltinOptions_AddOptions, CreateAddOptions(b_, o.activation).Union()};
      case BuiltinOperator_MUL: return {BuiltinOptions_MulOptions, CreateMulOptions(b_, o.activation).Union()};
      case BuiltinOperator_RESHAPE: return {BuiltinOptions_ReshapeOptions, reshape_options(op).Union()};
      case BuiltinOperator_PAD: return {BuiltinOptions_PadOptions, CreatePadOptions(b_).Union()};
      case BuiltinOperator_PADV2: return {BuiltinOptions_PadV2Options, CreatePadV2Options(b_).Union()};
      case BuiltinOperator_MEAN: return {BuiltinOptions_ReducerOptions, CreateReducerOptions(b_, o.keep_dims).Union()};
      case BuiltinOperator_STRIDED_SLICE:
        return {BuiltinOptions_StridedSliceOptions, CreateStridedSliceOptions(b_, o.begin_mask, o.end_mask).Union()};
      case BuiltinOperator_SPLIT: return {BuiltinOptions_SplitOptions, CreateSplitOptions(b_, o.splits).Union()};
      case BuiltinOperator_SPLIT_V: return {BuiltinOptions_SplitVOptions, CreateSplitVOptions(b_, o.splits).Union()};
      case BuiltinOperator_RESIZE_NEAREST_NEIGHBOR:
        return {BuiltinOptions_ResizeNearestNeighborOptions,
                CreateResizeNearestNeighborOptions(b_, o.align_corners, o.half_pixel_centers).Union()};
      case BuiltinOperator_QUANTIZE: return {BuiltinOptions_QuantizeOptions, CreateQuantizeOptions(b_).Union()};
      case BuiltinOperator_DEQUANTIZE: return {BuiltinOptions_DequantizeOptions, CreateDequantizeOptions(b_).Union()};
      case BuiltinOperator_HARD_SWISH: return {BuiltinOptions_HardSwishOptions, CreateHardSwishOptions(b_).Union()};
      default: return {BuiltinOptions_NONE, 0};  // RELU, RELU6, LOGISTIC have none
    }
  }

  Offset<ReshapeOptions> reshape_options(const FileOperator& op) {
    return CreateReshapeOptionsDirect(b_, &file_.tensors[static_cast<std::size_t>(op.outputs[0])].shape);
  }

  std::vector<Offset<SignatureDef>> signature() {
    if (file_.signature_inputs.empty() && file_.signature_outputs.empty()) return {};
    const auto ports = [&](const std::vector<FilePort>& list) {
      std::vector<Offset<TensorMap>> maps;
      for (const FilePort& p : list) maps.push_back(CreateTensorMapDirect(b_, p.name.c_str(), static_cast<std::uint32_t>(p.tensor)));
      return maps;
    };
    const auto inputs = ports(file_.signature_inputs), outputs = ports(file_.signature_outputs);
    return {CreateSignatureDefDirect(b_, &inputs, &outputs, "serving_default")};
  }

  const File& file_;
  FlatBufferBuilder b_;
  std::vector<Offset<Buffer>> buffers_;
  std::vector<Offset<OperatorCode>> codes_;
  std::map<std::tuple<BuiltinOperator, std::int32_t, std::string>, std::uint32_t> code_index_;
};

}  // namespace

Bytes serialize_file(const File& file) { return Serializer(file).run(); }

}  // namespace micromind::tflite
