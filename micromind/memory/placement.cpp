#include "micromind/memory/placement.h"

#include <algorithm>
#include <numeric>

#include "micromind/base/random.h"
#include "micromind/memory/chain.h"

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

class Placer {
 public:
  Placer(std::vector<Block>& blocks, std::int64_t bound, std::int64_t alignment, int rounds)
      : blocks_(blocks), placed_{0, bound}, alignment_(alignment), rounds_(rounds) {}

  Placed run() && {
    if (blocks_.empty()) return placed_;
    order_.resize(blocks_.size());
    std::iota(order_.begin(), order_.end(), 0);
    by_birth_ = order_;
    std::stable_sort(by_birth_.begin(), by_birth_.end(), [&](int a, int b) {
      return std::pair(block(a).first, block(a).last) < std::pair(block(b).first, block(b).last);
    });
    if (!place_chain()) {
      find_conflicts();
      search();
    }
    return placed_;
  }

 private:
  Block& block(int i) { return blocks_[at(i)]; }
  bool together(const Block& a, const Block& b) const { return a.first <= b.last && b.first <= a.last; }
  // How far `upper` lies above `lower`, at least, when it is the upper one.
  std::int64_t distance(int lower, int upper) {
    if (block(lower).within == upper) return std::min(block(lower).within_lag, block(lower).bytes);
    return block(lower).over == upper ? std::min(block(lower).lag, block(lower).bytes) : block(lower).bytes;
  }

  // Chains at their minimum; false for other graphs.
  bool place_chain() {
    for (std::size_t k = 0; k < by_birth_.size(); ++k) {
      const Block& b = block(by_birth_[k]);
      if (k > 0 && !together(block(by_birth_[k - 1]), b)) return false;
      for (std::size_t j = k + 2; j < by_birth_.size() && block(by_birth_[j]).first <= b.last; ++j) return false;
    }
    chain_.clear();
    for (std::size_t k = 0; k < by_birth_.size(); ++k)
      chain_.push_back({block(by_birth_[k]).bytes, k > 0 ? distance(by_birth_[k], by_birth_[k - 1]) : 0});
    placed_.bound = placed_.arena = chain_minimum(chain_, placed_.bound, alignment_);
    const std::vector<std::int64_t> offsets = chain_offsets(chain_);
    for (std::size_t k = 0; k < by_birth_.size(); ++k) block(by_birth_[k]).offset = offsets[k];
    return true;
  }

  void find_conflicts() {
    std::vector<std::pair<int, int>> pairs;
    for (std::size_t k = 0; k < by_birth_.size(); ++k) {
      const Block& b = block(by_birth_[k]);
      for (std::size_t j = k + 1; j < by_birth_.size() && block(by_birth_[j]).first <= b.last; ++j)
        pairs.emplace_back(by_birth_[k], by_birth_[j]);
    }
    begin_.assign(blocks_.size() + 1, 0);
    for (const auto& [a, b] : pairs) {
      ++begin_[at(a) + 1];
      ++begin_[at(b) + 1];
    }
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    conflicts_.resize(2 * pairs.size());
    std::vector<int> next(begin_.begin(), begin_.end() - 1);
    for (const auto& [a, b] : pairs) {
      conflicts_[at(next[at(a)]++)] = {b, distance(a, b), distance(b, a)};
      conflicts_[at(next[at(b)]++)] = {a, distance(b, a), distance(a, b)};
    }
  }

  // Puts the blocks, in the given order, each at the lowest offset that is free for its life.
  std::int64_t first_fit(const std::vector<int>& order) {
    std::int64_t total = 0;
    for (Block& b : blocks_) b.offset = -1;
    for (const int i : order) {
      std::int64_t offset = 0;
      for (bool moved = true; moved;) {
        moved = false;
        for (int c = begin_[at(i)]; c < begin_[at(i) + 1]; ++c) {
          const Conflict& other = conflicts_[at(c)];
          const std::int64_t o = block(other.block).offset;
          if (o < 0 || offset <= o - other.below || offset >= o + other.above) continue;
          offset = o + other.above;
          moved = true;
        }
      }
      block(i).offset = offset;
      total = std::max(total, offset + block(i).bytes);
    }
    return total;
  }

  // Whether the best arena is proven least. Asks the chains only when first fit missed what is known.
  bool attempt() {
    const std::int64_t total = first_fit(order_);
    if (best_order_.empty() || total <= placed_.arena) {
      placed_.arena = total;
      best_order_ = order_;
    }
    return placed_.arena <= placed_.bound;
  }

