#include "micromind/cost/ram_place.h"

#include "micromind/base/error.h"
#include "micromind/base/text.h"

namespace micromind {

std::vector<std::int64_t> arena_rooms(const Target& target) {
  std::vector<std::int64_t> rooms;
  for (const MemoryBank& bank : target.ram)
    rooms.push_back(std::max<std::int64_t>(0, bank.bytes - (&bank == &target.main_bank() ? target.stack_bytes + kStaticRamBytes : 0)));
  return rooms;
}

RamPlace place_activations(const Graph& lowered, const MemoryPlan& in_one, const Target& target) {
  RamPlace place{in_one, {}};
  const std::vector<std::int64_t> rooms = arena_rooms(target);
  for (std::size_t k = 0; k < rooms.size(); ++k)
    if (in_one.arena_bytes <= rooms[k]) {
      place.banks = {&target.ram[k]};
      return place;
    }
  MemoryPlan spread = plan_memory(lowered, {.rooms = rooms});
  if (!spread.spread()) return place;
  // Arenas of banks that are used, numbered anew.
  std::vector<int> number(rooms.size(), -1);
  std::vector<std::int64_t> bytes;
  for (std::size_t k = 0; k < rooms.size(); ++k) {
    if (spread.bank_bytes[k] == 0) continue;
    number[k] = static_cast<int>(bytes.size());
    bytes.push_back(spread.bank_bytes[k]);
    place.banks.push_back(&target.ram[k]);
  }
  for (Placement& p : spread.placements) p.bank = number[static_cast<std::size_t>(p.bank)];
  spread.bank_bytes = std::move(bytes);
  place.plan = std::move(spread);
  return place;
}

std::optional<FoundPatches> patches_for(const Graph& lowered, const Target& target) {
  std::int64_t room = 0;
  const std::vector<std::int64_t> rooms = arena_rooms(target);
  for (const std::int64_t r : rooms) room = std::max(room, r);
  PatchSearch search;
  search.fits = [&](const MemoryPlan& plan) { return plan.arena_bytes <= room; };
  if (const auto found = search_patches(lowered, search); found || rooms.size() == 1) return found;
  search.plan.rooms = rooms;
  search.fits = [](const MemoryPlan& plan) { return plan.spread(); };
  return search_patches(lowered, search);
}

std::string bank_list(const RamPlace& place) {
  if (place.banks.size() == 1) return place.banks[0]->name;
  std::string text;
  for (std::size_t k = 0; k < place.banks.size(); ++k)
    text += fmt::format("{}{} {}", k == 0 ? "" : k + 1 < place.banks.size() ? ", " : " and ", place.banks[k]->name,
                        format_bytes(place.plan.bank_bytes[k]));
  return text;
}

}  // namespace micromind
