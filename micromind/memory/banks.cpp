#include "micromind/memory/banks.h"

#include <algorithm>

namespace micromind {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Which block leaves a bank that is too small.
enum class Leaver { least_that_suffices, largest, longest_lived };

class Assignment {
 public:
  Assignment(const std::vector<BankBlock>& blocks, std::span<const std::int64_t> rooms,
             const std::function<std::int64_t(const std::vector<int>&)>& arena, Leaver leaver)
      : blocks_(blocks), rooms_(rooms), arena_(arena), leaver_(leaver), bank_(blocks.size(), 0) {}

  std::optional<std::vector<int>> run() && {
    for (std::size_t b = 0; b < blocks_.size(); ++b)
      if (blocks_[b].bytes > rooms_[0] && !move_on(static_cast<int>(b))) return std::nullopt;
    for (std::size_t k = 0; k < rooms_.size(); ++k)
      for (std::int64_t excess; (excess = arena_(of(static_cast<int>(k))) - rooms_[k]) > 0;) {
        const int leaver = choose(static_cast<int>(k), excess);
        if (leaver < 0 || !move_on(leaver)) return std::nullopt;
      }
    return std::move(bank_);
  }

 private:
  std::vector<int> of(int bank) const {
    std::vector<int> subset;
    for (std::size_t b = 0; b < bank_.size(); ++b)
      if (bank_[b] == bank) subset.push_back(static_cast<int>(b));
    return subset;
  }

  bool move_on(int block) {
    int& bank = bank_[at(block)];
    do ++bank;
    while (at(bank) < rooms_.size() && rooms_[at(bank)] < blocks_[at(block)].bytes);
    return at(bank) < rooms_.size();
  }

  // Of the blocks live at the step with most live bytes.
  int choose(int bank, std::int64_t excess) const {
    const std::vector<int> subset = of(bank);
    std::int64_t most = -1;
    int step = 0;
    for (const int b : subset) {
      const int s = blocks_[at(b)].first;
      std::int64_t live = 0;
      for (const int o : subset)
        if (blocks_[at(o)].first <= s && s <= blocks_[at(o)].last) live += blocks_[at(o)].bytes;
      if (live > most) {
        most = live;
        step = s;
      }
    }
    int best = -1;
    const auto better = [&](const BankBlock& a, const BankBlock& b) {
      if (leaver_ == Leaver::longest_lived && a.last - a.first != b.last - b.first) return a.last - a.first > b.last - b.first;
      const bool a_suffices = a.bytes >= excess, b_suffices = b.bytes >= excess;
      if (leaver_ == Leaver::least_that_suffices && a_suffices && b_suffices) return a.bytes < b.bytes;
      return a.bytes > b.bytes;
    };
    for (const int b : subset)
      if (blocks_[at(b)].first <= step && step <= blocks_[at(b)].last && (best < 0 || better(blocks_[at(b)], blocks_[at(best)]))) best = b;
    return best;
  }

  const std::vector<BankBlock>& blocks_;
  const std::span<const std::int64_t> rooms_;
  const std::function<std::int64_t(const std::vector<int>&)>& arena_;
  const Leaver leaver_;
  std::vector<int> bank_;
};

}  // namespace

std::optional<std::vector<int>> assign_banks(const std::vector<BankBlock>& blocks, std::span<const std::int64_t> rooms,
                                             const std::function<std::int64_t(const std::vector<int>& subset)>& arena) {
  if (rooms.empty()) return std::nullopt;
  for (const Leaver leaver : {Leaver::least_that_suffices, Leaver::largest, Leaver::longest_lived})
    if (auto bank = Assignment(blocks, rooms, arena, leaver).run()) return bank;
  return std::nullopt;
}

}  // namespace micromind
