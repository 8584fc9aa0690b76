// Operators that move numbers: reshapes, transposes, joins, cuts, padding, upsampling.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "micromind/formats/onnx_reader.h"

namespace micromind::onnx_file {
namespace {

std::int32_t narrow(std::int64_t v) { return static_cast<std::int32_t>(v); }

Dims without_ones(const Dims& dims) {
  Dims out;
  for (const std::int64_t d : dims)
    if (d != 1) out.push_back(d);
  return out;
}

}  // namespace

// The ways between shapes that a network of images and vectors needs: to a vector, and between forms of one that differ in
// extents of one alone.
void Reader::reshape_to(const FileNode& n, const Dims& dims) {
  Tensor t = in(n);
  const auto refuse = [&] { unsupported("a reshape from [{}] to [{}]", fmt::join(t.dims, ", "), fmt::join(dims, ", ")); };
  if (element_count(dims) != element_count(t.dims)) refuse();
  if (dims == t.dims) {
    set(n, t);
    return;
  }
  if (dims.empty() || dims[0] != 1) refuse();
  const int v = value(n);
  t = in(n);
  const Shape shape = model_.graph.shape(v);
  const bool point = shape.rank() == 1 || shape.elements() == shape[0];  // one number a channel
  if (dims.size() == 2) {
    if (shape.rank() == 1 || (point && leads_to_image(id(n.outputs[0])))) {
      t.dims = dims;
      t.channels_last = false;
    } else {
      Tensor flat = t;
      flat.value = emit(name_of(n), Flatten{}, {v});
      flat.dims = dims;
      flat.channels_last = false;
      // Whose order does the file have: (C, H, W), or, behind a transpose, (H, W, C)? The graph's flatten gives the first in
      // the float form, the second in the int8 form.
      if (!point && shape[0] > 1 && t.channels_last != quantized_) flat.flattened = shape;
      t = flat;
    }
    set(n, t);
    return;
  }
  if (dims.size() > 4 || !point || shape.rank() == 1 || without_ones(dims) != without_ones(t.dims)) refuse();
  t.dims = dims;
  t.channels_last = dims[1] != shape[0];
  if (t.channels_last && dims.back() != shape[0]) refuse();
  set(n, t);
}

void Reader::read_reshape(const FileNode& n) {
  const Dims from = in(n).dims;
  if (in(n).kind != Tensor::Kind::value) unsupported("its input '{}' is a constant", n.inputs[0]);
  Dims dims;
  if (n.op == "Flatten") {
    const std::int64_t given = integer_attribute(n, "axis", 1);
    const std::size_t axis = given == static_cast<std::int64_t>(from.size()) ? from.size() : resolve_axis(given, from.size());
    dims = {1, 1};
    for (std::size_t d = 0; d < from.size(); ++d) dims[d < axis ? 0 : 1] *= from[d];
  } else if (n.op == "Reshape") {
    dims = resolve_reshape(from, constant(n, 1).values, integer_attribute(n, "allowzero", 0) != 0);
  } else if (n.op == "Squeeze") {
    const Dims axes = attribute_or_input(n, "axes", 1, {});
    std::vector<bool> gone(from.size(), axes.empty());
    for (const std::int64_t a : axes) gone[resolve_axis(a, from.size())] = true;
    for (std::size_t d = 0; d < from.size(); ++d) {
      if (axes.empty() ? from[d] != 1 : !gone[d]) dims.push_back(from[d]);
      else if (from[d] != 1) unsupported("it squeezes an extent of {}", from[d]);
    }
    if (gone[0] && !from.empty() && !dims.empty()) unsupported("it squeezes the batch");
  } else {
    const Dims axes = attribute_or_input(n, "axes", 1, {});
    const std::size_t rank = from.size() + axes.size();
    if (rank > 8) unsupported("it makes {} dimensions", rank);
    std::vector<bool> added(rank, false);
    for (const std::int64_t a : axes) added[resolve_axis(a, rank)] = true;
    std::size_t next = 0;
    for (std::size_t d = 0; d < rank; ++d) {
      if (!added[d] && next >= from.size()) unsupported("its axes name a dimension twice");
      dims.push_back(added[d] ? 1 : from[next++]);
    }
  }
  reshape_to(n, dims);
}

void Reader::read_transpose(const FileNode& n) {
  Tensor t = in(n);
  const std::size_t rank = t.dims.size();
  Dims perm(rank);
  std::iota(perm.rbegin(), perm.rend(), 0);
  perm = integers_attribute(n, "perm", perm);
  Dims sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  Dims all(rank);
  std::iota(all.begin(), all.end(), 0);
  if (sorted != all) unsupported("its perm [{}] does not fit [{}]", fmt::join(perm, ", "), fmt::join(t.dims, ", "));
  if (perm == all) {
    set(n, t);
    return;
  }
  Dims dims;
  for (const std::int64_t d : perm) dims.push_back(t.dims[static_cast<std::size_t>(d)]);
  const bool to_last = perm == Dims{0, 2, 3, 1} || perm == Dims{0, 2, 1}, to_first = perm == Dims{0, 3, 1, 2} || perm == Dims{0, 2, 1};
  if (!(to_last && !t.channels_last) && !(to_first && t.channels_last))
    unsupported("its perm [{}] on [{}] is no change between channels first and channels last", fmt::join(perm, ", "), fmt::join(t.dims, ", "));
  t.channels_last = !t.channels_last;
  t.dims = dims;
  set(n, t);
}

// A gate of a channel each, spread over an image: Mul broadcasts by itself.
void Reader::read_expand(const FileNode& n) {
  Tensor t = in(n);
  if (t.kind != Tensor::Kind::value) unsupported("its input '{}' is a constant", n.inputs[0]);
  const Dims target = integers(n, 1);
  if (target.size() != t.dims.size()) unsupported("it expands [{}] to [{}]", fmt::join(t.dims, ", "), fmt::join(target, ", "));
  for (std::size_t d = 0; d < target.size(); ++d) {
    if (t.dims[d] != target[d] && t.dims[d] != 1 && target[d] != 1) unsupported("it expands [{}] to [{}]", fmt::join(t.dims, ", "), fmt::join(target, ", "));
    t.dims[d] = std::max(t.dims[d], target[d]);
  }
  if (element_count(t.dims) < 1) unsupported("it expands to [{}]", fmt::join(target, ", "));
  set(n, t);
}

// The axis of the graph's (C, H, W), from that of the file's dims.
std::int32_t Reader::graph_axis(const Tensor& t, std::size_t axis) const {
  if (axis == 0) unsupported("it works on the batch");
  const std::size_t rank = t.dims.size();
  if (static_cast<std::size_t>(model_.graph.shape(t.value).rank()) + 1 != rank) unsupported("its input is a vector of the shape [{}]", fmt::join(t.dims, ", "));
  if (!t.channels_last) return narrow(static_cast<std::int64_t>(axis) - 1);
  return axis + 1 == rank ? 0 : narrow(static_cast<std::int64_t>(axis));
}

void Reader::read_concat(const FileNode& n) {
  if (n.inputs.size() == 1) return alias(n);
  std::vector<int> inputs;
  const auto wanted = quantized_ ? quantization_behind(id(n.outputs[0])) : std::nullopt;
  for (std::size_t k = 0; k < n.inputs.size(); ++k) inputs.push_back(value(n, k));
  const Tensor first = in(n);
  const std::size_t axis = resolve_axis(integer_attribute(n, "axis", 1), first.dims.size());
  std::int64_t total = 0;
  Dims dims = first.dims;
  for (std::size_t k = 0; k < n.inputs.size(); ++k) {
    Tensor& t = in(n, k);
    if (t.flattened.rank() > 0 && model_.graph.shape(t.value).rank() == 1) unsupported("it joins an image that was flattened in another order");
    if (t.dims.size() != dims.size() || t.channels_last != first.channels_last || t.integer != first.integer)
      unsupported("its inputs have the shapes [{}] and [{}]", fmt::join(first.dims, ", "), fmt::join(t.dims, ", "));
    if (t.dims.size() == 2 && model_.graph.shape(inputs[k]).rank() > 1) inputs[k] = emit(names_.fresh(n.outputs[0] + ".flatten"), Flatten{}, {inputs[k]});
    total += t.dims[axis];
  }
  dims[axis] = total;
  if (element_count(dims) < 1) unsupported("its result has the shape [{}]", fmt::join(dims, ", "));
  const std::string name = name_of(n);
  if (quantized_) {  // the kernel joins bytes of one scale
    const auto q = wanted ? wanted : model_.graph.type(inputs[0]).quantization;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      if (*model_.graph.type(inputs[k]).quantization == *q) continue;
      inputs[k] = emit(names_.fresh(fmt::format("{}.requantize{}", name, k)), Requantize{}, {inputs[k]});
      model_.graph.type(inputs[k]).quantization = q;
    }
  }
  Tensor t = first;
  t.dims = dims;
  if (dims.size() == 2) {
    t.value = emit(name, Concat{0}, inputs);
    if (axis != 1) unsupported("it joins batches");
  } else {
    t.value = emit(name, Concat{graph_axis(first, axis)}, inputs);
  }
  set(n, t);
}

