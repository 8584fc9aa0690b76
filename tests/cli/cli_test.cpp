// The binary as a user meets it: a real process, its two streams and its exit status.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "tools.h"
#include "micromind/base/file.h"

namespace micromind {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using nlohmann::json;
namespace fs = std::filesystem;

const std::vector<std::string>& verbs() {
  static const std::vector<std::string> names = {"run",  "train",    "evaluate", "quantize",  "export",  "convert", "deploy",  "validate", "report", "inspect",
                                                 "predict", "data", "datasets", "networks", "operators", "recipes", "targets", "explain", "design", "bench"};
  return names;
}

TEST(Cli, EveryVerbTeaches) {
  const ProcessResult all = micromind({"--help"});
  EXPECT_EQ(all.exit_status, 0);
  for (const std::string& verb : verbs()) {
    EXPECT_THAT(all.out, HasSubstr("\n  " + verb + " "));
    const ProcessResult help = micromind({verb, "--help"});
    EXPECT_EQ(help.exit_status, 0) << verb;
    EXPECT_THAT(help.out, AllOf(HasSubstr("Usage: micromind " + verb), HasSubstr("--json"), HasSubstr("Examples:\n  # "))) << verb;
    EXPECT_EQ(help.err, "");
  }
  EXPECT_THAT(micromind({"--version"}).out, HasSubstr("micromind 0."));
}

TEST(Cli, WrongUsageIsStatusTwo) {
  EXPECT_EQ(micromind({}).exit_status, 2);
  const ProcessResult verb = micromind({"trian"});
  EXPECT_EQ(verb.exit_status, 2);
  EXPECT_EQ(verb.out, "");
  EXPECT_THAT(verb.err, AllOf(HasSubstr("micromind: unknown verb 'trian'"), HasSubstr("did you mean 'train'")));
  const ProcessResult option = micromind({"inspect", "phinet", "--traget", "stm32h743"});
  EXPECT_EQ(option.exit_status, 2);
  EXPECT_THAT(option.err, HasSubstr("did you mean '--target'"));
  EXPECT_EQ(micromind({"inspect"}).exit_status, 2);
  EXPECT_EQ(micromind({"export", "runs/x", "--format", "pdf"}).exit_status, 2);
  EXPECT_EQ(micromind({"run", "demo", "--resume", "--force"}).exit_status, 2);
  EXPECT_EQ(micromind({"data"}).exit_status, 2);
}

TEST(Cli, FailuresAreOneMessageAndStatusOne) {
  struct Case {
    std::vector<std::string> arguments;
    std::string expected;
  };
  TemporaryFolder folder;
  write_atomic(folder.path() / "bad.toml", "[train]\n\nepoch = 3\n");
  write_atomic(folder.path() / "bad.tflite", "not a model");
  const std::vector<Case> cases = {
      {{"run", "demo", "--set", "train.epoch=3"}, "did you mean 'epochs'"},
      {{"run", "bad.toml"}, "bad.toml:3"},
      {{"run", "dmo"}, "did you mean 'demo'"},
      {{"run", "demo", "--set", "data.name=cifar"}, "cifar"},
      {{"run", "demo", "--set", "deploy.target=stm32h7"}, "did you mean 'stm32h743'"},
      {{"run", "demo", "--set", "quantize.calibration=mxmin"}, "minmax"},
      {{"run", "demo", "--set", "network.alpha=-1"}, "alpha"},
      {{"inspect", "phinett"}, "did you mean 'phinet'"},
      {{"inspect", "phinet", "--input", "3x"}, "3x32x32"},
      {{"inspect", "phinet", "--set", "alpha"}, "expected key=value"},
      {{"inspect", "phinet", "--set", "alph=1"}, "did you mean 'alpha'"},
      {{"inspect", "phinet", "--target", "nrf5284"}, "did you mean 'nrf52840'"},
      {{"inspect", "bad.tflite"}, "bad.tflite"},
      {{"deploy", "bad.tflite", "--target", "stm32h743"}, "bad.tflite"},
      {{"deploy", "none.tflite"}, "--target"},
      {{"validate", "bad.tflite", "--target", "stm32h743"}, "bad.tflite"},
      {{"validate", "runs/none"}, "runs/none"},
      {{"evaluate", "runs/none"}, "no such folder"},
      {{"report", "."}, "no recipe.toml"},
      {{"predict", ".", "x.png"}, "no recipe.toml"},
      {{"data", "get", "cifar"}, "cifar10"},
      {{"targets", "stm32h74"}, "did you mean 'stm32h743'"},
      {{"explain", "conf"}, "did you mean 'conv'"},
      {{"explain", "conv", "--kernel", "0"}, "expected 1 to 255"},
      {{"explain", "conv", "--input", "0x0x0"}, "'0x0x0' is no shape"},
      {{"explain", "conv", "--input", "3x999999999x999999999"}, "more than 2,147,483,647"},
      {{"data", "get", "glyphs"}, "glyphs"},
  };
  for (const Case& c : cases) {
    const ProcessResult r = micromind(c.arguments, folder.path());
    const std::string command = c.arguments[0] + " " + c.arguments[1] + " " + c.arguments.back();
    EXPECT_EQ(r.exit_status, 1) << command << r.out << r.err;
    EXPECT_TRUE(r.out.empty()) << command << ": " << r.out.substr(0, 200);
    EXPECT_THAT(r.err, AllOf(HasSubstr("micromind: "), HasSubstr(c.expected), Not(HasSubstr("internal error")))) << command;
  }
}

const std::vector<std::string>& tiny() {
  static const std::vector<std::string> options = {"--set", "train.epochs=1",     "--set", "train.batch_size=32", "--set", "data.train_limit=128",
                                                   "--set", "data.test_limit=32", "--set", "deploy.inputs=2",     "--set", "quantize.samples=32",
                                                   "--set", "train.threads=1"};  // OpenMP's threads crawl on a busy machine
  return options;
}

ProcessResult tiny_run(std::vector<std::string> command, const std::vector<std::string>& more, const fs::path& folder) {
  command.insert(command.end(), tiny().begin(), tiny().end());
  command.insert(command.end(), more.begin(), more.end());
  return micromind(command, folder);
}

TEST(Cli, ExplainsAConvolution) {
  EXPECT_THAT(micromind({"explain"}).out, HasSubstr("\nconv "));
  EXPECT_THAT(json_of(micromind({"explain", "--json"})).at("topics").size(), 1u);
  const ProcessResult text = micromind({"explain", "conv"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("805,306,368"), HasSubstr("1,835,008"), HasSubstr("176,128"), HasSubstr("3 → 16 is none")));
  std::size_t column = 0;
  for (const char letter : text.out) {  // fits a terminal of 100 columns
    column = letter == '\n' ? 0 : column + ((letter & 0xC0) != 0x80 ? 1 : 0);
    ASSERT_LE(column, 100u);
  }
  const json conv = json_of(micromind({"explain", "conv", "--input", "8x4x5", "--output-channels", "8", "--kernel", "5", "--json"}));
  EXPECT_EQ(conv.at("output"), json({8, 4, 5}));
  ASSERT_EQ(conv.at("operators").size(), 5u);
  EXPECT_EQ(conv.at("operators")[3].at("parameters"), 8 * 25 + 8);
  EXPECT_EQ(conv.at("operators")[3].at("macs_with_bias"), (8 * 25 + 8) * 20);
}

TEST(Cli, ListsTargetsOnAScreenAndInFull) {
  const ProcessResult text = micromind({"targets"});
  for (const char* word : {"stm32h743", "esp32c3", "cortex-m55", "480 MHz", "DSP, FPU 64", "mps2-an505", "microbit"})
    EXPECT_THAT(text.out, HasSubstr(word));
  std::size_t column = 0;
  for (const char letter : text.out) {
    column = letter == '\n' ? 0 : column + ((letter & 0xC0) != 0x80 ? 1 : 0);
    ASSERT_LE(column, 100u);
  }
  EXPECT_THAT(micromind({"targets", "stm32h743"}).out, AllOf(HasSubstr("0x24000000"), HasSubstr("DS12110")));
  const json list = json_of(micromind({"targets", "--json"})).at("targets");
  EXPECT_GE(list.size(), 21u);
  for (const json& t : list) EXPECT_FALSE(t.at("source").get<std::string>().empty());
  const json one = json_of(micromind({"targets", "nrf52840", "--json"}));
  EXPECT_EQ(one.at("active_mw"), 9.9);
  EXPECT_EQ(one.at("ram")[0].at("bytes"), 262144);
}

// What is wrong with a recipe must show before a folder is made, and before --force has removed an earlier run.
TEST(Cli, NothingIsMadeOrLostWhenARecipeIsWrong) {
  TemporaryFolder folder;
  const fs::path run = folder.path() / "runs" / "demo";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"network.num_classes=7", "the data have 10"}, {"network.input_shape=[1,28,28]", "the data have [3,32,32]"},
      {"network.alpha=0", "more than 0"},            {"network.num_layers=1000000000", "1 to 64"},
      {"data.name=nist", "did you mean 'mnist'"},    {"train.device=tpu", "did you mean 'cpu'"},
      {"train.optimizer=adm", "did you mean 'adam'"}, {"train.schedule=cosin", "did you mean 'cosine'"},
      {"train.warmup_epochs=10", "train.epochs"},    {"train.epochs=1e9", "1 to 1000000"},
      {"train.batch_size=9223372036854775807", "1 to 1000000"}, {"train.threads=4294967297", "smaller number"},
      {"augment.crop_padding=100000", "0 to 4096"},     {"deploy.target=./none.toml", "none.toml"},
  };
  for (const auto& [setting, expected] : wrong) {
    const ProcessResult r = tiny_run({"train", "demo"}, {"--set", setting}, folder.path());
    EXPECT_EQ(r.exit_status, 1) << setting;
    EXPECT_THAT(r.err, AllOf(HasSubstr(expected), Not(HasSubstr("run folder")))) << setting;
    EXPECT_FALSE(fs::exists(folder.path() / "runs")) << setting;
  }
  ASSERT_EQ(tiny_run({"train", "demo"}, {}, folder.path()).exit_status, 0);
  const std::string before = read_text(run / "checkpoints" / "best.pt");
  for (const auto& [setting, expected] : wrong) EXPECT_EQ(tiny_run({"train", "demo"}, {"--force", "--set", setting}, folder.path()).exit_status, 1);
  EXPECT_EQ(read_text(run / "checkpoints" / "best.pt"), before);
  EXPECT_FALSE(fs::exists(folder.path() / "runs" / "demo-2"));
  EXPECT_THAT(tiny_run({"train", "runs"}, {}, folder.path()).err, HasSubstr("runs"));
  EXPECT_THAT(micromind({"train", folder.path().string()}).err, HasSubstr("a folder, expected a .toml file"));
}

