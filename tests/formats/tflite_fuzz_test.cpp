// Damaged files give an Error or a model, never a crash; run it also under -fsanitize=address,undefined.
// MICROMIND_FUZZ=20 runs twenty times as many rounds.
#include <gtest/gtest.h>

#include <cstdlib>

#include "formats/sample_models.h"
#include "micromind/formats/tflite.h"

namespace micromind {
namespace {

// Mutates a file in `rounds` ways: bytes flipped, words replaced by extremes, stretches copied, the end cut.
void mutate(const Bytes& good, int rounds, std::uint64_t seed) {
  constexpr std::uint32_t extremes[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000};
  if (const char* factor = std::getenv("MICROMIND_FUZZ")) rounds *= std::max(1, std::atoi(factor));
  int errors = 0;
  for (int round = 0; round < rounds; ++round) {
    Random random(seed, {static_cast<std::uint64_t>(round)});
    Bytes bytes = good;
    // Structure lies at the start and the end of such files, weights in between: aim at all three.
    const auto place = [&] {
      const std::uint32_t n = static_cast<std::uint32_t>(bytes.size());
      const std::uint32_t edge = std::min<std::uint32_t>(n, 12000);
      switch (random.below(3)) {
        case 0: return random.below(edge);
        case 1: return n - 1 - random.below(edge);
        default: return random.below(n);
      }
    };
    const std::uint32_t changes = 1 + random.below(6);
    for (std::uint32_t c = 0; c < changes; ++c) {
      const std::uint32_t at = place();
      switch (random.below(4)) {
        case 0: bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ (1u << random.below(8))); break;
        case 1: bytes[at] = static_cast<std::uint8_t>(random.below(256)); break;
        case 2: {
          const std::uint32_t word = extremes[random.below(std::size(extremes))];
          for (std::uint32_t k = 0; k < 4 && (at & ~3u) + k < bytes.size(); ++k) bytes[(at & ~3u) + k] = static_cast<std::uint8_t>(word >> (8 * k));
          break;
        }
        default: {
          const std::uint32_t from = place();
          for (std::uint32_t k = 0; k < 4 && at + k < bytes.size() && from + k < bytes.size(); ++k) bytes[at + k] = bytes[from + k];
        }
      }
    }
    if (random.below(8) == 0) bytes.resize(random.below(static_cast<std::uint32_t>(bytes.size())));
    try {
      tflite_from_bytes(bytes, "mutated.tflite");
    } catch (const Error&) {
      ++errors;  // any other exception fails the test
    }
  }
  EXPECT_GT(errors, rounds / 20);
}

TEST(TfliteFuzz, OwnFile) { mutate(to_tflite(every_int8_operator()), 6000, 1); }

TEST(TfliteFuzz, EveryTruncation) {
  const Bytes good = to_tflite(every_int8_operator());
  for (std::size_t n = 0; n < good.size(); n += n < 2000 ? 1 : 97)
    EXPECT_THROW(tflite_from_bytes(std::span(good).first(n), "cut.tflite"), Error) << n;
}

TEST(TfliteFuzz, RealFiles) {
  const auto folder = data_folder() / "mlperf_tiny" / "models";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no MLPerf Tiny models below " << data_folder();
  for (const char* name : {"ic_pretrainedResnet_quant", "kws_ref_model", "kws_ref_model_float32", "str_ww_ref_model"})
    mutate(read_bytes(folder / (std::string(name) + ".tflite")), 1500, 2);
}

}  // namespace
}  // namespace micromind
