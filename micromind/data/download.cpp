#include "micromind/data/download.h"

#include <curl/curl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>

#include "micromind/base/error.h"
#include "micromind/base/interrupt.h"
#include "micromind/base/text.h"
#include "micromind/data/hash.h"

namespace micromind {
namespace fs = std::filesystem;
namespace {

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
struct CurlCloser {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

std::int64_t size_or_zero(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : static_cast<std::int64_t>(size);
}

void remove_quietly(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

/// How one transfer ended.
struct Outcome {
  CURLcode code = CURLE_OK;
  long status = 0;  // HTTP
  std::string detail;
  int write_error = 0;  // errno
  bool ok() const { return code == CURLE_OK && status >= 200 && status < 300; }
  bool range_refused() const {
    return code == CURLE_RANGE_ERROR || code == CURLE_BAD_DOWNLOAD_RESUME || status == 416;
  }
  bool worth_retrying() const {
    return (code == CURLE_HTTP_RETURNED_ERROR && status >= 500) || code == CURLE_PARTIAL_FILE ||
           code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR ||
           code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2;
  }
};

/// One GET of `url` appended to the .part file from its present size.
class Transfer {
 public:
  Transfer(const DownloadOptions& options, const std::string& url, const fs::path& part)
      : options_(options), url_(url), part_(part) {}

  Outcome run() {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    start_ = size_or_zero(part_);
    file_.reset(std::fopen(part_.c_str(), "ab"));
    if (!file_) fail("download", "cannot write {}: {}", part_.string(), std::strerror(errno));
    const std::unique_ptr<CURL, CurlCloser> handle(curl_easy_init());
    if (!handle) fail("download", "libcurl cannot start");
    CURL* const curl = handle.get();
    set_options(curl);
    Outcome outcome;
    outcome.code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &outcome.status);
    outcome.detail = error_[0] != '\0' ? error_.data() : curl_easy_strerror(outcome.code);
    if (std::fflush(file_.get()) != 0 && write_error_ == 0) {
      write_error_ = errno;
      outcome.code = CURLE_WRITE_ERROR;
    }
    outcome.write_error = write_error_;
    file_.reset();
    return outcome;
  }

 private:
  void set_options(CURL* curl) {
    curl_easy_setopt(curl, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);  // the text of an error page is not the file
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "micromind");
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_.data());
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, std::lround(options_.connect_timeout_s * 1000));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     std::max(1L, std::lround(std::ceil(options_.stall_timeout_s))));
    if (start_ > 0) curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(start_));
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::on_data);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  }

  static std::size_t on_data(char* data, std::size_t size, std::size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    const std::size_t written = std::fwrite(data, size, count, transfer->file_.get());
    if (written != count) transfer->write_error_ = errno;
    return written * size;
  }

  static int on_progress(void* self, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t) {
    if (interrupted()) return 1;
    const auto* transfer = static_cast<const Transfer*>(self);
    if (transfer->options_.progress)
      transfer->options_.progress(transfer->options_.destination.filename().string(), transfer->start_ + now,
                                  total > 0 ? transfer->start_ + total : 0);
    return 0;
  }

  const DownloadOptions& options_;
  std::string url_;
  fs::path part_;
  std::int64_t start_ = 0;
  int write_error_ = 0;
  std::array<char, CURL_ERROR_SIZE> error_{};
  std::unique_ptr<std::FILE, FileCloser> file_;
};

std::string explain(const Outcome& outcome, const fs::path& part, const DownloadOptions& options) {
  const std::string kept =
      fmt::format("{} are kept and the next attempt continues", format_bytes(size_or_zero(part)));
  if (outcome.status >= 300 && outcome.code == CURLE_HTTP_RETURNED_ERROR) {
    const char* meaning = outcome.status == 404 || outcome.status == 410 ? "there is no such file (any more)"
                          : outcome.status == 401 || outcome.status == 403 ? "access is refused"
                          : outcome.status == 429                          ? "too many requests; wait a while"
                          : outcome.status >= 500                          ? "the server failed; try later"
                                                                           : "the request was refused";
    return fmt::format("HTTP status {}: {}", outcome.status, meaning);
  }
  switch (outcome.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return outcome.detail + ": is this machine on a network?";
    case CURLE_PARTIAL_FILE:
      return fmt::format("the connection ended early ({}); {}", outcome.detail, kept);
    case CURLE_OPERATION_TIMEDOUT:
      return fmt::format("no answer or no data for too long (connecting {} s, stalled {} s); {}",
                         options.connect_timeout_s, options.stall_timeout_s, kept);
    case CURLE_OK:
      return fmt::format("unexpected HTTP status {}", outcome.status);
    default:
      return outcome.detail;
  }
}

