// The computer's side of the serial protocol (docs/serial.md): validation on a board that runs the emitted folder's
// serial program (runtime/emit/serial).
//
//   SerialChip chip(open_line("/dev/ttyACM0"), "/dev/ttyACM0");
//   chip.need_model(model);
//   const SerialRun run = chip.run(input);
//
// Damaged and lost frames are sent again; a run whose answer was lost is made again from its input. What stays silent or
// goes away is an Error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "micromind/deploy/proof.h"
#include "micromind/deploy/serial_line.h"
#include "micromind/graph/model.h"

namespace micromind {

enum class SerialRequest : std::uint8_t { hello = 1, write, run, read, trace, layer, end };

struct SerialFrame {
  std::uint8_t type = 0, sequence = 0;  ///< a SerialRequest; in replies with the highest bit set, or 0xFF for an error
  std::vector<std::uint8_t> payload;
};

std::vector<std::uint8_t> encode(const SerialFrame& frame);

/// Takes bytes as they come and gives whole, undamaged frames; what is none is passed over.
class FrameReader {
 public:
  void add(std::span<const std::uint8_t> bytes);
  std::optional<SerialFrame> next();
  std::int64_t damaged() const { return damaged_; }  ///< frames whose checksum was wrong

 private:
  std::vector<std::uint8_t> bytes_;
  std::int64_t damaged_ = 0;
};

struct SerialHello {
  int version = 0;
  bool trace = false, ticks = false, stack = false;
  std::uint32_t payload = 0;  ///< most bytes of a frame
  std::uint64_t model_hash = 0;
  std::uint32_t input_bytes = 0, output_bytes = 0, layer_outputs = 0, arena_bytes = 0, ticks_hz = 0;
  std::string name;
};

struct SerialRun {
  ByteTensor outputs;              ///< all of them one after another
  std::uint32_t ticks = 0;         ///< of the board's counter; its rate is hello().ticks_hz
  std::int64_t stack_bytes = 0;    ///< with `measure`, where the board has it
  std::int64_t arena_used_bytes = 0;  ///< with `measure`
};

struct SerialOptions {
  double answer_timeout_s = 2;   ///< for a frame, besides the time that its bytes take
  double run_timeout_s = 60;     ///< for an inference
  int attempts = 4;              ///< of each frame and of each inference
  int baud = 115200;             ///< for the time that bytes take
};

class SerialChip {
 public:
  /// Greets the board. `line` names it in errors. Throws Error when nothing answers or what answers speaks another
  /// version.
  SerialChip(std::unique_ptr<ByteStream> stream, std::string line, SerialOptions options = {});
  ~SerialChip();

  const SerialHello& hello() const { return hello_; }
  const std::string& line() const { return line_; }

  /// Throws Error when the board holds another model.
  void need_model(const Model& model) const;

  /// One inference. With `measure` it runs twice more, on painted memory, for the two marks. Throws Error when the board
  /// stays silent, goes away or refuses.
  SerialRun run(const ByteTensor& input, bool measure = false);

  /// Outputs of every node, in node order. Throws Error where the program was compiled without MODEL_TRACE.
  std::vector<ByteTensor> trace(const Model& model, const ByteTensor& input);

  /// Tells the board that no more requests come.
  void end();

  std::int64_t resent() const { return resent_; }  ///< frames that had to be sent again

 private:
  struct Lost {  // the answer did not come, or not whole
    bool anew = false;  // the board no longer has what the request needs
  };
  SerialFrame transact(SerialRequest request, const std::vector<std::uint8_t>& payload);
  SerialFrame exchange(SerialRequest request, const std::vector<std::uint8_t>& payload, double timeout_s);
  std::optional<SerialFrame> receive(double timeout_s);
  void resynchronise();
  void write_input(const ByteTensor& input);
  ByteTensor read_outputs();
  SerialRun run_once(const ByteTensor& input, std::optional<std::uint8_t> pattern);
  std::vector<ByteTensor> trace_once(const std::vector<std::size_t>& sizes, const ByteTensor& input);
  template <class Work>
  auto again(Work&& work);
  [[noreturn]] void silent() const;

  std::unique_ptr<ByteStream> stream_;
  std::string line_;
  SerialOptions options_;
  FrameReader reader_;
  SerialHello hello_;
  std::uint8_t sequence_ = 0;
  std::int64_t resent_ = 0;
};

}  // namespace micromind
