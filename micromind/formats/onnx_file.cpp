#include "micromind/formats/onnx_file.h"

#include <google/protobuf/io/coded_stream.h>
#include <onnx/onnx_pb.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "micromind/base/error.h"
#include "micromind/formats/half.h"

namespace micromind::onnx_file {
namespace {

constexpr std::size_t kMaxFile = 256u << 20;
constexpr std::int64_t kMaxRecords = 1 << 20;  // nodes, tensors, attributes, names
constexpr std::size_t kMaxText = 4096;
constexpr int kMaxDepth = 32;  // of messages

// What lies below a field of a message, as far as memory is concerned.
enum class Message { model, graph, node, attribute, port, type, tensor_type, leaf };
std::optional<Message> below(Message message, std::uint32_t field) {
  switch (message) {
    case Message::model:
      if (field == 7) return Message::graph;
      if (field == 25) return Message::graph;  // a function: its nodes are counted as leaves
      return field == 8 || field == 14 || field == 20 ? std::optional(Message::leaf) : std::nullopt;
    case Message::graph:
      if (field == 1) return Message::node;
      if (field == 11 || field == 12 || field == 13) return Message::port;
      return field == 5 || field == 14 || field == 15 ? std::optional(Message::leaf) : std::nullopt;
    case Message::node: return field == 5 ? std::optional(Message::attribute) : std::nullopt;
    case Message::attribute:
      if (field == 6 || field == 11) return Message::graph;
      return field == 5 || field == 10 ? std::optional(Message::leaf) : std::nullopt;
    case Message::port: return field == 2 ? std::optional(Message::type) : std::nullopt;
    case Message::type: return field == 1 ? std::optional(Message::tensor_type) : std::optional(Message::leaf);
    case Message::tensor_type: return field == 2 ? std::optional(Message::leaf) : std::nullopt;
    case Message::leaf: return {};
  }
  return {};
}

// Counts the records of a message before protobuf makes objects of them: two bytes of a file can become a hundred and
// fifty of memory. Stops where the structure is broken; protobuf says what is wrong.
std::int64_t count_records(std::span<const std::uint8_t> bytes, Message message, int depth = 0) {
  google::protobuf::io::CodedInputStream in(bytes.data(), static_cast<int>(bytes.size()));
  std::int64_t count = 0;
  for (std::uint32_t tag = in.ReadTag(); tag != 0 && count <= kMaxRecords; tag = in.ReadTag()) {
    ++count;
    std::uint64_t number = 0;
    std::uint32_t length = 0;
    switch (tag & 7) {
      case 0:
        if (!in.ReadVarint64(&number)) return count;
        break;
      case 1:
        if (!in.Skip(8)) return count;
        break;
      case 2: {
        if (!in.ReadVarint32(&length)) return count;
        const std::size_t at = static_cast<std::size_t>(in.CurrentPosition());
        if (length > bytes.size() - at) return count;
        if (const auto next = below(message, tag >> 3); next && depth < kMaxDepth) count += count_records(bytes.subspan(at, length), *next, depth + 1);
        in.Skip(static_cast<int>(length));
        break;
      }
      case 5:
        if (!in.Skip(4)) return count;
        break;
      default: return count;
    }
  }
  return count;
}

class Parser {
 public:
  Parser(std::string_view name, std::filesystem::path folder) : where_(name), folder_(std::move(folder)) {}

  File run(const onnx::ModelProto& model) {
    if (!model.has_graph()) bad("it holds no graph");
    const onnx::GraphProto& graph = model.graph();
    file_.name = text(graph.name(), "the graph's name");
    file_.producer = text(model.producer_name(), "the producer's name");
    for (const auto& set : model.opset_import())
      if (set.domain().empty() || set.domain() == "ai.onnx") file_.opset = set.version();
    if (file_.opset < 6 || file_.opset > 23)
      fail_with_hint("onnx", "export with opset_version=13 to 17", "{}: operator set {}; expected 6 to 23", where_, file_.opset);
    if (graph.sparse_initializer_size() > 0) bad("it holds sparse tensors, which are not supported");
    for (const auto& t : graph.initializer()) file_.constants.push_back(std::make_shared<const Constant>(constant(t)));
    std::set<std::string> given;
    for (const auto& c : file_.constants)
      if (!given.insert(c->name).second) bad("two tensors have the name '{}'", c->name);
    for (const auto& p : graph.input()) {
      if (!given.contains(p.name())) file_.inputs.push_back(port(p));
    }
    for (const auto& p : graph.output()) file_.outputs.push_back(port(p));
    for (const auto& n : graph.node()) file_.nodes.push_back(node(n));
    return std::move(file_);
  }

