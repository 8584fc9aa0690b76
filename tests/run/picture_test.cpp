// The pictures of a deployment: the peak and what lowers it, against a plan by hand; what the page of a model file holds.
#include "micromind/run/picture.h"

#include <gmock/gmock.h>

#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/bench/workbench.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Steps a, b, c. in: 100 B at a; x: 400 B, a to b; y: 300 B, b to c, overlapping x by 50; z: 20 B in c.
ReportMemory by_hand() {
  ReportMemory m;
  m.steps = {"a", "b", "c"};
  m.tensors = {{"in", TensorKind::input, 0, 100, 0, 0}, {"x", TensorKind::activation, 100, 400, 0, 1},
               {"y", TensorKind::activation, 450, 300, 1, 2}, {"z", TensorKind::output, 0, 20, 2, 2}};
  m.arena_bytes = 750;
  m.lower_bound_bytes = 650;
  m.peak_step = 1;
  return m;
}

TEST(Picture, ThePeakIsWhereMostAddressesAreInUse) {
  const PeakAdvice a = peak_advice(by_hand());
  EXPECT_EQ(a.step, 1);
  EXPECT_THAT(a.steps, ElementsAre(1));
  EXPECT_EQ(a.bytes, 650);  // 400 + 300 − 50
  EXPECT_THAT(a.tensors, ElementsAre(1, 2));
  EXPECT_EQ(a.without, 500);
  EXPECT_EQ(a.next_step, 0);
  EXPECT_EQ(a.with_half_largest, 500);  // x of 200 B: 200 + 300 apart
  const std::string text = peak_text(by_hand());
  EXPECT_THAT(text, AllOf(HasSubstr("The peak is at <code>b</code></b>: 650 B live"), HasSubstr("at most 500 B would be live (23 % less), at <code>a</code>"), HasSubstr("100 B of the arena are gaps")));
  ReportMemory tight = by_hand();
  tight.lower_bound_bytes = tight.arena_bytes;  // a chain at its proven minimum
  EXPECT_THAT(peak_text(tight), AllOf(HasSubstr("The arena is 100 B larger"), Not(HasSubstr("gaps"))));
  EXPECT_EQ(peak_text({}), "");
}

TEST(Picture, LayersThatShareThePeakAreNamedTogether) {
  ReportMemory m = by_hand();
  m.tensors[3] = {"z", TensorKind::output, 0, 350, 2, 2};  // c: 300 + 350
  const PeakAdvice a = peak_advice(m);
  EXPECT_THAT(a.steps, ElementsAre(1, 2));
  EXPECT_EQ(a.with_half_largest, 650);
  EXPECT_THAT(peak_text(m), AllOf(HasSubstr("<code>b</code>, <code>c</code>"), HasSubstr("these 2 layers"), HasSubstr("would gain nothing")));
}

Deployment deployment(const Model& model) {
  Deployment d;
  d.target = "stm32h743";
  d.core = "cortex-m7";
  d.outputs_compared = d.outputs_identical = 3;
  d.arena_bytes = 4096;
  d.stack_bytes = 600;
  for (const Node& node : model.graph.nodes()) {
    d.layers.push_back({.name = node.name, .kernel = "conv2d_s8", .macs = 1000, .instructions = 2000, .identical = true});
    d.layers.back().cycles = 1500;
    d.flash_parts.push_back({"constants", node.name, 640});
    d.flash_bytes += 640;
    d.instructions += 2000;
    d.macs += 1000;
    d.cycles_by_class += 1500;
  }
  d.flash_parts.push_back({"kernel", "conv2d_s8_kernel", 2000});
  d.flash_parts.push_back({"rest", "start-up", 1400});
  d.flash_bytes += 3400;
  d.constant_bytes = d.flash_bytes - 3400;
  return d;
}

Model small_model() {
  Graph g("small <net>");
  int x = g.add_input("image", {3, 16, 16});
  x = g.add("stem", Conv2d{.out_channels = 8, .kernel = 3, .padding = 1}, {x});
  x = g.add("head", Conv2d{.out_channels = 4, .kernel = 1}, {x});
  g.add_output("out", x);
  return random_model(g);
}

TEST(Picture, APageOfAModelFileHasThePicturesAndNoTraining) {
  const TemporaryFolder folder;
  const Model model = small_model();
  write_model_report(folder.path() / "report.html", model, "models/a<b>.tflite", deployment(model));
  const std::string page = read_text(folder.path() / "report.html");
  for (const char* id : {"id=\"memory\"", "id=\"layers\"", "id=\"flash\"", "id=\"energy\"", "id=\"chip\"", "id=\"network\"", "id=\"sizes\""}) EXPECT_THAT(page, HasSubstr(id));
  for (const char* id : {"id=\"training\"", "id=\"confusion\"", "id=\"recipe\"", "not evaluated", "<net>", "a<b>"}) EXPECT_THAT(page, Not(HasSubstr(id)));
  EXPECT_THAT(page, AllOf(HasSubstr("The peak is at"), HasSubstr("frames a second at 10 mW"), HasSubstr("conv2d_s8_kernel"), HasSubstr("Stack of model_run")));
  if (find_program("xmllint")) {
    const ProcessResult r = run_process({"xmllint", "--html", "--noout", "report.html"}, {.folder = folder.path(), .timeout_s = 60});
    EXPECT_THAT(r.err, Not(HasSubstr("Unexpected end tag")));
  }
}

TEST(Picture, WhatWasNotMeasuredIsNotDrawn) {
  const Model model = small_model();
  Deployment d = deployment(model);
  d.instructions = 0;
  d.cycles_by_class = 0;
  EXPECT_THAT(layer_chart(d), AllOf(HasSubstr("Constants in flash"), Not(HasSubstr("instructions a MAC"))));
  d.flash_parts.clear();
  EXPECT_EQ(layer_chart(d), "");
  EXPECT_EQ(flash_picture(d, 1024), "");
}

}  // namespace
}  // namespace micromind
