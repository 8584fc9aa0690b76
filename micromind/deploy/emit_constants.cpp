// A node's constants as C: weights, biases, multipliers, tables and the kernel's parameter struct. The values
// are those of KernelCall (quantize/calls.h), which the host passes to the same kernels.
#include <algorithm>
#include <charconv>
#include <tuple>

#include "micromind/base/error.h"
#include "micromind/deploy/emit_program.h"

namespace micromind {

template <class T>
std::string number_lines(const T* values, std::size_t count, std::size_t per_line) {
  std::string text;
  text.reserve(count * 5);
  char digits[16];
  for (std::size_t i = 0; i < count; ++i) {
    if (i % per_line == 0) text += i == 0 ? "  " : "\n  ";
    const auto end = std::to_chars(digits, digits + sizeof digits, static_cast<long long>(values[i])).ptr;
    text.append(digits, end);
    text.push_back(',');
  }
  text.push_back('\n');
  return text;
}
template std::string number_lines(const std::int8_t*, std::size_t, std::size_t);
template std::string number_lines(const std::int32_t*, std::size_t, std::size_t);

namespace {

// Writes definitions; a second instance of the same walk only counts bytes.
class Definitions {
 public:
  Definitions(const Program& program, std::size_t node, bool count_only)
      : program_(program),
        node_(program.graph().nodes()[node]),
        packed_(program.packed[node]),
        id_(program.nodes[node]),
        holder_(program.nodes[program.holder[node]]),
        shares_(program.holder[node] != node),
        count_only_(count_only) {}

  std::string text;
  std::int64_t bytes = 0;

  void operator()(const ConvCall& c) { weighted(c.params, c.requantization); }
  void operator()(const DepthwiseCall& c) { weighted(c.params, c.requantization); }
  void operator()(const LinearCall& c) { weighted(c.params, c.requantization); }
  void operator()(const TableCall& c) {
    if (!shares_) array("table", c.table.data(), c.table.size());
    parameters(c.params);
  }
  void operator()(const ConcatCall& c) { each(c.params); }
  void operator()(const SplitCall& c) { each(c.params); }
  void operator()(const NoCall&) {}
  template <class Call>
  void operator()(const Call& c) {
    parameters(c.params);
  }

 private:
  bool external() const {
    const std::vector<std::string>& names = program_.options.external_weights;
    return std::find(names.begin(), names.end(), node_.name) != names.end();
  }
  template <class Params>
  void weighted(const Params& params, const Requantization& requantization) {
    if (shares_) return parameters(params);
    const auto weights = find(program_.model.weights, node_.name + ".weight").values<std::int8_t>();
    const auto bias = find(program_.model.weights, node_.name + ".bias").values<std::int32_t>();
    const std::int64_t before = bytes;
    std::int64_t most = 0;
    bool any = false;
    for (std::size_t v = 0; v < kCoreVariants.size(); ++v) {
      if (!packed_[v]) continue;
      text += fmt::format("#{} {}\n", any ? "elif" : "if", kCoreVariants[v].macro);
      arrays(packed_[v]->bytes, packed_[v]->bias, packed_[v]->requantization, "__attribute__((aligned(8))) ");
      most = std::max(most, bytes - before);
      bytes = before;
      any = true;
    }
    if (any) text += "#else\n";
    arrays(weights, bias, requantization, "");
    bytes = std::max(bytes, before + most);
    if (any) text += "#endif\n";
    parameters(params);
  }
  void arrays(std::span<const std::int8_t> weights, std::span<const std::int32_t> bias, const Requantization& r,
              std::string_view attribute) {
    array("weights", weights.data(), weights.size(), attribute);
    if (bias.empty()) {  // they lie among the weights
      for (const char* member : {"bias", "multiplier", "shift"}) text += fmt::format("#define {}_{} NULL\n", id_, member);
      return;
    }
    array("bias", bias.data(), bias.size());
    array("multiplier", r.multiplier.data(), r.multiplier.size());
    array("shift", r.shift.data(), r.shift.size());
  }
  template <class Params>
  void each(const std::vector<Params>& list) {
    for (std::size_t k = 0; k < list.size(); ++k) parameters(list[k], fmt::format("_{}", k));
  }

  template <class T>
  void array(std::string_view member, const T* values, std::size_t count, std::string_view attribute = "") {
    if (count == 0) fail("emit", "{}: no values for '{}'", node_.name, member);
    bytes += static_cast<std::int64_t>(count * sizeof(T));
    if (count_only_) return;
    text += fmt::format("{}_{}CONSTANT {} {}{}_{}[{}] = {{\n", program_.upper, member == "weights" && external() ? "EXTERNAL_" : "",
                        sizeof(T) == 1 ? "int8_t" : "int32_t", attribute, id_, member, count);
    text += number_lines(values, count, sizeof(T) == 1 ? 32 : 16);
    text += "};\n";
  }

