// Operator efficiency: cases at equal MACs, platforms, tables of a lab, the verb.
#include "micromind/bench/efficiency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "error_of.h"
#include "tools.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/run/bar_chart.h"

namespace micromind {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::vector<OperatorSize> kTiny = {{6, 6, 8}};

TEST(Operators, HaveEqualWorkWhereMemoryAllows) {
  for (const OperatorCase& c : operator_cases({{16, 16, 24}, {8, 8, 16}})) {
    const std::int64_t wanted =
        std::int64_t{9} * c.size.channels * c.size.channels * c.size.height * c.size.width;
    std::int64_t weights = 0, largest = 0;
    for (const NamedParameter& p : parameters(c.graph)) weights += p.shape.elements();
    for (const Value& v : c.graph.values()) largest = std::max(largest, v.type.shape.elements());
    EXPECT_LE(weights, 256 * 1024) << c.name;
    EXPECT_LE(largest, 64 * 1024) << c.name;
    const bool limited = (c.name == "depthwise" || c.name == "linear") && c.size.channels == 24;
    if (!limited) {
      EXPECT_NEAR(static_cast<double>(c.macs) / static_cast<double>(wanted), 1, 0.4)
          << c.name << " " << c.size.text() << " " << c.channels;
    }
    EXPECT_EQ(c.channels % 4, 0);
  }
  const OperatorCase standard = operator_case("standard", {16, 16, 24});
  EXPECT_EQ(standard.macs, 9 * 24 * 24 * 256);
  EXPECT_EQ(operator_case("pointwise", {16, 16, 24}).channels, 72);
  EXPECT_EQ(operator_case("grouped", {16, 16, 24}).channels, 48);
  EXPECT_EQ(operator_case("dilated", {16, 16, 24}).macs, standard.macs);
}

TEST(Operators, WrongNamesAndSizesAreExplained) {
  EXPECT_THAT(error_of([] {
                operator_case("depthwize", {8, 8, 8});
              }),
              AllOf(HasSubstr("depthwize"), HasSubstr("did you mean 'depthwise'")));
  EXPECT_EQ(parse_operator_size("12x10x24"), (OperatorSize{12, 10, 24}));
  for (const char* bad : {"", "8", "8x8", "8x8x8x8", "8x8x6", "0x8x8", "-8x8x8", "8x8x513", "8x8x8 ", "axbxc",
                          "8x99999999999x8", "8,8,8"})
    EXPECT_THAT(error_of([&] { parse_operator_size(bad); }), HasSubstr("expected height, width and channels"))
        << bad;
}

PlatformEfficiency by_hand() {
  PlatformEfficiency p{"board", "board (measured)", PlatformKind::measured, "by hand", {}};
  for (const auto& [name, energy] : {std::pair("standard", 10.0), {"depthwise", 40.0}, {"strided", 5.0}}) {
    OperatorFigure f;
    f.operator_name = name;
    f.size = {8, 8, 8};
    f.macs = f.operator_name == "strided" ? 2000 : 1000;
    f.energy = energy;
    p.figures.push_back(f);
  }
  return p;
}

TEST(Efficiency, IsTheRatioOfEnergiesPerMac) {
  PlatformEfficiency p = by_hand();
  set_eta(p);
  EXPECT_DOUBLE_EQ(p.figures[0].eta, 1);
  EXPECT_DOUBLE_EQ(p.figures[1].eta, 0.25);
  EXPECT_DOUBLE_EQ(p.figures[2].eta, 4);
  EXPECT_DOUBLE_EQ(eta_range(p, "strided").mean, 4);
  EXPECT_TRUE(std::isnan(eta_range(p, "linear").mean));
  p.figures.erase(p.figures.begin());
  EXPECT_THAT(error_of([&] { set_eta(p); }), AllOf(HasSubstr("8x8x8"), HasSubstr("no standard convolution")));
}

TEST(Efficiency, TheChartHasABarAPlatformAndItsText) {
  PlatformEfficiency p = by_hand();
  set_eta(p);
  const std::string svg = efficiency_svg({p, p});
  EXPECT_THAT(svg, AllOf(HasSubstr("<svg xmlns"), HasSubstr("depthwise 3×3, board (measured): 0.25"),
                         HasSubstr("standard convolution = 1"), HasSubstr("prefers-color-scheme"),
                         Not(HasSubstr("nan"))));
  std::size_t bars = 0;
  for (auto at = svg.find("<title>"); at != std::string::npos; at = svg.find("<title>", at + 1)) ++bars;
  EXPECT_EQ(bars, 6u);  // operators without a figure have none
  EXPECT_THAT(efficiency_page({p}),
              AllOf(HasSubstr("<!doctype html>"), HasSubstr("by hand"), Not(HasSubstr("http"))));
  BarChart odd;
  odd.title = "<b>";
  EXPECT_THAT(bar_chart(odd), HasSubstr("&lt;b&gt;"));
}

TEST(Efficiency, OnAnEmulatedCoreItIsAModel) {
  SKIP_WITHOUT_TOOLS();
  const PlatformEfficiency p = emulate_operators(kTiny, load_target("stm32l4r5"));
  ASSERT_EQ(p.figures.size(), efficiency_operators().size());
  EXPECT_EQ(p.figures[0].operator_name, "standard");
  EXPECT_DOUBLE_EQ(p.figures[0].eta, 1);
  EXPECT_THAT(p.label, HasSubstr("model"));
  EXPECT_THAT(p.energy_is, AllOf(HasSubstr("a model"), HasSubstr("120 MHz"), HasSubstr("42 mW")));
  for (const OperatorFigure& f : p.figures) {
    EXPECT_GT(f.counts.total(), static_cast<std::uint64_t>(f.macs) / 2) << f.operator_name;  // an instruction multiplies two pairs
    EXPECT_GT(f.counts.loads(), 0u);
    ASSERT_TRUE(f.energy_uj_model);
    EXPECT_NEAR(*f.energy_uj_model, f.cycles_model / 120e6 * 42e-3 * 1e6, 1e-9);
    EXPECT_FALSE(f.energy_uj);
  }
  // Per MAC a depthwise convolution reuses nothing: far more work than the standard one.
  EXPECT_LT(eta_range(p, "depthwise").mean, 0.6);
  EXPECT_THAT(efficiency_to_json({p}).dump(),
              AllOf(HasSubstr("energy_uj_model"), Not(HasSubstr("\"energy_uj\":"))));
  EXPECT_THAT(figure_table(p), HasSubstr("cycles/MAC (model)"));
  EXPECT_EQ(p.figures[3].counts, emulate_operators(kTiny, load_target("mps2-an386")).figures[3].counts);
}

TEST(Efficiency, OnThisComputerTimeStandsInWhereEnergyCannotBeRead) {
  const TemporaryFolder folder;
  const HostOptions quick{.sample_s = 1e-4, .samples = 3, .powercap = folder.path()};
  const PlatformEfficiency p = time_operators(kTiny, quick);
  EXPECT_THAT(p.energy_is, AllOf(HasSubstr("time"), HasSubstr("no intel-rapl counters")));
  ASSERT_EQ(p.figures.size(), efficiency_operators().size());
  for (const OperatorFigure& f : p.figures) {
    EXPECT_GT(f.seconds_best, 0);
    EXPECT_GE(f.seconds, f.seconds_best);
    EXPECT_FALSE(f.energy_uj);
  }
}

TEST(EnergyCounter, ReadsPackagesAndTheirWrap) {
  const TemporaryFolder folder;
  const auto package = [&](const char* name, const char* energy) {
    write_atomic(folder.path() / name / "energy_uj", energy);
    write_atomic(folder.path() / name / "max_energy_range_uj", "1000000\n");
  };
  package("intel-rapl:0", "999000\n");
  package("intel-rapl:1", "500\n");
  package("intel-rapl:0:0", "7\n");     // a part of package 0
  package("intel-rapl-mmio:0", "9\n");  // package 0 again
  EnergyCounter counter(folder.path());
  ASSERT_TRUE(counter.available()) << counter.why_not();
  counter.start();
  package("intel-rapl:0", "4000\n");  // wrapped: 5000 µJ
  package("intel-rapl:1", "2500\n");
  package("intel-rapl:0:0", "90000\n");
  EXPECT_NEAR(counter.joules(), 0.007, 1e-12);
  write_atomic(folder.path() / "intel-rapl:1" / "energy_uj", "denied");
  const EnergyCounter partial(folder.path());
  EXPECT_FALSE(partial.available());
  EXPECT_THAT(partial.why_not(), HasSubstr("intel-rapl:1/energy_uj cannot be read"));
}

TEST(Measured, TablesOfALab) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "my-board.csv";
  write_atomic(file,
               "# at 3.0 V\noperator,size,energy_uj\nstandard,8x8x8,10\n\n depthwise , 8x8x8 , "
               "4.0e1\r\nstandard,16x16x24,90\nlinear,16x16x24,30\n");
  const PlatformEfficiency p = read_measured_operators(file);
  EXPECT_EQ(p.label, "my-board (measured)");
  ASSERT_EQ(p.figures.size(), 4u);
  EXPECT_DOUBLE_EQ(*p.figures[1].energy_uj, 40);
  const OperatorCase depthwise = operator_case("depthwise", {8, 8, 8});
  EXPECT_NEAR(p.figures[1].eta, (10.0 / (9 * 64 * 64)) / (40.0 / static_cast<double>(depthwise.macs)), 1e-12);

