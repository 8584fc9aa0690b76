// From the plain values of an .onnx file to a Model. onnx_reader.cpp: order, constants, inputs, outputs, the walk that
// collects everything that cannot be read; onnx_read_values.cpp: tensors and the expressions they stand for;
// onnx_read_weighted.cpp, onnx_read_elementwise.cpp, onnx_read_shapes.cpp: the operators; onnx_read_int8.cpp:
// QuantizeLinear, DequantizeLinear and integer weights.
#pragma once

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "micromind/base/error.h"
#include "micromind/formats/node_names.h"
#include "micromind/formats/onnx_file.h"
#include "micromind/formats/onnx_fold.h"
#include "micromind/graph/model.h"

namespace micromind::onnx_file {

/// What a tensor is beyond a value of the graph: sequences that are one operator of ours are held back until it is clear
/// which (x·sigmoid(x) is silu; x·clip(x + 3, 0, 6)/6 is hard_swish), and so are scales and shifts that make one batch norm.
struct Expression {
  enum class Kind {
    plain,
    affine,       ///< x·scale + shift, one number or one a channel
    function,     ///< function(x)
    half_ramp,    ///< max(x + 3, 0)
    ramp,         ///< min(max(x + 3, 0), 6)
    gated_ramp,   ///< x·ramp(x)
  };
  Kind kind = Kind::plain;
  Function function = Function::none;
  std::vector<float> scale, shift;
  std::string name;                     ///< of the node to be
  std::optional<Quantization> quantization;  ///< int8 form: what the file gives function(x)
};

struct Tensor {
  enum class Kind { unknown, constant, value };
  Kind kind = Kind::unknown;
  ConstantPtr constant;
  Dims dims;                  ///< as the file sees it, batch of one first
  int value = -1;             ///< of the graph
  bool channels_last = false;  ///< dims are (1, H, W, C) or (1, T, C)
  Shape flattened;            ///< a vector whose numbers the file has in the other order than the graph's flatten: the image
  bool integer = false;       ///< int8 form: between QuantizeLinear and DequantizeLinear
  Expression expression;      ///< of `value`
};

class Reader {
 public:
  Reader(File file, std::string_view name);
  Model run();

 private:
  // --- the walk (onnx_reader.cpp) ---
  void intern_names();
  void order_nodes();
  void fold_constants();
  void find_live();
  void add_inputs();
  void add_outputs();
  void read_all();
  void read(int node);
  void read_supported(const FileNode& n);
  void fold_node(int node);
  std::vector<ConstantPtr> constants_of(const FileNode& n) const;

  // --- facts ---
  int id(const std::string& tensor_name) const { return tensor_name.empty() ? -1 : ids_.find(tensor_name)->second; }
  Tensor& tensor(int t) { return tensors_[static_cast<std::size_t>(t)]; }
  Tensor& in(const FileNode& n, std::size_t i = 0) { return tensor(id(n.inputs[i])); }
  bool has_input(const FileNode& n, std::size_t i) const { return i < n.inputs.size() && !n.inputs[i].empty(); }
  const std::vector<int>& readers(int t) const { return readers_[static_cast<std::size_t>(t)]; }
  const FileNode& node(int i) const { return file_.nodes[static_cast<std::size_t>(i)]; }
  /// The only live node that reads the tensor, which is no output of the network; −1 otherwise.
  int sole_reader(int t) const;
  bool is_output(int t) const { return output_.contains(t); }
  bool is_constant(const FileNode& n, std::size_t i) { return has_input(n, i) && in(n, i).kind == Tensor::Kind::constant; }
  /// A constant operand; fails where it is computed or absent.
  const Constant& constant(const FileNode& n, std::size_t i);
  Dims integers(const FileNode& n, std::size_t i);
  /// From the attribute (older operator sets) or the input.
  Dims attribute_or_input(const FileNode& n, std::string_view name, std::size_t i, const Dims& otherwise);
  std::string name_of(const FileNode& n, std::string_view parameter = {});
  void absorb(int node) { absorbed_[static_cast<std::size_t>(node)] = true; }