// `run` asks for the chip's tools before it trains.
TEST(Cli, MissingToolsShowBeforeTraining) {
  TemporaryFolder folder;
  const fs::path programs = folder.path() / "bin";
  fs::create_directories(programs);
  const auto with_path = [&](std::vector<std::string> arguments) {
    std::vector<std::string> command = {"/usr/bin/env", "PATH=" + programs.string(), MICROMIND_BINARY};
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.insert(command.end(), tiny().begin(), tiny().end());
    return run_process(command, {.folder = folder.path(), .timeout_s = 100});
  };
  const auto nothing = AllOf(Not(HasSubstr("epoch")), Not(HasSubstr("run folder")));
  EXPECT_THAT(with_path({"run", "demo"}).err, AllOf(HasSubstr("gcc-arm-none-eabi"), nothing));
  std::error_code error;  // a stand-in: it is looked for, not run
  fs::create_symlink("/bin/true", programs / "arm-none-eabi-gcc", error);
  EXPECT_THAT(with_path({"run", "demo"}).err, AllOf(HasSubstr("qemu-system-arm"), nothing));
  EXPECT_FALSE(fs::exists(folder.path() / "runs"));
  EXPECT_EQ(with_path({"train", "demo"}).exit_status, 0);  // needs neither
}

TEST(Cli, DataNamesTheDataSet) {
  TemporaryFolder folder;
  const auto train = [&](const std::vector<std::string>& more) { return tiny_run({"train", "demo"}, more, folder.path()); };
  const ProcessResult absent = train({"--data", "cifar10", "--set", "data.folder=nowhere"});
  EXPECT_EQ(absent.exit_status, 1);
  EXPECT_THAT(absent.err, AllOf(HasSubstr("nowhere/cifar-10-batches-bin"), HasSubstr("micromind data get cifar10"), HasSubstr("MICROMIND_DATA")));
  EXPECT_THAT(train({"--data", "cifar"}).err, HasSubstr("did you mean 'cifar10'"));
  // The archive unpacked in the data folder itself; every pixel is zero.
  std::string records(std::size_t{10000} * 3073, '\0');
  for (std::size_t i = 0; i < 10000; ++i) records[3073 * i] = static_cast<char>(i % 10);  // the label
  const fs::path archive = folder.path() / "data" / "cifar-10-batches-bin";
  for (const char* file : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"})
    write_atomic(archive / file, records);
  const ProcessResult found = run_process({"/usr/bin/env", "MICROMIND_DATA=" + (folder.path() / "data").string(), MICROMIND_BINARY, "train", "demo", "--data",
                                           "cifar10", "--set", "train.epochs=1", "--set", "data.train_limit=64", "--set", "data.test_limit=16", "--set", "train.threads=1", "--json"},
                                          {.folder = folder.path(), .timeout_s = 100});
  EXPECT_EQ(json_of(found)["folder"], "runs/demo");
  EXPECT_THAT(read_text(folder.path() / "runs" / "demo" / "recipe.toml"), HasSubstr("name = \"cifar10\""));
  EXPECT_THAT(read_text(folder.path() / "runs" / "demo" / "results.json"), HasSubstr("airplane"));
}

// Files of a run that somebody changed: one clear message, no exception's text.
TEST(Cli, DamagedRunFoldersAreExplained) {
  TemporaryFolder folder;
  ASSERT_EQ(tiny_run({"train", "demo", "--output", "r"}, {}, folder.path()).exit_status, 0);
  ASSERT_EQ(micromind({"quantize", "r"}, folder.path()).exit_status, 0);
  const fs::path run = folder.path() / "r";
  write_atomic(folder.path() / "x.ppm", std::string("P6 2 2 255\n") + std::string(12, '\x80'));
  write_atomic(folder.path() / "short.ppm", std::string("P6 2 2 255\n") + std::string(5, '\x80'));
  const auto explained = [&](std::vector<std::string> command, const std::string& expected) {
    const ProcessResult r = micromind(command, folder.path());
    EXPECT_EQ(r.exit_status, 1) << command[0];
    EXPECT_THAT(r.err, AllOf(HasSubstr(expected), Not(HasSubstr("internal error")), Not(HasSubstr("json.exception")), Not(HasSubstr("OpenCV")))) << command[0];
  };
  explained({"predict", "r", "short.ppm"}, "truncated PNM");
  explained({"predict", "r", "none.png"}, "none.png");
  // A finished run that is resumed keeps what was built on it.
  EXPECT_THAT(micromind({"train", "r", "--resume"}, folder.path()).err, HasSubstr("done already"));
  EXPECT_THAT(read_text(run / "results.json"), HasSubstr("\"quantize\""));

  const auto damaged = [&](const char* file, const std::string& content, const std::vector<std::vector<std::string>>& commands, const std::string& expected) {
    const std::string kept = read_text(run / file);
    write_atomic(run / file, content);
    for (const auto& command : commands) explained(command, expected);
    write_atomic(run / file, kept);
  };
  damaged("results.json", "{\"network\": 3}", {{"predict", "r", "x.ppm"}, {"report", "r"}, {"evaluate", "r"}}, "results.json is damaged");
  damaged("results.json", "{\"network\": {\"class_names\": 5}}", {{"predict", "r", "x.ppm"}}, "remove results.json");
  damaged("network.json", "{\"nodes", {{"evaluate", "r"}, {"inspect", "r"}, {"report", "r"}}, "network.json is no JSON");
  damaged("checkpoints/best.pt", "PK", {{"evaluate", "r"}, {"predict", "r", "--float", "x.ppm"}}, "best.pt");
  damaged("model.tflite", "", {{"predict", "r", "x.ppm"}, {"deploy", "r"}}, "model.tflite");
  fs::remove(run / "checkpoints" / "best.pt");
  explained({"evaluate", "r"}, "--resume");
  explained({"train", "r", "--resume"}, "the weights of epoch 1");
}

TEST(Cli, ModelFilesThatAreNoneAreNamed) {
  TemporaryFolder folder;
  write_atomic(folder.path() / "x.onnx", "anything");
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{{"deploy", "x.onnx", "--target", "stm32h743"}, {"inspect", "x.onnx"}})
    EXPECT_THAT(micromind(command, folder.path()).err, AllOf(HasSubstr("x.onnx is no .onnx file"), HasSubstr("fetch it again")));
  EXPECT_THAT(micromind({"deploy", "x.tflite", "--target", "stm32h743", "--inputs", "0"}).err, HasSubstr("1 to 1000000"));
}

