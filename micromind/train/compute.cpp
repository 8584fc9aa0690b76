#include "micromind/train/compute.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <malloc.h>

#include <algorithm>
#include <thread>

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {
namespace {

// Every step frees and allocates the same activations. By default glibc hands blocks of this size back to the kernel
// each time, and a fifth of the training time goes to page faults; kept, they cost nothing.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

}  // namespace

int set_compute_threads(int threads) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int most = 8 * cores;  // beyond, threads wait for each other longer than they work
  if (threads < 0 || threads > most) fail("recipe", "train.threads = {}: expected 0 (one a core) to {} on this machine of {} cores", threads, most, cores);
  if (threads == 0) threads = cores;
  keep_freed_memory();
  at::set_num_threads(threads);
  // OpenBLAS with its own pool of threads does not hear of OpenMP's number.
  using SetThreads = void (*)(int);
  if (const auto set = reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(threads);
  return threads;
}

void check_device(const std::string& device) {
  const std::size_t colon = device.find(':');
  const std::string kind = device.substr(0, colon), number = colon == std::string::npos ? "0" : device.substr(colon + 1);
  const std::vector<std::string> known = {"cpu", "cuda"};
  if (std::find(known.begin(), known.end(), kind) == known.end())
    fail_with_hint("recipe", name_hint(kind, known), "train.device: unknown device '{}'", device);
  const bool digits = !number.empty() && number.size() < 4 && std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || (kind == "cpu" && colon != std::string::npos))
    fail("recipe", "train.device = {}: expected cpu, cuda, or a GPU's number as in cuda:1", device);
  if (kind == "cpu") return;
  const auto found = at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().getNumGPUs() : 0;
  if (found == 0)
    fail_with_hint("recipe", "use --device cpu, or build with a libtorch for CUDA on a machine with a GPU",
                   "train.device = {}, but this libtorch finds no CUDA device", device);
  if (std::stoi(number) >= found) fail("recipe", "train.device = {}: this machine has {} GPU{}, numbered from 0", device, found, found == 1 ? "" : "s");
}

}  // namespace micromind
