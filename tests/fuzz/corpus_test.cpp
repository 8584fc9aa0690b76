// The fuzzers' corpus (seeds, and what they have found) through the readers: a model or one Error, in every build.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "fuzz/readers.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

std::map<std::string, fuzz::Outcome> replay(const std::string& kind, fuzz::Outcome (*read)(std::span<const std::uint8_t>)) {
  std::map<std::string, fuzz::Outcome> outcomes;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path("tests/fuzz/corpus") / kind))
    outcomes[entry.path().filename().string()] = read(read_bytes(entry.path()));
  return outcomes;
}

// Files that our writers made must be read; what a fuzzer has found ("found-…") may be, or gives one message.
void expect_sound(const std::map<std::string, fuzz::Outcome>& outcomes) {
  EXPECT_GE(outcomes.size(), 3u);
  for (const auto& [name, outcome] : outcomes) {
    if (!name.starts_with("found-")) EXPECT_TRUE(outcome.read && outcome.error.empty()) << name << ": " << outcome.error;
    else EXPECT_TRUE(outcome.read || !outcome.error.empty()) << name;
  }
}

TEST(FuzzCorpus, Tflite) { expect_sound(replay("tflite", fuzz::read_as_tflite)); }
TEST(FuzzCorpus, Onnx) { expect_sound(replay("onnx", fuzz::read_as_onnx)); }

}  // namespace
}  // namespace micromind
