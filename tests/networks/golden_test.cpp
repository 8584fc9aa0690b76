// The Python package's own numbers: for every recorded checkpoint the graph is built from its options, its weights
// are loaded and the outputs, features and counts compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "micromind/base/error.h"
#include "micromind/cost/count.h"
#include "micromind/formats/pytorch.h"
#include "micromind/networks/registry.h"
#include "micromind/reference/reference.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder() {
  const char* variable = std::getenv("MICROMIND_GOLDEN");
  return variable != nullptr ? variable : "../shared/golden";
}

bool known(const std::string& family) {
  const auto& families = network_families();
  return std::any_of(families.begin(), families.end(), [&](const NetworkFamily& f) { return f.name == family; });
}

// Sample n of a batch.
Array sample(const PyTensor& batch, std::size_t n) {
  Shape shape;
  for (std::size_t i = 1; i < batch.shape.size(); ++i) shape.append(static_cast<std::int32_t>(batch.shape[i]));
  Array a(ElementType::float32, shape);
  const std::vector<float> all = batch.to_floats();
  std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(n) * a.elements(), a.elements(), a.values<float>().begin());
  return a;
}

// Largest difference, relative to the largest magnitude expected.
double difference(const Array& expected, const Array& got) {
  EXPECT_EQ(expected.shape(), got.shape());
  if (!(expected.shape() == got.shape())) return INFINITY;
  double top = 0, worst = 0;
  for (std::int64_t i = 0; i < expected.elements(); ++i) {
    const double e = expected.values<float>()[static_cast<std::size_t>(i)], g = got.values<float>()[static_cast<std::size_t>(i)];
    top = std::max(top, std::abs(e));
    if (!(std::abs(e - g) <= worst)) worst = std::abs(e - g);
  }
  return top > 0 ? worst / top : worst;
}

double compare(const PyValue& golden, const std::string& family, const nlohmann::json& options) {
  const Graph graph = build_network(family, options);
  EXPECT_EQ(count_parameters(graph), golden.at("params").as_int());
  EXPECT_EQ(count_macs(graph), golden.at("macs").as_int());
  EXPECT_EQ(torchinfo_mult_adds(graph), golden.at("torchinfo_mult_adds").as_int());
  const Weights weights = weights_from_state(graph, golden.at("state"), {.names = reference_names(family, options)});
  const ReferenceExecutor executor(graph, weights);
  const PyTensor& input = golden.at("input").as_tensor();
  double worst = 0;
  for (std::size_t n = 0; n < static_cast<std::size_t>(input.shape[0]); ++n) {
    const Arrays out = executor.run({{graph.inputs()[0].name, sample(input, n)}});
    worst = std::max(worst, difference(sample(golden.at("output").as_tensor(), n), out.at(graph.outputs()[0].name)));
    const std::size_t features = golden.contains("features") ? golden.at("features").as_list().size() : 0;
    EXPECT_EQ(graph.outputs().size(), 1 + features);
    for (std::size_t f = 0; f < features && f + 1 < graph.outputs().size(); ++f)
      worst = std::max(worst, difference(sample(golden.at("features").as_list()[f].as_tensor(), n), out.at(graph.outputs()[f + 1].name)));
  }
  return worst;
}

TEST(Golden, EveryCheckpointAgrees) {
  const fs::path folder = golden_folder();
  if (!fs::is_directory(folder)) GTEST_SKIP() << folder << " is absent; set MICROMIND_GOLDEN";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".pt") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  int compared = 0;
  for (const fs::path& file : files) {
    SCOPED_TRACE(file.filename().string());
    const PyValue golden = read_pytorch(file);
    const std::string family = golden.at("family").as_string();
    if (!known(family)) {
      std::printf("not covered: %s (family %s)\n", file.filename().c_str(), family.c_str());
      continue;
    }
    const double worst = compare(golden, family, nlohmann::json::parse(golden.at("config").as_string()));
    std::printf("%-28s differs by %.1e\n", file.filename().c_str(), worst);
    EXPECT_LT(worst, 1e-4);
    ++compared;
  }
  EXPECT_GT(compared, 0) << "no checkpoint in " << folder;
}

// Our order of nodes is the original's order of modules: an independent check of reference_names.
TEST(Golden, ReferenceNamesAreTheKeysOfTheCheckpoint) {
  const fs::path folder = golden_folder();
  if (!fs::is_directory(folder)) GTEST_SKIP() << folder << " is absent; set MICROMIND_GOLDEN";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".pt") continue;
    const PyValue golden = read_pytorch(entry.path());
    if (!known(golden.at("family").as_string())) continue;
    std::vector<std::string> expected, got;
    for (const PyEntry& e : golden.at("state").entries())
      if (!e.key.as_string().ends_with("num_batches_tracked")) expected.push_back(e.key.as_string());
    for (const auto& [ours, theirs] : reference_names(golden.at("family").as_string(), nlohmann::json::parse(golden.at("config").as_string())))
      got.push_back(theirs);
    std::sort(expected.begin(), expected.end());
    std::sort(got.begin(), got.end());
    EXPECT_EQ(got, expected) << entry.path();
  }
}

}  // namespace
}  // namespace micromind