// With its standard streams closed, nothing that the program says may land in the files that it writes.
TEST(Cli, ClosedStreamsDoNotLeakIntoFiles) {
  TemporaryFolder folder;
  std::string command = std::string(MICROMIND_BINARY) + " train demo --output r";
  for (const std::string& word : tiny()) command += " " + word;
  EXPECT_EQ(run_process({"/bin/sh", "-c", command + " 2>&- <&-"}, {.folder = folder.path(), .timeout_s = 100}).exit_status, 0);
  EXPECT_EQ(micromind({"evaluate", "r"}, folder.path()).exit_status, 0);
  EXPECT_THAT(read_text(folder.path() / "r" / "log.jsonl"), Not(HasSubstr("images/s")));
  const ProcessResult lost = run_process({"/bin/sh", "-c", std::string(MICROMIND_BINARY) + " targets >&-"}, {.folder = folder.path(), .timeout_s = 100});
  EXPECT_EQ(lost.exit_status, 1);
  EXPECT_THAT(lost.err, HasSubstr("could not be written"));
}

TEST(Cli, InspectCountsAsPublished) {
  const json j = json_of(micromind({"inspect", "phinet", "--input", "3x224x224", "--target", "stm32h743", "--json"}));
  EXPECT_EQ(j["parameters"], 30917);
  EXPECT_EQ(j["torchinfo_mult_adds"], 9817670);
  EXPECT_GT(j["peak_ram_bytes"], 0);
  EXPECT_GT(j["flash_bytes"], j["parameters"]);
  EXPECT_EQ(j["fits"], true);
  EXPECT_GT(j["layers"].size(), 20u);
  const ProcessResult text = micromind({"inspect", "phinet", "--input", "3x224x224", "--target", "nrf52840"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("30,917"), HasSubstr("← RAM"), HasSubstr("fits nrf52840"), HasSubstr("strips"), Not(HasSubstr("\033["))));
  EXPECT_THAT(micromind({"inspect", "phinet", "--input", "3x896x896", "--target", "nrf52840"}).out, HasSubstr("does not fit nrf52840"));
}

