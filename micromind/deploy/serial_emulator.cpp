#include "micromind/deploy/serial_emulator.h"

#include <chrono>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/deploy/deploy.h"
#include "micromind/deploy/emit.h"
#include "micromind/deploy/emulator.h"
#include "micromind/deploy/harness.h"

namespace micromind {
namespace {

// Of the first serial port (QEMU 7.2 hw/arm/mps2.c, hw/riscv/virt.c).
std::uint32_t uart_address(const Target& machine) {
  const std::string& name = machine.emulator->machine;
  if (name == "virt") return 0x10000000;
  if (name == "mps2-an385" || name == "mps2-an386" || name == "mps2-an500") return 0x40004000;
  fail_with_hint("serial", "choose a board with a Cortex-M3, M4 or M7, or a RISC-V core", "there is no driver for the serial port of {}", name);
}

}  // namespace

SerialEmulator::SerialEmulator(const Model& model, const Target& target, bool trace) : folder_("micromind-serial") {
  check_deploy_tools(target, true);
  const Target machine = emulation_target(target);
  write_c(model, folder_.path() / "c");
  const BuildResult built = build_serial_image({model, plan_memory(model.graph), folder_.path() / "c", folder_.path() / "work"}, machine,
                                               uart_address(machine), trace);
  const std::filesystem::path socket = folder_.path() / "line";
  line_ = "unix:" + socket.string();
  process_.start(emulator_command(machine, built.elf, "unix:" + socket.string() + ",server=on,wait=off"), folder_.path());
  std::error_code error;
  for (int i = 0; i < 500 && process_.running() && !std::filesystem::exists(socket, error); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  if (!std::filesystem::exists(socket, error)) fail("serial", "the emulator of {} did not start", machine.name);
}

}  // namespace micromind
