// A small HTTP/1.1 server on 127.0.0.1 with a thread of its own, that misbehaves on request.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace micromind {

struct HttpRequest {
  std::string path;
  std::int64_t range_start = -1;  ///< -1: no Range header
};

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string headers = {};     ///< further lines, each ending in \r\n
  std::int64_t send_only = -1;  ///< bytes of the body before the connection is closed; -1: all
  double stall_s = 0;           ///< silence before closing, after `send_only` bytes
};

class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(const HttpRequest&)>;

  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0)
      std::abort();
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~HttpServer() {
    quit_ = true;
    thread_.join();
    ::close(listener_);
  }

  std::string url(const std::string& path = "") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::vector<HttpRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void run() {
    while (!quit_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      const int client = ::accept(listener_, nullptr, nullptr);
      if (client < 0) continue;
      serve(client);
      ::close(client);
    }
  }

  void serve(int client) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(client, buffer, sizeof(buffer), 0);
      if (n <= 0) return;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    HttpRequest request;
    const std::size_t begin = text.find(' ') + 1;
    request.path = text.substr(begin, text.find(' ', begin) - begin);
    if (const std::size_t at = text.find("Range: bytes="); at != std::string::npos)
      request.range_start = std::atoll(text.c_str() + at + 13);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const HttpAnswer answer = handler_(request);
    std::string out = "HTTP/1.1 " + std::to_string(answer.status) + " x\r\nConnection: close\r\n" +
                      answer.headers + "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n";
    out += answer.send_only < 0 ? answer.body
                                : answer.body.substr(0, static_cast<std::size_t>(answer.send_only));
    for (std::size_t sent = 0; sent < out.size();) {
      const ssize_t n = ::send(client, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<std::size_t>(n);
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(answer.stall_s);
    while (!quit_ && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> quit_{false};
  mutable std::mutex mutex_;
  std::vector<HttpRequest> requests_;
  std::thread thread_;
};

/// What a sound file server answers for `content`, ranges included.
inline HttpAnswer file_answer(const std::string& content, const HttpRequest& request) {
  if (request.range_start < 0) return {.body = content};
  const auto start = static_cast<std::size_t>(request.range_start);
  const std::string size = std::to_string(content.size());
  if (start >= content.size())
    return {.status = 416, .body = "", .headers = "Content-Range: bytes */" + size + "\r\n"};
  return {.status = 206,
          .body = content.substr(start),
          .headers = "Content-Range: bytes " + std::to_string(start) + "-" +
                     std::to_string(content.size() - 1) + "/" + size + "\r\n"};
}

}  // namespace micromind
