#include "micromind/graph/op.h"

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

// Calls visit(Op{alternative}) for every operator of the variant.
template <std::size_t I = 0, class Visit>
void for_each_op(Visit&& visit) {
  if constexpr (I < std::variant_size_v<Op>) {
    visit(std::variant_alternative_t<I, Op>{});
    for_each_op<I + 1>(visit);
  }
}

}  // namespace

std::string_view op_name(const Op& op) {
  return std::visit([](const auto& o) { return o.kName; }, op);
}

Op op_from_name(std::string_view name) {
  std::optional<Op> found;
  for_each_op([&](const auto& o) {
    if (o.kName == name) found = o;
  });
  if (!found) fail_with_hint("graph", name_hint(name, op_names()), "unknown operator '{}'", name);
  return *found;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for_each_op([&](const auto& o) { names.emplace_back(o.kName); });
  return names;
}

Shapes infer(const Op& op, ShapeSpan in) {
  return std::visit([&](const auto& o) { return o.infer(in); }, op);
}

std::vector<ParameterSpec> parameters(const Op& op, ShapeSpan in) {
  return std::visit(
      [&](const auto& o) -> std::vector<ParameterSpec> {
        if constexpr (requires { o.parameters(in); }) return o.parameters(in);
        else return {};
      },
      op);
}

std::int64_t macs(const Op& op, ShapeSpan in, ShapeSpan out) {
  return std::visit(
      [&](const auto& o) -> std::int64_t {
        if constexpr (requires { o.macs(in, out); }) return o.macs(in, out);
        else return 0;
      },
      op);
}

}  // namespace micromind
