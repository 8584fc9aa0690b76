// The latency model: its fit, its file, that it grows with every width, and that the committed one matches
// the kernels.
#include "micromind/cost/latency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "error_of.h"
#include "tools.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"
#include "micromind/bench/latency_fit.h"
#include "micromind/bench/nnls.h"
#include "micromind/deploy/cycle_model.h"
#include "micromind/networks/mlperf_tiny.h"
#include "micromind/networks/phinet.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::vector<std::string> kMachines = {"mps2-an386", "mps2-an500", "mps3-an547"};

double loss(const std::vector<Observation>& list, const Terms& x) {
  double sum = 0;
  for (const Observation& o : list) {
    double guess = 0;
    for (std::size_t i = 0; i < x.size(); ++i) guess += x[i] * o.terms[i];
    sum += (guess / o.value - 1) * (guess / o.value - 1);
  }
  return sum;
}

std::vector<Observation> observations(const Terms& truth, double noise, std::uint64_t seed) {
  std::vector<Observation> list;
  for (std::uint64_t i = 0; i < 40; ++i) {
    Random random(seed, {i});
    Observation o;
    for (std::size_t k = 0; k < o.terms.size(); ++k)
      o.terms[k] = k == 0 ? 1 : std::pow(10, random.uniform(0, 2 + static_cast<float>(k)));
    for (std::size_t k = 0; k < o.terms.size(); ++k) o.value += truth[k] * o.terms[k];
    o.value = std::max(1e-3, o.value * (1 + noise * random.normal()));
    list.push_back(o);
  }
  return list;
}

TEST(NotNegativeLeastSquares, FindsWhatMadeTheFigures) {
  const Terms truth = {50, 20, 60, 0, 3.5};
  const Terms x = fit_not_negative(observations(truth, 0, 1));
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], truth[i], 1e-6 * 60);
  EXPECT_EQ(fit_not_negative({}), Terms{});
}

// What no step in an allowed direction improves is the optimum: the problem is convex.
TEST(NotNegativeLeastSquares, NoStepImprovesAndNoneIsNegative) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto list = observations({40, -15, 30, -0.5, 2}, 0.1, seed);
    const Terms x = fit_not_negative(list);
    const double best = loss(list, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_GE(x[i], 0);
      for (const double step : {1e-3, -1e-3, 0.1, -0.1}) {
        Terms other = x;
        other[i] += step * std::max(1.0, x[i]);
        if (other[i] >= 0) {
          EXPECT_GE(loss(list, other), best - 1e-9) << seed << " " << i;
        }
      }
    }
  }
}

TEST(NotNegativeLeastSquares, RefusesFiguresOfZero) {
  EXPECT_THAT(error_of([] { fit_not_negative({{{1, 0, 0, 0, 0}, 0}}); }), HasSubstr("above 0"));
}

Graph one_conv(Shape in, Conv2d op) {
  Graph g("one");
  g.add_output("out", g.add("conv", op, {g.add_input("image", in)}));
  return lower(g).graph;
}

TEST(LatencyFeatures, CountWhatMeetsTheImage) {
  // 3×3 over 4×5 with padding 1: rows meet 2+3+3+2, columns 2+3+3+3+2 taps.
  const Graph g = one_conv({6, 4, 5}, {.out_channels = 7, .kernel = 3, .padding = 1});
  const LatencyFeatures f = latency_features(g, g.nodes()[0], {});
  EXPECT_EQ(f.work, 10 * 13 * 6 * 7);
  EXPECT_EQ(f.positions, 20);
  EXPECT_EQ(f.outputs, 140);
  EXPECT_EQ(f.inputs, 120);
  EXPECT_EQ(kernel_variant(g, g.nodes()[0]), "3x3");
  const Graph strided = one_conv(
      {4, 7, 7}, {.out_channels = 4, .kernel = 3, .stride = 2, .dilation = 2, .padding = 2, .groups = 2});
  double taps = 0;  // by counting
  for (int o = 0; o < 4; ++o)
    for (int k = 0; k < 3; ++k) taps += o * 2 - 2 + 2 * k >= 0 && o * 2 - 2 + 2 * k < 7;
  const LatencyFeatures s = latency_features(strided, strided.nodes()[0], {});
  EXPECT_EQ(s.work, taps * taps * 2 * 4);
  EXPECT_EQ(s.positions, 16 * 2);
  EXPECT_EQ(kernel_variant(strided, strided.nodes()[0]), "grouped");
}