void Reader::read_split(const FileNode& n) {
  const int v = value(n);
  const Tensor t = in(n);
  const std::size_t axis = resolve_axis(integer_attribute(n, "axis", 0), t.dims.size());
  Dims sizes = attribute_or_input(n, "split", 1, {});
  const auto parts = static_cast<std::int64_t>(n.outputs.size());
  if (sizes.empty()) {  // equal parts, the last one smaller where they do not fit
    const std::int64_t size = (t.dims[axis] + parts - 1) / parts;
    for (std::int64_t k = 0; k < parts; ++k) sizes.push_back(std::min(size, t.dims[axis] - k * size));
  }
  if (sizes.size() != n.outputs.size()) unsupported("it has {} sizes for {} outputs", sizes.size(), parts);
  if (t.flattened.rank() > 0) unsupported("it cuts an image that was flattened in another order");
  Split split{.axis = graph_axis(t, axis), .sizes = {}};
  for (const std::int64_t s : sizes) {
    if (s < 1 || s > t.dims[axis]) unsupported("a part of {}", s);
    split.sizes.push_back(narrow(s));
  }
  if (parts == 1) return alias(n);
  const int first = emit(name_of(n), split, {v});
  for (std::size_t k = 0; k < n.outputs.size(); ++k) {
    Tensor part = made(t, first + static_cast<int>(k));
    part.dims[axis] = sizes[k];
    set(n, part, k);
  }
}

