#include "micromind/formats/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/base/process.h"
#include "micromind/formats/pytorch.h"
#include "micromind/graph/initial_weights.h"
#include "train/toy_graph.h"

namespace micromind::testing {
namespace {

using ::testing::HasSubstr;

TEST(Checkpoint, GoesRoundAndIsPlainForPython) {
  TemporaryFolder folder;
  const auto path = folder.path() / "w.pt";
  const Weights weights = initial_weights(toy_graph(), 3);
  write_checkpoint(path, {weights, {}, {}});
  EXPECT_EQ(load_checkpoint(path), weights);

  const std::string script =
      "import sys, io, zipfile, pickletools\n"
      "z = zipfile.ZipFile(sys.argv[1])\n"
      "name = [n for n in z.namelist() if n.endswith('data.pkl')][0]\n"
      "for op, arg, pos in pickletools.genops(z.read(name)):\n"
      "    if op.name in ('GLOBAL', 'STACK_GLOBAL'): print(arg)\n"
      "try:\n"
      "    import torch\n"
      "except ImportError:\n"
      "    sys.exit(9)\n"
      "d = torch.load(sys.argv[1])\n"
      "print(type(d).__name__, len(d), tuple(d['conv.weight'].shape), float(d['classifier.bias'][1]))\n";
  const ProcessResult python = run_process({"/usr/bin/python3", "-c", script, path.string()});
  if (python.exit_status == 9) GTEST_SKIP() << "python3-torch is absent";
  ASSERT_EQ(python.exit_status, 0) << python.err;
  EXPECT_THAT(python.out, HasSubstr(fmt::format("dict {} (8, 1, 3, 3) {}", weights.size(),
                                                static_cast<double>(weights.at("classifier.bias").values<float>()[1]))));
  EXPECT_THAT(python.out, ::testing::Not(HasSubstr("torch.jit"))) << "strict readers admit plain containers only";
}

TEST(Checkpoint, RefusesWhatIsNone) {
  TemporaryFolder folder;
  const auto path = folder.path() / "w.pt";
  const auto refused = [&] { EXPECT_THROW(load_checkpoint(path), Error); };
  refused();  // absent
  write_checkpoint(path, {initial_weights(toy_graph(), 3), {}, {}});
  const std::string good = read_text(path);
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, good.size() / 2, good.size() - 1}) {
    write_atomic(path, std::string_view(good).substr(0, size));
    refused();
  }
  for (std::size_t at = 0; at < good.size(); at += 97) {  // a damaged byte gives the weights or an Error, nothing else
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x5A);
    write_atomic(path, bad);
    try {
      load_checkpoint(path);
    } catch (const Error&) {
    }
  }
  PyValue nested = PyValue::dict();
  nested.set("epoch", 3);
  write_pytorch(path, nested);
  refused();
  write_pytorch(path, PyValue(3));
  refused();
}

}  // namespace
}  // namespace micromind::testing