  void sort_by(auto&& key) {
    std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) { return key(block(a)) > key(block(b)); });
  }

  // First fit in several orders; the least arena wins. Blocks that stick out are moved to the front and tried again, and then
  // blocks at random.
  void search() {
    bool done = false;
    const auto repair = [&] {
      for (std::size_t round = 0; !done && round < blocks_.size(); ++round) {
        const std::int64_t total = first_fit(order_);
        const auto culprit = std::find_if(order_.begin(), order_.end(), [&](int i) { return block(i).offset + block(i).bytes == total; });
        if (culprit == order_.begin()) break;
        std::rotate(order_.begin(), culprit, culprit + 1);
        done = attempt();
      }
    };
    sort_by([](const Block& b) { return b.bytes; });
    done = attempt();
    if (rounds_ == 0) return;
    if (!done) {
      raise_bound();
      done = placed_.arena <= placed_.bound;
    }
    repair();
    if (!done) {
      sort_by([](const Block& b) { return (b.last - b.first + 1) * b.bytes; });
      done = attempt();
      repair();
    }
    if (!done) {
      sort_by([](const Block& b) { return static_cast<std::int64_t>(b.last - b.first); });
      done = attempt();
      repair();
    }
    if (!done) {
      order_.assign(by_birth_.rbegin(), by_birth_.rend());
      done = attempt();
      repair();
    }
    Random random(0);
    const bool near = placed_.arena - placed_.bound <= placed_.bound / 512;
    for (int round = 0; !done && !near && round < rounds_; ++round) {
      order_ = best_order_;
      const auto pick = [&] { return order_.begin() + random.below(static_cast<std::uint32_t>(order_.size())); };
      const auto from = pick(), to = pick();
      if (from < to) std::rotate(from, from + 1, to + 1);
      else std::rotate(to, from, from + 1);
      done = attempt();
    }
    first_fit(best_order_);
  }

  // A chain of blocks that hand over to each other while the set K lives all along it needs the chain's least room and K's
  // bytes: closing up K's gaps in a placement leaves one of the chain. For each block, the chains that end with it and could
  // not go on with the same K.
  void raise_bound() {
    if (std::any_of(blocks_.begin(), blocks_.end(), [](const Block& b) { return b.within >= 0; })) return;  // lives that share room
    std::vector<int> before(blocks_.size(), -1);  // dies where the block is born
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      before[b] = blocks_[b].over;
      if (before[b] >= 0) continue;
      for (int c = begin_[b]; c < begin_[b + 1]; ++c) {
        const int a = conflicts_[at(c)].block;
        if (block(a).last == blocks_[b].first && block(a).first < blocks_[b].first && (before[b] < 0 || block(a).bytes > block(before[b]).bytes)) before[b] = a;
      }
    }
    std::vector<int> next(blocks_.size(), -1);
    for (std::size_t b = 0; b < blocks_.size(); ++b)
      if (before[b] >= 0) next[at(before[b])] = static_cast<int>(b);
    std::vector<int> beside;
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      if (before[b] < 0) continue;
      const int birth = blocks_[b].first;
      beside.clear();
      for (int c = begin_[b]; c < begin_[b + 1]; ++c) {
        const int k = conflicts_[at(c)].block;
        if (k != before[b] && block(k).first <= birth && block(k).last >= birth) beside.push_back(k);
      }
      std::sort(beside.begin(), beside.end(), [&](int x, int y) { return block(x).first > block(y).first; });
      std::int64_t bytes = 0;
      for (const int k : beside) bytes += block(k).bytes;
      for (std::size_t left_out = 0;; ++left_out) {
        if (left_out > 0) bytes -= block(beside[left_out - 1]).bytes;
        const bool last = left_out == beside.size();
        const auto lives_on = [&](int k) { return block(k).last >= block(next[b]).first && k != next[b]; };
        if (next[b] >= 0 && std::all_of(beside.begin() + static_cast<std::ptrdiff_t>(left_out), beside.end(), lives_on)) {
          if (last) break;
          continue;
        }
        const int since = left_out < beside.size() ? block(beside[left_out]).first : 0;
        chain_.clear();
        int i = static_cast<int>(b);
        for (; before[at(i)] >= 0 && block(i).first >= since; i = before[at(i)]) chain_.push_back({block(i).bytes, distance(i, before[at(i)])});
        chain_.push_back({block(i).bytes, 0});
        std::reverse(chain_.begin(), chain_.end());
        if (!chain_fits(chain_, placed_.bound - bytes)) placed_.bound = bytes + chain_minimum(chain_, placed_.bound - bytes, alignment_);
        if (last) break;
      }
    }
  }

  struct Conflict {
    int block;
    std::int64_t below, above;  // distances: to it when this one is below it, from it when above
  };

  std::vector<Block>& blocks_;
  Placed placed_;
  const std::int64_t alignment_;
  const int rounds_;
  std::vector<int> order_, best_order_, by_birth_;
  std::vector<int> begin_;  // into conflicts_, of each block
  std::vector<Conflict> conflicts_;
  std::vector<ChainLink> chain_;
};

}  // namespace

Placed place_blocks(std::vector<Block>& blocks, std::int64_t bound, std::int64_t alignment, int rounds) {
  return Placer(blocks, bound, alignment, rounds).run();
}

}  // namespace micromind
