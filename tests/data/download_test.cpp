#include "micromind/data/download.h"

#include "data/http_server.h"
#include "data/support.h"
#include "micromind/base/process.h"
#include "micromind/data/hash.h"

namespace micromind {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string sha256(std::string_view text) {
  Hasher hasher(HashKind::sha256);
  hasher.update({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  return hasher.hex();
}

class DownloadTest : public testing::Test {
 protected:
  DownloadTest() {
    for (int i = 0; i < 200000; ++i) content_ += static_cast<char>(i * 7 + i / 256);
  }
  DownloadOptions options(const HttpServer& server) const {
    return {.urls = {server.url("/data.bin")},
            .destination = path_,
            .checksum = "sha256:" + sha256(content_),
            .connect_timeout_s = 5,
            .stall_timeout_s = 1};
  }
  HttpServer::Handler sound() const {
    return [this](const HttpRequest& r) { return file_answer(content_, r); };
  }
  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "deep" / "data.bin", part_ = folder_.path() / "deep" / "data.bin.part";
  std::string content_;
};

TEST_F(DownloadTest, FetchesVerifiesAndReportsProgress) {
  HttpServer server(sound());
  DownloadOptions o = options(server);
  std::int64_t done = 0, total = 0;
  o.progress = [&](const std::string& name, std::int64_t d, std::int64_t t) {
    EXPECT_EQ(name, "data.bin");
    done = d;
    total = t;
  };
  download(o);
  EXPECT_EQ(read_text(path_), content_);
  EXPECT_FALSE(fs::exists(part_));
  EXPECT_EQ(done, 200000);
  EXPECT_EQ(total, 200000);
  download(o);  // there already
  EXPECT_EQ(server.requests().size(), 1u);
  write_atomic(path_, std::string_view("something else"));
  download(o);
  EXPECT_EQ(read_text(path_), content_);
}

TEST_F(DownloadTest, ContinuesAPartialFile) {
  HttpServer server(sound());
  write_atomic(part_, content_.substr(0, 150000));
  download(options(server));
  EXPECT_EQ(read_text(path_), content_);
  ASSERT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(server.requests()[0].range_start, 150000);
}

TEST_F(DownloadTest, ACompletePartNeedsNoRequestAndAStaleOneIsReplaced) {
  HttpServer server(sound());
  write_atomic(part_, content_);
  download(options(server));
  EXPECT_EQ(server.requests().size(), 0u);
  fs::remove(path_);
  write_atomic(part_, std::string(50000, 'x'));  // of another file
  download(options(server));
  EXPECT_EQ(read_text(path_), content_);
  fs::remove(path_);
  write_atomic(part_, std::string(300000, 'x'));  // longer than the file: 416
  download(options(server));
  EXPECT_EQ(read_text(path_), content_);
}

TEST_F(DownloadTest, StartsAgainWhereTheServerCannotContinue) {
  HttpServer server([this](const HttpRequest&) { return HttpAnswer{.body = content_}; });  // ignores Range
  write_atomic(part_, content_.substr(0, 1000));
  download(options(server));
  EXPECT_EQ(read_text(path_), content_);
}

TEST_F(DownloadTest, FollowsRedirects) {
  HttpServer server([this](const HttpRequest& r) {
    if (r.path == "/data.bin")
      return HttpAnswer{.status = 302, .body = "moved", .headers = "Location: /new\r\n"};
    return file_answer(content_, r);
  });
  download(options(server));
  EXPECT_EQ(read_text(path_), content_);
}

TEST_F(DownloadTest, RefusesRedirectsToFiles) {
  HttpServer server([](const HttpRequest&) {
    return HttpAnswer{.status = 302, .body = "", .headers = "Location: file:///etc/passwd\r\n"};
  });
  EXPECT_NE(error_of([&] { download(options(server)); }), "no error");
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(DownloadTest, ExplainsHttpErrorsAndTriesMirrors) {
  HttpServer server([this](const HttpRequest& r) {
    if (r.path == "/mirror") return file_answer(content_, r);
    return HttpAnswer{.status = r.path == "/busy" ? 503 : 404, .body = "<html>sorry</html>"};
  });
  DownloadOptions o = options(server);
  EXPECT_THAT(error_of([&] { download(o); }),
              AllOf(HasSubstr("404"), HasSubstr("no such file"), HasSubstr("by hand")));
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_EQ(server.requests().size(), 1u);
  o.urls = {server.url("/busy")};
  EXPECT_THAT(error_of([&] { download(o); }), HasSubstr("503"));
  EXPECT_EQ(server.requests().size(), 4u);  // one and two retries
  o.urls = {server.url("/data.bin"), server.url("/mirror")};
  download(o);
  EXPECT_EQ(read_text(path_), content_);
}

TEST_F(DownloadTest, DeletesAFileWithTheWrongChecksum) {
  HttpServer server([this](const HttpRequest&) { return HttpAnswer{.body = content_ + "!"}; });
  EXPECT_THAT(error_of([&] { download(options(server)); }),
              AllOf(HasSubstr("wrong checksum"), HasSubstr(sha256(content_)),
                    HasSubstr(sha256(content_ + "!")), HasSubstr("deleted")));
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(part_));
}

TEST_F(DownloadTest, RetriesTruncatedTransfersAndKeepsThePart) {
  int calls = 0;
  HttpServer server([&](const HttpRequest& r) {
    HttpAnswer answer = file_answer(content_, r);
    if (calls++ < 2) answer.send_only = 60000;
    return answer;
  });
  download(options(server));
  EXPECT_EQ(read_text(path_), content_);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[2].range_start, 120000);

  fs::remove(path_);
  HttpServer bad([&](const HttpRequest& r) {
    HttpAnswer answer = file_answer(content_, r);
    answer.send_only = 10000;
    return answer;
  });
  DownloadOptions o = options(bad);
  o.retries = 0;
  EXPECT_THAT(error_of([&] { download(o); }), HasSubstr("ended early"));
  EXPECT_EQ(fs::file_size(part_), 10000u);
}

TEST_F(DownloadTest, GivesUpOnAServerThatStalls) {
  HttpServer server([this](const HttpRequest& r) {
    HttpAnswer answer = file_answer(content_, r);
    answer.send_only = 30000;
    answer.stall_s = 60;
    return answer;
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(error_of([&] { download(options(server)); }),
              AllOf(HasSubstr("too long"), HasSubstr("29.3 kB are kept")));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
  EXPECT_EQ(fs::file_size(part_), 30000u);
}

TEST_F(DownloadTest, SaysWhatElseIsWrong) {
  HttpServer server(sound());
  DownloadOptions o = options(server);
  o.checksum = "md5:123";
  EXPECT_THAT(error_of([&] { download(o); }), HasSubstr("md5:123"));
  o = options(server);
  o.urls = {"ftp://127.0.0.1/x"};
  EXPECT_NE(error_of([&] { download(o); }), "no error");
  o.urls = {};
  EXPECT_THAT(error_of([&] { download(o); }), HasSubstr("no URL"));
  o = options(server);
  o.urls = {"http://127.0.0.1:1/x"};
  EXPECT_THAT(error_of([&] { download(o); }), HasSubstr("127.0.0.1"));
  o = options(server);
  o.destination = folder_.path();
  EXPECT_THAT(error_of([&] { download(o); }), HasSubstr("is a folder"));
  write_atomic(folder_.path() / "file", std::string_view("x"));
  o.destination = folder_.path() / "file" / "below";
  EXPECT_THAT(error_of([&] { download(o); }), HasSubstr("cannot make the folder"));
}

TEST(GetDataset, FetchesUnpacksAndVerifies) {
  TemporaryFolder source, target;
  const fs::path sub = source.path() / "cifar-10-batches-bin";
  write_atomic(sub / "data_batch_1.bin", std::string(1000, 'a'));
  const ProcessResult tar = run_process({"tar", "-czf", (source.path() / "small.tar.gz").string(), "-C",
                                         source.path().string(), "cifar-10-batches-bin"});
  ASSERT_EQ(tar.exit_status, 0) << tar.err;
  const std::string archive = read_text(source.path() / "small.tar.gz");
  HttpServer server([&](const HttpRequest& r) {
    return r.path == "/x/small.tar.gz" ? file_answer(archive, r) : HttpAnswer{.status = 404, .body = ""};
  });
  DatasetInfo info{.name = "small",
                   .what = "",
                   .licence = "",
                   .base_urls = {server.url("/x")},
                   .files = {{"small.tar.gz", "sha256:" + sha256(archive), true}}};
  fetch_files(info, target.path());
  EXPECT_EQ(read_text(target.path() / "cifar-10-batches-bin" / "data_batch_1.bin"), std::string(1000, 'a'));
  EXPECT_FALSE(fs::exists(target.path() / "small.tar.gz"));
  info.base_urls = {"http://127.0.0.1:1"};
  fs::remove_all(target.path() / "cifar-10-batches-bin");
  fetch_files(info, target.path(), server.url("/x/"));
  EXPECT_TRUE(fs::exists(target.path() / "cifar-10-batches-bin"));
}

TEST(GetDataset, KnowsWhatIsThereAndWhatCannotBeHad) {
  TemporaryFolder folder;
  write_small_mnist(folder.path(), 50, 20);
  const FetchedDataset got = get_dataset("mnist", folder.path(), "http://127.0.0.1:1");
  EXPECT_TRUE(got.already_there);
  EXPECT_THAT(error_of([&] { get_dataset("glyphs"); }), HasSubstr("not downloaded"));
  EXPECT_THAT(error_of([&] { get_dataset("minst"); }), HasSubstr("mnist"));
  HttpServer server([](const HttpRequest& r) { return file_answer("not MNIST at all", r); });
  TemporaryFolder empty;
  EXPECT_THAT(error_of([&] { get_dataset("mnist", empty.path(), server.url()); }),
              AllOf(HasSubstr("wrong checksum"), HasSubstr("f68b3c2dcbeaaa9fbdd348bbdeb94873")));
}

/// The published checksums of the files that are byte-exact in the shared data.
TEST(GetDataset, KnowsTheChecksumsOfTheRealFiles) {
  const fs::path folder = data_folder() / "mnist";
  if (!fs::exists(folder / "t10k-images-idx3-ubyte.gz")) GTEST_SKIP() << "no MNIST in " << folder;
  for (const DatasetFile& file : dataset_info("mnist").files)
    if (file.name.starts_with("t10k")) {
      EXPECT_EQ("md5:" + file_checksum(folder / file.name, HashKind::md5), file.checksum) << file.name;
    }
}

}  // namespace
}  // namespace micromind
