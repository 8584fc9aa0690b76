// Bytes to and from a board: a serial device, a pseudo-terminal, a TCP connection or a Unix socket.
//
//   const std::unique_ptr<ByteStream> line = open_line("/dev/ttyACM0", 115200);
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace micromind {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Throws Error when the other side has gone.
  virtual void write(std::span<const std::uint8_t> bytes) = 0;
  /// What has come, at least one byte unless `timeout_s` pass: then 0. Throws Error when the other side has gone.
  virtual std::size_t read(std::span<std::uint8_t> bytes, double timeout_s) = 0;
};

/// `line`: the path of a device ("/dev/ttyACM0", "/dev/pts/3"), "HOST:PORT", or "unix:PATH". `baud` counts for devices:
/// 8 bits, no parity, one stop bit, no flow control. Throws Error saying what could not be opened and why.
std::unique_ptr<ByteStream> open_line(const std::string& line, int baud = 115200);

}  // namespace micromind
