// A plugin of QEMU's code generator that counts executed instructions by class between two functions of the
// guest.
//
//   -plugin file=…/micromind_instructions.so,start=ADDRESS,stop=ADDRESS,exclude=ADDRESS:BYTES,out=FILE
//
// Counting begins when the function at `start` is entered and ends when the one at `stop` is; each stop
// appends a line of InstructionCounts to FILE. Instructions in an `exclude` range (several may be given; the
// two functions themselves belong there) do not count. Numbers are decimal.
//
// Debian's QEMU takes plugins but ships no header, so the few functions used are declared here: version 1 of
// the interface, QEMU 4.2 to 8.2 (docs/devel/tcg-plugins in QEMU's documentation).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "micromind/deploy/instruction_classes.h"

extern "C" {
typedef std::uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*qemu_plugin_vcpu_tb_trans_cb_t)(qemu_plugin_id_t, qemu_plugin_tb*);
typedef void (*qemu_plugin_vcpu_udata_cb_t)(unsigned, void*);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, qemu_plugin_vcpu_tb_trans_cb_t);
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb*, qemu_plugin_vcpu_udata_cb_t, qemu_plugin_cb_flags,
                                          void*);
std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb*);
std::uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb*);
qemu_plugin_insn* qemu_plugin_tb_get_insn(const qemu_plugin_tb*, std::size_t);
const void* qemu_plugin_insn_data(const qemu_plugin_insn*);
std::size_t qemu_plugin_insn_size(const qemu_plugin_insn*);
std::uint64_t qemu_plugin_insn_vaddr(const qemu_plugin_insn*);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t*, int,
                                                               char**);
}

namespace {

using micromind::BlockCounter;
using micromind::DecodedInstruction;
using micromind::InstructionClass;
using micromind::InstructionCounts;

// A piece of code that QEMU translated at once: it runs from its first instruction to its last.
struct Block {
  std::uint64_t address = 0;
  std::uint64_t executions = 0;
  std::uint64_t fall_through = 0;  // behind a conditional branch at the end; 0: none there
  InstructionCounts counts;        // of one execution
};

struct Range {
  std::uint64_t begin, end;
};

std::vector<std::unique_ptr<Block>> blocks;
std::vector<Range> excluded;
std::uint64_t start_address, stop_address;
std::uint64_t taken,
    awaited;  // conditional branches taken; where the last block goes on if its branch is not
bool counting;
std::FILE* out;

void write_line() {
  InstructionCounts sum;
  for (const auto& block : blocks) {
    if (block->executions == 0) continue;
    InstructionCounts one = block->counts;
    InstructionCounts::figures(one, [&](std::uint64_t& figure) { figure *= block->executions; });
    sum += one;
  }
  sum.taken = taken;
  InstructionCounts::figures(
      sum, [](std::uint64_t figure) { std::fprintf(out, "%llu ", static_cast<unsigned long long>(figure)); });
  std::fputc('\n', out);
  std::fflush(out);
}

void executed(unsigned, void* data) {
  Block& block = *static_cast<Block*>(data);
  if (awaited != 0 && block.address != awaited) ++taken;
  awaited = block.fall_through;
  ++block.executions;
  if (block.address == stop_address && counting) {
    write_line();
    counting = false;
  } else if (block.address == start_address) {
    for (const auto& other : blocks) other->executions = 0;
    taken = 0;
    counting = true;
  }
}

bool is_excluded(std::uint64_t address) {
  for (const Range& range : excluded)
    if (address >= range.begin && address < range.end) return true;
  return false;
}

void translated(qemu_plugin_id_t, qemu_plugin_tb* tb) {
  auto block = std::make_unique<Block>();
  block->address = qemu_plugin_tb_vaddr(tb);
  BlockCounter counter(block->counts);
  const std::size_t n = qemu_plugin_tb_n_insns(tb);
  for (std::size_t i = 0; i < n; ++i) {
    const qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(tb, i);
    std::uint16_t halves[2] = {0, 0};
    const std::size_t bytes = qemu_plugin_insn_size(insn);
    std::memcpy(halves, qemu_plugin_insn_data(insn), bytes < sizeof halves ? bytes : sizeof halves);
    const std::uint64_t address = qemu_plugin_insn_vaddr(insn);
    if (is_excluded(address)) continue;
    const DecodedInstruction d = counter.add(halves[0], halves[1]);
    const bool conditional =
        d.kind == InstructionClass::branch_conditional || d.kind == InstructionClass::loop_end;
    if (i + 1 == n && conditional) block->fall_through = address + bytes;
  }
  qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, block.get());
  blocks.push_back(std::move(block));
}

int refuse(const char* what) {
  std::fprintf(stderr, "micromind_instructions: %s\n", what);
  return -1;
}

}  // namespace

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t*, int argc, char** argv) {
  for (int i = 0; i < argc; ++i) {
    const char* const equals = std::strchr(argv[i], '=');
    if (equals == nullptr) return refuse("expected key=value");
    const char* const value = equals + 1;
    char* rest = nullptr;
    if (std::strncmp(argv[i], "start=", 6) == 0) {
      start_address = std::strtoull(value, nullptr, 10);
    } else if (std::strncmp(argv[i], "stop=", 5) == 0) {
      stop_address = std::strtoull(value, nullptr, 10);
    } else if (std::strncmp(argv[i], "exclude=", 8) == 0) {
      const std::uint64_t begin = std::strtoull(value, &rest, 10);
      if (*rest != ':') return refuse("expected exclude=ADDRESS:BYTES");
      excluded.push_back({begin, begin + std::strtoull(rest + 1, nullptr, 10)});
    } else if (std::strncmp(argv[i], "out=", 4) == 0) {
      out = std::fopen(value, "w");
    } else {
      return refuse("unknown key");
    }
  }
  if (out == nullptr) return refuse("the file for the counts cannot be written");
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  return 0;
}
