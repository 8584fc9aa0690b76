// The serial protocol: frames, and a whole validation over the emulated board's serial port, also with a line that
// damages, loses and repeats, and with boards that are silent, wrong or gone.
#include "micromind/deploy/serial.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include <deque>
#include <thread>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/deploy/model_hash.h"
#include "micromind/deploy/serial_emulator.h"
#include "micromind/deploy/validate.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Serial, FramesMakeTheRoundTripThroughNoise) {
  const SerialFrame frame{3, 9, {1, 0xA6, 0x6D, 255}};
  const std::vector<std::uint8_t> bytes = encode(frame);
  ASSERT_EQ(bytes.size(), 14u);
  FrameReader reader;
  const std::vector<std::uint8_t> noise = {0, 0xA6, 0xA6, 1};
  reader.add(noise);
  for (const std::uint8_t byte : bytes) {
    EXPECT_FALSE(reader.next());
    reader.add({&byte, 1});
  }
  const auto found = reader.next();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->payload, frame.payload);
  EXPECT_EQ(found->sequence, 9);
  for (std::size_t at = 0; at < bytes.size(); ++at) {  // every damaged byte is noticed, and the next frame is found
    FrameReader again;
    std::vector<std::uint8_t> damaged = bytes;
    damaged[at] ^= 0x10;
    again.add(damaged);
    again.add(std::vector<std::uint8_t>(70000, 0));  // as resynchronising does
    again.add(bytes);
    const auto next = again.next();
    ASSERT_TRUE(next) << at;
    EXPECT_EQ(next->payload, frame.payload);
    EXPECT_FALSE(again.next());
  }
}

TEST(Serial, TheHashTellsModelsApart) {
  const Model model = every_operator();
  EXPECT_EQ(model_hash(model), model_hash(every_operator()));
  Model other = every_operator();
  other.weights.at("head.bias").values<std::int32_t>()[0] += 1;
  EXPECT_NE(model_hash(model), model_hash(other));
}

// Does to the bytes of a real line what real lines do.
class BadLine : public ByteStream {
 public:
  BadLine(std::unique_ptr<ByteStream> line, int period) : line_(std::move(line)), period_(period) {}
  void write(std::span<const std::uint8_t> bytes) override {
    std::vector<std::uint8_t> sent;
    for (const std::uint8_t byte : bytes) spoil(byte, sent);
    line_->write(sent);
  }
  std::size_t read(std::span<std::uint8_t> bytes, double timeout_s) override {
    std::vector<std::uint8_t> some(std::min<std::size_t>(bytes.size() / 2, 64)), received;
    const std::size_t n = line_->read(some, timeout_s);
    for (std::size_t i = 0; i < n; ++i) spoil(some[i], received);
    std::copy(received.begin(), received.end(), bytes.begin());
    return received.size();
  }

 private:
  void spoil(std::uint8_t byte, std::vector<std::uint8_t>& to) {
    const int kind = ++count_ % period_ == 0 ? ++hits_ % 3 : -1;
    if (kind == 0) byte ^= 0x20;         // damaged
    if (kind != 1) to.push_back(byte);   // or lost
    if (kind == 2) to.push_back(byte);   // or twice
  }
  std::unique_ptr<ByteStream> line_;
  int period_, count_ = 0, hits_ = 0;
};

class SerialOn : public testing::TestWithParam<const char*> {};

