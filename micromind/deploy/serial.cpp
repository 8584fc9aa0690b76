#include "micromind/deploy/serial.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/deploy/model_hash.h"

namespace micromind {
namespace {

constexpr std::uint8_t kMagic0 = 0xA6, kMagic1 = 0x6D, kReply = 0x80, kError = 0xFF;
constexpr std::size_t kHead = 6, kTail = 4, kLeastPayload = 64, kHelloBytes = 32, kMostPayload = 65535;
constexpr int kVersion = 1;
constexpr std::uint32_t kNotMeasured = 0xFFFFFFFF;
constexpr std::uint8_t kBadFrame = 1, kNotReady = 5, kRefused = 6;
constexpr double kQuiet_s = 0.05;

using Clock = std::chrono::steady_clock;

std::uint32_t get32(std::span<const std::uint8_t> bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value |= std::uint32_t{bytes[at + i]} << 8 * i;
  return value;
}
void put32(std::vector<std::uint8_t>& bytes, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}
std::uint32_t checksum(std::span<const std::uint8_t> bytes) {  // CRC-32 of IEEE 802.3
  return static_cast<std::uint32_t>(::crc32(0, bytes.data(), static_cast<uInt>(bytes.size())));
}

std::string_view reason(std::uint8_t code) {
  static constexpr std::array<std::string_view, 8> texts = {
      "no error",        "a damaged frame",   "an unknown request", "a payload of the wrong size", "bytes outside of inputs or outputs",
      "no whole input, or no output yet", "model_run() failed", "it was compiled without MODEL_TRACE"};
  return code < texts.size() ? texts[code] : "an unknown error";
}

}  // namespace

std::vector<std::uint8_t> encode(const SerialFrame& frame) {
  if (frame.payload.size() > kMostPayload) fail("serial", "a frame of {} bytes", frame.payload.size());
  std::vector<std::uint8_t> bytes = {kMagic0, kMagic1, frame.type, frame.sequence, static_cast<std::uint8_t>(frame.payload.size()),
                                     static_cast<std::uint8_t>(frame.payload.size() >> 8)};
  bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
  put32(bytes, checksum(std::span(bytes).subspan(2)));
  return bytes;
}

void FrameReader::add(std::span<const std::uint8_t> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

std::optional<SerialFrame> FrameReader::next() {
  for (;;) {
    std::size_t at = 0;
    while (at < bytes_.size() && !(bytes_[at] == kMagic0 && (at + 1 == bytes_.size() || bytes_[at + 1] == kMagic1))) ++at;
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(at));
    if (bytes_.size() < kHead) return std::nullopt;
    const std::size_t count = bytes_[4] | std::size_t{bytes_[5]} << 8, whole = kHead + count + kTail;
    if (bytes_.size() < whole) return std::nullopt;
    const std::span<const std::uint8_t> all(bytes_);
    if (checksum(all.subspan(2, kHead - 2 + count)) != get32(all, kHead + count)) {
      ++damaged_;
      bytes_.erase(bytes_.begin(), bytes_.begin() + 2);  // a frame may begin within the damaged one
      continue;
    }
    const auto payload = bytes_.begin() + static_cast<std::ptrdiff_t>(kHead);
    SerialFrame frame{bytes_[2], bytes_[3], {payload, payload + static_cast<std::ptrdiff_t>(count)}};
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(whole));
    return frame;
  }
}

SerialChip::SerialChip(std::unique_ptr<ByteStream> stream, std::string line, SerialOptions options)
    : stream_(std::move(stream)), line_(std::move(line)), options_(options) {
  resynchronise();
  const SerialFrame frame = transact(SerialRequest::hello, {});
  const std::span<const std::uint8_t> p(frame.payload);
  if (p.empty() || p[0] != kVersion)
    fail_with_hint("serial", "emit the folder again with this micromind and flash the board anew", "{} speaks version {} of the protocol, expected {}", line_,
                   p.empty() ? 0 : p[0], kVersion);
  if (p.size() < kHelloBytes) fail("serial", "{} greets with {} bytes, expected {}", line_, p.size(), kHelloBytes);
  hello_.version = p[0];
  hello_.trace = (p[1] & 1) != 0;
  hello_.ticks = (p[1] & 2) != 0;
  hello_.stack = (p[1] & 4) != 0;
  hello_.payload = static_cast<std::uint32_t>(p[2] | p[3] << 8);
  hello_.model_hash = get32(p, 4) | std::uint64_t{get32(p, 8)} << 32;
  hello_.input_bytes = get32(p, 12);
  hello_.output_bytes = get32(p, 16);
  hello_.layer_outputs = get32(p, 20);
  hello_.arena_bytes = get32(p, 24);
  hello_.ticks_hz = get32(p, 28);
  hello_.name.assign(frame.payload.begin() + kHelloBytes, frame.payload.end());
  if (hello_.payload < kLeastPayload) fail("serial", "{} takes frames of {} bytes, expected at least {}", line_, hello_.payload, kLeastPayload);
}

