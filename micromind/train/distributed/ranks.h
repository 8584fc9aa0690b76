// Several processes that train one network: what they tell each other. One object a process; all make the same calls in the same
// order. Carried by libtorch's c10d: Gloo on processors, NCCL on GPUs where it is built in.
//
//   const std::unique_ptr<Ranks> ranks = join_ranks(launch_from_environment(), "cpu", 300);
//   ranks->check_same(to_toml(recipe));
//   ranks->sum(tensor);
//
// A process that ends or falls silent makes every call of the others throw RankLost within the timeout: at once when its connection
// breaks, as it does when a process dies.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/train/distributed/launch.h"

namespace at {
class Tensor;
}

namespace micromind {

/// Another process of the run ended or does not answer.
class RankLost : public Error {
 public:
  using Error::Error;
};

class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  ///< among those of this machine
  virtual int local_size() const = 0;
  bool first() const { return rank() == 0; }  ///< the one that writes and prints

  /// Adds up over all ranks, in place; every rank gets the same bytes. `tensor`: float or double, contiguous.
  virtual void sum(at::Tensor tensor) = 0;
  /// The same begun, not waited for: the returned function waits. Sums are made in the order of these calls.
  virtual std::function<void()> begin_sum(at::Tensor tensor) = 0;
  /// Rank 0's numbers for all, in place.
  virtual void share(at::Tensor tensor) = 0;
  /// Rank 0's bytes for all.
  virtual Bytes share(const Bytes& bytes) = 0;

  /// Throws Error on every rank, naming the first line that differs and the rank, unless `text` is the same on all of them.
  void check_same(const std::string& what, const std::string& text);

 protected:
  /// Everybody's text, by rank.
  virtual std::vector<std::string> gather(const std::string& text) = 0;
};

/// Meets the other ranks at rank 0's address. Throws Error when they do not come within `timeout_seconds`; a wait for another rank
/// ends after as long. `device`: "cpu" or "cuda".
std::unique_ptr<Ranks> join_ranks(const Launch& launch, const std::string& device, double timeout_seconds);

}  // namespace micromind
