#include "micromind/data/hash.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <fstream>
#include <vector>

#include "micromind/base/error.h"

namespace micromind {
namespace {

using std::rotl;
using std::rotr;

/// The first 32 bits of the fraction.
std::uint32_t fraction_bits(double x) {
  return static_cast<std::uint32_t>((x - std::floor(x)) * 4294967296.0);
}

struct Sha256Constants {  // FIPS 180-4, 4.2.2 and 5.3.3: fractions of the roots of the first primes
  std::array<std::uint32_t, 64> k{};
  std::array<std::uint32_t, 8> start{};
  Sha256Constants() {
    std::size_t found = 0;
    for (int n = 2; found < 64; ++n) {
      bool prime = true;
      for (int d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      if (found < 8) start[found] = fraction_bits(std::sqrt(n));
      k[found++] = fraction_bits(std::cbrt(n));
    }
  }
};

const Sha256Constants& sha256_constants() {
  static const Sha256Constants constants;
  return constants;
}

const std::array<std::uint32_t, 64>& md5_sines() {  // RFC 1321, 3.4: 2^32 |sin(i + 1)|
  static const auto table = [] {
    std::array<std::uint32_t, 64> t{};
    for (std::size_t i = 0; i < 64; ++i)
      t[i] = static_cast<std::uint32_t>(
          std::floor(std::abs(std::sin(static_cast<double>(i + 1))) * 4294967296.0));
    return t;
  }();
  return table;
}

void sha256_block(const std::uint8_t* p, std::array<std::uint32_t, 8>& state) {
  const auto& k = sha256_constants().k;
  std::array<std::uint32_t, 64> w{};
  for (std::size_t i = 0; i < 16; ++i, p += 4)
    w[i] = std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
  for (std::size_t i = 16; i < 64; ++i) {
    const std::uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25), choice = (e & f) ^ (~e & g);
    const std::uint32_t t1 = h + s1 + choice + k[i] + w[i];
    const std::uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22), majority = (a & b) ^ (a & c) ^ (b & c);
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + s0 + majority;
  }
  const std::array<std::uint32_t, 8> add = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < 8; ++i) state[i] += add[i];
}

void md5_block(const std::uint8_t* p, std::array<std::uint32_t, 8>& state) {
  constexpr std::array<std::array<int, 4>, 4> shifts = {
      {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}};
  const auto& sines = md5_sines();
  std::array<std::uint32_t, 16> w{};
  for (std::uint32_t& word : w) {
    word = std::uint32_t{p[3]} << 24 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[1]} << 8 | p[0];
    p += 4;
  }
  std::uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  for (std::size_t i = 0; i < 64; ++i) {
    std::uint32_t f = 0;
    std::size_t g = 0;
    switch (i / 16) {
      case 0:
        f = (b & c) | (~b & d), g = i;
        break;
      case 1:
        f = (d & b) | (~d & c), g = 5 * i + 1;
        break;
      case 2:
        f = b ^ c ^ d, g = 3 * i + 5;
        break;
      default:
        f = c ^ (b | ~d), g = 7 * i;
        break;
    }
    const std::uint32_t sum = a + f + sines[i] + w[g % 16];
    a = d, d = c, c = b, b += rotl(sum, shifts[i / 16][i % 4]);
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

}  // namespace

Hasher::Hasher(HashKind kind) : kind_(kind) {
  state_ = kind == HashKind::sha256
               ? sha256_constants().start
               : std::array<std::uint32_t, 8>{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476};
}

void Hasher::block(const std::uint8_t* bytes) {
  if (kind_ == HashKind::sha256)
    sha256_block(bytes, state_);
  else
    md5_block(bytes, state_);
}

void Hasher::update(std::span<const std::uint8_t> bytes) {
  std::size_t used = total_ % 64;
  total_ += bytes.size();
  if (used > 0) {
    const std::size_t n = std::min(bytes.size(), 64 - used);
    std::copy_n(bytes.data(), n, buffer_.data() + used);
    bytes = bytes.subspan(n);
    if (used + n < 64) return;
    block(buffer_.data());
  }
  for (; bytes.size() >= 64; bytes = bytes.subspan(64)) block(bytes.data());
  std::copy(bytes.begin(), bytes.end(), buffer_.begin());
}

std::string Hasher::hex() {
  const std::uint64_t bits = total_ * 8;
  const bool sha = kind_ == HashKind::sha256;
  std::vector<std::uint8_t> padding = {
      0x80};  // then zeros up to 8 bytes before a block's end, then the length
  while ((total_ + padding.size()) % 64 != 56) padding.push_back(0);
  for (int i = 0; i < 8; ++i)
    padding.push_back(static_cast<std::uint8_t>(bits >> (sha ? 56 - 8 * i : 8 * i)));
  update(padding);
  std::string text;
  for (std::size_t i = 0; i < (sha ? 8u : 4u); ++i)
    for (int byte = 0; byte < 4; ++byte)
      text += fmt::format("{:02x}", state_[i] >> (sha ? 24 - 8 * byte : 8 * byte) & 255);
  return text;
}

Checksum parse_checksum(std::string_view text) {
  std::string_view digits = text;
  HashKind kind = text.size() == 32 ? HashKind::md5 : HashKind::sha256;
  if (text.starts_with("md5:")) {
    kind = HashKind::md5;
    digits = text.substr(4);
  } else if (text.starts_with("sha256:")) {
    kind = HashKind::sha256;
    digits = text.substr(7);
  }
  Checksum checksum{kind, std::string(digits)};
  bool good = digits.size() == (kind == HashKind::md5 ? 32u : 64u);
  for (char& c : checksum.hex) {
    good = good && std::isxdigit(static_cast<unsigned char>(c)) != 0;
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  if (!good) fail("checksum", "expected md5: and 32 or sha256: and 64 hexadecimal digits, found '{}'", text);
  return checksum;
}

std::string file_checksum(const std::filesystem::path& path, HashKind kind) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) fail("checksum", "cannot open {}", path.string());
  Hasher hasher(kind);
  std::vector<std::uint8_t> buffer(1 << 18);
  for (;;) {
    file.read(reinterpret_cast<char*>(buffer.data()), static_cast<std::streamsize>(buffer.size()));
    if (file.bad()) fail("checksum", "cannot read {}", path.string());
    if (file.gcount() == 0) return hasher.hex();
    hasher.update(std::span(buffer).first(static_cast<std::size_t>(file.gcount())));
  }
}

}  // namespace micromind