// One axis, step 1, constant bounds; nothing where the bounds are not known yet.
std::optional<Reader::Cut> Reader::cut_of(const FileNode& n) {
  const bool attributes = file_.opset < 10;
  for (std::size_t k = 1; !attributes && k < n.inputs.size(); ++k)
    if (!n.inputs[k].empty() && !is_constant(n, k)) return {};
  const Dims& dims = in(n).dims;
  const Dims starts = attributes ? integers_attribute(n, "starts", {}) : integers(n, 1), ends = attributes ? integers_attribute(n, "ends", {}) : integers(n, 2);
  Dims axes(starts.size()), steps(starts.size(), 1);
  std::iota(axes.begin(), axes.end(), 0);
  if (attributes) axes = integers_attribute(n, "axes", axes);
  else if (has_input(n, 3)) axes = integers(n, 3);
  if (!attributes && has_input(n, 4)) steps = integers(n, 4);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size()) unsupported("its operands differ in length");
  std::optional<Cut> cut = Cut{0, 0, dims[0]};
  bool found = false;
  for (std::size_t k = 0; k < axes.size(); ++k) {
    const std::size_t d = resolve_axis(axes[k], dims.size());
    const auto bound = [&](std::int64_t v) { return std::clamp<std::int64_t>(v < 0 ? v + dims[d] : v, 0, dims[d]); };
    const std::int64_t begin = bound(starts[k]), end = bound(ends[k]);
    if (steps[k] != 1) unsupported("it has a step of {}", steps[k]);
    if (begin == 0 && end == dims[d]) continue;
    if (found) unsupported("it cuts along several axes");
    if (begin >= end) unsupported("it keeps nothing");
    cut = Cut{d, begin, end};
    found = true;
  }
  return cut;
}