TEST_P(SerialOn, AWholeValidationRunsOverTheSerialPort) {
  const Target target = load_target(GetParam());
  SKIP_WITHOUT_TOOLS_FOR(target);
  const Model model = every_operator();
  const std::vector<ByteTensor> inputs = random_inputs(model, 3);
  SerialEmulator board(model, target);
  SerialChip chip(open_line(board.line()), "the board");
  EXPECT_EQ(chip.hello().input_bytes, inputs[0].size());
  EXPECT_TRUE(chip.hello().trace);
  const Validation v = validate(model, &target, chip, inputs, {.layer_inputs = 2});
  EXPECT_TRUE(v.passed()) << v.proof.first_difference;
  EXPECT_EQ(v.proof.outputs_identical, 3);
  EXPECT_EQ(v.arena_used_bytes, v.arena_bytes);
  EXPECT_GT(v.stack_bytes, 50);
  EXPECT_GT(v.ticks.value_or(0), 100'000);
  for (const LayerMeasurement& l : v.proof.layers) {
    EXPECT_TRUE(l.identical) << l.name;
    EXPECT_GT(l.bytes, 0) << l.name;
  }
  EXPECT_EQ(chip.resent(), 0);
  Model other = model;
  other.weights.at("head.bias").values<std::int32_t>()[0] += 1;
  EXPECT_THAT(error_of([&] { chip.need_model(other); }), AllOf(HasSubstr("the board on the board holds another model"), HasSubstr("flash the board anew")));
  ByteTensor shorter = inputs[0];
  shorter.pop_back();
  EXPECT_THAT(error_of([&] { chip.run(shorter); }), HasSubstr("the model on the board takes"));
  chip.end();
  for (int i = 0; i < 300 && board.running(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(board.running());  // it ended by itself
}
INSTANTIATE_TEST_SUITE_P(Boards, SerialOn, testing::Values("mps2-an500", "k210"), [](const auto& board) {
  std::string n = board.param;
  std::erase(n, '-');
  return n;
});

TEST(Serial, ADamagedLineCostsTimeAndNoByte) {
  const Target target = load_target("mps2-an500");
  SKIP_WITHOUT_TOOLS_FOR(target);
  const Model model = every_operator();
  const std::vector<ByteTensor> inputs = random_inputs(model, 2);
  SerialEmulator board(model, target);
  SerialOptions patient;
  patient.answer_timeout_s = 0.5;
  patient.run_timeout_s = 5;
  patient.attempts = 12;
  {
    // The period is a prime, so that trouble meets every part of a frame in time.
    SerialChip chip(std::make_unique<BadLine>(open_line(board.line()), 2503), "a bad line", patient);
    ChipValues values;
    for (const ByteTensor& input : inputs) values.outputs.push_back(chip.run(input).outputs);
    EXPECT_TRUE(prove(model, inputs, values).identical());
    EXPECT_GT(chip.resent(), 0);
  }
  {  // someone stops in the middle of a frame; the next one finds the board in order
    const std::unique_ptr<ByteStream> line = open_line(board.line());
    line->write(std::vector<std::uint8_t>{0xA6, 0x6D, 2, 1, 0, 3, 1, 2, 3});
  }
  SerialChip chip(open_line(board.line()), "the line", patient);
  EXPECT_EQ(prove(model, inputs, {{chip.run(inputs[0]).outputs, chip.run(inputs[1]).outputs}, {}, {}}).outputs_identical, 2);
  board.stop();
  EXPECT_THAT(error_of([&] { chip.run(inputs[0]); }), AllOf(HasSubstr("the connection to unix:"), HasSubstr("is lost")));
}

TEST(Serial, WithoutTheTraceLayersCannotBeRead) {
  const Target target = load_target("mps2-an386");
  SKIP_WITHOUT_TOOLS_FOR(target);
  const Model model = every_operator();
  SerialEmulator board(model, target, false);
  SerialChip chip(open_line(board.line()), "the board");
  EXPECT_FALSE(chip.hello().trace);
  EXPECT_THAT(error_of([&] { chip.trace(model, random_inputs(model, 1)[0]); }), HasSubstr("-DMODEL_TRACE"));
  EXPECT_TRUE(validate(model, nullptr, chip, random_inputs(model, 1)).passed());
  EXPECT_THAT(error_of([&] { SerialEmulator(model, load_target("mps3-an547")); }), HasSubstr("no driver for the serial port"));
}

// A pseudo-terminal, opened as the device that it is, with something at its other end that is no board.
struct Terminal {
  int master = -1;
  std::string path;
  Terminal() {
    master = ::posix_openpt(O_RDWR | O_NOCTTY);
    if (master >= 0 && ::grantpt(master) == 0 && ::unlockpt(master) == 0) path = ::ptsname(master);
  }
  ~Terminal() { close(); }
  void close() {
    if (master >= 0) ::close(master);
    master = -1;
  }
};

SerialOptions hasty() {
  SerialOptions options;
  options.answer_timeout_s = 0.1;
  options.attempts = 2;
  return options;
}

TEST(Serial, SilentAndForeignDevicesAreNamed) {
  Terminal terminal;
  ASSERT_FALSE(terminal.path.empty());
  EXPECT_THAT(error_of([&] { SerialChip(open_line(terminal.path, 115200), terminal.path, hasty()); }),
              AllOf(HasSubstr("no whole answer from /dev/pts/"), HasSubstr("2 attempts"), HasSubstr("baud rate")));
  std::jthread babbler([&](std::stop_token stop) {
    const std::vector<std::uint8_t> greeting = encode({0x81, 1, {7, 0, 0, 4}});  // a board of version 7
    while (!stop.stop_requested()) {
      if (::write(terminal.master, greeting.data(), greeting.size()) < 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  });
  SerialOptions options = hasty();
  options.answer_timeout_s = 1;
  EXPECT_THAT(error_of([&] { SerialChip(open_line(terminal.path, 115200), terminal.path, options); }), HasSubstr("speaks version 7 of the protocol, expected 1"));
  babbler.request_stop();
  babbler.join();
  const std::unique_ptr<ByteStream> line = open_line(terminal.path, 9600);
  terminal.close();
  std::uint8_t byte;
  EXPECT_THAT(error_of([&] {
                for (int i = 0; i < 1000; ++i) line->read({&byte, 1}, 0.1);
              }),
              HasSubstr("is lost"));
}

TEST(Serial, LinesThatCannotBeOpenedSayWhy) {
  EXPECT_THAT(error_of([] { open_line("/dev/no_such_tty"); }), AllOf(HasSubstr("cannot open /dev/no_such_tty"), HasSubstr("No such file")));
  EXPECT_THAT(error_of([] { open_line("/dev/null"); }), HasSubstr("/dev/null is no serial port"));
  EXPECT_THAT(error_of([] { open_line("/dev/null", 12345); }), AllOf(HasSubstr("12345 baud"), HasSubstr("115200")));
  EXPECT_THAT(error_of([] { open_line("127.0.0.1:1"); }), HasSubstr("cannot connect to 127.0.0.1:1"));
  EXPECT_THAT(error_of([] { open_line("localhost:nonsense"); }), HasSubstr("localhost:nonsense"));
  EXPECT_THAT(error_of([] { open_line("unix:/no/such/socket"); }), HasSubstr("cannot connect to unix:/no/such/socket"));
}

}  // namespace
}  // namespace micromind
