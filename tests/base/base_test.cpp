#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

using testing::HasSubstr;

TEST(Philox, MatchesTheKnownAnswerOfItsAuthors) {  // Random123 kat_vectors, philox4x32 10
  const std::array<std::uint32_t, 4> zero = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), zero);
  const std::array<std::uint32_t, 4> ones = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), ones);
}

TEST(Random, StreamsDependOnSeedAndPathAlone) {
  Random a(7, {1, 2}), b(7, {1, 2}), other(7, {2, 1}), seed(8, {1, 2});
  const auto first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, other.next());
  EXPECT_NE(first, seed.next());
}

TEST(Random, UniformNormalAndBelowHaveTheirMoments) {
  Random random(1);
  double mean = 0, square = 0, uniform = 0;
  std::array<int, 7> counts{};
  constexpr int n = 70000;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    mean += x / n;
    square += x * x / n;
    uniform += random.uniform() / n;
    ++counts[random.below(7)];
  }
  EXPECT_NEAR(mean, 0, 0.02);
  EXPECT_NEAR(square, 1, 0.03);
  EXPECT_NEAR(uniform, 0.5, 0.01);
  for (const int c : counts) EXPECT_NEAR(c, n / 7, 500);
}

TEST(Random, ShuffleIsAPermutation) {
  std::vector<int> items(100), sorted(100);
  std::iota(items.begin(), items.end(), 0);
  sorted = items;
  Random random(3);
  random.shuffle(std::span<int>(items));
  EXPECT_NE(items, sorted);
  std::sort(items.begin(), items.end());
  EXPECT_EQ(items, sorted);
}

TEST(Text, ParsesAndFormatsQuantities) {
  EXPECT_EQ(parse_bytes("64kB"), 65536);
  EXPECT_EQ(parse_bytes("1.5 MB"), 1572864);
  EXPECT_EQ(parse_count("60M"), 60'000'000);
  EXPECT_EQ(format_count(9817670), "9,817,670");
  EXPECT_EQ(format_count(-1234), "-1,234");
  EXPECT_EQ(format_count(123), "123");
  EXPECT_EQ(format_bytes(2048), "2.0 kB");
  for (const char* bad : {"", "kB", "0", "-3kB", "12 parsecs", "nan", "inf"}) EXPECT_THROW(parse_bytes(bad), Error) << bad;
}

TEST(Text, NamesTheNearestName) {
  const std::vector<std::string> known = {"epochs", "batch_size", "optimizer"};
  EXPECT_EQ(nearest_name("epoch", known), "epochs");
  EXPECT_EQ(nearest_name("optimiser", known), "optimizer");
  EXPECT_EQ(nearest_name("zzz", known), "");
  EXPECT_THAT(name_hint("zzz", known), HasSubstr("batch_size"));
}

TEST(File, WritesAtomicallyAndKeepsWhatWasThere) {
  TemporaryFolder folder;
  const auto path = folder.path() / "deep" / "file.txt";
  write_atomic(path, std::string_view("old"));
  EXPECT_EQ(read_text(path), "old");
  write_atomic(path, std::string_view("new"));
  EXPECT_EQ(read_text(path), "new");
  EXPECT_THROW(write_atomic(path / "below-a-file", std::string_view("x")), Error);
  EXPECT_EQ(read_text(path), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path.parent_path()), {}), 1);  // no temporary left
  EXPECT_THROW(read_text(folder.path() / "absent"), Error);
  EXPECT_THROW(read_text(folder.path()), Error);
}

TEST(Process, CapturesOutputStatusAndTimeout) {
  const ProcessResult ok = run_process({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(ok.out, "out\n");
  EXPECT_EQ(ok.err, "err\n");
  EXPECT_EQ(ok.exit_status, 3);
  const ProcessResult slow = run_process({"sleep", "30"}, {.folder = {}, .timeout_s = 0.2});
  EXPECT_TRUE(slow.timed_out);
  EXPECT_THROW(run_process({"no-such-program-here"}), Error);
  EXPECT_TRUE(find_program("sh").has_value());
  EXPECT_FALSE(find_program("no-such-program-here").has_value());
}

}  // namespace
}  // namespace micromind
