// Structure and widths apart: each family rebuilt from its own widths, and from widths that no options give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "error_of.h"
#include "micromind/base/random.h"
#include "micromind/networks/efficientnet.h"
#include "micromind/networks/mobilenet.h"
#include "micromind/networks/phinet.h"
#include "micromind/networks/xinet.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Options drawn at random, of images large enough for them.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}
  double real(double low, double high) { return low + (high - low) * static_cast<double>(random_.uniform()); }
  int whole(int low, int high) {
    return low + static_cast<int>(random_.below(static_cast<std::uint32_t>(high - low + 1)));
  }
  bool flag() { return random_.below(2) == 1; }

 private:
  Random random_;
};

PhiNetOptions draw_phinet(Draw& draw) {
  PhiNetOptions o;
  o.input = {draw.whole(1, 3), draw.whole(48, 128), draw.whole(48, 128)};
  o.num_layers = draw.whole(1, 9);
  o.alpha = draw.real(0.1, 2);
  o.beta = draw.real(0.3, 1.5);
  o.t_zero = draw.real(1, 8);
  o.include_top = draw.flag();
  o.compatibility = draw.flag();
  o.downsampling_layers = {draw.whole(4, 6), draw.whole(7, 9)};
  o.conv5_percent = draw.real(0, 1);
  o.residuals = draw.flag();
  o.conv2d_input = draw.flag();
  o.pool = draw.flag();
  o.squeeze_excite = draw.flag();
  o.divisor = o.conv2d_input ? 1 : draw.whole(1, 8);
  return o;
}

XiNetOptions draw_xinet(Draw& draw) {
  XiNetOptions o;
  o.num_layers = draw.whole(3, 6);
  o.input = {draw.whole(1, 3), draw.whole(64, 128), draw.whole(64, 128)};
  o.alpha = draw.real(0.5, 2);
  o.gamma = draw.real(1, 6);
  o.include_top = draw.flag();
  o.paper_widths = draw.flag();
  if (o.paper_widths) o.beta = draw.real(0.5, 2);
  return o;
}

MobileNetV2Options draw_mobilenet(Draw& draw) {
  return {.input = {draw.whole(1, 3), draw.whole(32, 128), draw.whole(32, 128)},
          .alpha = draw.real(0.1, 2),
          .divisor = draw.whole(1, 9)};
}

EfficientNetOptions draw_efficientnet(Draw& draw) {
  return {.input = {draw.whole(1, 3), draw.whole(16, 96), draw.whole(16, 96)},
          .width = draw.real(0.1, 1.5),
          .depth = draw.real(0.1, 1.5),
          .include_top = draw.flag(),
          .divisor = draw.whole(1, 9)};
}

// The channels of a node's output, found by name.
int channels(const Graph& g, const std::string& node) {
  const int index = g.find_node(node);
  if (index < 0) return -1;
  return g.shape(g.nodes()[static_cast<std::size_t>(index)].outputs[0]).channels();
}

// Widths that differ from each other, so that each slot can be told from the others.
std::vector<int> distinct(std::size_t count) {
  std::vector<int> widths(count);
  std::iota(widths.begin(), widths.end(), 11);
  return widths;
}

TEST(Widths, TheirOwnRebuildTheSameNetwork) {
  Draw draw(3);
  for (int i = 0; i < 100; ++i) {
    const PhiNetOptions phi = draw_phinet(draw);
    EXPECT_EQ(to_json(phinet_with_widths(phi, phinet_widths(phi))), to_json(phinet(phi)));
    const XiNetOptions xi = draw_xinet(draw);
    EXPECT_EQ(to_json(xinet_with_widths(xi, xinet_widths(xi))), to_json(xinet(xi)));
    const MobileNetV2Options mobile = draw_mobilenet(draw);
    EXPECT_EQ(to_json(mobilenet_v2_with_widths(mobile, mobilenet_v2_widths(mobile))),
              to_json(mobilenet_v2(mobile)));
    const EfficientNetOptions efficient = draw_efficientnet(draw);
    EXPECT_EQ(to_json(efficientnet_with_widths(efficient, efficientnet_widths(efficient))),
              to_json(efficientnet(efficient)));
  }
}