TEST(Cli, ListsAreJson) {
  const auto names = [](const json& list) {
    std::vector<std::string> all;
    for (const json& item : list) all.push_back(item.at("name"));
    return all;
  };
  EXPECT_THAT(names(json_of(micromind({"targets", "--json"}))["targets"]), Contains("stm32h743"));
  EXPECT_THAT(names(json_of(micromind({"networks", "--json"}))["networks"]), Contains("phinet"));
  EXPECT_THAT(names(json_of(micromind({"operators", "--json"}))["operators"]), Contains("conv2d"));
  EXPECT_THAT(names(json_of(micromind({"recipes", "--json"}))["recipes"]), Contains("demo"));
  EXPECT_THAT(names(json_of(micromind({"datasets", "--json"}))["datasets"]), Contains("glyphs"));
}

// From a recipe to a proven chip, small; then every verb on the run folder.
TEST(Cli, RunsFromRecipeToReport) {
  SKIP_WITHOUT_TOOLS();
  TemporaryFolder folder;
  const std::vector<std::string> tiny = {"--set", "train.epochs=1",    "--set", "train.batch_size=32", "--set", "data.train_limit=256",
                                         "--set", "data.test_limit=64", "--set", "deploy.inputs=8",     "--set", "quantize.samples=64", "--set", "train.threads=1"};
  std::vector<std::string> command = {"run", "demo", "--json"};
  command.insert(command.end(), tiny.begin(), tiny.end());
  const ProcessResult first = micromind(command, folder.path());
  const json all = json_of(first);
  EXPECT_EQ(all["folder"], "runs/demo");
  EXPECT_EQ(all["deploy"]["outputs_compared"], 8);
  EXPECT_EQ(all["deploy"]["outputs_identical"], 8);
  EXPECT_EQ(all["evaluate"]["samples"], 64);
  EXPECT_EQ(all["quantize"]["samples"], 64);
  EXPECT_NEAR(all["evaluate"]["top1"].get<double>(), all["evaluate"]["int8_top1"].get<double>(), 0.25);
  EXPECT_THAT(first.err, HasSubstr("epoch 1/1"));
  const fs::path run = folder.path() / "runs" / "demo";
  for (const char* file : {"recipe.toml", "network.json", "log.jsonl", "checkpoints/best.pt", "model.tflite", "model.onnx", "c/model.h", "results.json"})
    EXPECT_TRUE(fs::exists(run / file)) << file;
  EXPECT_THAT(read_text(run / "report.html"), AllOf(HasSubstr("8 of 8 outputs identical"), Not(HasSubstr("not run yet"))));

  // A second run takes another folder; a resumed one has nothing left to do; another recipe is refused.
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> c = {"train", "demo"};
    c.insert(c.end(), tiny.begin(), tiny.end());
    c.insert(c.end(), more.begin(), more.end());
    return micromind(c, folder.path());
  };
  EXPECT_THAT(with({}).err, HasSubstr("runs/demo-2"));
  const ProcessResult resumed = micromind({"run", "runs/demo", "--resume"}, folder.path());
  EXPECT_EQ(resumed.exit_status, 0) << resumed.err;
  EXPECT_THAT(resumed.err, AllOf(HasSubstr("train: done already"), Not(HasSubstr("epoch 1/1"))));
  const ProcessResult other = with({"--resume", "--set", "train.learning_rate=0.5"});
  EXPECT_EQ(other.exit_status, 1);
  EXPECT_THAT(other.err, HasSubstr("train.learning_rate"));

  EXPECT_EQ(json_of(micromind({"evaluate", "runs/demo", "--json"}, folder.path()))["int8_top1"], all["evaluate"]["int8_top1"]);
  EXPECT_EQ(json_of(micromind({"quantize", "runs/demo", "--json"}, folder.path()))["int8_top1"], all["evaluate"]["int8_top1"]);
  EXPECT_EQ(json_of(micromind({"export", "runs/demo", "--format", "onnx", "--json"}, folder.path()))["file"], "runs/demo/model.onnx");
  EXPECT_EQ(json_of(micromind({"inspect", "runs/demo", "--json"}, folder.path()))["peak_ram_bytes"], all["network"]["peak_ram_bytes"]);
  EXPECT_EQ(json_of(micromind({"inspect", "runs/demo/model.tflite", "--json"}, folder.path()))["peak_ram_bytes"], all["network"]["peak_ram_bytes"]);
  const json chip = json_of(micromind({"deploy", "runs/demo/model.tflite", "--target", "mps2-an386", "--emulate", "--inputs", "2", "--json"}, folder.path()));
  EXPECT_EQ(chip["outputs_identical"], 2);
  EXPECT_EQ(chip["folder"], "model-c");
  const json proof = json_of(micromind({"validate", "runs/demo", "--inputs", "3", "--json"}, folder.path()));
  EXPECT_EQ(proof["passed"], true);
  EXPECT_EQ(proof["chip_accuracy"]["samples"], 3);
  EXPECT_TRUE(proof.contains("to_float"));
  EXPECT_EQ(json::parse(read_text(folder.path() / "runs/demo/validation.json"))["outputs_identical"], 3);
  const json again = json_of(micromind({"deploy", "runs/demo", "--emulate", "--inputs", "3", "--json"}, folder.path()));
  EXPECT_EQ(again["outputs_identical"], 3);
  EXPECT_EQ(json_of(micromind({"report", "runs/demo", "--json"}, folder.path()))["report"], "runs/demo/report.html");

  // A picture: 2×2 pixels, PPM.
  write_atomic(folder.path() / "x.ppm", std::string("P6 2 2 255\n") + std::string(12, '\x80'));
  const json predicted = json_of(micromind({"predict", "runs/demo", "x.ppm", "--json"}, folder.path()));
  ASSERT_EQ(predicted["predictions"].size(), 1u);
  EXPECT_GT(predicted["predictions"][0]["probability"], 0.0);
  EXPECT_EQ(json_of(micromind({"predict", "runs/demo", "--float", "x.ppm", "--json"}, folder.path()))["int8"], false);
}

TEST(Cli, ANetworkThatDoesNotFitStopsBeforeTraining) {
  TemporaryFolder folder;
  const ProcessResult r = micromind({"run", "demo", "--set", "network.alpha=6", "--set", "network.t_zero=20", "--set", "deploy.target=nrf52840"}, folder.path());
  EXPECT_EQ(r.exit_status, 1);
  EXPECT_THAT(r.err, AllOf(HasSubstr("does not fit nrf52840"), HasSubstr("micromind train"), Not(HasSubstr("epoch"))));
}

}  // namespace
}  // namespace micromind
