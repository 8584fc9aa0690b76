#include "micromind/formats/pytorch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "micromind/base/error.h"
#include "micromind/base/process.h"
#include "micromind/base/random.h"
#include "micromind/formats/pickle.h"
#include "micromind/formats/zip.h"
#include "micromind/networks/registry.h"
#include "error_of.h"

namespace micromind {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kPython = "/usr/bin/python3";

bool python_has_torch() {
  static const bool has = [] {
    try {
      return run_process({kPython, "-c", "import torch"}).exit_status == 0;
    } catch (const Error&) {
      return false;
    }
  }();
  return has;
}
#define NEEDS_TORCH() \
  if (!python_has_torch()) GTEST_SKIP() << "needs python3-torch for " << kPython

std::string python(const std::string& code, const std::filesystem::path& path) {
  const ProcessResult r = run_process({kPython, "-c", "import sys\npath = sys.argv[1]\n" + code, path.string()});
  EXPECT_EQ(r.exit_status, 0) << r.err;
  return r.out;
}

PyValue sample_tree() {
  const std::vector<float> w = {1.5f, -2, 0, INFINITY, 1e-40f, 6};
  const std::vector<std::int64_t> n = {-1, std::int64_t{1} << 40};
  const std::vector<std::uint8_t> bytes = {0, 128, 255};
  const std::vector<std::int8_t> small = {-128, 127};
  PyValue inner = PyValue::dict();
  inner.set("weight", PyTensor::of(w, {2, 3}));
  inner.set("count", PyTensor::of(n, {2}));
  inner.set("bytes", PyTensor::of(bytes, {3}));
  inner.set("small", PyTensor::of(small, {2, 1}));
  inner.set("none", PyTensor::of(std::span<const float>(), {0, 4}));
  inner.set("scalar", PyTensor::of(std::span<const float>(w).first(1), {}));
  PyValue tree = PyValue::dict();
  tree.set("state", inner);
  tree.set("epoch", 3);
  tree.set("large", std::int64_t{-5'000'000'000});
  tree.set("rate", 0.1);
  tree.set("name", "größe\n'\"\\");
  tree.set("flag", true);
  tree.set("nothing", PyValue());
  tree.set("list", PyValue::List{1, "two", PyValue::Tuple{{3.0, PyValue::List{}}}});
  return tree;
}

TEST(PyTorchWriter, ReadsBackWhatItWrote) {
  const PyValue tree = parse_pytorch(pytorch_bytes(sample_tree()), "memory");
  EXPECT_EQ(tree.at("epoch").as_int(), 3);
  EXPECT_EQ(tree.at("large").as_int(), -5'000'000'000);
  EXPECT_EQ(tree.at("rate").as_float(), 0.1);
  EXPECT_EQ(tree.at("name").as_string(), "größe\n'\"\\");
  EXPECT_TRUE(tree.at("flag").as_bool());
  EXPECT_TRUE(tree.at("nothing").is_none());
  EXPECT_EQ(tree.at("list").as_list()[2].as_list()[0].as_float(), 3.0);
  const PyValue& state = tree.at("state");
  EXPECT_EQ(state.at("weight").as_tensor().to_array().shape(), Shape({2, 3}));
  EXPECT_THAT(state.at("weight").as_tensor().to_floats(), ElementsAre(1.5f, -2, 0, INFINITY, 1e-40f, 6));
  EXPECT_THAT(state.at("count").as_tensor().to_int64(), ElementsAre(-1, std::int64_t{1} << 40));
  EXPECT_THAT(state.at("bytes").as_tensor().to_bytes(), ElementsAre(0, 128, 255));
  EXPECT_EQ(state.at("small").as_tensor().to_array().element(), ElementType::int8);
  EXPECT_EQ(state.at("none").as_tensor().elements(), 0);
  EXPECT_THAT(state.at("scalar").as_tensor().to_floats(), ElementsAre(1.5f));
}

TEST(PyTorchWriter, IsDeterministicAndAligned) {
  const Bytes bytes = pytorch_bytes(sample_tree());
  EXPECT_EQ(bytes, pytorch_bytes(sample_tree()));
  const std::vector<float> marker(16, 12345.678f);
  PyValue tree = PyValue::dict();
  tree.set("x", PyTensor::of(marker, {16}));
  const Bytes file = pytorch_bytes(tree);
  const auto* raw = reinterpret_cast<const std::uint8_t*>(marker.data());
  const auto at = std::search(file.begin(), file.end(), raw, raw + 64) - file.begin();
  EXPECT_EQ(at % 64, 0);
}

TEST(PyTorchWriter, PythonReadsTheSame) {
  NEEDS_TORCH();
  const TemporaryFolder folder;
  const auto path = folder.path() / "written.pt";
  write_pytorch(path, sample_tree());
  const std::string out = python(R"(
import torch
t = torch.load(path)
s = t['state']
assert type(t) is dict and type(s) is dict and list(t) == ['state', 'epoch', 'large', 'rate', 'name', 'flag', 'nothing', 'list'], list(t)
assert s['weight'].dtype == torch.float32 and s['weight'].shape == (2, 3) and s['weight'].tolist()[0] == [1.5, -2.0, 0.0]
assert s['weight'].is_contiguous() and not s['weight'].requires_grad
assert s['count'].dtype == torch.int64 and s['count'].tolist() == [-1, 1 << 40]
assert s['bytes'].dtype == torch.uint8 and s['bytes'].tolist() == [0, 128, 255]
assert s['small'].dtype == torch.int8 and s['small'].tolist() == [[-128], [127]]
assert s['none'].shape == (0, 4) and s['scalar'].shape == () and s['scalar'].item() == 1.5
assert t['epoch'] == 3 and t['large'] == -5000000000 and t['rate'] == 0.1 and t['flag'] is True and t['nothing'] is None
assert t['name'] == "größe\n'\"\\" and t['list'] == [1, 'two', (3.0, [])]
s['weight'][0, 0] = 7
print('same')
)", path);
  EXPECT_EQ(out, "same\n");
}

TEST(PyTorchReader, ReadsWhatPythonWrites) {
  NEEDS_TORCH();
  const TemporaryFolder folder;
  const auto path = folder.path() / "python.pt";
  python(R"(
import collections, torch
base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
torch.save({
  'transposed': base.permute(2, 0, 1), 'slice': base[1, :, 1:3], 'shared': base,
  'half': torch.tensor([1.5, -65504.0, 2.0**-24, float('inf')]).half(), 'bfloat': torch.tensor([1.5, -3e38]).bfloat16(),
  'double': torch.tensor([0.1], dtype=torch.float64), 'ints': [torch.tensor([-3], dtype=d) for d in (torch.int64, torch.int32, torch.int16, torch.int8)],
  'bool': torch.tensor([True, False]), 'parameter': torch.nn.Parameter(torch.ones(2)), 'size': torch.Size([1, 2]),
  'ordered': collections.OrderedDict(a=1, b=2), 'module': torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).state_dict(),
  'optimizer': torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(), 'long': [1 << 62, -(1 << 63), 255, 256, -1, 65536], 'empty': torch.zeros(0, 3)}, path)
)", path);
  const PyValue t = read_pytorch(path);
  EXPECT_THAT(t.at("slice").as_tensor().to_floats(), ElementsAre(13, 14, 17, 18, 21, 22));
  const std::vector<float> transposed = t.at("transposed").as_tensor().to_floats();
  EXPECT_THAT(std::vector<float>(transposed.begin(), transposed.begin() + 7), ElementsAre(0, 4, 8, 12, 16, 20, 1));
  EXPECT_EQ(t.at("shared").as_tensor().storage, t.at("slice").as_tensor().storage);
  EXPECT_THAT(t.at("half").as_tensor().to_floats(), ElementsAre(1.5f, -65504.0f, std::ldexp(1.0f, -24), INFINITY));
  EXPECT_NEAR(t.at("bfloat").as_tensor().to_floats()[1], -3e38f, 2e36f);
  EXPECT_EQ(t.at("double").as_tensor().to_floats()[0], 0.1f);
  for (const PyValue& v : t.at("ints").as_list()) EXPECT_THAT(v.as_tensor().to_int64(), ElementsAre(-3));
  EXPECT_THAT(t.at("bool").as_tensor().to_bytes(), ElementsAre(1, 0));
  EXPECT_THAT(t.at("parameter").as_tensor().to_floats(), ElementsAre(1, 1));
  EXPECT_EQ(t.at("size").as_list()[1].as_int(), 2);
  EXPECT_EQ(t.at("ordered").at("b").as_int(), 2);
  EXPECT_EQ(t.at("module").at("0.weight").as_tensor().to_array().shape(), Shape({2, 1, 3, 3}));
  EXPECT_EQ(t.at("optimizer").at("param_groups").as_list()[0].at("lr").as_float(), 0.001);
  EXPECT_EQ(t.at("long").as_list()[0].as_int(), std::int64_t{1} << 62);
  EXPECT_EQ(t.at("long").as_list()[1].as_int(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(t.at("long").as_list()[4].as_int(), -1);
  EXPECT_EQ(t.at("empty").as_tensor().elements(), 0);
}

TEST(PyTorchReader, ObjectsAreNamesAndNothingRuns) {
  NEEDS_TORCH();
  const TemporaryFolder folder;
  python(R"(
import argparse, collections, os, pathlib, pickle, random, numpy as np, torch
class Evil:
  def __reduce__(self): return (os.system, ('touch ' + path + '/ran',))
class Bag(set): pass
torch.save(torch.nn.Linear(2, 2), path + '/module')
tree = {'x': Evil(), 'w': torch.ones(3), 'args': argparse.Namespace(lr=0.1, tensor=torch.ones(2)), 'device': torch.device('cpu'), 'dtype': torch.float32,
  'path': pathlib.Path('/tmp'), 'set': {1, 2}, 'frozen': frozenset([3]), 'bag': Bag([1]), 'bytes': b'\xff\x00a', 'array': np.arange(3.0), 'huge': 1 << 100,
  'class': torch.nn.Linear, 'default': collections.defaultdict(list, a=1), 'count': collections.Counter('aab'), 'random': random.getstate(),
  'complex': torch.zeros(2, dtype=torch.complex64), 'sparse': torch.zeros(2, 2).to_sparse(), 'torch_random': torch.get_rng_state(), 'numpy_random': np.random.get_state(),
  'numbers': [np.float64(0.5), np.float32(-1.5), np.float16(2), np.int8(-3), np.uint8(200), np.int64(-1 << 60), np.uint16(65535), np.bool_(True), np.dtype('>i4').type(7)],
  'last': 5}
for protocol in (2, 3, 4, 5): torch.save(tree, path + '/objects%d' % protocol, pickle_protocol=protocol)
torch.save({'x': torch.zeros(2)}, path + '/legacy', _use_new_zipfile_serialization=False)
pickle.dump({'x': 1}, open(path + '/raw', 'wb'))
torch.jit.script(torch.nn.Linear(2, 2)).save(path + '/script')
torch.save({'x': torch.zeros(1).expand(1000)}, path + '/expanded')
)", folder.path());
  EXPECT_EQ(read_pytorch(folder.path() / "module").type_name(), "torch.nn.modules.linear.Linear");
  for (const int protocol : {2, 3, 4, 5}) {
    SCOPED_TRACE(protocol);
    const PyValue t = read_pytorch(folder.path() / fmt::format("objects{}", protocol));
    EXPECT_THAT(std::string(t.at("x").type_name()), HasSubstr("system"));
    EXPECT_TRUE(t.at("x").is_object());
    EXPECT_EQ(t.at("args").type_name(), "argparse.Namespace");
    EXPECT_EQ(t.at("device").type_name(), "torch.device");
    EXPECT_THAT(t.at("w").as_tensor().to_floats(), ElementsAre(1, 1, 1));
    if (protocol < 5) {  // later ones are made by a function
      EXPECT_EQ(t.at("array").type_name(), "numpy.ndarray");
    }
    for (const char* name : {"dtype", "array", "path", "set", "frozen", "bag", "bytes", "huge", "class", "complex", "sparse"}) EXPECT_TRUE(t.at(name).is_object()) << name;
    EXPECT_EQ(t.at("default").at("a").as_int(), 1);
    EXPECT_EQ(t.at("count").at("a").as_int(), 2);
    std::vector<double> numbers;
    for (const PyValue& v : t.at("numbers").as_list()) numbers.push_back(v.type_name() == "bool" ? v.as_bool() : v.as_float());
    EXPECT_THAT(numbers, ElementsAre(0.5, -1.5, 2, -3, 200, -0x1p60, 65535, 1, 7));
    EXPECT_EQ(t.at("last").as_int(), 5);
    EXPECT_THAT(error_of([&] { pytorch_bytes(t); }), HasSubstr("cannot be written"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "ran"));
  const auto error = [&](const char* name) { return error_of([&] { read_pytorch(folder.path() / name); }); };
  EXPECT_THAT(error("legacy"), AllOf(HasSubstr("before PyTorch 1.6"), HasSubstr("python3 -c")));
  EXPECT_THAT(error("raw"), HasSubstr("raw pickle"));
  EXPECT_THAT(error("script"), AllOf(HasSubstr("TorchScript"), HasSubstr("python3 -c")));
  EXPECT_THAT(error("expanded"), HasSubstr("outside its storage"));
  // The command of the hint is one that works.
  const std::string hint = error("legacy"), start = "python3 -c ";
  const ProcessResult mended = run_process({"/bin/sh", "-c", "/usr/bin/" + hint.substr(hint.find(start))});
  EXPECT_EQ(mended.exit_status, 0) << hint << mended.err;
  EXPECT_THAT(read_pytorch(folder.path() / "legacy.new.pt").at("x").as_tensor().to_floats(), ElementsAre(0, 0));
}

// A zip checkpoint around a pickle written by hand.
Bytes checkpoint(std::string_view pickle) {
  ZipWriter zip;
  const auto add = [&](const char* name, std::string_view s) { zip.add(name, {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()}); };
  add("m/data.pkl", pickle);
  add("m/data/0", std::string(16, '\1'));
  return zip.finish();
}

std::string tensor_pickle(const std::string& count, const std::string& offset, const std::string& size, const std::string& stride) {
  return "\x80\x02"
         "ctorch._utils\n_rebuild_tensor_v2\n((X\x07" + std::string(3, '\0') + "storagectorch\nFloatStorage\nX\x01" + std::string(3, '\0') + "0X\x03" +
         std::string(3, '\0') + "cpu" + count + "tQ" + offset + "(" + size + "t(" + stride + "t\x89NtR.";
}

TEST(PyTorchReader, ChecksTensorsAgainstTheirStorage) {
  const auto k = [](int v) { return std::string("K") + static_cast<char>(v); };
  const auto read = [](const std::string& p) { return parse_pytorch(checkpoint(p), "made"); };
  const std::string huge = std::string("\x8a\x08") + std::string(7, '\xff') + '\x7f', minus = "J" + std::string(4, '\xff');
  EXPECT_EQ(read(tensor_pickle(k(4), k(1), k(3), k(1))).as_tensor().elements(), 3);
  EXPECT_EQ(read(tensor_pickle(k(4), k(0), k(0), k(1))).as_tensor().elements(), 0);
  for (const std::string& bad :
       {tensor_pickle(k(5), k(0), k(4), k(1)), tensor_pickle(k(4), k(1), k(4), k(1)), tensor_pickle(k(4), k(0), k(2), k(4)), tensor_pickle(k(4), minus, k(1), k(1)),
        tensor_pickle(k(4), k(0), minus, k(1)), tensor_pickle(k(4), k(0), k(2), minus), tensor_pickle(k(4), k(0), huge, k(0)), tensor_pickle(k(4), k(0), k(2), huge),
        tensor_pickle(k(4), huge, k(1), k(1)), tensor_pickle(huge, k(0), k(1), k(1)), tensor_pickle(k(4), k(0), k(2) + k(2), k(1)),
        tensor_pickle(k(4), k(0), huge + huge + k(0), k(1) + k(1) + k(1)), tensor_pickle(k(4), "N", k(1), k(1))})
    EXPECT_THAT(error_of([&] { read(bad); }), HasSubstr("damaged"));
}

TEST(PyTorchReader, SurvivesHostilePickles) {
  const auto error = [](const std::string& p) { return error_of([&] { parse_pytorch(checkpoint(p), "made"); }); };
  EXPECT_THAT(error(""), HasSubstr("ends early"));
  EXPECT_THAT(error("."), HasSubstr("stack is empty"));
  EXPECT_THAT(error("(."), HasSubstr("stack is empty"));
  EXPECT_THAT(error("K\x01t."), HasSubstr("mark"));
  EXPECT_THAT(error("]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a."), HasSubstr("deeply"));  // a list in itself
  EXPECT_THAT(error(std::string(1000000, ']') + std::string(999999, 'a') + "."), HasSubstr("deeply"));
  EXPECT_THAT(error("h\x05."), HasSubstr("recalled"));
  EXPECT_THAT(error("X\xff\xff\xff\xff" "abc."), HasSubstr("ends early"));
  EXPECT_THAT(error("\x8b\xff\xff\xff\x7f."), HasSubstr("ends early"));
  EXPECT_EQ(parse_pytorch(checkpoint("cos\nsystem\nX\1" + std::string(3, '\0') + "x\x85R."), "made").type_name(), "os.system");
  EXPECT_THAT(error("cos\nsystem\nK\1R."), HasSubstr("a tuple of arguments"));
  EXPECT_THAT(error("cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\2" + std::string(3, '\0') + "f8tRC\1xtR."), HasSubstr("do not fit its type"));
  EXPECT_THAT(error("c_codecs\nencode\n(X\2" + std::string(3, '\0') + "\xff\xffX\6" + std::string(3, '\0') + "latin1tR."), HasSubstr("Latin-1"));
  std::string chain = "ctorch._tensor\n_rebuild_from_type_v2\nq" + std::string(1, '\0') + "NN)\x87";  // a call of itself in itself
  for (int i = 0; i < 1000; ++i) chain = chain + "h" + std::string(1, '\0') + "N\x87";
  EXPECT_NE(error(chain + "R."), "");
  EXPECT_THAT(error("I1\n."), HasSubstr("opcode 0x49"));
  EXPECT_TRUE(parse_pytorch(checkpoint("ccollections\nOrderedDict\n."), "made").is_object());
  EXPECT_THAT(error("]}b."), HasSubstr("OrderedDict"));
  std::string laughs = "]";  // each list holds the one before ten times
  for (int i = 0; i < 40; ++i) {
    laughs += std::string("q") + static_cast<char>(i) + "](";
    for (int k = 0; k < 10; ++k) laughs += std::string("h") + static_cast<char>(i);
    laughs += "e";
  }
  EXPECT_THAT(error(laughs + "."), HasSubstr("damaged"));
}

TEST(PyTorchReader, FlippedBytesAreErrorsOrValues) {
  const Bytes good = pytorch_bytes(sample_tree());
  Random random(11);
  int errors = 0;
  for (int i = 0; i < 3000; ++i) {
    Bytes bad = good;
    for (std::uint32_t n = 0; n <= random.below(3); ++n) bad[random.below(static_cast<std::uint32_t>(bad.size()))] ^= static_cast<std::uint8_t>(1 + random.below(255));
    try {
      parse_pytorch(bad, "flipped");
    } catch (const Error&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 1000);
  // The pickle itself, past the checksum.
  const ZipReader zip(good, "good");
  const Bytes pickle = zip.read("archive/data.pkl");
  const auto storage = std::make_shared<const Bytes>(64);
  for (int i = 0; i < 3000; ++i) {
    Bytes bad = pickle;
    bad[random.below(static_cast<std::uint32_t>(bad.size()))] = static_cast<std::uint8_t>(random.next());
    try {
      unpickle(bad, "flipped", [&](const std::string&) { return storage; });
    } catch (const Error&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 2500);
}

TEST(PyTorchReader, CutAndForeignFilesAreErrors) {
  const Bytes good = pytorch_bytes(sample_tree());
  for (std::size_t size = 0; size < good.size(); size += 1 + size / 40)
    EXPECT_THROW(parse_pytorch(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)), "cut"), Error) << size;
  Random random(5);
  for (int i = 0; i < 300; ++i) {
    Bytes noise(random.below(2000));
    for (auto& b : noise) b = static_cast<std::uint8_t>(random.next());
    if (noise.size() > 4) std::copy_n("PK\3\4", 4, noise.begin());
    EXPECT_THROW(parse_pytorch(noise, "noise"), Error);
  }
  EXPECT_THAT(error_of([] { read_pytorch("/no/such/file.pt"); }), HasSubstr("/no/such/file.pt"));
  EXPECT_THAT(error_of([] { parse_pytorch(Bytes{'h', 'i'}, "hi.pt"); }), HasSubstr("not a PyTorch checkpoint"));
  ZipWriter other;
  other.add("readme.txt", Bytes{1});
  EXPECT_THAT(error_of([&] { parse_pytorch(other.finish(), "other.zip"); }), HasSubstr("no PyTorch checkpoint"));
}

TEST(Zip, ReadsDeflatedEntries) {
  if (!std::filesystem::exists(kPython)) GTEST_SKIP() << "needs " << kPython;
  const TemporaryFolder folder;
  const auto path = folder.path() / "deflated.zip";
  python("import zipfile\nz = zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED)\nz.writestr('a/b.txt', 'hello ' * 5000)\nz.comment = b'note'\nz.close()", path);
  Bytes bytes = read_bytes(path);
  EXPECT_EQ(ZipReader(bytes, "z").read("a/b.txt").size(), 30000u);
  EXPECT_THAT(error_of([&] { ZipReader(bytes, "z").read("c"); }), HasSubstr("no entry 'c'"));
  bytes[60] ^= 255;
  EXPECT_THAT(error_of([&] { ZipReader(bytes, "z").read("a/b.txt"); }), HasSubstr("damaged"));
}

TEST(Zip, EntriesThatShareTheirBytesAreRefused) {
  if (!std::filesystem::exists(kPython)) GTEST_SKIP() << "needs " << kPython;
  const TemporaryFolder folder;
  const auto path = folder.path() / "bomb.zip";
  python(R"(
import zipfile
z = zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED)
z.writestr('m/data/0', bytes(1000000))
first = z.filelist[0]
import copy
for i in range(1, 50):
  e = copy.copy(first)
  e.filename = 'm/data/%d' % i
  z.filelist.append(e); z.NameToInfo[e.filename] = e
z._didModify = True
z.close()
)", path);
  EXPECT_THAT(error_of([&] { ZipReader(read_bytes(path), "bomb"); }), HasSubstr("overlap"));
}

TEST(PyTorch, RecompressedCheckpointReads) {
  if (!std::filesystem::exists(kPython)) GTEST_SKIP() << "needs " << kPython;
  const TemporaryFolder folder;
  const auto path = folder.path() / "deflated.pt";
  write_pytorch(path, sample_tree());
  python("import zipfile\nz = zipfile.ZipFile(path)\nd = {n: z.read(n) for n in z.namelist()}\nz = zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED)\n[z.writestr(n, b) for n, b in d.items()]\nz.close()", path);
  EXPECT_EQ(read_pytorch(path).at("epoch").as_int(), 3);
}

TEST(PyTorch, FiftyMegabytesInAndOut) {
  const std::vector<float> numbers(13'000'000, 0.5f);
  PyValue tree = PyValue::dict();
  tree.set("x", PyTensor::of(numbers, {13'000'000}));
  const TemporaryFolder folder;
  const auto start = std::chrono::steady_clock::now();
  write_pytorch(folder.path() / "large.pt", tree);
  EXPECT_EQ(read_pytorch(folder.path() / "large.pt").at("x").as_tensor().to_array().values<float>()[12'999'999], 0.5f);
  std::printf("52 MB written and read in %.0f ms\n", std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
}

TEST(StateDict, RoundTripsAndRejects) {
  const nlohmann::json options = {{"input_shape", {3, 32, 32}}, {"include_top", true}};
  const Graph g = build_network("phinet", options);
  const auto names = reference_names("phinet", options);
  Weights weights;
  float next = 0;
  for (const NamedParameter& p : parameters(g)) {
    weights[p.name] = Array(ElementType::float32, p.shape);
    for (float& v : weights[p.name].values<float>()) v = next++;
  }
  PyValue state = parse_pytorch(pytorch_bytes(state_from_weights(weights, names)), "memory");
  EXPECT_TRUE(state.contains("_layers.1._layers.0.weight"));
  EXPECT_EQ(weights_from_state(g, state, {.names = names}), weights);
  EXPECT_EQ(weights_from_state(g, state_from_weights(weights)), weights);

  PyValue wrapped = PyValue::dict();
  for (const PyEntry& e : state.entries()) wrapped.set("module." + e.key.as_string(), e.value);
  EXPECT_EQ(weights_from_state(g, wrapped, {.names = names}), weights);

  const std::vector<std::int64_t> one = {1};
  const std::vector<float> number = {1};
  state.set("_layers.1._layers.2.num_batches_tracked", PyTensor::of(one, {}));
  EXPECT_EQ(weights_from_state(g, state, {.names = names}), weights);
  state.set("extra", PyTensor::of(number, {1}));
  EXPECT_THAT(error_of([&] { weights_from_state(g, state, {.names = names}); }), HasSubstr("'extra'"));
  EXPECT_EQ(weights_from_state(g, state, {.names = names, .allow_unexpected = true}), weights);
  EXPECT_THAT(error_of([&] { weights_from_state(g, state); }), HasSubstr("stem.depthwise.weight"));
  state.set("classifier.2.bias", PyTensor::of(number, {1}));
  EXPECT_THAT(error_of([&] { weights_from_state(g, state, {.names = names}); }), HasSubstr("classifier.2.bias"));
  PyValue nested = PyValue::dict();
  nested.set("state", state);
  EXPECT_THAT(error_of([&] { weights_from_state(g, nested); }), HasSubstr("expected a tensor"));
  EXPECT_THAT(error_of([&] { nested.at("stat"); }), HasSubstr("'state'"));
}

}  // namespace
}  // namespace micromind