// One slot is one width: another number changes the network, and every network of that structure takes it.
TEST(Widths, EverySlotIsUsedAndTakesAnyNumber) {
  Draw draw(4);
  const auto check = [](const std::vector<int>& own, auto&& build) {
    const nlohmann::json before = to_json(build(own));
    for (std::size_t slot = 0; slot < own.size(); ++slot)
      for (const int width : {1, own[slot] + 1}) {
        if (width == own[slot]) continue;
        std::vector<int> widths = own;
        widths[slot] = width;
        EXPECT_NE(to_json(build(widths)), before) << "slot " << slot;
      }
  };
  for (int i = 0; i < 20; ++i) {
    const PhiNetOptions phi = draw_phinet(draw);
    check(phinet_widths(phi), [&](const std::vector<int>& w) { return phinet_with_widths(phi, w); });
    const XiNetOptions xi = draw_xinet(draw);
    check(xinet_widths(xi), [&](const std::vector<int>& w) { return xinet_with_widths(xi, w); });
  }
  const MobileNetV2Options mobile{.input = {3, 64, 64}};
  check(mobilenet_v2_widths(mobile),
        [&](const std::vector<int>& w) { return mobilenet_v2_with_widths(mobile, w); });
  const EfficientNetOptions efficient{.input = {3, 64, 64}};
  check(efficientnet_widths(efficient),
        [&](const std::vector<int>& w) { return efficientnet_with_widths(efficient, w); });
}

TEST(Widths, OfAPhiNetLandWhereDocumented) {
  const PhiNetOptions o{.input = {3, 64, 64}};
  EXPECT_THAT(phinet_widths({}),
              ElementsAre(9, 4,      // by hand: ⌊48·0.2⌋, ⌊24·0.2⌋
                          24, 4, 4,  // id 1: 6·4, ⌊24/6⌋
                          24, 4, 4, 24, 4, 9, 54, 9, 9, 54, 9, 19, 114, 19, 19, 114, 19, 38));
  const std::vector<int> widths = distinct(2 + 7 * 3);
  const Graph g = phinet_with_widths(o, widths);
  EXPECT_EQ(channels(g, "stem.pointwise"), widths[0]);
  EXPECT_EQ(channels(g, "blocks.0.project.conv"), widths[1]);
  for (std::size_t id = 1; id <= 7; ++id) {
    const std::string block = "blocks." + std::to_string(id);
    EXPECT_EQ(channels(g, block + ".expand.conv"), widths[3 * id - 1]);
    EXPECT_EQ(channels(g, block + ".depthwise.conv"), widths[3 * id - 1]);
    EXPECT_EQ(channels(g, block + ".squeeze.reduce"), widths[3 * id]);
    EXPECT_EQ(channels(g, block + ".project.conv"), widths[3 * id + 1]);
    EXPECT_EQ(g.find_node(block + ".add"), -1);
  }
  const PhiNetOptions plain{
      .input = {3, 64, 64}, .num_layers = 2, .compatibility = true, .conv2d_input = true};
  const std::vector<int> few = distinct(1 + 3 * 2);  // never fewer than three blocks
  const Graph h = phinet_with_widths(plain, few);
  EXPECT_EQ(channels(h, "stem.conv"), few[0]);
  EXPECT_EQ(channels(h, "blocks.3.expand.conv"), few[5]);
  EXPECT_EQ(channels(h, "blocks.3.project.conv"), few[6]);
}

TEST(Widths, DecideWhereResidualsAre) {
  const PhiNetOptions o{.input = {3, 64, 64}, .num_layers = 4, .downsampling_layers = {}};
  std::vector<int> widths = phinet_widths(o);  // stem, block 0, then expanded, squeezed, out
  EXPECT_GE(phinet_with_widths(o, widths).find_node("blocks.2.add"), 0);
  widths[7] = widths[4] + 1;
  EXPECT_EQ(phinet_with_widths(o, widths).find_node("blocks.2.add"), -1);
  EXPECT_EQ(phinet_with_widths(o, widths).find_node("blocks.3.add"), -1);  // stride 2
  widths[1] = widths[0];
  EXPECT_GE(phinet_with_widths(o, widths).find_node("blocks.0.add"), 0);
}

TEST(Widths, OfAXiNetLandWhereDocumented) {
  const XiNetOptions o{.input = {3, 64, 64}, .num_layers = 3};
  EXPECT_THAT(xinet_widths(o), ElementsAre(16, 8, 32, 4, 8, 32, 4, 16, 64, 16, 64));
  const std::vector<int> widths = distinct(11);
  const Graph g = xinet_with_widths(o, widths);
  EXPECT_EQ(channels(g, "stem.conv"), widths[0]);
  std::size_t slot = 1;
  for (int i = 0; i < 4; ++i) {
    const std::string layer = "layers." + std::to_string(i);
    EXPECT_EQ(channels(g, layer + ".skip.conv"), i > 0 ? widths[slot] : -1);
    EXPECT_EQ(channels(g, layer + ".compress"), widths[slot++]);
    EXPECT_EQ(channels(g, layer + ".attention.conv"), i < 2 ? widths[slot] : -1);
    EXPECT_EQ(channels(g, layer + ".conv"), widths[slot++]);
    EXPECT_EQ(channels(g, layer + ".attention.reduce"), i < 2 ? widths[slot++] : -1);
  }
  EXPECT_THAT(xinet_widths({.gamma = 1, .num_layers = 3}), ElementsAre(16, 32, 16, 32, 16, 16, 64, 16, 64));
  EXPECT_EQ(channels(xinet({.gamma = 1}), "layers.2.skip.conv"),
            32);  // nothing is compressed: what layers.2 reads
}