  template <class Params>
  void parameters(const Params& params, const std::string& suffix = "") {
    bytes += static_cast<std::int64_t>(
        sizeof(Params));  // pointers are larger on the host: less here than 32 bytes a layer
    if (count_only_) return;
    members_.clear();
    list(params);
    text += fmt::format("{}_CONSTANT {} {}_params{} = {{\n", program_.upper, type_, id_, suffix);
    std::string line = " ";
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const std::string& member = members_[i];
      if (line.size() + member.size() > 118) {
        text += line + "\n";
        line = " ";
      }
      line += " " + member + (i + 1 < members_.size() ? "," : "");
    }
    text += line + "\n};\n";
  }

  // `names` is the list as written in the macro below: "in_h, in_w".
  template <class... T>
  void members(std::string_view type, std::string_view names, const T&... values) {
    type_ = type;
    (member(names, values), ...);
  }
  template <class T>
  void member(std::string_view& names, const T& value) {
    const std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), name.size() + 2));
    if constexpr (std::is_pointer_v<T>)
      members_.push_back(fmt::format(".{0} = {1}_{0}", name, holder_));
    else
      members_.push_back(fmt::format(".{} = {}", name, value));
  }

// Every member of the struct in its order: the binding does not compile when one is missing.
#define MM_MEMBERS(Struct, ...)                  \
  void list(const Struct& params) {              \
    const auto& [__VA_ARGS__] = params;          \
    members(#Struct, #__VA_ARGS__, __VA_ARGS__); \
  }
  MM_MEMBERS(mm_conv2d_s8_params, in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w, stride_h,
             stride_w, dilation_h, dilation_w, pad_top, pad_left, groups, input_offset, output_offset,
             act_min, act_max, weights, bias, multiplier, shift)
  MM_MEMBERS(mm_depthwise_conv2d_s8_params, in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w,
             stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, input_offset, output_offset,
             act_min, act_max, weights, bias, multiplier, shift)
  MM_MEMBERS(mm_linear_s8_params, in_features, out_features, input_offset, output_offset, act_min, act_max,
             weights, bias, multiplier, shift, per_channel)
  MM_MEMBERS(mm_add_s8_params, count, input1_offset, input1_multiplier, input1_shift, input2_offset,
             input2_multiplier, input2_shift, output_offset, output_multiplier, output_shift, act_min,
             act_max, left_shift)
  MM_MEMBERS(mm_mul_s8_params, out_h, out_w, out_c, stride1_h, stride1_w, stride1_c, stride2_h, stride2_w,
             stride2_c, input1_offset, input2_offset, output_offset, multiplier, shift, act_min, act_max)
  MM_MEMBERS(mm_table_s8_params, count, table)
  MM_MEMBERS(mm_concat_s8_params, outer, input_inner, output_inner, output_start)
  MM_MEMBERS(mm_split_s8_params, outer, input_inner, output_inner, input_start)
  MM_MEMBERS(mm_max_pool2d_s8_params, in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h,
             stride_w, pad_top, pad_left, act_min, act_max)
  MM_MEMBERS(mm_average_pool2d_s8_params, in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h,
             stride_w, pad_top, pad_left, act_min, act_max)
  MM_MEMBERS(mm_adaptive_average_pool2d_s8_params, in_h, in_w, channels, out_h, out_w)
  MM_MEMBERS(mm_mean_s8_params, in_h, in_w, channels, input_zero_point, output_zero_point, multiplier, shift)
  MM_MEMBERS(mm_upsample_nearest2d_s8_params, in_h, in_w, channels, scale_h, scale_w)
  MM_MEMBERS(mm_pad_s8_params, in_h, in_w, channels, pad_top, pad_bottom, pad_left, pad_right, value)
  MM_MEMBERS(mm_softmax_s8_params, outer, depth, input_multiplier, input_left_shift, diff_min)
#undef MM_MEMBERS

  const Program& program_;
  const Node& node_;
  const PackedForms& packed_;
  const std::string& id_;
  const std::string& holder_;  // has the arrays
  const bool shares_;          // another node is the holder
  const bool count_only_;
  std::string_view type_;
  std::vector<std::string> members_;
};

}  // namespace

std::string emit_constants(const Program& program, std::size_t node) {
  Definitions definitions(program, node, false);
  std::visit(definitions, program.calls[node]);
  return std::move(definitions.text);
}

std::int64_t constant_bytes(const Program& program, std::size_t node) {
  Definitions definitions(program, node, true);
  std::visit(definitions, program.calls[node]);
  return definitions.bytes;
}

}  // namespace micromind
