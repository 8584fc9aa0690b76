#include "micromind/data/inflate.h"

#include <zlib.h>

#include <array>
#include <fstream>

#include "micromind/base/error.h"

namespace micromind {
namespace fs = std::filesystem;

struct GzipReader::State {
  fs::path path;
  std::ifstream file;
  z_stream stream{};
  std::array<std::uint8_t, 65536> input{};
  std::uint64_t consumed = 0;  // bytes of the file, for messages
  bool member_open = false;    // inside a gzip member
  bool started = false;

  bool refill() {
    file.read(reinterpret_cast<char*>(input.data()), static_cast<std::streamsize>(input.size()));
    if (file.bad()) fail("gzip", "cannot read {}", path.string());
    stream.next_in = input.data();
    stream.avail_in = static_cast<uInt>(file.gcount());
    consumed += stream.avail_in;
    return stream.avail_in > 0;
  }
};

GzipReader::GzipReader(const fs::path& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->file.open(path, std::ios::binary);
  if (!state_->file || fs::is_directory(path)) fail("gzip", "cannot open {}", path.string());
  if (inflateInit2(&state_->stream, 15 + 16) != Z_OK) fail("gzip", "zlib cannot start: out of memory");
}

GzipReader::~GzipReader() {
  inflateEnd(&state_->stream);
}

std::size_t GzipReader::read(std::span<std::uint8_t> out) {
  State& s = *state_;
  s.stream.next_out = out.data();
  s.stream.avail_out = static_cast<uInt>(out.size());
  while (s.stream.avail_out > 0) {
    if (s.stream.avail_in == 0 && !s.refill()) {
      if (s.member_open || !s.started)
        fail_with_hint("gzip", "download it again", "{}: truncated after {} bytes", s.path.string(),
                       s.consumed);
      break;
    }
    if (!s.member_open) {
      if (s.started) {
        if (*s.stream.next_in != 0x1F) {  // zero padding after the last member is common and harmless
          s.stream.avail_in = 0;
          continue;
        }
        inflateReset(&s.stream);
      }
      s.started = s.member_open = true;
    }
    const int result = inflate(&s.stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      s.member_open = false;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      fail_with_hint("gzip", "download it again", "{}: not a sound gzip file near byte {}: {}",
                     s.path.string(), s.consumed - s.stream.avail_in,
                     s.stream.msg != nullptr ? s.stream.msg : "damaged");
    }
  }
  return out.size() - s.stream.avail_out;
}

Bytes read_maybe_gzip(const fs::path& path, std::size_t max_bytes) {
  std::array<char, 2> magic{};
  std::ifstream(path, std::ios::binary).read(magic.data(), 2);
  const bool packed = magic[0] == '\x1F' && magic[1] == '\x8B';
  if (!packed) {
    std::error_code ignored;
    const auto size = fs::file_size(path, ignored);
    if (!ignored && size > max_bytes)
      fail("data", "{}: {} bytes, expected at most {}", path.string(), size, max_bytes);
    return read_bytes(path);
  }
  GzipReader reader(path);
  Bytes content;
  for (;;) {
    const std::size_t used = content.size();
    content.resize(used + (std::size_t{1} << 20));
    const std::size_t n = reader.read(std::span(content).subspan(used));
    content.resize(used + n);
    if (content.size() > max_bytes)
      fail("data", "{}: unpacks to more than {} bytes", path.string(), max_bytes);
    if (n < (std::size_t{1} << 20)) return content;
  }
}

}  // namespace micromind