TEST(Widths, OfAMobileNetLandWhereDocumented) {
  const std::vector<int> widths = distinct(35);
  const Graph g = mobilenet_v2_with_widths({.input = {3, 64, 64}}, widths);
  EXPECT_EQ(channels(g, "stem.conv"), widths[0]);
  EXPECT_EQ(channels(g, "blocks.0.depthwise.conv"), widths[0]);
  EXPECT_EQ(channels(g, "blocks.0.project.conv"), widths[1]);
  for (std::size_t i = 1; i <= 16; ++i) {
    const std::string block = "blocks." + std::to_string(i);
    EXPECT_EQ(channels(g, block + ".expand.conv"), widths[2 * i]);
    EXPECT_EQ(channels(g, block + ".project.conv"), widths[2 * i + 1]);
    EXPECT_EQ(g.find_node(block + ".add"), -1);
  }
  EXPECT_EQ(channels(g, "last.conv"), widths[34]);
}

TEST(Widths, OfAnEfficientNetLandWhereDocumented) {
  const EfficientNetOptions o{.input = {3, 32, 32}, .depth = 0.2};  // one block a stage
  EXPECT_THAT(efficientnet_widths(o), ElementsAre(32, 8, 16, 96, 4, 24, 144, 6, 40, 240, 10, 80, 480, 20, 112,
                                                  672, 28, 192, 1152, 48, 320, 1280));
  const std::vector<int> widths = distinct(22);
  const Graph g = efficientnet_with_widths(o, widths);
  EXPECT_EQ(channels(g, "stem.conv"), widths[0]);
  EXPECT_EQ(g.find_node("blocks.0.expand.conv"), -1);
  EXPECT_EQ(channels(g, "blocks.0.squeeze.reduce"), widths[1]);
  EXPECT_EQ(channels(g, "blocks.0.project.conv"), widths[2]);
  for (std::size_t i = 1; i < 7; ++i) {
    const std::string block = "blocks." + std::to_string(i);
    EXPECT_EQ(channels(g, block + ".expand.conv"), widths[3 * i]);
    EXPECT_EQ(channels(g, block + ".squeeze.reduce"), widths[3 * i + 1]);
    EXPECT_EQ(channels(g, block + ".project.conv"), widths[3 * i + 2]);
    EXPECT_EQ(g.find_node(block + ".add"), -1);
  }
  EXPECT_EQ(channels(g, "last.conv"), widths[21]);
}

TEST(Widths, OfTheWrongNumberOrBelowOneAreErrors) {
  const PhiNetOptions o{.input = {3, 64, 64}};
  std::vector<int> widths = phinet_widths(o);
  widths[5] = 0;
  EXPECT_THAT(error_of([&] { phinet_with_widths(o, widths); }),
              AllOf(HasSubstr("[phinet]"), HasSubstr("width 5 is 0")));
  widths[5] = 2'000'000'000;
  EXPECT_THAT(error_of([&] { phinet_with_widths(o, widths); }), HasSubstr("width 5 is 2000000000"));
  widths.pop_back();
  EXPECT_THAT(error_of([&] { phinet_with_widths(o, widths); }),
              AllOf(HasSubstr("22 widths"), HasSubstr("23 channel counts")));
  EXPECT_THAT(error_of([] { xinet_with_widths({}, {}); }),
              AllOf(HasSubstr("[xinet] 0 widths"), HasSubstr("23")));
  EXPECT_THAT(error_of([] { mobilenet_v2_with_widths({}, distinct(36)); }),
              HasSubstr("[mobilenet-v2] 36 widths"));
  EXPECT_THAT(error_of([] { mobilenet_v2_with_widths({}, std::vector<int>(35, -4)); }),
              HasSubstr("width 0 is -4"));
  EXPECT_THAT(error_of([] { efficientnet_with_widths({}, distinct(48)); }),
              AllOf(HasSubstr("[efficientnet] 48 widths"), HasSubstr("49")));
  EXPECT_THAT(error_of([] { xinet_widths({.alpha = 0.2, .gamma = 8}); }),
              AllOf(HasSubstr("[xinet]"), HasSubstr("gamma = 8")));
  EXPECT_THAT(error_of([] { phinet_widths({.alpha = -1}); }), HasSubstr("alpha"));
}

}  // namespace
}  // namespace micromind
