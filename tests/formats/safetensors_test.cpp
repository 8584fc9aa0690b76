#include "micromind/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "error_of.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"

namespace micromind {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Bytes file_of(const std::string& header, std::size_t data) {
  Bytes out;
  for (std::size_t i = 0; i < 8; ++i) out.push_back(static_cast<std::uint8_t>(header.size() >> (8 * i)));
  out.insert(out.end(), header.begin(), header.end());
  for (std::size_t i = 0; i < data; ++i) out.push_back(static_cast<std::uint8_t>(i));
  return out;
}

std::string error(const std::string& header, std::size_t data) {
  return error_of([&] { parse_safetensors(file_of(header, data), "made"); });
}

std::string entry(const char* dtype, const char* shape, const char* offsets) {
  return fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{}]}})", dtype, shape, offsets);
}

PyValue sample() {
  const std::vector<float> w = {1.5f, -2, INFINITY, 0};
  const std::vector<std::int64_t> n = {-7};
  const std::vector<std::uint8_t> b = {1, 2, 255};
  PyValue tree = PyValue::dict();
  tree.set("bytes", PyTensor::of(b, {3}));
  tree.set("größe.weight", PyTensor::of(w, {2, 2}));
  tree.set("scalar", PyTensor::of(n, {}));
  tree.set("empty", PyTensor::of(std::span<const float>(), {0, 5}));
  PyTensor turned = PyTensor::of(w, {2, 2});
  std::swap(turned.strides[0], turned.strides[1]);
  tree.set("turned", turned);
  return tree;
}

TEST(Safetensors, GoesRound) {
  const Bytes bytes = safetensors_bytes(sample(), {{"format", "pt"}, {"note", "ä \"x\""}});
  EXPECT_EQ(bytes, safetensors_bytes(sample(), {{"format", "pt"}, {"note", "ä \"x\""}}));
  EXPECT_EQ(bytes[0] % 8, 0) << "the data are not aligned";
  EXPECT_TRUE(looks_like_safetensors(bytes));
  const Safetensors file = parse_safetensors(bytes, "memory");
  EXPECT_EQ(file.metadata.at("note"), "ä \"x\"");
  EXPECT_EQ(file.tensors.entries().size(), 5u);
  EXPECT_THAT(file.tensors.at("größe.weight").as_tensor().to_floats(), ElementsAre(1.5f, -2, INFINITY, 0));
  EXPECT_THAT(file.tensors.at("turned").as_tensor().to_floats(), ElementsAre(1.5f, INFINITY, -2, 0));
  EXPECT_THAT(file.tensors.at("scalar").as_tensor().to_int64(), ElementsAre(-7));
  EXPECT_TRUE(file.tensors.at("scalar").as_tensor().shape.empty());
  EXPECT_THAT(file.tensors.at("empty").as_tensor().shape, ElementsAre(0, 5));
  EXPECT_EQ(parse_safetensors(safetensors_bytes(PyValue::dict()), "memory").tensors.entries().size(), 0u);
}

