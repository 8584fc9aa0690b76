#include "micromind/run/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/graph/graph.h"
#include "micromind/run/charts.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// A convolutional network of the usual sort, so that the memory picture has something to show.
Graph network() {
  Graph g("sample");
  int x = g.add_input("image", {3, 32, 32});
  x = g.add("stem", Conv2d{.out_channels = 16, .kernel = 3, .stride = 2, .padding = 1}, {x});
  x = g.add("stem.act", Activation{Function::relu}, {x});
  for (int i = 0; i < 5; ++i) {
    const std::string name = "blocks." + std::to_string(i);
    const int in = x;
    x = g.add(name + ".expand", Conv2d{.out_channels = 48, .kernel = 1}, {x});
    x = g.add(name + ".act1", Activation{Function::hard_swish}, {x});
    x = g.add(name + ".depthwise", Conv2d{.out_channels = 48, .kernel = 3, .padding = 1, .groups = 48}, {x});
    x = g.add(name + ".act2", Activation{Function::hard_swish}, {x});
    x = g.add(name + ".project", Conv2d{.out_channels = 16, .kernel = 1}, {x});
    x = g.add(name + ".add", Add{}, {in, x});
  }
  x = g.add("pool", AdaptiveAvgPool2d{}, {x});
  x = g.add("flatten", Flatten{}, {x});
  x = g.add("classifier", Linear{.out_features = 10}, {x});
  g.add_output("logits", x);
  return g;
}

class ReportTest : public ::testing::Test {
 protected:
  RunFolder make_run() {
    Recipe recipe;
    recipe.run.name = "glyphs <b>\"sample\"</b>";
    RunFolder run = RunFolder::create(folder_.path() / "demo", recipe, IfPresent::fail);
    save_graph(network(), run.network_file().string());
    return run;
  }

  void add_results(RunFolder& run) {
    for (int e = 1; e <= 12; ++e) {
      append_line(run.log_file(), nlohmann::json{{"kind", "step"}, {"loss", 1.0}}.dump());
      append_line(run.log_file(), nlohmann::json{{"kind", "epoch"}, {"epoch", e}, {"loss", 0.4 + 1.9 / e},
                                                 {"validation", {{"loss", 0.5 + 1.7 / e}, {"top1", 0.92 - 0.6 / e}}}}.dump());
    }
    append_line(run.log_file(), "{\"kind\": \"epo");  // cut short
    run.set_result("train", {{"seconds", 83.4}});
    std::vector<std::vector<int>> confusion(10, std::vector<int>(10, 1));
    for (std::size_t i = 0; i < 10; ++i) confusion[i][i] = 90, confusion[i][(i + 3) % 10] = static_cast<int>(i);
    run.set_result("evaluate", {{"samples", 1000}, {"top1", 0.9312}, {"int8_top1", 0.9287},
                                {"class_names", {"circle", "square", "triangle", "star", "cross", "A", "B", "7", "8", "<i>&"}},
                                {"int8_confusion", confusion}});
    const ReportData d = gather_report(run);
    nlohmann::json deploy = {{"target", "stm32h743"}, {"core", "cortex-m7"}, {"machine", "mps2-an500"}, {"arena_bytes", d.peak_ram_bytes},
                             {"flash_bytes", 41250}, {"constant_bytes", 18000}, {"code_bytes", 23250}, {"data_bss_bytes", 512},
                             {"stack_bytes", 704}, {"instructions", 5400000}, {"cycles_estimate", 7100000}, {"macs", d.macs},
                             {"outputs_compared", 50}, {"outputs_identical", 50}, {"layers", nlohmann::json::array()}};
    for (const ReportLayer& l : d.layers)
      deploy["layers"].push_back({{"name", l.name}, {"kernel", l.kernel}, {"macs", l.macs}, {"instructions", l.macs * 2 + 900}, {"identical", true}});
    run.set_result("deploy", deploy);
  }

  TemporaryFolder folder_;
};

TEST_F(ReportTest, ShowsEveryResult) {
  RunFolder run = make_run();
  add_results(run);
  write_report(run);
  const std::string page = read_text(run.report_file());
  EXPECT_THAT(page, AllOf(HasSubstr("50 of 50 outputs identical"), HasSubstr("93.12 %"), HasSubstr("92.87 %"), HasSubstr("blocks.2.depthwise"),
                          HasSubstr("RAM bottleneck"), HasSubstr("5,400,000"), HasSubstr("verdict good"), HasSubstr("12 epochs on glyphs, 83 s")));
  EXPECT_THAT(page, Not(HasSubstr("not run yet")));
  // Names are text, never markup.
  EXPECT_THAT(page, AllOf(HasSubstr("&lt;i&gt;&amp;"), Not(HasSubstr("<b>\"sample\""))));
  // One file that loads nothing.
  for (const char* outside : {"http://", "https://", "src=", "<link", "@import", "url("}) EXPECT_THAT(page, Not(HasSubstr(outside)));
}

TEST_F(ReportTest, SaysWhatHasNotRunAndHowToRunIt) {
  const RunFolder run = make_run();
  const std::string page = render_report(gather_report(run));
  EXPECT_THAT(page, AllOf(HasSubstr("Not run on the chip yet"), HasSubstr("micromind train "), HasSubstr("micromind evaluate "),
                          HasSubstr("micromind deploy ")));
}

