// bench deploy: the peers' figures, and a small table end to end.
#include "micromind/bench/deployments.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "error_of.h"
#include "micromind/base/file.h"
#include "micromind/formats/tflite.h"
#include "tools.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Peers, FiguresAreThere) {
  ASSERT_EQ(peers().models.size(), 4u);
  EXPECT_EQ(peers().figure("kws_ref_model", "cortex-m7")->instructions, 7'650'000);
  EXPECT_EQ(peers().figure("kws_ref_model", "cortex-m0"), nullptr);
  EXPECT_EQ(peers().layers.size(), 11u);
  for (const PeerLayer& layer : peers().layers) EXPECT_EQ(layer.per_mac.size(), 3u) << layer.name;
  EXPECT_THAT(error_of([] { parse_peers("{\"runtime\": 1}", "x.json"); }), HasSubstr("x.json"));
  EXPECT_THAT(error_of([] { parse_peers("{", "x.json"); }), HasSubstr("x.json"));
}

TEST(DeployBench, EveryEmulatedCoreIsThereFromSmallToLarge) {
  const std::vector<std::string> machines = emulated_machines();
  ASSERT_GE(machines.size(), 6u);
  EXPECT_EQ(machines.front(), "microbit");
  EXPECT_EQ(own_networks().size(), 3u);
}

TEST(DeployBench, ATableAPageAndJson) {
  SKIP_WITHOUT_TOOLS();
  const fs::path data = data_folder() / "mlperf_tiny";
  if (!fs::exists(data / "models")) GTEST_SKIP() << data << " is absent";
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "models");
  fs::copy_file(data / "models/kws_ref_model.tflite", folder.path() / "models/kws_ref_model.tflite");
  fs::copy_file(data / "kws01.tar.xz", folder.path() / "kws01.tar.xz");
  write_atomic(folder.path() / "models/broken.tflite", "nothing");
  std::vector<std::string> notes;
  const DeployBench bench = bench_deployments({.models = folder.path().string(), .targets = {"mps2-an500"}, .accuracy_target = "mps2-an500", .accuracy_inputs = 12,
                                               .own_networks = false, .layers = false, .jobs = 1},
                                              [&](const std::string& line) { notes.push_back(line); });
  ASSERT_EQ(bench.rows.size(), 1u);
  EXPECT_TRUE(bench.rows[0].deployment.identical());
  EXPECT_GT(bench.rows[0].deployment.cycles_by_class, 1e6);
  std::int64_t parts = 0;
  for (const FlashPart& p : bench.rows[0].deployment.flash_parts) parts += p.bytes;
  EXPECT_EQ(parts, bench.rows[0].deployment.flash_bytes);
  EXPECT_LT(bench.rows[0].deployment.flash_parts.back().bytes, 4000);  // the rest: most is known by name
  EXPECT_THAT(notes, testing::Contains(HasSubstr("left out: broken.tflite")));
  ASSERT_EQ(bench.accuracy.size(), 1u);
  EXPECT_EQ(bench.accuracy[0].inputs, 12);
  EXPECT_EQ(bench.accuracy[0].identical, 12);
  EXPECT_GT(bench.accuracy[0].correct, 8);
  const nlohmann::json json = to_json(bench);
  EXPECT_LT(json["rows"][0]["ratio_to_tflm_cmsis_nn"]["instructions"].get<double>(), 0.8);
  EXPECT_THAT(deploy_bench_text(bench), HasSubstr("keyword spotting (DS-CNN)"));
  EXPECT_THAT(benchmarks_page(bench), testing::AllOf(HasSubstr("micromind bench deploy --models " + folder.path().string() + " --target mps2-an500 --inputs 12 --markdown"), HasSubstr("| cortex-m7 |")));
  EXPECT_THAT(error_of([&] { bench_deployments({.models = (folder.path() / "none").string()}); }), HasSubstr("none"));
}

}  // namespace
}  // namespace micromind