TEST(Safetensors, EveryDtype) {
  const auto floats = [](const char* dtype, int bytes, const Bytes& data) {
    Bytes file = file_of(fmt::format(R"({{"x":{}}})", entry(dtype, "1", fmt::format("0,{}", bytes).c_str())), 0);
    file.insert(file.end(), data.begin(), data.end());
    return parse_safetensors(file, "made").tensors.at("x").as_tensor();
  };
  EXPECT_EQ(floats("F32", 4, {0, 0, 0xc0, 0x3f}).to_floats()[0], 1.5f);
  EXPECT_EQ(floats("F64", 8, {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}).to_floats()[0], 1.5f);
  EXPECT_EQ(floats("F16", 2, {0, 0x3e}).to_floats()[0], 1.5f);
  EXPECT_EQ(floats("BF16", 2, {0xc0, 0x3f}).to_floats()[0], 1.5f);
  EXPECT_EQ(floats("F8_E5M2", 1, {0x3e}).to_floats()[0], 1.5f);
  EXPECT_EQ(floats("F8_E4M3", 1, {0x3c}).to_floats()[0], 1.5f);
  EXPECT_EQ(floats("F8_E4M3", 1, {0x7e}).to_floats()[0], 448.f);
  EXPECT_EQ(floats("F8_E4M3", 1, {0x81}).to_floats()[0], -std::ldexp(1.f, -9));
  EXPECT_TRUE(std::isnan(floats("F8_E4M3", 1, {0x7f}).to_floats()[0]));
  EXPECT_EQ(floats("I64", 8, Bytes(8, 0xff)).to_int64()[0], -1);
  EXPECT_EQ(floats("I32", 4, Bytes(4, 0xff)).to_int64()[0], -1);
  EXPECT_EQ(floats("I16", 2, Bytes(2, 0xff)).to_int64()[0], -1);
  EXPECT_EQ(floats("I8", 1, Bytes(1, 0xff)).to_int64()[0], -1);
  EXPECT_EQ(floats("U8", 1, Bytes(1, 0xff)).to_int64()[0], 255);
  EXPECT_EQ(floats("BOOL", 1, Bytes(1, 1)).to_int64()[0], 1);
  EXPECT_EQ(floats("U16", 2, Bytes(2, 0xff)).to_int64()[0], 65535);
  EXPECT_EQ(floats("U32", 4, Bytes(4, 0xff)).to_int64()[0], 4294967295);
  EXPECT_THAT(error_of([&] { floats("U64", 8, Bytes(8, 0xff)).to_int64(); }), HasSubstr("63 bits"));
  EXPECT_THAT(error_of([&] { floats("C64", 8, Bytes(8)); }), AllOf(HasSubstr("C64"), HasSubstr("'x'")));
}

TEST(Safetensors, RefusesWhatTheFormatForbids) {
  const std::string a = entry("U8", "4", "0,4"), b = entry("U8", "4", "4,8");
  EXPECT_EQ(error("{\"a\":" + a + ",\"b\":" + b + "}   ", 8), "no error");
  EXPECT_EQ(error("{\"b\":" + b + ",\"a\":" + a + "}", 8), "no error") << "any order of the header";
  EXPECT_THAT(error("{\"a\":" + a + ",\"b\":" + b + "}", 9), HasSubstr("1 bytes of data belong to no tensor"));
  EXPECT_THAT(error("{\"a\":" + a + ",\"b\":" + b + "}", 7), HasSubstr("'b'"));
  EXPECT_THAT(error("{\"a\":" + a + ",\"b\":" + a + "}", 4), HasSubstr("an overlap"));
  EXPECT_THAT(error("{\"a\":" + entry("U8", "4", "0,4") + ",\"b\":" + entry("U8", "4", "2,6") + "}", 6), HasSubstr("an overlap"));
  EXPECT_THAT(error("{\"a\":" + a + ",\"b\":" + entry("U8", "3", "5,8") + "}", 8), HasSubstr("a hole"));
  EXPECT_THAT(error("{\"a\":" + a + ",\"a\":" + b + "}", 8), HasSubstr("'a' is given twice"));
  EXPECT_THAT(error(R"({"a":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}})", 4), HasSubstr("'shape' is given twice"));
  EXPECT_THAT(error("{\"a\":" + entry("F32", "4", "0,4") + "}", 4), HasSubstr("needs 16"));
  EXPECT_THAT(error("{\"a\":" + entry("U8", "4", "4,0") + "}", 4), HasSubstr("from 4 to 0"));
  EXPECT_THAT(error("{\"a\":" + entry("U8", "-4", "0,4") + "}", 4), HasSubstr("shape"));
  EXPECT_THAT(error("{\"a\":" + entry("U8", "4.0", "0,4") + "}", 4), HasSubstr("shape"));
  EXPECT_THAT(error("{\"a\":" + entry("F64", "4294967296,4294967296,4294967296", "0,0") + "}", 0), HasSubstr("too large"));
  EXPECT_THAT(error("{\"a\":" + entry("F64", "0,18446744073709551615", "0,0") + "}", 0), HasSubstr("too large"));
  EXPECT_THAT(error("{\"a\":" + entry("F32", "0,9223372036854775807", "0,0") + "}", 0), HasSubstr("too large"));
  EXPECT_THAT(error("{\"a\":" + entry("F99", "4", "0,4") + "}", 4), HasSubstr("F99"));
  EXPECT_THAT(error(R"({"a":{"dtype":"U8","shape":[4]}})", 4), HasSubstr("expected dtype"));
  EXPECT_THAT(error(R"({"a":3})", 4), HasSubstr("expected dtype"));
  EXPECT_THAT(error(R"({"__metadata__":{"x":3}})", 0), HasSubstr("no text"));
  EXPECT_THAT(error(R"({"__metadata__":[]})", 0), HasSubstr("no object"));
  EXPECT_THAT(error("{\"a\":" + std::string(100000, '['), 0), HasSubstr("nested"));
  EXPECT_THAT(error("{", 0), HasSubstr("too short"));
  EXPECT_THAT(error("{  ", 0), HasSubstr("no JSON"));
  EXPECT_THAT(error("[1]", 0), HasSubstr("begin with"));
  Bytes huge = file_of("{}", 0);
  huge[7] = 0x7f;
  EXPECT_THAT(error_of([&] { parse_safetensors(huge, "huge"); }), HasSubstr("at most"));
  huge = file_of("{}", 0);
  huge[0] = 200;
  EXPECT_THAT(error_of([&] { parse_safetensors(huge, "huge"); }), HasSubstr("cut short"));
  EXPECT_THAT(error_of([&] { parse_safetensors({}, "empty"); }), HasSubstr("too short"));

  PyValue wrong = PyValue::dict();
  wrong.set("x", 3);
  EXPECT_THAT(error_of([&] { safetensors_bytes(wrong); }), HasSubstr("'x' is int"));
  wrong = PyValue::dict();
  wrong.set("__metadata__", sample().at("scalar"));
  EXPECT_THAT(error_of([&] { safetensors_bytes(wrong); }), HasSubstr("__metadata__"));
  wrong = PyValue::dict();
  wrong.set("\xff", sample().at("scalar"));
  EXPECT_THAT(error_of([&] { safetensors_bytes(wrong); }), HasSubstr("UTF-8"));
}