  // --- tensors and values (onnx_read_values.cpp) ---
  void set(const FileNode& n, Tensor t, std::size_t output = 0);
  Tensor made(const Tensor& like, int value) const;  ///< of the same dims and order
  int emit(std::string name, Op op, std::vector<int> inputs);
  int materialize(Tensor& t);                ///< the value of the graph, its expression added as nodes
  int value(const FileNode& n, std::size_t i = 0);   ///< for operators that only move numbers: integers pass
  int real(const FileNode& n, std::size_t i = 0);    ///< for those that compute
  int image(const FileNode& n, std::size_t i = 0);
  void settle(const FileNode& n, const Tensor& t);
  bool same_extent(const Tensor& t) const;
  int batch_norm(const std::string& name, int input, const std::vector<float>& scale, const std::vector<float>& shift);
  std::optional<std::vector<float>> per_channel(const Constant& c, const Tensor& t) const;
  void add_parameter(const std::string& name, const Shape& shape, const std::vector<float>& numbers);

  // --- operators with weights ---
  void read_conv(const FileNode& n);
  void read_gemm(const FileNode& n);
  void read_matmul(const FileNode& n);
  void read_batch_norm(const FileNode& n);
  void linear(const FileNode& n, const Constant& weight, bool transposed, float alpha, const Constant* bias, float beta);
  bool leads_to_image(int t);
  Padding window_padding(const FileNode& n, const Dims& extents, const Size& kernel, const Size& stride, const Size& dilation);
  Size size_attribute(const FileNode& n, std::string_view name, const Size& otherwise);
  void read_pool(const FileNode& n, bool max);
  void read_global_pool(const FileNode& n, bool max);
  void read_reduce(const FileNode& n, bool max);

  // --- element by element ---
  void read_function(const FileNode& n, Function f);
  void read_hard_sigmoid(const FileNode& n);
  void read_clip(const FileNode& n, double low, double high);
  void read_clip(const FileNode& n);
  std::optional<std::pair<double, double>> clip_bounds(const FileNode& n);
  void read_min_max(const FileNode& n, bool max);
  void read_scale_shift(const FileNode& n);
  void read_multiply(const FileNode& n);
  void read_add(const FileNode& n);
  void read_sum(const FileNode& n);
  void read_softmax(const FileNode& n);
  void alias(const FileNode& n);

  // --- shapes ---
  void reshape_to(const FileNode& n, const Dims& dims);
  void read_reshape(const FileNode& n);
  void read_transpose(const FileNode& n);
  void read_expand(const FileNode& n);
  void read_concat(const FileNode& n);
  void read_split(const FileNode& n);
  void read_slice(const FileNode& n);
  void read_pad(const FileNode& n);
  void read_resize(const FileNode& n);
  struct Cut {
    std::size_t axis;
    std::int64_t begin, end;
  };
  std::optional<Cut> cut_of(const FileNode& n);
  std::int32_t graph_axis(const Tensor& t, std::size_t axis) const;
  void match_uneven_pools();
  bool match_uneven_pool(int node);
  void read_uneven_pool(const FileNode& n);

  // --- int8 form ---
  void read_quantize(const FileNode& n);
  void read_dequantize(const FileNode& n);
  Quantization quantization_of(const FileNode& n, Dtype type);
  Quantization quantization_at(const FileNode& n);
  /// What the next QuantizeLinear behind a tensor gives it, looking through operators that only move numbers.
  std::optional<Quantization> quantization_behind(int t, int depth = 0);
  Function fused_function(const FileNode& n, int& last_output);
  void int8_parameters(const FileNode& n, const std::string& name, const Constant& weight, const Constant* bias, bool transposed, const Shape& stored,
                       bool channel_last, const Shape& flattened, float input_scale, std::int32_t channels);

  File file_;
  std::string where_;
  bool quantized_ = false;
  std::map<std::string, int, std::less<>> ids_;
  std::vector<std::string> tensor_names_;
  std::vector<Tensor> tensors_;
  std::vector<std::vector<int>> readers_;
  std::vector<int> producer_;
  std::vector<int> order_;
  std::vector<bool> live_, absorbed_, folded_;
  std::set<int> output_;
  std::map<int, std::pair<int, Size>> uneven_;            ///< node that ends an uneven pooling → its source tensor and bins
  std::map<int, Dims> uneven_extent_;                     ///< of such a node: the image that its bins cover
  std::map<std::tuple<int, std::size_t>, std::pair<Dims, int>> cuts_;  ///< (tensor, axis) → bounds of a split, its first value
  std::vector<std::string> problems_;
  std::int64_t budget_ = 0;  ///< numbers that folding may still make
  int reading_ = -1;
  NodeNames names_;
  Model model_;
};

/// Thrown by operators, collected by the walk.
template <class... Args>
[[noreturn]] void unsupported(fmt::format_string<Args...> format, Args&&... args) {
  fail("onnx", format, std::forward<Args>(args)...);
}

}  // namespace micromind::onnx_file
