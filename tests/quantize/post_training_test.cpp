// Calibration from files, and the int8 model of any float network.
#include "micromind/quantize/post_training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "error_of.h"
#include "micromind/base/file.h"
#include "micromind/base/random.h"
#include "micromind/graph/initial_weights.h"
#include "micromind/networks/phinet.h"
#include "micromind/quantize/samples.h"

namespace micromind {
namespace {

using testing::HasSubstr;

// A .npy file as NumPy writes it.
Bytes npy(const std::string& type, const std::string& shape, std::span<const std::uint8_t> numbers, const std::string& order = "False") {
  std::string header = "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': (" + shape + "), }";
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  Bytes out = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<std::uint8_t>(header.size()), static_cast<std::uint8_t>(header.size() >> 8)};
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), numbers.begin(), numbers.end());
  return out;
}

Bytes floats(std::initializer_list<float> values) {
  Bytes out(values.size() * 4);
  std::memcpy(out.data(), values.begin(), out.size());
  return out;
}

class Samples : public testing::Test {
 protected:
  std::filesystem::path put(const std::string& name, const Bytes& bytes) {
    write_atomic(folder.path() / name, std::span<const std::uint8_t>(bytes));
    return folder.path() / name;
  }
  static std::vector<Array> read(std::vector<std::filesystem::path> files, const Shape& shape, const SampleOptions& options = {}) { return read_samples(files, shape, options); }
  static std::vector<float> numbers(const Array& a) { return {a.values<float>().begin(), a.values<float>().end()}; }
  TemporaryFolder folder;
};

TEST_F(Samples, BothLayoutsAndTypes) {
  const Bytes six = floats({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(numbers(read({put("a.npy", npy("<f4", "1, 2, 1, 3", six))}, {2, 1, 3}).at(0)), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(numbers(read({put("b.npy", npy("<f4", "1, 1, 3, 2", six))}, {2, 1, 3}, {.layout = SampleLayout::channels_last}).at(0)), (std::vector<float>{1, 3, 5, 2, 4, 6}));
  EXPECT_EQ(read({put("c.bin", six)}, {3}).size(), 2u);
  const std::vector<Array> pixels = read({put("d.npy", npy("|u1", "2, 2, 1, 1", Bytes{0, 255, 51, 102}))}, {2, 1, 1}, {.mean = {0.5, 0}, .deviation = {0.5, 1}});
  EXPECT_THAT(numbers(pixels.at(0)), testing::ElementsAre(-1, 1));
  EXPECT_THAT(numbers(pixels.at(1)), testing::ElementsAre(testing::FloatEq(-0.6f), testing::FloatEq(0.4f)));
  std::filesystem::create_directory(folder.path() / "many");
  put("many/one.npy", npy("<f4", "2, 3", six));
  put("many/two.bin", six);
  EXPECT_EQ(read({folder.path() / "many"}, {3}).size(), 4u);
  const std::vector<Array> two = read({folder.path() / "many"}, {3}, {.limit = 2, .mean = {}, .deviation = {}});
  EXPECT_EQ(two.size(), 2u);
}

TEST_F(Samples, SayWhatIsWrong) {
  const Bytes six = floats({1, 2, 3, 4, 5, 6});
  const Bytes good = npy("<f4", "2, 3", six);
  EXPECT_THAT(error_of([&] { read({put("a.npy", npy("<f4", "2, 3", floats({1, 2})))}, {3}); }), HasSubstr("8 bytes of numbers; its shape needs 24"));
  EXPECT_THAT(error_of([&] { read({put("a.npy", npy("<i4", "2, 3", six))}, {3}); }), HasSubstr("expected float32, float64, uint8 or int8"));
  EXPECT_THAT(error_of([&] { read({put("a.npy", npy("<f4", "2, 3", six, "True"))}, {3}); }), HasSubstr("Fortran"));
  EXPECT_THAT(error_of([&] { read({put("a.npy", good)}, {2, 1, 3}); }), HasSubstr("expected a batch of (2, 1, 3)"));
  EXPECT_THAT(error_of([&] { read({put("a.npy", npy("<f4", "99999999999, 99999999999", six))}, {3}); }), HasSubstr("a.npy"));
  EXPECT_THAT(error_of([&] { read({put("a.bin", floats({1, 2}))}, {3}); }), HasSubstr("no whole number of samples"));
  EXPECT_THAT(error_of([&] { read({put("a.bin", floats({1, NAN, 2}))}, {3}); }), HasSubstr("not finite"));
  for (std::size_t n = 0; n < good.size(); ++n) {
    const auto file = put("cut.npy", Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)));
    EXPECT_THROW(read({file}, {3}), Error) << n;
  }
}

TEST(PostTraining, StaysCloseToTheFloatNetwork) {
  const Graph graph = phinet({.input = {3, 32, 32}, .alpha = 0.5, .include_top = true});
  const Model model{graph, initial_weights(graph, 1)};
  std::vector<Array> samples;
  for (std::uint64_t k = 0; k < 6; ++k) {
    Random random(5, {k});
    samples.emplace_back(ElementType::float32, Shape{3, 32, 32});
    for (float& v : samples.back().values<float>()) v = random.normal();
  }
  for (const bool corrected : {false, true}) {
    const PostTraining r = quantize_after_training(model, samples, {.calibration = {.method = CalibrationMethod::minmax}, .equalize = corrected, .correct_bias = corrected});
    EXPECT_TRUE(is_quantized(r.model));
    EXPECT_GT(r.largest_output, 0);
    EXPECT_LT(r.rmse, 0.1 * r.largest_output);
    EXPECT_EQ(r.bias_correction_steps > 0, corrected);
    EXPECT_THAT(error_of([&] { quantize_after_training(r.model, samples); }), HasSubstr("int8 already"));
  }
  EXPECT_THAT(error_of([&] { quantize_after_training(model, {}); }), HasSubstr("no samples"));
  samples[2] = Array(ElementType::float32, {3, 16, 16});
  EXPECT_THAT(error_of([&] { quantize_after_training(model, samples); }), HasSubstr("a sample is 3×16×16; the network's input is 3×32×32"));
}

}  // namespace
}  // namespace micromind
