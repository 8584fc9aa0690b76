#include <cmath>
#include <cstring>

#include "micromind/base/error.h"
#include "micromind/formats/tflite_file.h"

namespace micromind::tflite {
namespace {

constexpr std::int64_t kMaxExtent = 1 << 24, kMaxElements = 1 << 28;  // far above any tinyML network
constexpr std::int32_t kMaxWindow = 1 << 12;                           // kernels, strides, dilations

int type_size(TensorType type) {
  switch (type) {
    case TensorType_BOOL:
    case TensorType_UINT8:
    case TensorType_INT8: return 1;
    case TensorType_INT16:
    case TensorType_UINT16:
    case TensorType_FLOAT16: return 2;
    case TensorType_FLOAT32:
    case TensorType_INT32:
    case TensorType_UINT32: return 4;
    case TensorType_INT64:
    case TensorType_UINT64:
    case TensorType_FLOAT64: return 8;
    default: return 0;
  }
}

std::string text(const flatbuffers::String* s) { return s ? s->str() : std::string(); }

std::vector<std::int32_t> indices(const flatbuffers::Vector<std::int32_t>* v) {
  return v ? std::vector<std::int32_t>(v->begin(), v->end()) : std::vector<std::int32_t>();
}

class Parser {
 public:
  Parser(const Model& model, std::string_view name) : model_(model), where_(name) {}

  File run() {
    if (model_.version() != 3) bad("schema version {} is not 3", model_.version());
    if (!model_.subgraphs() || model_.subgraphs()->size() == 0) bad("it has no subgraph");
    const SubGraph& graph = *model_.subgraphs()->Get(0);
    file_.name = text(graph.name());
    file_.description = text(model_.description());
    if (graph.tensors())
      for (const Tensor* t : *graph.tensors()) file_.tensors.push_back(tensor(*t));
    if (graph.operators())
      for (const Operator* o : *graph.operators()) file_.operators.push_back(op(*o));
    file_.inputs = indices(graph.inputs());
    file_.outputs = indices(graph.outputs());
    for (const std::int32_t i : file_.inputs) check_index(i, "an input", 0);
    for (const std::int32_t i : file_.outputs) check_index(i, "an output", 0);
    signature();
    metadata();
    return std::move(file_);
  }

