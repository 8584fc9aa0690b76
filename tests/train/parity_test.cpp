// The libtorch module against the plain executor, value by value, and against the Python package's own outputs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "micromind/base/random.h"
#include "micromind/formats/pytorch.h"
#include "micromind/networks/registry.h"
#include "micromind/reference/reference.h"
#include "micromind/train/graph_module.h"

namespace micromind {
namespace {

// Largest difference over the largest magnitude expected.
double difference(std::span<const float> expected, std::span<const float> found) {
  if (expected.size() != found.size()) return INFINITY;
  double top = 1e-6, worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    top = std::max(top, std::abs(static_cast<double>(expected[i])));
    if (const double d = std::abs(expected[i] - found[i]); !(d <= worst)) worst = d;
  }
  return worst / top;
}

TEST(Parity, EveryValueOfANetworkEqualsTheReference) {
  for (const char* family : {"phinet", "xinet"}) {
    const Graph graph = build_network(family, {{"input_shape", {3, 32, 32}}, {"include_top", true}});
    GraphModule module(graph, {.seed = 7});
    Random random(8);
    Array image(ElementType::float32, {3, 32, 32});
    for (float& v : image.values<float>()) v = random.normal();
    std::vector<float> batch;
    for (int n = 0; n < 4; ++n)
      for (int i = 0; i < 3 * 32 * 32; ++i) batch.push_back(random.normal());
    module.run(batch, 4);  // training mode: the running statistics move away from 0 and 1
    module.eval();
    std::map<int, std::vector<float>> found;
    module.observe_values([&](int v, std::span<const float> numbers) { found[v].assign(numbers.begin(), numbers.end()); });
    module.run(image.values<float>(), 1);
    int compared = 0;
    run_reference(graph, module.to_weights(), {{graph.inputs()[0].name, image}}, [&](int v, std::span<const float> expected) {
      EXPECT_LT(difference(expected, found.at(v)), 2e-4) << family << " " << graph.value_name(v);
      ++compared;
    });
    EXPECT_EQ(compared, static_cast<int>(graph.values().size()));
  }
}

TEST(Parity, GoldenCheckpointsGiveTheirOutputs) {
  const char* variable = std::getenv("MICROMIND_GOLDEN");
  const std::filesystem::path folder = variable != nullptr ? variable : "../shared/golden";
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << folder << " is absent; set MICROMIND_GOLDEN";
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".pt") continue;
    const PyValue golden = read_pytorch(entry.path());
    const std::string family = golden.at("family").as_string();
    if (family != "phinet" && family != "xinet") continue;
    const nlohmann::json options = nlohmann::json::parse(golden.at("config").as_string());
    const Graph graph = build_network(family, options);
    GraphModule module(graph);
    module.load(weights_from_state(graph, golden.at("state"), {.names = reference_names(family, options)}));
    module.eval();
    const PyTensor& input = golden.at("input").as_tensor();
    const std::vector<float> output = module.run(input.to_floats(), input.shape[0]);
    EXPECT_LT(difference(golden.at("output").as_tensor().to_floats(), output), 1e-4) << entry.path().filename();
    ++compared;
  }
  EXPECT_GE(compared, 11);
}

}  // namespace
}  // namespace micromind
