#include "micromind/train/distributed/ranks.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <netdb.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

namespace micromind {
namespace {

using Milliseconds = std::chrono::milliseconds;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// c10d tells lost peers as std::runtime_error, c10::Error or Gloo's own exceptions, all of them std::exception.
template <class F>
auto guard_ranks(int rank, int size, F&& f) {
  try {
    return f();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw RankLost("distributed", fmt::format("rank {} of {} lost contact with another rank: {}", rank, size, first_line(e.what())),
                   "look at what the other ranks printed: one of them ended or hangs");
  }
}

// Works with every process group of c10d: 1.13 derives them from ProcessGroup, 2.x from Backend.
template <class Group>
class GroupRanks : public Ranks {
 public:
  GroupRanks(const Launch& launch, c10::intrusive_ptr<c10d::TCPStore> store, c10::intrusive_ptr<Group> group, at::Device device)
      : launch_(launch), store_(std::move(store)), group_(std::move(group)), device_(device) {}

  int rank() const override { return launch_.rank; }
  int size() const override { return launch_.world_size; }
  int local_rank() const override { return launch_.local_rank; }
  int local_size() const override { return launch_.local_size; }

  std::function<void()> begin_sum(at::Tensor tensor) override {
    return guarded([&]() -> std::function<void()> {
      std::vector<at::Tensor> list = {tensor};
      return [this, work = group_->allreduce(list)] { guarded([&] { work->wait(); }); };
    });
  }
  void sum(at::Tensor tensor) override { begin_sum(std::move(tensor))(); }

  void share(at::Tensor tensor) override {
    guarded([&] {
      std::vector<at::Tensor> list = {tensor};
      group_->broadcast(list)->wait();
    });
  }

  Bytes share(const Bytes& bytes) override {
    at::Tensor count = at::empty({1}, at::kLong);
    *count.data_ptr<std::int64_t>() = static_cast<std::int64_t>(bytes.size());
    count = count.to(device_);
    share(count);
    Bytes copy = launch_.rank == 0 ? bytes : Bytes(static_cast<std::size_t>(count.item<std::int64_t>()));
    if (copy.empty()) return copy;
    const at::Tensor view = at::from_blob(copy.data(), {static_cast<std::int64_t>(copy.size())}, at::kByte);
    const at::Tensor sent = view.to(device_);
    share(sent);
    if (!device_.is_cpu()) view.copy_(sent);
    return copy;
  }

 protected:
  std::vector<std::string> gather(const std::string& text) override {
    return guarded([&] {
      const std::string round = fmt::format("text/{}", gathered_++);
      store_->set(round + "/" + std::to_string(rank()), std::vector<std::uint8_t>(text.begin(), text.end()));
      std::vector<std::string> all;
      for (int r = 0; r < size(); ++r) {
        const std::vector<std::uint8_t> bytes = store_->get(round + "/" + std::to_string(r));
        all.emplace_back(bytes.begin(), bytes.end());
      }
      sum(at::zeros({1}, at::TensorOptions().device(device_)));  // rank 0 keeps the store until everybody has read
      return all;
    });
  }

 private:
  template <class F>
  auto guarded(F&& f) {
    return guard_ranks(rank(), size(), std::forward<F>(f));
  }
  Launch launch_;
  c10::intrusive_ptr<c10d::TCPStore> store_;
  c10::intrusive_ptr<Group> group_;
  at::Device device_;  // of what the group carries
  int gathered_ = 0;
};

// The network card that leads to rank 0; the machine's name may lead nowhere, as in containers.
auto gloo_device(const Launch& launch) {
  if (const auto card = process_environment("GLOO_SOCKET_IFNAME")) return c10d::ProcessGroupGloo::createDeviceForInterface(*card);
  if (launch.address == "localhost" || launch.address.starts_with("127.") || launch.address == "::1")
    return c10d::ProcessGroupGloo::createDeviceForHostname(launch.address);
  return c10d::ProcessGroupGloo::createDefaultDevice();
}

// libtorch 2.x may ask for a libuv that it was built without.
template <class Options>
void avoid_libuv(Options& options) {
  if constexpr (requires { options.useLibUV; }) options.useLibUV = false;
}

std::unique_ptr<Ranks> meet(const Launch& launch, [[maybe_unused]] const std::string& device, Milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.port);
  options.isServer = launch.rank == 0;
  options.numWorkers = static_cast<std::size_t>(launch.world_size);
  options.timeout = timeout;
  avoid_libuv(options);
  const auto store = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
  const auto of_group = c10::make_intrusive<c10d::PrefixStore>("group", store);  // its keys apart from ours
#ifdef USE_C10D_NCCL
  if (device.starts_with("cuda")) {
    const auto nccl = c10d::ProcessGroupNCCL::Options::create();
    nccl->timeout = timeout;
    auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(of_group, launch.rank, launch.world_size, nccl);
    return std::make_unique<GroupRanks<c10d::ProcessGroupNCCL>>(launch, store, std::move(group), at::Device(at::kCUDA));
  }
#endif
  const auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
  gloo->devices = {gloo_device(launch)};
  auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(of_group, launch.rank, launch.world_size, gloo);
  return std::make_unique<GroupRanks<c10d::ProcessGroupGloo>>(launch, store, std::move(group), at::Device(at::kCPU));
}

}  // namespace

void Ranks::check_same(const std::string& what, const std::string& text) {
  const std::vector<std::string> all = gather(text);
  for (std::size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    std::istringstream ours(all[0]), theirs(all[r]);
    std::string a, b;
    do {
      if (!std::getline(ours, a)) a = "nothing";
      if (!std::getline(theirs, b)) b = "nothing";
    } while (a == b && (ours || theirs));
    fail_with_hint("distributed", "start every rank with the same command and the same program", "the {} of rank {} differs from rank 0's: '{}' there, '{}' here",
                   what, r, b, a);
  }
}

std::unique_ptr<Ranks> join_ranks(const Launch& launch, const std::string& device, double timeout_seconds) {
  try {
    return meet(launch, device, Milliseconds(static_cast<std::int64_t>(1000 * timeout_seconds)));
  } catch (const std::exception& e) {
    fail_with_hint("distributed", fmt::format("are all {} processes running, and can they reach that port? MASTER_ADDR and MASTER_PORT name it", launch.world_size),
                   "rank {} of {} did not meet the others at {}:{} within {} s: {}", launch.rank, launch.world_size, launch.address, launch.port,
                   timeout_seconds, first_line(e.what()));
  }
}

}  // namespace micromind
