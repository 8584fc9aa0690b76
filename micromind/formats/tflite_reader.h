// From the plain values of a .tflite file to a Model. tflite_reader.cpp: names, types, edges, order;
// tflite_support.cpp: what cannot be read, said at once; tflite_patterns.cpp: sequences that are one node of ours;
// tflite_read_ops.cpp: one function an operator; tflite_read_weights.cpp: constants into our layouts.
#pragma once

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "micromind/base/error.h"
#include "micromind/formats/node_names.h"
#include "micromind/formats/tflite_file.h"
#include "micromind/formats/tflite_layout.h"
#include "micromind/graph/model.h"

namespace micromind::tflite {

class Reader {
 public:
  Reader(File file, std::string_view name);
  micromind::Model run();

 private:
  /// What becomes of an operator.
  enum class Role { dead, plain, absorbed, edge, silu, uneven_pool, merged_pad };

  template <class... Args>
  [[noreturn]] void bad(const FileOperator& op, fmt::format_string<Args...> format, Args&&... args) const;

  // --- facts (tflite_reader.cpp) ---
  const FileTensor& tensor(std::int32_t t) const { return file_.tensors[static_cast<std::size_t>(t)]; }
  const FileTensor& in(const FileOperator& op, std::size_t i = 0) const { return tensor(op.inputs[i]); }
  const FileTensor& out(const FileOperator& op) const { return tensor(op.outputs[0]); }
  std::string describe(const FileOperator& op) const;
  int producer(std::int32_t t) const { return producer_[static_cast<std::size_t>(t)]; }
  int uses(std::int32_t t) const { return uses_[static_cast<std::size_t>(t)]; }
  Role& role(int op) { return roles_[static_cast<std::size_t>(op)]; }
  FileOperator& op(int i) { return file_.operators[static_cast<std::size_t>(i)]; }
  /// The only live operator that reads `t`, or −1.
  int sole_reader(std::int32_t t) const;
  micromind::TensorType type(std::int32_t t) const;
  bool equal_scales(const FileTensor& a, const FileTensor& b) const;
  std::vector<std::int64_t> integers(const FileTensor& constant) const;  ///< of an INT32 or INT64 constant
  bool is_activation(const FileTensor& t) const { return !t.constant && !t.variable && t.type == activation_type_; }
  std::string fresh_name(std::string_view file_name);

  // --- passes ---
  void check_assignments();
  void find_live();
  void find_edges();
  void find_patterns();
  bool match_silu(int op);
  bool match_uneven_pool(int op);
  void match_pad(int op);
  void check_support();
  std::string unsupported(int op);
  std::string unsupported_reshape(const FileOperator& op) const;
  void add_inputs();
  void add_outputs();
  void check_flattened() const;

  // --- operators ---
  int value(const FileOperator& op, std::size_t i) const;
  /// Adds the node, checks its shape against the file's and takes over the file's quantisation.
  int emit(const FileOperator& op, std::string node_name, Op node, std::vector<int> inputs, bool is_output = true);
  void emit_with_activation(const FileOperator& op, Op node, std::vector<int> inputs);
  void read(int op);
  void read_conv(const FileOperator& op);
  void read_linear(const FileOperator& op);
  void read_pool(const FileOperator& op);
  void read_mean(const FileOperator& op);
  void read_reshape(const FileOperator& op);
  void read_split(const FileOperator& op);
  micromind::Padding window_padding(const FileOperator& op, const Size& kernel) const;
  std::optional<micromind::Padding> image_padding(const FileOperator& op) const;
  std::int32_t axis_of(const FileOperator& op, std::int64_t axis, const FileTensor& t) const;
  int flatten_of(const FileOperator& op, int v, std::string node_name, std::int32_t like);

  // --- weights ---
  void add_weights(const FileOperator& op, const std::string& node, const Shape& shape, bool swap, const Shape& flattened);
  void add_bias(const FileOperator& op, const std::string& node, std::int32_t channels);

  File file_;
  std::string where_;
  TensorType activation_type_ = TensorType_INT8;
  std::vector<int> producer_, uses_;
  std::vector<Role> roles_;
  std::vector<int> value_of_tensor_;
  std::map<std::int32_t, micromind::Padding> merged_;  ///< by tensor: padding that its reader takes over
  std::map<int, Shape> flattened_;                     ///< float form: values in (H, W, C) order in the file
  std::map<int, int> unflattened_;                     ///< value made by flatten → the value before it
  NodeNames names_;
  micromind::Model model_;
};

template <class... Args>
void Reader::bad(const FileOperator& op, fmt::format_string<Args...> format, Args&&... args) const {
  fail("tflite", "{}: {}: {}", where_, describe(op), fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace micromind::tflite