  const auto error = [&](const std::string& text) {
    write_atomic(file, text);
    return error_of([&] { read_measured_operators(file); });
  };
  EXPECT_THAT(error(""), HasSubstr("empty"));
  EXPECT_THAT(
      error("operator,size,energy\n"),
      AllOf(HasSubstr("my-board.csv:1"), HasSubstr("unknown column 'energy'"), HasSubstr("energy_uj")));
  EXPECT_THAT(error("operator,energy_uj\n"), HasSubstr("one column 'size'"));
  EXPECT_THAT(error("operator,size,energy_uj,size\n"), HasSubstr("one column 'size'"));
  const std::string head = "operator,size,energy_uj\nstandard,8x8x8,10\n";
  EXPECT_THAT(error("operator,size,energy_uj\n"), HasSubstr("expected rows"));
  EXPECT_THAT(error(head + "pointwize,8x8x8,1\n"),
              AllOf(HasSubstr("my-board.csv:3"), HasSubstr("did you mean 'pointwise'")));
  EXPECT_THAT(error(head + "pointwise,8x8,1\n"), AllOf(HasSubstr(":3"), HasSubstr("size '8x8'")));
  EXPECT_THAT(error(head + "pointwise,8x8x8\n"),
              AllOf(HasSubstr(":3"), HasSubstr("expected 3 cells, found 2")));
  for (const char* energy : {"", "0", "-1", "nan", "inf", "1 uJ", "ten"})
    EXPECT_THAT(error(head + "pointwise,8x8x8," + energy + "\n"),
                AllOf(HasSubstr(":3"), HasSubstr("above 0")))
        << energy;
  EXPECT_THAT(error(head + "standard,8x8x8,11\n"), HasSubstr("a second row of standard"));
  EXPECT_THAT(error(head + "pointwise,16x16x8,1\n"),
              AllOf(HasSubstr("my-board.csv"), HasSubstr("16x16x8 has no standard")));
  EXPECT_THAT(error("operator,size,macs,energy_uj\nstandard,8x8x8,36864,1\npointwise,8x8x8,7,1\n"),
              AllOf(HasSubstr(":3"), HasSubstr("macs = '7'")));
  EXPECT_THAT(error_of([&] { read_measured_operators(folder.path() / "none.csv"); }), HasSubstr("none.csv"));
}