// Slices of one tensor along one axis become one split where their bounds fit together (chunk in PyTorch).
void Reader::read_slice(const FileNode& n) {
  const auto cut = cut_of(n);
  if (!cut) unsupported("its bounds are no constants");
  const int v = value(n);
  Tensor t = in(n);
  if (cut->begin == 0 && cut->end == t.dims[cut->axis]) return alias(n);
  if (t.flattened.rank() > 0) unsupported("it cuts an image that was flattened in another order");
  const std::int32_t axis = graph_axis(t, cut->axis);
  const int source = id(n.inputs[0]);
  auto& [bounds, first] = cuts_[{source, cut->axis}];
  const auto part_of = [&](const Dims& edges) {
    for (std::size_t k = 0; k + 1 < edges.size(); ++k)
      if (edges[k] == cut->begin && edges[k + 1] == cut->end) return static_cast<int>(k);
    return -1;
  };
  int part = part_of(bounds);
  if (part < 0) {
    std::set<std::int64_t> edges = {0, t.dims[cut->axis], cut->begin, cut->end};
    const std::set<std::int64_t> own = edges;
    for (const int r : readers(source)) {
      if (node(r).op != "Slice" || node(r).inputs[0] != n.inputs[0]) continue;
      try {
        if (const auto other = cut_of(node(r)); other && other->axis == cut->axis) edges.insert({other->begin, other->end});
      } catch (const Error&) {  // said when that one is read
      }
    }
    Dims list(edges.begin(), edges.end());
    if (part_of(list) < 0) list.assign(own.begin(), own.end());
    Split split{.axis = axis, .sizes = {}};
    for (std::size_t k = 0; k + 1 < list.size(); ++k) split.sizes.push_back(narrow(list[k + 1] - list[k]));
    first = emit(name_of(n), split, {v});
    bounds = list;
    part = part_of(bounds);
  }
  t = made(t, first + part);
  t.dims[cut->axis] = cut->end - cut->begin;
  set(n, t);
}

void Reader::read_pad(const FileNode& n) {
  const int v = value(n);
  const Tensor t = in(n);
  if (const std::string mode = text_attribute(n, "mode", "constant"); mode != "constant") unsupported("its mode is '{}'", mode);
  const double fill = find_attribute(n, "value") ? number_attribute(n, "value", 0) : has_input(n, 2) ? (constant(n, 2).values.size() == 1 ? constant(n, 2).values[0] : 1) : 0;
  if (fill != 0) unsupported("it fills with {}", fill);
  if (t.integer) unsupported("it pads integers, without a DequantizeLinear");
  const Dims given = attribute_or_input(n, "pads", 1, {});
  const std::size_t rank = t.dims.size();
  Dims pads(2 * rank, 0);
  if (has_input(n, 3)) {
    const Dims axes = integers(n, 3);
    if (given.size() != 2 * axes.size()) unsupported("it has {} pads for {} axes", given.size(), axes.size());
    for (std::size_t k = 0; k < axes.size(); ++k) {
      pads[resolve_axis(axes[k], rank)] = given[k];
      pads[rank + resolve_axis(axes[k], rank)] = given[axes.size() + k];
    }
  } else {
    if (given.size() != 2 * rank) unsupported("it has {} pads for {} dimensions", given.size(), rank);
    pads = given;
  }
  if (std::all_of(pads.begin(), pads.end(), [](std::int64_t p) { return p == 0; })) {
    set(n, t);
    return;
  }
  if (rank != 4) unsupported("it pads [{}]; only images can be padded", fmt::join(t.dims, ", "));
  const std::size_t y = t.channels_last ? 1 : 2, x = y + 1, c = t.channels_last ? 3 : 1;
  for (const std::int64_t p : pads)
    if (p < 0 || p > (1 << 16)) unsupported("a padding of {}", p);
  if (pads[0] + pads[rank] + pads[c] + pads[rank + c] != 0) unsupported("it pads more than rows and columns");
  Tensor out = made(t, emit(name_of(n), Pad{{narrow(pads[y]), narrow(pads[rank + y]), narrow(pads[x]), narrow(pads[rank + x])}}, {v}));
  out.dims[y] += pads[y] + pads[rank + y];
  out.dims[x] += pads[x] + pads[rank + x];
  set(n, out);
}