/// Brings the .part file to its end from one URL. Returns "" or what went wrong.
std::string transfer_whole(const DownloadOptions& options, const std::string& url, const fs::path& part) {
  bool restarted = false;
  for (int attempt = 0;; ++attempt) {
    const Outcome outcome = Transfer(options, url, part).run();
    if (outcome.ok()) return {};
    if (outcome.code == CURLE_ABORTED_BY_CALLBACK)
      throw Interrupted("download",
                        fmt::format("stopped; {} has {}", part.string(), format_bytes(size_or_zero(part))),
                        "the next call continues it");
    if (outcome.write_error != 0)
      fail_with_hint("download",
                     outcome.write_error == ENOSPC ? "free some space; the next call continues" : "",
                     "cannot write {}: {}", part.string(), std::strerror(outcome.write_error));
    if (outcome.range_refused() && !restarted) {  // the server cannot continue: from the start
      restarted = true;
      remove_quietly(part);
      continue;
    }
    if (!outcome.worth_retrying() || attempt >= options.retries) return explain(outcome, part, options);
  }
}

/// "" when it matches or nothing is to be checked, else the checksum found.
std::string mismatch(const fs::path& path, const std::string& wanted) {
  if (wanted.empty()) return {};
  const Checksum checksum = parse_checksum(wanted);
  const std::string found = file_checksum(path, checksum.kind);
  return found == checksum.hex ? std::string() : found;
}

/// Transfers and verifies from one URL. Returns "" or what went wrong.
std::string fetch_from(const DownloadOptions& options, const std::string& url, const fs::path& part) {
  for (;;) {
    const std::int64_t before = size_or_zero(part);
    if (before > 0 && !options.checksum.empty() && mismatch(part, options.checksum).empty())
      return {};  // only the rename was missing
    if (const std::string problem = transfer_whole(options, url, part); !problem.empty()) return problem;
    const std::string found = mismatch(part, options.checksum);
    if (found.empty()) return {};
    const std::int64_t size = size_or_zero(part);
    remove_quietly(part);
    if (before == 0)  // else the old part may have been another file's: once more from the start
      return fmt::format("wrong checksum: expected {}, found {} over {} bytes; the file was deleted",
                         options.checksum, found, size);
  }
}

}  // namespace

void download(const DownloadOptions& options) {
  if (options.urls.empty()) fail("download", "no URL is given for {}", options.destination.string());
  if (!options.checksum.empty()) parse_checksum(options.checksum);
  if (fs::is_directory(options.destination))
    fail("download", "{} is a folder, expected a file", options.destination.string());
  if (fs::exists(options.destination) && !options.checksum.empty() &&
      mismatch(options.destination, options.checksum).empty())
    return;
  std::error_code error;
  if (options.destination.has_parent_path()) fs::create_directories(options.destination.parent_path(), error);
  if (error)
    fail("download", "cannot make the folder {}: {}", options.destination.parent_path().string(),
         error.message());
  fs::path part = options.destination;
  part += ".part";
  if (fs::is_directory(part)) fail("download", "{} is a folder, expected a file", part.string());
  std::string problems;
  for (const std::string& url : options.urls) {
    const std::string problem = fetch_from(options, url, part);
    if (problem.empty()) {
      fs::rename(part, options.destination, error);
      if (error)
        fail("download", "cannot rename {} to {}: {}", part.string(), options.destination.string(),
             error.message());
      return;
    }
    problems += fmt::format("{}{}: {}", problems.empty() ? "" : "; ", url, problem);
  }
  fail_with_hint("download", fmt::format("fetch it by hand and put it at {}", options.destination.string()),
                 "{}", problems);
}

}  // namespace micromind