 private:
  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail("onnx", "{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }

  const std::string& text(const std::string& s, const char* what) const {
    if (s.size() > kMaxText) bad("{} has {} characters", what, s.size());
    return s;
  }

  FilePort port(const onnx::ValueInfoProto& p) const {
    FilePort out{.name = text(p.name(), "an input's or output's name")};
    if (!p.type().has_tensor_type()) {
      if (p.has_type() && p.type().value_case() != onnx::TypeProto::VALUE_NOT_SET) bad("'{}' is no tensor", out.name);
      out.type = Dtype::none;
      return out;
    }
    const auto& tensor = p.type().tensor_type();
    out.type = static_cast<Dtype>(tensor.elem_type());
    out.has_shape = tensor.has_shape();
    if (tensor.shape().dim_size() > 8) bad("'{}' has {} dimensions", out.name, tensor.shape().dim_size());
    for (const auto& d : tensor.shape().dim()) {
      const bool fixed = d.has_dim_value() && d.dim_value() != 0;  // some exporters write 0 for a free batch
      if (fixed && (d.dim_value() < -1 || d.dim_value() > kMaxExtent)) bad("'{}' has an extent of {}", out.name, d.dim_value());
      out.dims.push_back(fixed ? d.dim_value() : -1);
    }
    return out;
  }

  FileNode node(const onnx::NodeProto& n) const {
    FileNode out;
    out.op = text(n.op_type(), "an operator's type");
    out.domain = n.domain() == "ai.onnx" ? "" : text(n.domain(), "an operator's domain");
    out.name = text(n.name(), "a node's name");
    for (const auto& i : n.input()) out.inputs.push_back(text(i, "a tensor's name"));
    for (const auto& o : n.output()) out.outputs.push_back(text(o, "a tensor's name"));
    for (const auto& a : n.attribute()) out.attributes.push_back(attribute(a));
    return out;
  }

  FileAttribute attribute(const onnx::AttributeProto& a) const {
    using Kind = FileAttribute::Kind;
    FileAttribute out{.name = text(a.name(), "an attribute's name")};
    switch (a.type()) {
      case onnx::AttributeProto::INT:
        out.kind = Kind::integer;
        out.i = a.i();
        break;
      case onnx::AttributeProto::FLOAT:
        out.kind = Kind::number;
        out.f = a.f();
        break;
      case onnx::AttributeProto::STRING:
        out.kind = Kind::text;
        out.s = text(a.s(), "an attribute");
        break;
      case onnx::AttributeProto::INTS:
        out.kind = Kind::integers;
        out.ints.assign(a.ints().begin(), a.ints().end());
        break;
      case onnx::AttributeProto::FLOATS:
        out.kind = Kind::numbers;
        out.floats.assign(a.floats().begin(), a.floats().end());
        break;
      case onnx::AttributeProto::TENSOR:
        out.kind = Kind::tensor;
        out.tensor = std::make_shared<const Constant>(constant(a.t()));
        break;
      default: break;  // graphs and the like: said where an operator needs them
    }
    return out;
  }

  Constant constant(const onnx::TensorProto& t) const {
    Constant out;
    out.name = text(t.name(), "a tensor's name");
    out.type = static_cast<Dtype>(t.data_type());
    out.dims.assign(t.dims().begin(), t.dims().end());
    const std::int64_t count = element_count(out.dims);
    if (out.dims.size() > 8 || count < 0) bad("tensor '{}' has the shape [{}]", out.name, fmt::join(out.dims, ", "));
    const int size = byte_size(out.type);
    if (size == 0) bad("tensor '{}' is {}, which is not supported", out.name, to_string(out.type));
    const auto expect = [&](std::int64_t found, std::int64_t wanted, const char* what) {
      if (found != wanted) bad("tensor '{}' has {} {} where its shape needs {}", out.name, found, what, wanted);
    };
    if (t.data_location() == onnx::TensorProto::EXTERNAL) {
      const Bytes bytes = external(t, count * size);
      decode(bytes.data(), out, count);
    } else if (t.has_raw_data()) {
      expect(static_cast<std::int64_t>(t.raw_data().size()), count * size, "bytes");
      decode(reinterpret_cast<const std::uint8_t*>(t.raw_data().data()), out, count);
    } else {
      switch (out.type) {
        case Dtype::float32: take(t.float_data(), out); break;
        case Dtype::float64: take(t.double_data(), out); break;
        case Dtype::int64: take(t.int64_data(), out); break;
        case Dtype::uint32:
        case Dtype::uint64: take(t.uint64_data(), out); break;
        case Dtype::float16:
          take(t.int32_data(), out);
          for (double& v : out.values) v = half_to_float(static_cast<std::uint16_t>(static_cast<std::int64_t>(v)));
          break;
        default: take(t.int32_data(), out);
      }
      expect(static_cast<std::int64_t>(out.values.size()), count, "numbers");
      check_range(out);
    }
    return out;
  }

  template <class Repeated>
  static void take(const Repeated& from, Constant& out) {
    out.values.assign(from.begin(), from.end());
  }

  // Narrow types stand in wider fields.
  void check_range(const Constant& c) const {
    const auto [low, high] = c.type == Dtype::int8     ? std::pair(-128.0, 127.0)
                             : c.type == Dtype::uint8  ? std::pair(0.0, 255.0)
                             : c.type == Dtype::int16  ? std::pair(-32768.0, 32767.0)
                             : c.type == Dtype::uint16 ? std::pair(0.0, 65535.0)
                                                       : std::pair(-HUGE_VAL, HUGE_VAL);
    for (const double v : c.values)
      if (v < low || v > high) bad("tensor '{}' holds {}, which is no {}", c.name, v, to_string(c.type));
  }

  template <class T>
  static void decode_as(const std::uint8_t* bytes, Constant& out, std::int64_t count) {
    out.values.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      T v;
      std::memcpy(&v, bytes + i * sizeof(T), sizeof(T));
      out.values[i] = static_cast<double>(v);
    }
  }

