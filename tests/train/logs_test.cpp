#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/train/event_file.h"
#include "micromind/train/run_log.h"

namespace micromind {
namespace {

std::span<const std::uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

template <class T>
T read_fixed(std::string_view text, std::size_t at) {
  T value;
  std::memcpy(&value, text.data() + at, sizeof value);
  return value;
}

TEST(EventFile, CrcMatchesItsKnownAnswers) {
  EXPECT_EQ(crc32c(bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(bytes(std::string(32, '\0'))), 0x8A9136AAu);    // RFC 3720, B.4
  EXPECT_EQ(crc32c(bytes(std::string(32, '\xff'))), 0x62A8AB43u);  // RFC 3720, B.4
}

TEST(EventFile, RecordsAreFramedAndHoldEvents) {
  TemporaryFolder folder;
  EventFile file(folder.path(), 5);
  file.add(300, {{"train/loss", 0.5}});
  const std::string content = read_text(file.path());
  std::vector<std::string> events;
  for (std::size_t at = 0; at < content.size();) {
    ASSERT_LE(at + 16, content.size());
    const auto length = read_fixed<std::uint64_t>(content, at);
    const std::string_view data = std::string_view(content).substr(at + 12, length);
    EXPECT_EQ(tf_record(data), content.substr(at, 16 + length));
    const auto masked = read_fixed<std::uint32_t>(content, at + 12 + length);
    EXPECT_EQ(std::rotl(masked - 0xA282EAD8u, 15), crc32c(bytes(data)));
    events.emplace_back(data);
    at += 16 + length;
  }
  ASSERT_EQ(events.size(), 3u);  // version, start of a session, scalar
  // wall_time is 9 bytes: key 0x09 and a double.
  EXPECT_EQ(events[0].substr(9), std::string("\x10\x00\x1a\x0d"
                                             "brain.Event:2", 17));
  EXPECT_EQ(events[1].substr(9), std::string("\x10\x05\x3a\x02\x08\x01", 6));  // step 5, session_log {status: START}
  EXPECT_EQ(events[2].substr(9), std::string("\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0a"
                                             "train/loss\x15\x00\x00\x00\x3f", 5 + 2 + 2 + 10 + 5));
  EventFile second(folder.path(), 0);
  EXPECT_NE(second.path(), file.path());
  EXPECT_THROW(EventFile("/proc/no-such-folder", 0), Error);
}

TEST(RunLog, DropsWhatLiesBeyondTheCheckpointAndTornLines) {
  TemporaryFolder folder;
  const auto file = folder.path() / "log.jsonl";
  {
    RunLog log(file, 0);
    for (int step = 1; step <= 4; ++step) log.add({{"kind", "step"}, {"step", step}});
  }
  append_line(file, "{\"kind\": \"step\", \"st");
  EXPECT_EQ(read_log(file).size(), 4u);
  RunLog(file, 2).add({{"kind", "step"}, {"step", 3}});
  const auto lines = read_log(file);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[2]["step"], 3);
  RunLog(file, 0);
  EXPECT_TRUE(read_log(file).empty());
  EXPECT_TRUE(read_log(folder.path() / "absent").empty());
}

}  // namespace
}  // namespace micromind