SerialChip::~SerialChip() = default;

void SerialChip::need_model(const Model& model) const {
  if (hello_.model_hash == model_hash(model)) return;
  fail_with_hint("serial", "deploy this model and flash the board anew, or validate the model that it holds",
                 "the board on {} holds another model: '{}' ({:016x}) with {} bytes of input and {} of output, expected '{}' ({:016x})", line_, hello_.name,
                 hello_.model_hash, hello_.input_bytes, hello_.output_bytes, model.graph.name, model_hash(model));
}

void SerialChip::silent() const {
  fail_with_hint("serial", "is the serial program flashed and running, and is the baud rate the board's?",
                 "no whole answer from {} in {} attempts{}", line_, options_.attempts,
                 reader_.damaged() > 0 ? fmt::format("; {} frames came damaged", reader_.damaged()) : "");
}

std::optional<SerialFrame> SerialChip::receive(double timeout_s) {
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_s));
  std::array<std::uint8_t, 4096> buffer;
  for (;;) {
    if (auto frame = reader_.next()) return frame;
    const double left = std::chrono::duration<double>(deadline - Clock::now()).count();
    if (left <= 0) return std::nullopt;
    const std::size_t n = stream_->read(buffer, left);
    reader_.add(std::span(buffer).first(n));
  }
}

// Ends a frame that the board may be in the middle of, and forgets what is on its way here.
void SerialChip::resynchronise() {
  const std::size_t most = (hello_.payload > 0 ? hello_.payload : 1024) + kHead + kTail;
  stream_->write(std::vector<std::uint8_t>(most, 0));
  std::array<std::uint8_t, 4096> buffer;
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  while (Clock::now() < deadline && stream_->read(buffer, kQuiet_s) > 0) {
  }
  reader_ = FrameReader();
}

// One request and its answer. Throws Lost, or Error for what sending again would not mend.
SerialFrame SerialChip::exchange(SerialRequest request, const std::vector<std::uint8_t>& payload, double timeout_s) {
  const std::vector<std::uint8_t> bytes = encode({static_cast<std::uint8_t>(request), ++sequence_, payload});
  stream_->write(bytes);
  const double line_s = 10.0 / options_.baud * static_cast<double>(bytes.size() + kHead + kTail + std::max<std::size_t>(hello_.payload, 1024));
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_s + line_s));
  for (;;) {
    const auto frame = receive(std::chrono::duration<double>(deadline - Clock::now()).count());
    if (!frame) throw Lost{};
    if (frame->type == kError && frame->payload.size() >= 3) {
      const std::uint8_t code = frame->payload[0];
      if (code == kBadFrame || code == kNotReady) throw Lost{code == kNotReady};
      fail("serial", "{} refuses request {}: {}{}", line_, static_cast<int>(request), reason(code),
           code == kRefused ? fmt::format(" with status {}", frame->payload[2]) : "");
    }
    const bool layer = request == SerialRequest::trace && frame->type == (static_cast<std::uint8_t>(SerialRequest::layer) | kReply);
    if (frame->sequence == sequence_ && (layer || frame->type == (static_cast<std::uint8_t>(request) | kReply))) return *frame;
    // An answer to an earlier attempt: passed over.
  }
}

SerialFrame SerialChip::transact(SerialRequest request, const std::vector<std::uint8_t>& payload) {
  for (int attempt = 0; attempt < options_.attempts; ++attempt) {
    try {
      return exchange(request, payload, options_.answer_timeout_s);
    } catch (const Lost& lost) {
      if (lost.anew) throw;
      ++resent_;
      resynchronise();
    }
  }
  silent();
}

// Work that has to begin anew where a frame in it is lost, since a run overwrites its input.
template <class Work>
auto SerialChip::again(Work&& work) {
  for (int attempt = 0; attempt < options_.attempts; ++attempt) {
    try {
      return work();
    } catch (const Lost&) {
      ++resent_;
      resynchronise();
    }
  }
  silent();
}

void SerialChip::write_input(const ByteTensor& input) {
  if (input.size() != hello_.input_bytes)
    fail("serial", "an input has {} bytes, the model on {} takes {}", input.size(), line_, hello_.input_bytes);
  const std::size_t piece = hello_.payload - 4;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    std::vector<std::uint8_t> payload;
    put32(payload, static_cast<std::uint32_t>(at));
    for (std::size_t i = at; i < std::min(input.size(), at + piece); ++i) payload.push_back(static_cast<std::uint8_t>(input[i]));
    transact(SerialRequest::write, payload);
  }
}