TEST_F(ReportTest, AFailureIsRed) {
  RunFolder run = make_run();
  add_results(run);
  nlohmann::json deploy = run.result("deploy");
  deploy["outputs_identical"] = 49;
  deploy["layers"][3]["identical"] = false;
  run.set_result("deploy", deploy);
  EXPECT_THAT(render_report(gather_report(run)), AllOf(HasSubstr("verdict bad"), HasSubstr("49 of 50"), HasSubstr("✗ differs")));
  deploy["outputs_identical"] = 50;
  deploy["flash_bytes"] = 3 << 20;
  run.set_result("deploy", deploy);
  EXPECT_THAT(render_report(gather_report(run)), AllOf(HasSubstr("verdict bad"), HasSubstr("does not fit stm32h743"), HasSubstr("budget over")));
}

TEST_F(ReportTest, DamagedResultsAreErrors) {
  RunFolder run = make_run();
  run.set_result("deploy", {{"target", "stm32h743"}, {"core", 3}});
  EXPECT_THROW(gather_report(run), Error);
  run.set_result("train", {{"seconds", 1}});
  append_line(run.log_file(), R"({"kind": "epoch", "loss": "low"})");
  EXPECT_THROW(gather_report(run), Error);
  std::filesystem::remove(run.network_file());
  EXPECT_THROW(gather_report(run), Error);
}

TEST(Charts, SurvivesOddData) {
  EXPECT_THAT(line_chart("Loss", {{"a", "series-a", {}}}, false), HasSubstr("<svg"));
  EXPECT_THAT(line_chart("Loss", {{"a", "series-a", {NAN, 1, NAN}}}, false), Not(HasSubstr("nan")));
  EXPECT_THAT(line_chart("Loss", {{"a", "series-a", {1, NAN, 2}}}, false), ContainsRegex("d=\"M[0-9. ]+ L"));  // validated every second epoch
  EXPECT_THAT(line_chart("Loss", {{"a", "series-a", {0, 0, 0}}}, false), Not(HasSubstr("nan")));
  EXPECT_THAT(line_chart("Loss", {{"a", "series-a", {1e30}}}, true), Not(HasSubstr("inf")));
  EXPECT_THAT(memory_chart({}), Not(HasSubstr("nan")));
  EXPECT_THAT(confusion_table({}), HasSubstr("<table"));
  EXPECT_THAT(budget_bar("RAM", {}, 0), Not(HasSubstr("nan")));
}

// A real browser lays the page out; MICROMIND_REPORT_PICTURE keeps the picture for looking at.
TEST_F(ReportTest, ChromiumRendersIt) {
  if (!find_program("chromium")) GTEST_SKIP() << "chromium is not installed";
  RunFolder run = make_run();
  add_results(run);
  write_report(run);
  const std::filesystem::path profile = folder_.path() / "profile", picture = folder_.path() / "report.png";
  const std::vector<std::string> browser = {"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                                            "--user-data-dir=" + profile.string(), "--window-size=1200,4300"};
  std::vector<std::string> shot = browser, dump = browser;
  shot.insert(shot.end(), {"--screenshot=" + picture.string(), "file://" + std::filesystem::absolute(run.report_file()).string()});
  dump.insert(dump.end(), {"--dump-dom", "file://" + std::filesystem::absolute(run.report_file()).string()});
  const ProcessResult dom = run_process(dump, {.timeout_s = 60});
  if (dom.exit_status != 0 && dom.out.empty()) GTEST_SKIP() << "chromium does not start here: " << dom.err.substr(0, 400);
  EXPECT_THAT(dom.out, AllOf(HasSubstr("50 of 50 outputs identical"), HasSubstr("</svg>"), HasSubstr("class=\"confusion\"")));
  const ProcessResult shown = run_process(shot, {.timeout_s = 60});
  EXPECT_TRUE(std::filesystem::exists(picture)) << shown.err.substr(0, 400);
  if (const char* keep = std::getenv("MICROMIND_REPORT_PICTURE"))
    std::filesystem::copy_file(picture, keep, std::filesystem::copy_options::overwrite_existing);
}

// Where the names below the memory chart stand: neighbours at 40° need 20 px between them, and none may hang out on the left.
TEST(Charts, NamesBelowTheMemoryChartDoNotOverlap) {
  for (const std::size_t layers : {1u, 10u, 26u, 60u, 154u}) {
    ReportMemory memory{.arena_bytes = 4096, .lower_bound_bytes = 4096, .peak_step = static_cast<int>(layers / 3)};
    for (std::size_t i = 0; i < layers; ++i) memory.steps.push_back("blocks." + std::to_string(i) + ".squeeze.expand.conv");
    memory.tensors.push_back({.name = "x", .kind = TensorKind::activation, .offset = 0, .bytes = 4096, .first = 0, .last = 0});
    const std::string svg = memory_chart(memory);
    std::vector<double> places;
    const std::string before = "rotate(-40 ";
    for (std::size_t at = svg.find(before); at != std::string::npos; at = svg.find(before, at + 1)) places.push_back(std::stod(svg.substr(at + before.size())));
    ASSERT_FALSE(places.empty());
    EXPECT_GT(places.front(), 25 * 5.0) << layers << " layers: the first name is cut off";
    for (std::size_t i = 1; i < places.size(); ++i) EXPECT_GE(places[i] - places[i - 1], 20) << layers << " layers";
    EXPECT_EQ(places.size() == layers, layers <= 26) << places.size();
    EXPECT_THAT(svg, HasSubstr("axis strong"));
  }
}

}  // namespace
}  // namespace micromind