TEST(Measured, TheTemplateIsWhatTheReaderTakes) {
  const TemporaryFolder folder;
  write_operator_template(folder.path(), kTiny);
  std::string csv = read_text(folder.path() / "operators.csv");
  EXPECT_THAT(error_of([&] { read_measured_operators(folder.path() / "operators.csv"); }),
              HasSubstr("energy_uj = ''"));
  for (auto at = csv.find(",,"); at != std::string::npos; at = csv.find(",,")) csv.replace(at, 2, ",12.5,");
  write_atomic(folder.path() / "filled.csv", csv);
  EXPECT_EQ(read_measured_operators(folder.path() / "filled.csv").figures.size(),
            efficiency_operators().size());
  for (const OperatorInfo& op : efficiency_operators())
    EXPECT_TRUE(std::filesystem::exists(folder.path() / (op.name + "_6x6x8") / "model.c")) << op.name;
}

// A kernel that is called once is compiled for that call; what GCC then believes to see must not be an error.
TEST(Measured, EachOperatorByItselfCompilesWithoutAWarning) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  write_operator_template(folder.path(), {{6, 6, 16}});
  for (const OperatorInfo& op : efficiency_operators())
    for (const std::vector<std::string>& core : {std::vector<std::string>{"-mcpu=cortex-m4"}, {"-mcpu=cortex-m55", "-mfloat-abi=hard"}}) {
      std::vector<std::string> command = {"arm-none-eabi-gcc", "-mthumb", "-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-c", "-o", "model.o", "model.c"};
      command.insert(command.end(), core.begin(), core.end());
      const ProcessResult r = run_process(command, {.folder = folder.path() / (op.name + "_6x6x16"), .timeout_s = 100});
      EXPECT_EQ(r.exit_status, 0) << op.name << " " << core[0] << "\n" << r.err;
    }
}