ByteTensor SerialChip::read_outputs() {
  ByteTensor outputs;
  while (outputs.size() < hello_.output_bytes) {
    const std::size_t count = std::min<std::size_t>(hello_.payload, hello_.output_bytes - outputs.size());
    std::vector<std::uint8_t> payload;
    put32(payload, static_cast<std::uint32_t>(outputs.size()));
    payload.push_back(static_cast<std::uint8_t>(count));
    payload.push_back(static_cast<std::uint8_t>(count >> 8));
    const SerialFrame answer = transact(SerialRequest::read, payload);
    if (answer.payload.size() != count) fail("serial", "{} sent {} bytes of output, expected {}", line_, answer.payload.size(), count);
    for (const std::uint8_t byte : answer.payload) outputs.push_back(static_cast<std::int8_t>(byte));
  }
  return outputs;
}

SerialRun SerialChip::run_once(const ByteTensor& input, std::optional<std::uint8_t> pattern) {
  return again([&] {
    write_input(input);
    const SerialFrame answer = exchange(SerialRequest::run, {static_cast<std::uint8_t>(pattern ? 1 : 0), pattern.value_or(0)}, options_.run_timeout_s);
    if (answer.payload.size() != 12) fail("serial", "{} answers a run with {} bytes, expected 12", line_, answer.payload.size());
    SerialRun run;
    run.ticks = get32(answer.payload, 0);
    const auto measured = [&](std::size_t at) {
      const std::uint32_t value = get32(answer.payload, at);
      return value == kNotMeasured ? 0 : std::int64_t{value};
    };
    run.stack_bytes = measured(4);
    run.arena_used_bytes = measured(8);
    run.outputs = read_outputs();
    return run;
  });
}

SerialRun SerialChip::run(const ByteTensor& input, bool measure) {
  SerialRun result = run_once(input, std::nullopt);
  if (!measure) return result;
  for (const std::uint8_t pattern : {0x5A, 0xA5}) {  // what is written differs from one of them
    const SerialRun painted = run_once(input, pattern);
    result.stack_bytes = std::max(result.stack_bytes, painted.stack_bytes);
    result.arena_used_bytes = std::max(result.arena_used_bytes, painted.arena_used_bytes);
  }
  return result;
}

std::vector<ByteTensor> SerialChip::trace_once(const std::vector<std::size_t>& sizes, const ByteTensor& input) {
  write_input(input);
  std::vector<std::uint8_t> range;
  put32(range, 0);
  put32(range, static_cast<std::uint32_t>(sizes.size()));
  std::vector<ByteTensor> layers(sizes.size());
  SerialFrame frame = exchange(SerialRequest::trace, range, options_.run_timeout_s);
  while (frame.type == (static_cast<std::uint8_t>(SerialRequest::layer) | kReply)) {
    if (frame.payload.size() < 8) throw Lost{};
    const std::size_t event = get32(frame.payload, 0), at = get32(frame.payload, 4);
    if (event >= sizes.size() || at != layers[event].size() || at + frame.payload.size() - 8 > sizes[event]) throw Lost{};  // a piece is missing
    for (std::size_t i = 8; i < frame.payload.size(); ++i) layers[event].push_back(static_cast<std::int8_t>(frame.payload[i]));
    const auto next = receive(options_.run_timeout_s);
    if (!next || next->sequence != sequence_ || next->type == kError) throw Lost{};
    frame = *next;
  }
  for (std::size_t e = 0; e < sizes.size(); ++e)
    if (layers[e].size() != sizes[e]) throw Lost{};
  return layers;
}

std::vector<ByteTensor> SerialChip::trace(const Model& model, const ByteTensor& input) {
  if (!hello_.trace)
    fail_with_hint("serial", "compile model.c and model_serial.c with -DMODEL_TRACE", "the program on {} was compiled without the trace of layers", line_);
  std::vector<std::size_t> sizes;
  for (const Node& node : model.graph.nodes())
    for (const int value : node.outputs) sizes.push_back(static_cast<std::size_t>(model.graph.shape(value).elements()));
  if (sizes.size() != hello_.layer_outputs)
    fail("serial", "the model on {} has {} layer outputs, this one {}", line_, hello_.layer_outputs, sizes.size());
  return again([&] { return trace_once(sizes, input); });
}

void SerialChip::end() { transact(SerialRequest::end, {}); }

}  // namespace micromind