// The search over widths relies on it.
TEST(LatencyModel, NeverFallsWhenAWidthGrows) {
  for (const std::string& name : latency_model_cores()) {
    SCOPED_TRACE(name);
    Core core = Core::kHost;
    for (const Core one : {Core::kCortexM0, Core::kCortexM0Plus, Core::kCortexM3, Core::kCortexM4,
                           Core::kCortexM7, Core::kCortexM33, Core::kCortexM55})
      if (core_name(one) == name) core = one;
    const LatencyModel& model = load_latency_model(core);
    for (const LatencyRow& row : model.rows())
      for (const KernelLatency& k : {row.instructions, row.cycles})
        for (const double c : {k.call, k.position, k.output, k.input, k.mac, k.window, k.edge, k.tap}) EXPECT_GE(c, 0) << row.kernel;
    double before = 0;
    for (int width = 1; width <= 70; ++width) {
      const Graph g = one_conv({8, 9, 9}, {.out_channels = width, .kernel = 3, .padding = 1});
      const double cycles = model.layer_cycles(g, g.nodes()[0]);
      EXPECT_GE(cycles, before);
      before = cycles;
    }
    before = 0;
    for (double alpha = 0.1; alpha < 1; alpha += 0.02) {
      const Latency l =
          estimate_latency(lower(phinet({.input = {3, 64, 64}, .alpha = alpha, .include_top = true})).graph,
                           model, 100'000'000);
      EXPECT_GE(l.cycles, before);
      EXPECT_NEAR(l.seconds, l.cycles / 1e8, 1e-9);
      before = l.cycles;
    }
  }
}

// What the scaling search takes apart is what the model says.
TEST(LatencyModel, CyclesByWidthAddUpToTheLayer) {
  const LatencyModel& model = load_latency_model(Core::kCortexM7);
  for (const LatencyCase& one : latency_cases()) {
    const Graph g = lower(one.graph).graph;
    for (const Node& node : g.nodes()) {
      const CyclesByWidth c = model.cycles_by_width(g, node);
      const KernelLatency& k = c.at;
      const Shape &in = g.shape(node.inputs[0]), &out = g.shape(node.outputs[0]);
      const double positions = out.height() * out.width();
      const auto width = static_cast<double>(c.outputs(out.channels()));
      const double sum =
          k.call + k.position * positions + k.output * width * positions +
          k.input * static_cast<double>(in.elements()) +
          k.mac * static_cast<double>(macs(node.op, g.input_shapes(node), g.output_shapes(node))) +
          (k.window + k.tap * width) * static_cast<double>(c.window(in.channels())) * positions;
      EXPECT_NEAR(sum, model.layer_cycles(g, node), 1e-6 * sum) << one.kernel << " " << one.variant;
    }
  }
}

TEST(LatencyModel, IsPresentForTheCoresOfTheBoards) {
  EXPECT_THAT(latency_model_cores(), testing::IsSupersetOf({"cortex-m4", "cortex-m55", "cortex-m7"}));
  const Lowered net = lower(resnet8({}));
  const Latency slow = estimate_latency(net, load_target("mps2-an386")),
                fast = estimate_latency(net, load_target("stm32h743"));
  EXPECT_GT(slow.seconds, fast.seconds * 10);  // 25 MHz against 480
  EXPECT_EQ(slow.layers.size(), net.graph.nodes().size());
  EXPECT_THAT(error_of([] { load_latency_model(Core::kHost); }),
              AllOf(HasSubstr("no latency model of host"), HasSubstr("cortex-m4"), HasSubstr("--fit")));
}

