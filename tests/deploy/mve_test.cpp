// The kernels of cores with the vector extension on an emulated Cortex-M55 against the portable ones on this computer.
#include "micromind/deploy/pack_mve.h"

#include "deploy/layer_cases.h"

namespace micromind {
namespace {

using namespace layer_cases;

TEST(Mve, GivesThePortableKernelsBytes) {
  SKIP_WITHOUT_TOOLS();
  Random random(47);
  Cases cases{"mve",
              "MM_HAS_MVE",
              {"add_s8", "mul_s8", "table_s8", "mean_s8", "max_pool2d_s8", "average_pool2d_s8", "adaptive_average_pool2d_s8",
               "mve_conv2d_s8", "mve_depthwise_conv2d_s8", "mve_linear_s8"},
              "ONCE(mve_conv2d_s8, mm_conv2d_s8_params, COLUMNS, (p, x, y, columns))\n"
              "ONCE(mve_depthwise_conv2d_s8, mm_depthwise_conv2d_s8_params, COLUMNS, (p, x, y, columns))\n"
              "ONCE(mve_linear_s8, mm_linear_s8_params, COLUMNS, (p, x, y, columns))\n"};
  const auto pack = [](const auto&... layer) { return pack_mve(layer...); };
  for (int i = 0; i < 350; ++i) {
    convolution(pack, random, cases, i % 3 == 0);
    if (i % 5 == 0) convolution(pack, random, cases, false, true);
    depthwise(pack, random, cases);
    if (i % 3 == 0) linear(pack, random, cases);
    if (i % 5 == 0) addition(random, cases);
    if (i % 2 == 0) weightless(random, cases);
  }
  cases.overlapping = true;
  for (int i = 0; i < 60; ++i) {
    convolution(pack, random, cases, i % 3 == 0, i % 4 == 1);
    depthwise(pack, random, cases);
  }
  RecordProperty("cases", cases.count);
  EXPECT_GT(cases.count, 1100) << cases.refused << " refused";
  run_cases(cases, "mps3-an547");
}

}  // namespace
}  // namespace micromind
