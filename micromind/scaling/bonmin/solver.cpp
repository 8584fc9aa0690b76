// The module (module.cpp) travels inside the library, like the other files that the program carries, so that
// it works wherever it is copied and a program that links the library needs no COIN-OR. It is loaded from a
// file in memory.
#include "micromind/scaling/bonmin/solver.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "micromind/base/error.h"

// The bytes of the module, put in by the assembler.
__asm__(
    ".pushsection .rodata\n"
    ".balign 16\n"
    ".hidden micromind_bonmin_module\n.global micromind_bonmin_module\n"
    "micromind_bonmin_module:\n.incbin \"" MICROMIND_BONMIN_MODULE
    "\"\n"
    ".hidden micromind_bonmin_module_end\n.global micromind_bonmin_module_end\n"
    "micromind_bonmin_module_end:\n"
    ".popsection\n");
extern "C" {
extern const char micromind_bonmin_module[];
extern const char micromind_bonmin_module_end[];
}

namespace micromind {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  fail_with_hint("bonmin", "install coinor-libbonmin-dev, or use the solver 'exact', which needs no Bonmin",
                 "the solver cannot be loaded: {}", why);
}

// Everything or nothing.
bool write_all(int file, const void* data, std::size_t size) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = write(file, from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    from += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

// The entry of the module; nullptr and why not.
MinlpSolve* load(std::string& why) {
  const int file = memfd_create("micromind-bonmin", MFD_CLOEXEC);
  if (file < 0 ||
      !write_all(file, micromind_bonmin_module,
                 static_cast<std::size_t>(micromind_bonmin_module_end - micromind_bonmin_module))) {
    why = std::strerror(errno);
    return nullptr;
  }
  void* module = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = module == nullptr ? nullptr : dlsym(module, kMinlpSolve);
  if (entry == nullptr) why = dlerror();
  return reinterpret_cast<MinlpSolve*>(entry);
}

// BLAS in one thread: matrices are small, and locks of threads that a fork leaves behind would never open.
void forbid_blas_threads() {
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  using SetThreads = void (*)(int);
  if (void* loaded = dlsym(RTLD_DEFAULT, "openblas_set_num_threads")) reinterpret_cast<SetThreads>(loaded)(1);
}

// What the child sends in front of the solution.
struct Report {
  bool loaded = false;
  MinlpAnswer answer;
};

// In the child: nothing is printed, no core is left, and it does not outlive its parent. Ends the process.
[[noreturn]] void solve_and_send(Minlp& programme, double seconds, std::vector<double>& x, int pipe) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  for (const int signal : {SIGINT, SIGTERM, SIGABRT, SIGPIPE}) std::signal(signal, SIG_DFL);
  const int nowhere = open("/dev/null", O_RDWR);
  for (const int stream : {0, 1, 2}) dup2(nowhere, stream);
  forbid_blas_threads();
  Report report;
  std::string why;
  if (MinlpSolve* solve = load(why)) {
    report.loaded = true;
    solve(programme, seconds, x.data(), report.answer);
  } else {
    std::snprintf(report.answer.trouble, sizeof report.answer.trouble, "%s", why.c_str());
  }
  write_all(pipe, &report, sizeof report) && write_all(pipe, x.data(), x.size() * sizeof(double));
  _exit(0);
}

// What the child sends until it ends, or until the time is up.
std::string receive(int pipe, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::string received;
  pollfd wait{pipe, POLLIN, 0};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return received;
    const int ready = poll(&wait, 1, static_cast<int>(std::min<long long>(left, 1000)));
    if (ready < 0 && errno != EINTR) return received;
    if (ready <= 0) continue;
    char buffer[4096];
    const ssize_t n = read(pipe, buffer, sizeof buffer);
    if (n > 0)
      received.append(buffer, static_cast<std::size_t>(n));
    else if (n == 0 || errno != EINTR)
      return received;
  }
}

}  // namespace

bool built_with_bonmin() {
  return true;
}

MinlpAnswer solve_with_bonmin(Minlp& programme, double seconds, std::vector<double>& x) {
  x.assign(static_cast<std::size_t>(programme.variables()), 0);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("bonmin", "cannot make a pipe: {}", std::strerror(errno));
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) {
    close(ends[0]);
    close(ends[1]);
    fail("bonmin", "cannot start a process: {}", std::strerror(errno));
  }
  if (child == 0) solve_and_send(programme, seconds, x, ends[1]);
  close(ends[1]);
  const std::string received = receive(ends[0], 5 * seconds + 1);
  close(ends[0]);
  Report report;
  const std::size_t expected = sizeof report + x.size() * sizeof(double);
  if (received.size() != expected) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (received.size() == expected) {
    std::memcpy(&report, received.data(), sizeof report);
    std::memcpy(x.data(), received.data() + sizeof report, x.size() * sizeof(double));
    if (!report.loaded) refuse(report.answer.trouble);
    return report.answer;
  }
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  std::snprintf(report.answer.trouble, sizeof report.answer.trouble, "%s",
                signal == SIGKILL   ? "it ran out of time"
                : signal == SIGABRT ? "a check inside it failed"
                                    : "it ended early");
  return report.answer;
}

}  // namespace micromind
