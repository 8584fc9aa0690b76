// Keeps training quick on a machine that is busy with something else.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "micromind/cli/verbs.h"

namespace micromind {

// Threads of GCC's OpenMP spin for milliseconds at every barrier before they sleep. Where another process wants one of
// the cores, the thread that works waits for the one that spins, and a step takes fifty times as long. The limit is read
// when the library is loaded, before main(): hence the second start. On a quiet machine of two cores training gains as much: PhiNet steps take half the time (docs/training.md).
void limit_spinning(int argc, char** argv) {
  constexpr std::array<std::string_view, 4> kVerbs = {"run", "train", "evaluate", "quantize"};
  if (argc < 2) return;
  const bool proxies = std::string_view(argv[1]) == "design" &&
                       std::any_of(argv + 2, argv + argc, [](const char* word) { return std::string_view(word).starts_with("--proxy-train"); });
  if (!proxies && std::find(kVerbs.begin(), kVerbs.end(), argv[1]) == kVerbs.end()) return;
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("GOMP_SPINCOUNT", "2000", 1);
  ::execv("/proc/self/exe", argv);  // where that fails, go on as we are
}

}  // namespace micromind