TEST(LatencyModel, DamagedFilesAreExplained) {
  const nlohmann::json good = to_json(load_latency_model(Core::kCortexM4));
  EXPECT_EQ(to_json(latency_model_from_json(good, "x.json")), good);
  const auto error = [&](auto&& damage) {
    nlohmann::json bad = good;
    damage(bad);
    return error_of([&] { latency_model_from_json(bad, "x.json"); });
  };
  EXPECT_THAT(error([](auto& j) { j["rows"][0]["cycles"]["mac"] = -1; }),
              AllOf(HasSubstr("x.json"), HasSubstr("mac = -1")));
  EXPECT_THAT(error([](auto& j) { j["rows"][1]["cycles"].erase("call"); }), HasSubstr("'call'"));
  EXPECT_THAT(error([](auto& j) { j["rows"][1].erase("instructions"); }), HasSubstr("coefficients"));
  EXPECT_THAT(error([](auto& j) { j["rows"][1]["kernel"] = 3; }), HasSubstr("'kernel'"));
  EXPECT_THAT(error([](auto& j) { j["rows"].push_back(j["rows"][0]); }), HasSubstr("two rows"));
  EXPECT_THAT(error([](auto& j) { j["rows"] = 3; }), HasSubstr("'rows'"));
  EXPECT_THAT(error([](auto& j) { j["core"] = "cortex-m9"; }), HasSubstr("cortex-m9"));
  EXPECT_THAT(error([](auto& j) { j = nlohmann::json(nlohmann::json::value_t::discarded); }),
              HasSubstr("latency model"));
  const LatencyModel empty(Core::kCortexM4, {});
  const Graph g = one_conv({3, 5, 5}, {.out_channels = 4});
  EXPECT_THAT(error_of([&] { empty.layer_cycles(g, g.nodes()[0]); }),
              AllOf(HasSubstr("no row for conv2d_s8"), HasSubstr("--fit")));
}

// Fails when kernels change and the committed files do not: micromind bench operators --target … --fit
// targets/latency.
TEST(LatencyModel, CommittedCoefficientsMatchTheKernels) {
  SKIP_WITHOUT_TOOLS();
  Graph layers("layers");
  const int x = layers.add_input("image", Shape{24, 14, 14});
  const int y = layers.add("point", Conv2d{.out_channels = 40}, {x});
  const int d = layers.add(
      "depth", Conv2d{.out_channels = 40, .kernel = 3, .stride = 2, .padding = 1, .groups = 40}, {y});
  const int s = layers.add("swish", Activation{Function::hard_swish}, {d});
  const int m = layers.add("mean", AdaptiveAvgPool2d{1}, {s});
  const int gate = layers.add("gate", Activation{Function::sigmoid}, {m});
  const int t = layers.add("scale", Multiply{}, {s, gate});
  const int c = layers.add("conv", Conv2d{.out_channels = 40, .kernel = 3, .padding = 1}, {t});
  const int a = layers.add("add", Add{}, {c, t});
  const int p = layers.add("pool", MaxPool2d{}, {a});
  const int f = layers.add("flat", Flatten{}, {p});
  layers.add_output("out", layers.add("linear", Linear{.out_features = 64}, {f}));
  for (const std::string& machine : kMachines) {
    const Target target = load_target(machine);
    const auto counted = count_layers({layers, resnet8({})}, target);
    const LatencyModel& model = load_latency_model(target.core);
    const auto row_of = [&](const CountedLayer& layer) -> const LatencyRow* {
      for (const LatencyRow& row : model.rows())
        if (row.kernel == layer.kernel && row.variant == layer.variant) return &row;
      return nullptr;
    };
    for (std::size_t g = 0; g < 2; ++g) {
      double instructions = 0, cycles = 0, counted_instructions = 0, counted_cycles = 0;
      for (const CountedLayer& layer : counted[g]) {
        if (layer.kernel.empty()) continue;
        const LatencyRow* row = row_of(layer);
        ASSERT_NE(row, nullptr) << layer.kernel << " " << layer.variant;
        const double guess = row->instructions.at(layer.features),
                     truth = static_cast<double>(layer.counts.total());
        if (g == 0) {
          EXPECT_NEAR(guess / truth, 1, 0.15)
              << machine << " " << layer.name << " (" << layer.kernel << " " << layer.variant << ")";
        }
        instructions += guess;
        cycles += row->cycles.at(layer.features);
        counted_instructions += truth;
        counted_cycles += estimate_cycles(layer.counts, *cycle_table(target.core));
      }
      EXPECT_NEAR(instructions / counted_instructions, 1, 0.1) << machine;
      EXPECT_NEAR(cycles / counted_cycles, 1, 0.1) << machine;
    }
  }
}

}  // namespace
}  // namespace micromind