 private:
  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail("tflite", "{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }

  void check_index(std::int32_t index, std::string_view what, std::int32_t lowest) const {
    if (index < lowest || index >= static_cast<std::int64_t>(file_.tensors.size()))
      bad("{} refers to tensor {} among {}", what, index, file_.tensors.size());
  }

  FileTensor tensor(const Tensor& t) const {
    FileTensor out;
    out.name = text(t.name());
    out.type = t.type();
    out.variable = t.is_variable();
    out.shape = indices(t.shape());
    std::int64_t elements = 1;
    for (const std::int32_t d : out.shape) {
      if (d < 0 || d > kMaxExtent) bad("tensor '{}' has an extent of {}", out.name, d);
      elements *= d;
      if (elements > kMaxElements) bad("tensor '{}' has more than {} elements", out.name, kMaxElements);
    }
    if (t.sparsity()) bad("tensor '{}' is stored sparse, which is not supported", out.name);
    content(t, elements, out);
    if (t.quantization()) quantization(*t.quantization(), out);
    return out;
  }

  void content(const Tensor& t, std::int64_t elements, FileTensor& out) const {
    if (t.buffer() == 0) return;
    if (!model_.buffers() || t.buffer() >= model_.buffers()->size())
      bad("tensor '{}' refers to buffer {} among {}", out.name, t.buffer(), model_.buffers() ? model_.buffers()->size() : 0);
    const Buffer& buffer = *model_.buffers()->Get(t.buffer());
    if (buffer.offset() > 1 || buffer.size() > 1) bad("tensor '{}' is stored outside the FlatBuffer, which is not supported", out.name);
    if (!buffer.data() || buffer.data()->size() == 0) return;
    const int size = type_size(t.type());
    if (size > 0 && buffer.data()->size() != elements * size)
      bad("tensor '{}' has {} bytes where its shape needs {}", out.name, buffer.data()->size(), elements * size);
    out.constant = true;
    out.data.assign(buffer.data()->begin(), buffer.data()->end());
  }

  void quantization(const QuantizationParameters& q, FileTensor& out) const {
    if (!q.scale() || q.scale()->size() == 0) return;
    if (q.details_type() != 0) bad("tensor '{}' has a custom quantisation", out.name);
    out.scales.assign(q.scale()->begin(), q.scale()->end());
    for (const float s : out.scales)
      if (!std::isfinite(s) || s < 0) bad("tensor '{}' has a scale of {}", out.name, s);
    if (q.zero_point() && q.zero_point()->size() > 0) {  // by copy: the verifier leaves 8-byte elements at 4-byte places
      out.zero_points.resize(q.zero_point()->size());
      std::memcpy(out.zero_points.data(), q.zero_point()->Data(), out.zero_points.size() * sizeof(std::int64_t));
    }
    if (out.zero_points.empty()) out.zero_points.assign(out.scales.size(), 0);
    if (out.zero_points.size() != out.scales.size())
      bad("tensor '{}' has {} scales and {} zero points", out.name, out.scales.size(), out.zero_points.size());
    const std::int64_t low = out.type == TensorType_INT8 ? -128 : 0, high = out.type == TensorType_INT8 ? 127 : out.type == TensorType_UINT8 ? 255 : 0;
    for (const std::int64_t z : out.zero_points)
      if (z < low || z > high) bad("tensor '{}' has a zero point of {}, outside {}…{}", out.name, z, low, high);
    if (out.scales.size() == 1) return;
    out.quantized_dimension = q.quantized_dimension();
    if (out.quantized_dimension < 0 || out.quantized_dimension >= static_cast<std::int64_t>(out.shape.size()) ||
        out.shape[static_cast<std::size_t>(out.quantized_dimension)] != static_cast<std::int64_t>(out.scales.size()))
      bad("tensor '{}' has {} scales, which do not fit its dimension {}", out.name, out.scales.size(), out.quantized_dimension);
  }

  FileOperator op(const Operator& o) const {
    FileOperator out;
    if (!model_.operator_codes() || o.opcode_index() >= model_.operator_codes()->size())
      bad("operator {} refers to code {}", file_.operators.size(), o.opcode_index());
    const OperatorCode& code = *model_.operator_codes()->Get(o.opcode_index());
    out.code = static_cast<BuiltinOperator>(std::max<std::int32_t>(code.deprecated_builtin_code(), code.builtin_code()));
    out.custom_code = text(code.custom_code());
    out.version = code.version();
    out.inputs = indices(o.inputs());
    out.outputs = indices(o.outputs());
    const std::string what = fmt::format("operator {} ({})", file_.operators.size(), operator_name(out));
    for (const std::int32_t i : out.inputs) check_index(i, what, -1);
    for (const std::int32_t i : out.outputs) check_index(i, what, 0);
    if (!o.builtin_options()) return out;
    options(o, out.options);
    for (const Size& s : {out.options.stride, out.options.dilation, out.options.filter})
      if (s.h < 1 || s.w < 1 || s.h > kMaxWindow || s.w > kMaxWindow) bad("{}: a window or stride of {}×{}", what, s.h, s.w);
    if (out.options.padding != Padding_SAME && out.options.padding != Padding_VALID)
      bad("{}: unknown padding {}", what, static_cast<int>(out.options.padding));
    return out;
  }

  static void options(const Operator& o, FileOptions& out) {
    if (const auto* c = o.builtin_options_as_Conv2DOptions()) {
      window(*c, out);
      out.dilation = {c->dilation_h_factor(), c->dilation_w_factor()};
    } else if (const auto* d = o.builtin_options_as_DepthwiseConv2DOptions()) {
      window(*d, out);
      out.dilation = {d->dilation_h_factor(), d->dilation_w_factor()};
      out.depth_multiplier = d->depth_multiplier();
    } else if (const auto* p = o.builtin_options_as_Pool2DOptions()) {
      window(*p, out);
      out.filter = {p->filter_height(), p->filter_width()};
    } else if (const auto* f = o.builtin_options_as_FullyConnectedOptions()) {
      out.activation = f->fused_activation_function();
      out.weights_format = f->weights_format();
      out.keep_dims = f->keep_num_dims();
    } else if (const auto* s = o.builtin_options_as_SoftmaxOptions()) {
      out.beta = s->beta();
    } else if (const auto* k = o.builtin_options_as_ConcatenationOptions()) {
      out.axis = k->axis();
      out.activation = k->fused_activation_function();
    } else if (const auto* a = o.builtin_options_as_AddOptions()) {
      out.activation = a->fused_activation_function();
    } else if (const auto* m = o.builtin_options_as_MulOptions()) {
      out.activation = m->fused_activation_function();
    } else if (const auto* r = o.builtin_options_as_ReducerOptions()) {
      out.keep_dims = r->keep_dims();
    } else if (const auto* n = o.builtin_options_as_ResizeNearestNeighborOptions()) {
      out.align_corners = n->align_corners();
      out.half_pixel_centers = n->half_pixel_centers();
    } else if (const auto* t = o.builtin_options_as_SplitOptions()) {
      out.splits = t->num_splits();
    } else if (const auto* v = o.builtin_options_as_SplitVOptions()) {
      out.splits = v->num_splits();
    } else if (const auto* l = o.builtin_options_as_StridedSliceOptions()) {
      out.begin_mask = l->begin_mask();
      out.end_mask = l->end_mask();
      out.other_masks = l->ellipsis_mask() | l->new_axis_mask() | l->shrink_axis_mask();
    }
  }

  template <class Options>
  static void window(const Options& o, FileOptions& out) {
    out.padding = o.padding();
    out.stride = {o.stride_h(), o.stride_w()};
    out.activation = o.fused_activation_function();
  }

  void signature() {
    if (!model_.signature_defs() || model_.signature_defs()->size() == 0) return;
    const SignatureDef& s = *model_.signature_defs()->Get(0);
    if (s.subgraph_index() != 0) return;
    ports(s.inputs(), file_.signature_inputs);
    ports(s.outputs(), file_.signature_outputs);
  }

  void ports(const flatbuffers::Vector<flatbuffers::Offset<TensorMap>>* map, std::vector<FilePort>& out) const {
    if (!map) return;
    for (const TensorMap* m : *map) {
      if (m->tensor_index() >= file_.tensors.size())
        bad("the signature refers to tensor {} among {}", m->tensor_index(), file_.tensors.size());
      out.push_back({text(m->name()), static_cast<std::int32_t>(m->tensor_index())});
    }
  }

  void metadata() {
    if (!model_.metadata() || !model_.buffers()) return;
    for (const Metadata* m : *model_.metadata()) {
      if (text(m->name()) != "min_runtime_version" || m->buffer() >= model_.buffers()->size()) continue;
      const auto* data = model_.buffers()->Get(m->buffer())->data();
      if (data) file_.minimum_runtime.assign(data->begin(), std::find(data->begin(), data->end(), std::uint8_t{0}));
    }
  }

  const Model& model_;
  std::string where_;
  File file_;
};

}  // namespace

std::string operator_name(const FileOperator& op) {
  if (op.code == BuiltinOperator_CUSTOM) return fmt::format("custom '{}'", op.custom_code);
  const char* name = op.code >= BuiltinOperator_MIN && op.code <= BuiltinOperator_MAX ? EnumNameBuiltinOperator(op.code) : "";
  return *name ? name : fmt::format("operator code {}", static_cast<int>(op.code));
}

File parse_file(std::span<const std::uint8_t> bytes, std::string_view name) {
  if (bytes.size() < 8 || bytes.size() >= FLATBUFFERS_MAX_BUFFER_SIZE || std::memcmp(bytes.data() + 4, ModelIdentifier(), 4) != 0)
    fail("tflite", "{} is no .tflite file: expected the identifier TFL3 at byte 4", name);
  Bytes aligned;  // FlatBuffers reads its numbers in place
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % 16 != 0) {
    aligned.assign(bytes.begin(), bytes.end());
    bytes = aligned;
  }
  flatbuffers::Verifier verifier(bytes.data(), bytes.size());
  if (!VerifyModelBuffer(verifier))
    fail_with_hint("tflite", "it may be cut short; fetch it again", "{} is damaged: its FlatBuffer structure is not sound", name);
  return Parser(*GetModel(bytes.data()), name).run();
}

}  // namespace micromind::tflite