  static void decode(const std::uint8_t* bytes, Constant& out, std::int64_t count) {
    switch (out.type) {
      case Dtype::float32: decode_as<float>(bytes, out, count); break;
      case Dtype::float64: decode_as<double>(bytes, out, count); break;
      case Dtype::int8: decode_as<std::int8_t>(bytes, out, count); break;
      case Dtype::uint8: decode_as<std::uint8_t>(bytes, out, count); break;
      case Dtype::boolean:
        decode_as<std::uint8_t>(bytes, out, count);
        for (double& v : out.values) v = v != 0;
        break;
      case Dtype::int16: decode_as<std::int16_t>(bytes, out, count); break;
      case Dtype::uint16: decode_as<std::uint16_t>(bytes, out, count); break;
      case Dtype::float16:
        decode_as<std::uint16_t>(bytes, out, count);
        for (double& v : out.values) v = half_to_float(static_cast<std::uint16_t>(v));
        break;
      case Dtype::int32: decode_as<std::int32_t>(bytes, out, count); break;
      case Dtype::uint32: decode_as<std::uint32_t>(bytes, out, count); break;
      case Dtype::int64: decode_as<std::int64_t>(bytes, out, count); break;
      case Dtype::uint64: decode_as<std::uint64_t>(bytes, out, count); break;
      case Dtype::none: break;
    }
  }