void Reader::read_resize(const FileNode& n) {
  const int v = image(n);
  const Tensor t = in(n);
  const Shape shape = model_.graph.shape(v);
  const bool upsample = n.op == "Upsample" || file_.opset < 11;
  if (const std::string mode = text_attribute(n, "mode", "nearest"); mode != "nearest") unsupported("its mode is '{}'; expected nearest", mode);
  std::vector<double> factors;
  if (find_attribute(n, "scales")) {
    const FileAttribute* a = find_attribute(n, "scales");
    factors.assign(a->floats.begin(), a->floats.end());
  } else if (upsample) {
    factors = constant(n, 1).values;
  } else if (has_input(n, 2) && !constant(n, 2).values.empty()) {
    factors = constant(n, 2).values;
  } else if (has_input(n, 3)) {
    const Dims sizes = integers(n, 3);
    if (sizes.size() != 4) unsupported("it has {} sizes", sizes.size());
    for (std::size_t d = 0; d < 4; ++d) factors.push_back(static_cast<double>(sizes[d]) / static_cast<double>(t.dims[d]));
  }
  if (find_attribute(n, "axes")) unsupported("attribute 'axes'");
  if (factors.size() != 4 || factors[0] != 1 || factors[1] != 1) unsupported("it changes more than height and width");
  for (const double f : {factors[2], factors[3]})
    if (!(f >= 1 && f <= 64 && f == std::floor(f))) unsupported("its factor {} is no whole number from 1 to 64", f);
  const std::string coordinates = text_attribute(n, "coordinate_transformation_mode", "half_pixel"), rounding = text_attribute(n, "nearest_mode", "round_prefer_floor");
  // Which source pixel the file's rule takes for the r-th copy of a pixel: must be that pixel.
  const auto replicates = [&](double f) {
    for (int r = 0; r < f && !upsample && f > 1; ++r) {
      double at = 0;
      if (coordinates == "asymmetric") at = r / f;
      else if (coordinates == "half_pixel" || coordinates == "pytorch_half_pixel" || coordinates == "half_pixel_symmetric") at = (r + 0.5) / f - 0.5;
      else if (coordinates == "tf_half_pixel_for_nn") at = (r + 0.5) / f;
      else return false;
      const double pixel = rounding == "floor" ? std::floor(at) : rounding == "ceil" ? std::ceil(at) : rounding == "round_prefer_ceil" ? std::floor(at + 0.5) : std::ceil(at - 0.5);
      if (pixel != 0) return false;
    }
    return true;
  };
  if (!replicates(factors[2]) || !replicates(factors[3])) unsupported("its coordinates '{}' with rounding '{}' do not repeat pixels", coordinates, rounding);
  const Size scale(narrow(static_cast<std::int64_t>(factors[2])), narrow(static_cast<std::int64_t>(factors[3])));
  if (std::int64_t{shape[1]} * scale.h > kMaxExtent || std::int64_t{shape[2]} * scale.w > kMaxExtent) unsupported("its result is too large");
  Tensor out = made(t, emit(name_of(n), Upsample{scale}, {v}));
  const Shape& made_shape = model_.graph.shape(out.value);
  out.dims = {1, made_shape[0], made_shape[1], made_shape[2]};
  set(n, out);
}

void Reader::match_uneven_pools() {
  for (const int i : order_)
    if (live_[static_cast<std::size_t>(i)] && node(i).op == "Concat") match_uneven_pool(i);
}

