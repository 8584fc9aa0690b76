// The kernels of cores with the DSP extension on emulated cores against the portable ones on this computer.
#include <cstring>

#include "deploy/layer_cases.h"

namespace micromind {
namespace {

using namespace layer_cases;

class DspCore : public testing::TestWithParam<std::string> {};

TEST_P(DspCore, GivesThePortableKernelsBytes) {
  SKIP_WITHOUT_TOOLS();
  Random random(31);
  Cases cases{"packed",
              "MM_HAS_DSP",
              {"add_s8", "packed_conv2d_s8", "packed_depthwise_conv2d_s8", "packed_linear_s8"},
              "ONCE(packed_conv2d_s8, mm_conv2d_s8_params, TABLE, (p, x, y, table, columns))\n"
              "ONCE(packed_wide_conv2d_s8, mm_conv2d_s8_params, TABLE, (p, x, y, table, columns))\n"
              "ONCE(packed_depthwise_conv2d_s8, mm_depthwise_conv2d_s8_params, TABLE, (p, x, y, table, columns))\n"
              "ONCE(packed_linear_s8, mm_linear_s8_params, COLUMNS, (p, x, y, columns))\n"
              "ONCE(packed_wide_linear_s8, mm_linear_s8_params, COLUMNS, (p, x, y, columns))\n"};
  cases.tables = true;
  const auto pack = [](const auto&... layer) { return pack_weights(layer...); };
  for (int i = 0; i < 350; ++i) {
    convolution(pack, random, cases, i % 3 == 0);
    depthwise(pack, random, cases);
    if (i % 3 == 0) linear(pack, random, cases);
    if (i % 5 == 0) addition(random, cases);
  }
  EXPECT_GT(cases.count, 600) << cases.refused << " refused";
  EXPECT_GT(cases.wide, 60);
  RecordProperty("cases", cases.count);
  RecordProperty("wide", cases.wide);
  run_cases(cases, GetParam());
}
INSTANTIATE_TEST_SUITE_P(Cores, DspCore, testing::Values("mps2-an386", "mps2-an500", "mps2-an505"), [](const auto& core) {
  std::string name = core.param;
  std::erase(name, '-');
  return name;
});

TEST(Pack, RefusesWhatWouldNotBeExact) {
  mm_linear_s8_params p{};
  p.in_features = 4;
  p.out_features = 2;
  p.per_channel = 1;
  p.act_min = -128;
  p.act_max = 127;
  const Requantization scales{{1 << 30, 1 << 30}, {-8, -12}};
  const std::vector<std::int8_t> weights = {1, 2, -3, 4, 5, 6, 7, -127};
  const std::vector<std::int32_t> bias = {5, -6};
  const auto packed = pack_weights(p, scales, weights, bias);
  ASSERT_TRUE(packed);
  EXPECT_FALSE(packed->wide);
  std::vector<std::int32_t> words(packed->bytes.size() / 4);
  std::memcpy(words.data(), packed->bytes.data(), packed->bytes.size());
  EXPECT_EQ(std::vector<std::int8_t>(packed->bytes.begin() + 8, packed->bytes.begin() + 24),
            (std::vector<std::int8_t>{1, 5, -3, 6, 0, 0, 0, 0, 2, 6, 4, -127, 0, 0, 0, 0}));
  EXPECT_EQ(words[0], 5);
  EXPECT_EQ(words[6], -12);          // twice the bias of channel b
  EXPECT_EQ(words[12], 1 << 24);     // even, since a shift of the group is beyond 11
  EXPECT_EQ(words[14], 1 << 20);
  EXPECT_EQ(packed->column_words, 2);
  EXPECT_EQ(pack_weights(p, {{1 << 30, 1 << 30}, {-8, -11}}, weights, bias)->bytes[48] & 1, 1);

  auto lowest = weights;  // its partner is negative: the byte would have to be -129
  lowest[6] = -128;
  EXPECT_FALSE(pack_weights(p, scales, lowest, bias));
  lowest[2] = 3;
  EXPECT_TRUE(pack_weights(p, scales, lowest, bias));
  for (const int shift : {-1, 0, 3}) {
    const auto wide = pack_weights(p, {{1 << 30, 1 << 30}, {-8, static_cast<std::int8_t>(shift)}}, weights, bias);
    ASSERT_TRUE(wide);
    EXPECT_TRUE(wide->wide);
    EXPECT_EQ(wide->bias, bias);
    EXPECT_EQ(wide->bytes.size(), 24u);
  }
  EXPECT_TRUE(pack_weights(p, {{1 << 30, 1 << 30}, {-8, -22}}, weights, std::vector<std::int32_t>{5, 129 << 22})->wide);
  p.in_features = 2000;
  p.out_features = 1;
  const auto large = pack_weights(p, {{1 << 30}, {-8}}, std::vector<std::int8_t>(2000, 1), std::vector<std::int32_t>{0});
  ASSERT_TRUE(large && large->wide);
  EXPECT_LE(large->column_words * 4, 1024);
}

TEST(Pack, AChannelWhoseOutputNeverChangesLosesItsWeights) {
  mm_linear_s8_params p{};
  p.in_features = 4;
  p.out_features = 2;
  p.per_channel = 1;
  p.output_offset = -7;
  p.act_min = -128;
  p.act_max = 127;
  const std::vector<std::int8_t> weights = {1, 2, -3, 4, 5, 6, 7, -127};
  const auto packed = pack_weights(p, {{1 << 30, 1 << 30}, {-8, -27}}, weights, std::vector<std::int32_t>{5, 1 << 30});
  ASSERT_TRUE(packed);
  EXPECT_EQ(packed->bytes[9], 0);
  std::vector<std::int32_t> words(packed->bytes.size() / 4);
  std::memcpy(words.data(), packed->bytes.data(), packed->bytes.size());
  EXPECT_EQ(words[6], 2 * 2048);  // 2^30 / 2 / 2^27 = 4, as 2048 / 2 / 2^8
  EXPECT_EQ(words[14], (1 << 24) + 1);
}

}  // namespace
}  // namespace micromind
