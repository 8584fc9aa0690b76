#include "micromind/deploy/serial_line.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "micromind/base/error.h"

namespace micromind {
namespace {

constexpr double kWriteTimeout_s = 10;

class Descriptor : public ByteStream {
 public:
  Descriptor(int descriptor, std::string name) : fd_(descriptor), name_(std::move(name)) {}
  ~Descriptor() override { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void write(std::span<const std::uint8_t> bytes) override {
    while (!bytes.empty()) {
      if (!wait(POLLOUT, kWriteTimeout_s)) fail("serial", "{} takes no bytes", name_);
      const ssize_t n = socket_ ? ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) : ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) gone(std::strerror(errno));
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  std::size_t read(std::span<std::uint8_t> bytes, double timeout_s) override {
    if (!wait(POLLIN, timeout_s)) return 0;
    const ssize_t n = ::read(fd_, bytes.data(), bytes.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
    if (n < 0) gone(std::strerror(errno));
    if (n == 0) gone("the other side closed it");
    return static_cast<std::size_t>(n);
  }

  void is_socket() { socket_ = true; }
  int descriptor() const { return fd_; }

 private:
  bool wait(short events, double timeout_s) {
    pollfd p{fd_, events, 0};
    const int ready = ::poll(&p, 1, static_cast<int>(std::clamp(timeout_s, 0.0, 1e6) * 1000));
    if (ready < 0 && errno != EINTR) gone(std::strerror(errno));
    return ready > 0;
  }
  [[noreturn]] void gone(const std::string& why) const {
    fail_with_hint("serial", "is the board still connected and powered?", "the connection to {} is lost: {}", name_, why);
  }

  int fd_;
  std::string name_;
  bool socket_ = false;
};

speed_t speed_of(int baud) {
  static const std::vector<std::pair<int, speed_t>> speeds = {{9600, B9600},     {19200, B19200},   {38400, B38400},     {57600, B57600},
                                                              {115200, B115200}, {230400, B230400}, {460800, B460800},   {921600, B921600},
                                                              {1000000, B1000000}, {1500000, B1500000}, {2000000, B2000000}, {3000000, B3000000}};
  std::string known;
  for (const auto& [rate, speed] : speeds) {
    if (rate == baud) return speed;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", rate);
  }
  fail_with_hint("serial", "use one of " + known, "{} baud is no rate of a serial port", baud);
}

std::unique_ptr<ByteStream> open_device(const std::string& path, int baud) {
  const speed_t speed = speed_of(baud);
  const int fd = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    fail_with_hint("serial", errno == EACCES ? "your user needs the group that owns it, often dialout" : "ls /dev/tty* shows the ports; or name HOST:PORT",
                   "cannot open {}: {}", path, std::strerror(errno));
  auto stream = std::make_unique<Descriptor>(fd, path);
  termios settings{};
  if (::tcgetattr(fd, &settings) != 0) fail("serial", "{} is no serial port: {}", path, std::strerror(errno));
  ::cfmakeraw(&settings);
  settings.c_cflag |= CLOCAL | CREAD;
  settings.c_cflag &= ~static_cast<tcflag_t>(CRTSCTS | CSTOPB);
  ::cfsetspeed(&settings, speed);
  if (::tcsetattr(fd, TCSANOW, &settings) != 0) fail("serial", "{} cannot be set to {} baud: {}", path, baud, std::strerror(errno));
  ::tcflush(fd, TCIOFLUSH);
  return stream;
}

std::unique_ptr<ByteStream> open_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) fail("serial", "unix:{}: expected a path of 1 to {} characters", path, sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.data(), path.size());
  auto stream = std::make_unique<Descriptor>(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "unix:" + path);
  stream->is_socket();
  if (::connect(stream->descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("serial", "cannot connect to unix:{}: {}", path, std::strerror(errno));
  return stream;
}

std::unique_ptr<ByteStream> open_tcp(const std::string& line, const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    fail("serial", "{}: {}", line, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  int problem = ECONNREFUSED;
  for (const addrinfo* a = list.get(); a != nullptr; a = a->ai_next) {
    auto stream = std::make_unique<Descriptor>(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol), line);
    stream->is_socket();
    if (::connect(stream->descriptor(), a->ai_addr, a->ai_addrlen) == 0) return stream;
    problem = errno;
  }
  fail_with_hint("serial", "does the program that serves the port run?", "cannot connect to {}: {}", line, std::strerror(problem));
}

}  // namespace

std::unique_ptr<ByteStream> open_line(const std::string& line, int baud) {
  constexpr std::string_view kUnix = "unix:";
  if (line.starts_with(kUnix)) return open_unix(line.substr(kUnix.size()));
  const auto colon = line.rfind(':');
  if (line.find('/') == std::string::npos && colon != std::string::npos && colon > 0 && colon + 1 < line.size())
    return open_tcp(line, line.substr(0, colon), line.substr(colon + 1));
  return open_device(line, baud);
}

}  // namespace micromind
