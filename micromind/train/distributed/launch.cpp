#include "micromind/train/distributed/launch.h"

#include <charconv>
#include <cstdlib>

#include "micromind/base/error.h"

namespace micromind {
namespace {

class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  bool has(const std::string& name) const { return environment_(name).has_value(); }

  int number(const std::string& name, int least, int most) const {
    const std::optional<std::string> text = environment_(name);
    if (!text) fail_with_hint("distributed", "a launcher sets it; without one unset the other variables as well", "{} is not set", name);
    int value = 0;
    const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (problem != std::errc() || end != text->data() + text->size() || value < least || value > most)
      fail("distributed", "{} = '{}': expected a number from {} to {}", name, *text, least, most);
    return value;
  }
  int number(const std::string& name, int least, int most, int otherwise) const { return has(name) ? number(name, least, most) : otherwise; }
  std::string text(const std::string& name) const { return environment_(name).value_or(""); }

 private:
  const Environment& environment_;
};

constexpr int kMostRanks = 1 << 20;

struct Names {
  const char *launcher, *rank, *size, *local, *local_size;
};
// In this order: a torchrun below mpirun or srun has the last word. A Slurm batch script's own process has no step and is one process.
constexpr Names kLaunchers[] = {{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
                                {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
                                {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
                                {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", nullptr}};  // srun binds a task to its cores

// Slurm's jobs on one machine must not meet on one port.
int slurm_port(const Reader& read) { return 20000 + read.number("SLURM_JOB_ID", 0, 2147483647, 0) % 20000; }

}  // namespace

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

std::string first_slurm_host(const std::string& list) {
  const std::size_t end = list.find_first_of(",[");
  std::string host = list.substr(0, end);
  if (end != std::string::npos && list[end] == '[') host += list.substr(end + 1, list.find_first_of("-,]", end + 1) - end - 1);
  return host;
}

Launch launch_from_environment(const Environment& environment) {
  const Reader read(environment);
  Launch launch;
  for (const Names& names : kLaunchers) {
    const bool torchrun = names.rank == std::string("RANK");
    if (!read.has(names.size) && !(torchrun && read.has(names.rank))) continue;
    launch.launcher = names.launcher;
    launch.world_size = read.number(names.size, 1, kMostRanks);
    launch.rank = read.number(names.rank, 0, launch.world_size - 1);
    launch.local_rank = read.number(names.local, 0, kMostRanks, 0);
    if (names.local_size != nullptr) launch.local_size = read.number(names.local_size, 1, launch.world_size, 1);
    break;
  }
  if (launch.alone()) return launch;
  launch.address = read.text("MASTER_ADDR");
  if (launch.address.empty()) {
    if (launch.launcher == "srun") launch.address = first_slurm_host(read.text("SLURM_STEP_NODELIST"));
    else if (launch.launcher == "mpirun" && launch.local_size == launch.world_size) launch.address = "127.0.0.1";
  }
  if (launch.address.empty())
    fail_with_hint("distributed", "set it to the host of rank 0, as in: mpirun -x MASTER_ADDR=node01 …", "{} processes were started by {}, but MASTER_ADDR is not set",
                   launch.world_size, launch.launcher);
  launch.port = read.number("MASTER_PORT", 1, 65535, launch.launcher == "srun" ? slurm_port(read) : 29500);
  return launch;
}

}  // namespace micromind