// --- The verb ----------------------------------------------------------------------------------------------

ProcessResult bench(std::vector<std::string> arguments, const std::filesystem::path& folder = {}) {
  arguments.insert(arguments.begin(), {MICROMIND_BINARY, "bench", "operators"});
  return run_process(arguments, {.folder = folder, .timeout_s = 300});
}

TEST(BenchVerb, OneCoreEndToEnd) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  write_atomic(folder.path() / "lab.csv", "operator,size,energy_uj\nstandard,6x6x8,3\nstrided,6x6x8,6\n");
  const ProcessResult r = bench(
      {"--target", "mps2-an386", "--sizes", "6x6x8", "--measured", "lab.csv", "--output", "out", "--json"},
      folder.path());
  ASSERT_EQ(r.exit_status, 0) << r.err;
  const json j = json::parse(r.out);
  ASSERT_EQ(j["platforms"].size(), 2u);
  EXPECT_EQ(j["platforms"][0]["name"], "lab");
  EXPECT_EQ(j["platforms"][1]["kind"], "emulated core, model");
  EXPECT_EQ(j["platforms"][1]["eta"]["standard"]["mean"], 1.0);
  EXPECT_GT(j["platforms"][1]["figures"][0]["instructions_by_class"]["load"], 0);
  EXPECT_THAT(r.err, HasSubstr("mps2-an386: image 1 of"));
  for (const char* file : {"operators.json", "operators.csv", "operators.svg", "operators.html"})
    EXPECT_GT(std::filesystem::file_size(folder.path() / "out" / file), 500u);
  const ProcessResult text = bench({"--measured", "lab.csv"}, folder.path());
  EXPECT_THAT(text.out, AllOf(HasSubstr("strided (2)"), HasSubstr("lab (measured)")));
  EXPECT_THAT(bench({"--measured", "lab.csv", "--csv"}, folder.path()).out,
              HasSubstr("\"lab\",\"measured\",strided,6x6x8"));
}

TEST(BenchVerb, FailuresAreOneMessage) {
  const TemporaryFolder folder;
  write_atomic(folder.path() / "bad.csv", "operator\n");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--target", "mps3-an54"}, "did you mean 'mps3-an547'"},
      {{"--sizes", "8x8"}, "16x16x24"},
      {{"--measured", "bad.csv"}, "bad.csv:1"},
      {{"--measured", "none.csv"}, "none.csv"},
      {{"--fit", "x"}, "--fit needs --target"}};
  for (const auto& [arguments, expected] : cases) {
    const ProcessResult r = bench(arguments, folder.path());
    EXPECT_EQ(r.exit_status, 1) << expected;
    EXPECT_EQ(r.out, "");
    EXPECT_THAT(r.err,
                AllOf(HasSubstr("micromind: "), HasSubstr(expected), Not(HasSubstr("internal error"))));
  }
  EXPECT_EQ(bench({"--fit", "a", "--template", "b"}, folder.path()).exit_status, 2);
  EXPECT_EQ(run_process({MICROMIND_BINARY, "bench"}, {.folder = folder.path(), .timeout_s = 30}).exit_status,
            2);
}

}  // namespace
}  // namespace micromind
