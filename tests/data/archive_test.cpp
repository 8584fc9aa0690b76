#include "data/support.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"
#include "micromind/data/hash.h"
#include "micromind/data/inflate.h"
#include "micromind/data/tar.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string hash_of(HashKind kind, const std::string& text, std::size_t step) {
  Hasher hasher(kind);
  for (std::size_t at = 0; at < text.size(); at += step)
    hasher.update(
        {reinterpret_cast<const std::uint8_t*>(text.data()) + at, std::min(step, text.size() - at)});
  return hasher.hex();
}

TEST(Hash, GivesTheKnownAnswers) {  // RFC 1321 A.5; FIPS 180-4 examples
  const std::string abc = "abc", alphabet = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                    million(1000000, 'a');
  const std::string digits =
      "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{100000}}) {
    EXPECT_EQ(hash_of(HashKind::md5, "", step), "d41d8cd98f00b204e9800998ecf8427e");
    EXPECT_EQ(hash_of(HashKind::md5, abc, step), "900150983cd24fb0d6963f7d28e17f72");
    EXPECT_EQ(hash_of(HashKind::md5, digits, step), "57edf4a22be3c955ac49da2e2107b67a");
    EXPECT_EQ(hash_of(HashKind::sha256, "", step),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hash_of(HashKind::sha256, abc, step),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hash_of(HashKind::sha256, alphabet, step),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(hash_of(HashKind::sha256, million, step),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

TEST(Hash, AgreesWithTheSystemsToolsAtEveryLength) {
  if (!find_program("sha256sum") || !find_program("md5sum")) GTEST_SKIP() << "no sha256sum";
  TemporaryFolder folder;
  std::vector<std::string> names;
  for (int size = 50; size < 140; size += 3) {
    names.push_back((folder.path() / std::to_string(size)).string());
    write_atomic(names.back(),
                 std::string(static_cast<std::size_t>(size), static_cast<char>('a' + size % 26)));
  }
  for (const HashKind kind : {HashKind::md5, HashKind::sha256}) {
    std::vector<std::string> command = {kind == HashKind::md5 ? "md5sum" : "sha256sum"};
    command.insert(command.end(), names.begin(), names.end());
    const std::string out = run_process(command).out;
    for (const std::string& name : names)
      EXPECT_THAT(out, HasSubstr(file_checksum(name, kind) + "  " + name));
  }
  EXPECT_THROW(file_checksum(folder.path() / "absent", HashKind::md5), Error);
  for (const char* bad :
       {"", "md5:", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "md5:zz1d8cd98f00b204e9800998ecf8427e"})
    EXPECT_THROW(parse_checksum(bad), Error) << bad;
  EXPECT_EQ(parse_checksum("D41D8CD98F00B204E9800998ECF8427E").hex, "d41d8cd98f00b204e9800998ecf8427e");
}

/// A tar header (POSIX ustar) with its checksum, and padded content.
Bytes tar_entry(const std::string& name, char type, const std::string& content,
                const std::string& link = "") {
  Bytes block(512);
  const auto put = [&](std::size_t at, const std::string& text) {
    std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, name);
  put(100, "0000644");
  put(124, fmt::format("{:011o}", content.size()));
  put(148, "        ");
  block[156] = static_cast<std::uint8_t>(type);
  put(157, link);
  put(257, "ustar");
  put(263, "00");
  unsigned sum = 0;
  for (const std::uint8_t b : block) sum += b;
  put(148, fmt::format("{:06o}", sum) + std::string(1, '\0') + " ");
  block.insert(block.end(), content.begin(), content.end());
  block.resize((block.size() + 511) / 512 * 512);
  return block;
}

class TarTest : public testing::Test {
 protected:
  std::string error_for(Bytes tar, bool ended = true, std::uint64_t max_bytes = 1 << 20) {
    if (ended) tar.resize(tar.size() + 1024);
    write_atomic(folder_.path() / "a.tar.gz", gzip(tar));
    return error_of([&] { extract_tar_gz(folder_.path() / "a.tar.gz", folder_.path() / "out", max_bytes); });
  }
  TemporaryFolder folder_;
};

TEST_F(TarTest, UnpacksWhatTarPacks) {
  const fs::path source = folder_.path() / "source";
  const std::string deep = std::string(90, 'd') + "/" + std::string(90, 'e') + "/" + std::string(150, 'f');
  Random random(1);
  std::string large(300001, ' ');
  for (char& c : large) c = static_cast<char>(random.next());
  write_atomic(source / "large.bin", large);
  write_atomic(source / "empty", std::string_view());
  write_atomic(source / deep, std::string_view("deep"));
  for (const char* format : {"gnu", "pax", "ustar"}) {
    const fs::path out = folder_.path() / format,
                   archive = folder_.path() / (std::string(format) + ".tar.gz");
    if (std::string(format) == "ustar")
      fs::remove_all(source / std::string(90, 'd'));  // its names end at 256
    const ProcessResult tar = run_process({"tar", std::string("--format=") + format, "-czf", archive.string(),
                                           "-C", folder_.path().string(), "source"});
    ASSERT_EQ(tar.exit_status, 0) << tar.err;
    const auto files = extract_tar_gz(archive, out);
    EXPECT_EQ(read_text(out / "source" / "large.bin"), large);
    EXPECT_EQ(read_text(out / "source" / "empty"), "");
    if (std::string(format) != "ustar") {
      EXPECT_EQ(read_text(out / "source" / deep), "deep");
    }
    EXPECT_EQ(files.size(), std::string(format) == "ustar" ? 2u : 3u);
  }
}

TEST_F(TarTest, RefusesToLeaveTheFolder) {
  EXPECT_THAT(error_for(tar_entry("../evil", '0', "x")), HasSubstr("'../evil'"));
  EXPECT_THAT(error_for(tar_entry("a/../../evil", '0', "x")), HasSubstr("leads out"));
  EXPECT_THAT(error_for(tar_entry("/tmp/micromind-evil", '0', "x")), HasSubstr("leads out"));
  EXPECT_THAT(error_for(tar_entry("", '0', "x")), HasSubstr("leads out"));
  EXPECT_THAT(error_for(tar_entry("link", '2', "", "/etc")), HasSubstr("link"));
  EXPECT_THAT(error_for(tar_entry("hard", '1', "", "other")), HasSubstr("link"));
  EXPECT_THAT(error_for(tar_entry("device", '3', "")), HasSubstr("device"));
  Bytes pax = tar_entry("header", 'x', "19 path=../../evil\n");
  const Bytes file = tar_entry("harmless", '0', "x");
  pax.insert(pax.end(), file.begin(), file.end());
  EXPECT_THAT(error_for(pax), AllOf(HasSubstr("../../evil"), HasSubstr("leads out")));
  EXPECT_FALSE(fs::exists(folder_.path() / "evil"));
  EXPECT_FALSE(fs::exists("/tmp/micromind-evil"));
}

TEST_F(TarTest, SaysWhatIsDamaged) {
  const std::string kilobyte(1000, 'k');
  Bytes good = tar_entry("file", '0', kilobyte);
  EXPECT_EQ(error_for(good), "no error");
  EXPECT_EQ(read_text(folder_.path() / "out" / "file"), kilobyte);
  EXPECT_THAT(error_for(good, false), HasSubstr("truncated"));
  fs::remove(folder_.path() / "out" / "file");
  EXPECT_THAT(error_for(Bytes(good.begin(), good.begin() + 1024), false), HasSubstr("truncated"));
  EXPECT_TRUE(fs::is_empty(folder_.path() / "out"));  // no half file
  Bytes damaged = good;
  damaged[3] ^= 1;
  EXPECT_THAT(error_for(damaged), HasSubstr("checksum"));
  EXPECT_THAT(error_for(good, true, 999), HasSubstr("more than it may"));
  EXPECT_THAT(error_for(Bytes(512, 'x')), HasSubstr("a.tar.gz"));
  for (const char* record :
       {"x", "5 a\n", "99 path=a\n", "12 size=zzz\n", "3 \n", "99999999999999999999 path=a\n"}) {
    Bytes pax = tar_entry("header", 'x', record);
    EXPECT_THAT(error_for(pax), HasSubstr("extended header")) << record;
  }
  Random random(2);
  for (int i = 0; i < 100; ++i) {  // any damage to the header ends in an Error or in a file inside the folder
    Bytes fuzzed = good;
    for (int k = 0; k < 2; ++k) fuzzed[random.below(512)] = static_cast<std::uint8_t>(random.next());
    error_for(fuzzed);
  }
  write_atomic(folder_.path() / "plain.tar.gz", std::string_view("no gzip at all"));
  EXPECT_THAT(error_of([&] { extract_tar_gz(folder_.path() / "plain.tar.gz", folder_.path() / "out"); }),
              HasSubstr("plain.tar.gz"));
  EXPECT_THROW(extract_tar_gz(folder_.path() / "absent.tar.gz", folder_.path() / "out"), Error);
}

TEST(Gzip, ReadsJoinedMembersAndLimitsSize) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "a.gz";
  Bytes first(100000, 1), second(70000, 2), joined = gzip(first);
  const Bytes tail = gzip(second);
  joined.insert(joined.end(), tail.begin(), tail.end());
  joined.resize(joined.size() + 20);  // padding
  write_atomic(path, joined);
  Bytes all = first;
  all.insert(all.end(), second.begin(), second.end());
  EXPECT_EQ(read_maybe_gzip(path, 1 << 20), all);
  EXPECT_THAT(error_of([&] { read_maybe_gzip(path, 1000); }), HasSubstr("more than 1000"));
  write_atomic(path, first);
  EXPECT_EQ(read_maybe_gzip(path, 1 << 20), first);
  EXPECT_THROW(read_maybe_gzip(path, 1000), Error);
}

}  // namespace
}  // namespace micromind
