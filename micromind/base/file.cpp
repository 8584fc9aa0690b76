#include "micromind/base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "micromind/base/error.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int close() {
    const int result = fd_ >= 0 ? ::close(fd_) : 0;
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

bool write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

void make_parent(const fs::path& path) {
  if (!path.has_parent_path()) return;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) fail("file", "cannot make the folder {}: {}", path.parent_path().string(), error.message());
}

template <class Container>
Container read_whole(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  if (!file.ok()) fail("file", "cannot open {}: {}", path.string(), std::strerror(errno));
  if (fs::is_directory(path)) fail("file", "{} is a folder, expected a file", path.string());
  Container content;
  std::size_t used = 0;
  std::error_code ignored;
  const auto size = fs::file_size(path, ignored);
  content.resize(ignored ? 65536 : size + 1);
  for (;;) {
    if (used == content.size()) content.resize(content.size() * 2);
    const ssize_t n = ::read(file.get(), content.data() + used, content.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("file", "cannot read {}: {}", path.string(), std::strerror(errno));
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  content.resize(used);
  return content;
}

}  // namespace

std::string read_text(const fs::path& path) { return read_whole<std::string>(path); }
Bytes read_bytes(const fs::path& path) { return read_whole<Bytes>(path); }

void write_atomic(const fs::path& path, std::string_view content) {
  make_parent(path);
  std::error_code ignored;
  const fs::file_status target = fs::status(path, ignored);
  if (fs::is_directory(target)) fail("file", "cannot write {}: it is a folder", path.string());
  // A device or a pipe is written to: renaming a file over it would take its place.
  const bool special = fs::exists(target) && !fs::is_regular_file(target);
  fs::path temporary = path;
  if (!special) temporary += fmt::format(".{}.tmp", ::getpid());
  const auto give_up = [&](const char* step) {
    const int error = errno;
    if (!special) ::unlink(temporary.c_str());
    fail_with_hint("file", error == ENOSPC ? "free some space; what was there before is untouched" : "",
                   "cannot {} {}: {}", step, path.string(), std::strerror(error));
  };
  Descriptor file(temporary, special ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.ok()) give_up("create");
  if (!write_all(file.get(), content.data(), content.size())) give_up("write");
  if (::fsync(file.get()) != 0 && errno != EINVAL && errno != EROFS) give_up("flush");
  if (file.close() != 0) give_up("close");
  if (special) return;
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up("replace");
}

void write_atomic(const fs::path& path, std::span<const std::uint8_t> content) {
  write_atomic(path, std::string_view(reinterpret_cast<const char*>(content.data()), content.size()));
}

void append_line(const fs::path& path, std::string_view line) {
  make_parent(path);
  Descriptor file(path, O_WRONLY | O_CREAT | O_APPEND);
  std::string text(line);
  text += '\n';
  if (!file.ok() || !write_all(file.get(), text.data(), text.size()))
    fail("file", "cannot append to {}: {}", path.string(), std::strerror(errno));
}

TemporaryFolder::TemporaryFolder(std::string_view prefix) {
  std::string pattern = (fs::temp_directory_path() / fmt::format("{}.XXXXXX", prefix)).string();
  if (::mkdtemp(pattern.data()) == nullptr) fail("file", "cannot make the folder {}: {}", pattern, std::strerror(errno));
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path data_folder() {
  if (const char* named = std::getenv("MICROMIND_DATA"); named != nullptr && *named != '\0') return named;
  if (fs::is_directory("../shared/data")) return "../shared/data";
  return "data";
}

}  // namespace micromind
