// Which of several training processes this one is, as launchers say it in the environment: torchrun and Kubernetes operators
// (RANK, WORLD_SIZE), Open MPI (OMPI_COMM_WORLD_*), MPICH and Intel MPI (PMI_*), Slurm's srun (SLURM_*).
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace micromind {

struct Launch {
  int rank = 0;               ///< of this process, in [0, world_size)
  int world_size = 1;
  int local_rank = 0;         ///< among those of this machine: which GPU
  int local_size = 1;         ///< how many run on this machine, as far as the launcher says
  std::string address;        ///< of rank 0
  int port = 29500;           ///< where rank 0 listens
  std::string launcher;       ///< what said so: "torchrun", "mpirun" or "srun"; empty: nothing did
  bool alone() const { return world_size == 1; }
};

/// An environment variable's value, or nothing.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> process_environment(const std::string& name);

/// One process where no launcher speaks. MASTER_ADDR and MASTER_PORT win; without them Slurm's first node is the address and a port is
/// derived from its job, and with mpirun it is this machine when all processes run here. Throws Error on what is incomplete or no
/// number: which variable, what it holds, what is expected.
Launch launch_from_environment(const Environment& environment = process_environment);

/// The first host of Slurm's list: "gpu[03-05,9],login" → "gpu03".
std::string first_slurm_host(const std::string& list);

}  // namespace micromind