  // The part of a file beside the model: a plain name, no link, within the file's size.
  Bytes external(const onnx::TensorProto& t, std::int64_t wanted) const {
    if (folder_.empty()) bad("tensor '{}' is stored in another file; read the model by its path", t.name());
    std::string location;
    std::uint64_t offset = 0, length = 0;
    bool has_length = false;
    const auto number = [&](const std::string& s) {
      std::uint64_t v = 0;
      const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
      if (error != std::errc{} || end != s.data() + s.size()) bad("tensor '{}' is stored at '{}', which is no number", t.name(), s.substr(0, 40));
      return v;
    };
    for (const auto& e : t.external_data()) {
      if (e.key() == "location") location = text(e.value(), "the place of a tensor");
      if (e.key() == "offset") offset = number(e.value());
      if (e.key() == "length") length = number(e.value()), has_length = true;
    }
    const std::filesystem::path file = location;
    if (location.empty() || location.find_first_of(std::string_view("/\\\0:", 4)) != std::string::npos || location == "." || location == "..")
      bad("tensor '{}' is stored in '{}'; expected the name of a file in the model's folder", t.name(), location);
    std::error_code error;
    const std::filesystem::path path = folder_ / file;
    if (std::filesystem::symlink_status(path, error).type() != std::filesystem::file_type::regular)
      bad("tensor '{}' is stored in '{}', which is no file in the model's folder", t.name(), location);
    const std::uint64_t size = std::filesystem::file_size(path, error);
    if (error || size > kMaxFile) bad("'{}' is larger than {} bytes", location, kMaxFile);
    const std::uint64_t bytes = static_cast<std::uint64_t>(wanted);
    if (has_length && length != bytes) bad("tensor '{}' has {} bytes where its shape needs {}", t.name(), length, bytes);
    if (offset > size || bytes > size - offset) bad("tensor '{}' lies behind the end of '{}', which has {} bytes", t.name(), location, size);
    auto& content = externals_[location];
    if (content.empty()) content = read_bytes(path);
    if (offset + bytes > content.size()) bad("'{}' changed while it was read", location);
    return {content.begin() + static_cast<std::ptrdiff_t>(offset), content.begin() + static_cast<std::ptrdiff_t>(offset + bytes)};
  }

  std::string where_;
  std::filesystem::path folder_;
  mutable std::map<std::string, Bytes> externals_;
  File file_;
};

}  // namespace

std::string to_string(Dtype type) {
  switch (type) {
    case Dtype::none: return "of no type";
    case Dtype::float32: return "float32";
    case Dtype::uint8: return "uint8";
    case Dtype::int8: return "int8";
    case Dtype::uint16: return "uint16";
    case Dtype::int16: return "int16";
    case Dtype::int32: return "int32";
    case Dtype::int64: return "int64";
    case Dtype::boolean: return "bool";
    case Dtype::float16: return "float16";
    case Dtype::float64: return "float64";
    case Dtype::uint32: return "uint32";
    case Dtype::uint64: return "uint64";
  }
  return fmt::format("of ONNX's type {}", static_cast<int>(type));
}

int byte_size(Dtype type) {
  switch (type) {
    case Dtype::uint8:
    case Dtype::int8:
    case Dtype::boolean: return 1;
    case Dtype::uint16:
    case Dtype::int16:
    case Dtype::float16: return 2;
    case Dtype::float32:
    case Dtype::int32:
    case Dtype::uint32: return 4;
    case Dtype::int64:
    case Dtype::uint64:
    case Dtype::float64: return 8;
    case Dtype::none: return 0;
  }
  return 0;
}

std::int64_t element_count(const Dims& dims) {
  std::int64_t n = 1;
  for (const std::int64_t d : dims) {
    if (d < 0 || d > kMaxExtent) return -1;
    n *= d;
    if (n > kMaxElements) return -1;
  }
  return n;
}

std::string describe(const FileNode& node) {
  const std::string op = node.domain.empty() ? node.op : node.domain + "." + node.op;
  if (!node.name.empty()) return fmt::format("{} '{}'", op, node.name);
  return fmt::format("the {} that makes '{}'", op, node.outputs.empty() ? "" : node.outputs[0]);
}

File parse_onnx(std::span<const std::uint8_t> bytes, std::string_view name, const std::filesystem::path& folder) {
  if (bytes.size() > kMaxFile) fail("onnx", "{} has {} bytes; at most {} can be read", name, bytes.size(), kMaxFile);
  if (count_records(bytes, Message::model) > kMaxRecords) fail("onnx", "{} holds more than {} nodes, tensors and attributes", name, kMaxRecords);
  onnx::ModelProto model;
  google::protobuf::SetLogHandler(nullptr);  // a library does not print
  google::protobuf::io::CodedInputStream in(bytes.data(), static_cast<int>(bytes.size()));
  in.SetRecursionLimit(kMaxDepth);
  if (bytes.empty() || !model.ParseFromCodedStream(&in) || !in.ConsumedEntireMessage())
    fail_with_hint("onnx", "it may be cut short; fetch it again", "{} is no .onnx file, or damaged: its protobuf structure is not sound", name);
  return Parser(name, folder).run(model);
}

}  // namespace micromind::onnx_file
