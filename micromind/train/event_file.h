// TensorBoard's event files, written without TensorFlow.
//
// A file is a row of TFRecords (tensorflow/core/lib/io/record_writer.h): length as uint64, masked CRC of the length,
// data, masked CRC of the data, all little-endian; CRC is CRC-32C (RFC 3720, B.4) and the mask is
// rotate_right(crc, 15) + 0xa282ead8. The data are tensorflow.Event messages (tensorflow/core/util/event.proto) in
// protobuf's wire format, of which we need the time, the step, the version mark, a session's start and scalars.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace micromind {

std::uint32_t crc32c(std::span<const std::uint8_t> bytes);

/// One record, framed and checksummed.
std::string tf_record(std::string_view data);

class EventFile {
 public:
  using Scalars = std::vector<std::pair<std::string, double>>;

  /// Starts a new file "events.out.tfevents.TIME.HOST.N" in `folder`. `first_step` > 0 tells TensorBoard that the run
  /// resumes there: what earlier files hold at that step and beyond is not drawn.
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);

  /// Appends one event with all scalars. Throws Error when it cannot be written.
  void add(std::int64_t step, const Scalars& scalars);
  const std::filesystem::path& path() const { return path_; }

 private:
  void append(const std::string& event);
  std::filesystem::path path_;
};

}  // namespace micromind
