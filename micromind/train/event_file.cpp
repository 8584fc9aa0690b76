#include "micromind/train/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "micromind/base/error.h"

namespace micromind {
namespace {

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0x82F63B78u : 0);  // Castagnoli's polynomial, reflected
    table[i] = c;
  }
  return table;
}();

std::uint32_t masked_crc(std::string_view data) {
  const std::uint32_t crc = crc32c({reinterpret_cast<const std::uint8_t*>(data.data()), data.size()});
  return std::rotr(crc, 15) + 0xA282EAD8u;
}

template <class T>
void put_fixed(std::string& out, T value) {  // little-endian
  for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(static_cast<std::uint8_t>(value >> (8 * i)));
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  out += static_cast<char>(value);
}

enum WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_key(std::string& out, int field, WireType type) { put_varint(out, static_cast<std::uint64_t>(field) << 3 | type); }

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

// Event: 1 wall_time (double), 2 step (int64); the caller adds 3 file_version, 5 summary or 7 session_log.
std::string event_head(std::int64_t step) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::string event;
  put_key(event, 1, kFixed64);
  put_fixed(event, std::bit_cast<std::uint64_t>(now));
  put_key(event, 2, kVarint);
  put_varint(event, static_cast<std::uint64_t>(step));
  return event;
}

}  // namespace

std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = ~0u;
  for (const std::uint8_t b : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ b) & 0xFF];
  return ~crc;
}

std::string tf_record(std::string_view data) {
  std::string length, record;
  put_fixed(length, static_cast<std::uint64_t>(data.size()));
  record = length;
  put_fixed(record, masked_crc(length));
  record += data;
  put_fixed(record, masked_crc(data));
  return record;
}

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t first_step) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  const auto seconds = std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds(1);
  for (int n = 0;; ++n) {  // two runs of one second get names of their own
    path_ = folder / fmt::format("events.out.tfevents.{}.{}.{}", seconds, host, n);
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0) {
      ::close(fd);
      break;
    }
    if (errno != EEXIST) fail("tensorboard", "cannot create {}: {}", path_.string(), std::strerror(errno));
  }
  std::string version = event_head(0);
  put_bytes(version, 3, "brain.Event:2");
  append(version);
  if (first_step > 0) {
    std::string session;  // SessionLog: 1 status = START (1)
    put_key(session, 1, kVarint);
    put_varint(session, 1);
    std::string event = event_head(first_step);
    put_bytes(event, 7, session);
    append(event);
  }
}

void EventFile::add(std::int64_t step, const Scalars& scalars) {
  std::string summary;  // Summary: 1 value (repeated); Value: 1 tag, 2 simple_value (float)
  for (const auto& [tag, number] : scalars) {
    std::string value;
    put_bytes(value, 1, tag);
    put_key(value, 2, kFixed32);
    put_fixed(value, std::bit_cast<std::uint32_t>(static_cast<float>(number)));
    put_bytes(summary, 1, value);
  }
  std::string event = event_head(step);
  put_bytes(event, 5, summary);
  append(event);
}

void EventFile::append(const std::string& event) {
  const std::string record = tf_record(event);
  const int fd = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  const bool written = fd >= 0 && ::write(fd, record.data(), record.size()) == static_cast<ssize_t>(record.size());
  const int reason = errno;
  if (fd >= 0) ::close(fd);
  if (!written) fail("tensorboard", "cannot append to {}: {}", path_.string(), std::strerror(reason));
}

}  // namespace micromind