// Slice, ReduceMean of each bin, Concat along rows, then along columns: adaptive average pooling of a ratio that is not whole,
// as we write it.
bool Reader::match_uneven_pool(int last) {
  const auto made_by = [&](const std::string& name, std::string_view op) {
    const int p = name.empty() ? -1 : producer_[static_cast<std::size_t>(id(name))];
    return p >= 0 && node(p).op == op && sole_reader(id(name)) >= 0 ? p : -1;
  };
  const auto axis_is = [&](const FileNode& n, std::int64_t axis) {
    const FileAttribute* a = find_attribute(n, "axis");
    return a && a->i == axis;
  };
  if (!axis_is(node(last), 2)) return false;
  std::vector<int> absorbed;
  std::vector<std::vector<std::pair<Dims, Dims>>> bins;
  std::string source;
  for (const std::string& row_name : node(last).inputs) {
    const int row = made_by(row_name, "Concat");
    if (row < 0 || !axis_is(node(row), 3)) return false;
    absorbed.push_back(row);
    bins.emplace_back();
    for (const std::string& bin_name : node(row).inputs) {
      const int mean = made_by(bin_name, "ReduceMean");
      if (mean < 0 || node(mean).inputs.size() != 1) return false;
      const FileAttribute *axes = find_attribute(node(mean), "axes"), *keep = find_attribute(node(mean), "keepdims");
      if (!axes || axes->ints != Dims{2, 3} || (keep && keep->i != 1)) return false;
      const int slice = made_by(node(mean).inputs[0], "Slice");
      if (slice < 0 || node(slice).inputs.size() != 4) return false;
      if (source.empty()) source = node(slice).inputs[0];
      if (node(slice).inputs[0] != source || !is_constant(node(slice), 1) || !is_constant(node(slice), 2) || !is_constant(node(slice), 3)) return false;
      if (integers(node(slice), 3) != Dims{2, 3}) return false;
      bins.back().emplace_back(integers(node(slice), 1), integers(node(slice), 2));
      absorbed.insert(absorbed.end(), {mean, slice});
    }
    if (bins.back().size() != bins[0].size() || bins[0].empty()) return false;
  }
  if (bins.empty()) return false;
  const Dims extent = bins.back().back().second;  // the last bin ends where the image does; read() checks that it does
  if (extent.size() != 2) return false;
  const auto rows = static_cast<std::int64_t>(bins.size()), columns = static_cast<std::int64_t>(bins[0].size());
  const auto begin = [](std::int64_t i, std::int64_t n, std::int64_t count) { return i * n / count; };
  const auto end = [](std::int64_t i, std::int64_t n, std::int64_t count) { return ((i + 1) * n + count - 1) / count; };
  for (std::int64_t y = 0; y < rows; ++y)
    for (std::int64_t x = 0; x < columns; ++x) {
      const auto& [from, to] = bins[static_cast<std::size_t>(y)][static_cast<std::size_t>(x)];
      if (from != Dims{begin(y, extent[0], rows), begin(x, extent[1], columns)} || to != Dims{end(y, extent[0], rows), end(x, extent[1], columns)}) return false;
    }
  for (const int a : absorbed) absorb(a);
  uneven_[last] = {id(source), Size(narrow(rows), narrow(columns))};
  uneven_extent_[last] = extent;
  return true;
}

// The node that ends such a sequence.
void Reader::read_uneven_pool(const FileNode& n) {
  const auto& [source, bins] = uneven_.at(reading_);
  FileNode pool = n;
  pool.op = "AveragePool";
  pool.inputs = {tensor_names_[static_cast<std::size_t>(source)]};
  if (tensor(source).kind != Tensor::Kind::value) unsupported("it reads what could not be read");
  const int x = image(pool);
  const Shape shape = model_.graph.shape(x);
  if (Dims{shape[1], shape[2]} != uneven_extent_.at(reading_)) unsupported("its bins do not cover the image {}", micromind::to_string(shape));
  Tensor t = made(tensor(source), emit(name_of(n), AdaptiveAvgPool2d{bins}, {x}));
  t.dims = {1, shape[0], bins.h, bins.w};
  set(n, t);
}

}  // namespace micromind::onnx_file