TEST(Safetensors, DamagedBytesAreErrorsOrTensors) {
  const Bytes good = safetensors_bytes(sample(), {{"format", "pt"}});
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_THROW(parse_safetensors(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)), "cut"), Error) << size;
  Random random(3);
  int errors = 0;
  for (int i = 0; i < 20000; ++i) {
    Bytes bad = good;
    for (std::uint32_t n = 0; n <= random.below(4); ++n) {
      const std::uint32_t at = random.below(static_cast<std::uint32_t>(bad.size()));
      const std::uint32_t other = random.below(static_cast<std::uint32_t>(bad.size()));
      bad[at] = random.below(2) == 0 ? static_cast<std::uint8_t>(random.next()) : bad[other];
    }
    try {
      const Safetensors file = parse_safetensors(bad, "bad");
      for (const PyEntry& e : file.tensors.entries()) e.value.as_tensor().contiguous();
    } catch (const Error&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 10000);
}

TEST(Safetensors, AnIndependentReaderAndWriterAgree) {
  const TemporaryFolder folder;
  const ProcessResult probe = run_process({"/bin/sh", "-c", "/usr/bin/python3 -c 'import numpy'"});
  if (probe.exit_status != 0) GTEST_SKIP() << "needs python3-numpy";
  write_safetensors(folder.path() / "ours.safetensors", sample(), {{"format", "pt"}});
  const ProcessResult r = run_process({"/usr/bin/python3", std::string(MICROMIND_SOURCE_DIR) + "/tests/formats/safetensors_oracle.py",
                                       (folder.path() / "ours.safetensors").string(), (folder.path() / "theirs.safetensors").string()});
  ASSERT_EQ(r.exit_status, 0) << r.err;
  const Safetensors back = read_safetensors(folder.path() / "theirs.safetensors");  // what it read, written by it
  EXPECT_EQ(back.metadata.at("writer"), "oracle");
  const PyValue expected = sample();
  EXPECT_EQ(back.tensors.entries().size(), expected.entries().size());
  for (const PyEntry& e : expected.entries()) {
    const PyTensor& t = back.tensors.at(e.key.as_string()).as_tensor();
    EXPECT_EQ(t.contiguous(), e.value.as_tensor().contiguous()) << e.key.as_string();
    EXPECT_EQ(t.shape, e.value.as_tensor().shape);
    EXPECT_EQ(t.dtype, e.value.as_tensor().dtype);
  }
}

}  // namespace
}  // namespace micromind
