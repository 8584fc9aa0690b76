// What the trainer does beside plain steps: accumulation, averaging, freezing, when it validates, what it keeps, callbacks.
#include <ATen/ops/mse_loss.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/formats/checkpoint.h"
#include "micromind/train/callback.h"
#include "micromind/train/run_log.h"
#include "train/toy.h"

namespace micromind::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::set<std::string> files_of(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints")) names.insert(entry.path().filename().string());
  return names;
}

// y = Wx of 12 fixed rows, in batches that end where `bounds` say.
struct Rows {
  at::Tensor x = at::empty({12, 4}), y = at::empty({12, 2});
  Rows() {
    Random random(5);
    for (const at::Tensor& t : {x, y})
      for (std::int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = random.normal();
  }
};

class RowsTask : public Task {
 public:
  explicit RowsTask(std::vector<std::int64_t> bounds) : bounds_(std::move(bounds)) {}
  std::int64_t steps_per_epoch() const override { return static_cast<std::int64_t>(bounds_.size()) - 1; }
  void start_epoch(std::int64_t, std::int64_t first) override { next_ = static_cast<std::size_t>(first); }
  at::Tensor next_loss(GraphModule& module, std::int64_t& images) override {
    const std::int64_t first = bounds_[next_], last = bounds_[next_ + 1];
    ++next_;
    images = last - first;
    return at::mse_loss(module.forward(rows_.x.slice(0, first, last)), rows_.y.slice(0, first, last));
  }
  bool validates() const override { return false; }
  Metrics validate(GraphModule&) override { return {}; }
  std::string best_metric() const override { return ""; }

 private:
  Rows rows_;
  std::vector<std::int64_t> bounds_;
  std::size_t next_ = 0;
};

Graph linear_graph() {
  Graph g("linear");
  g.add_output("y", g.add("linear", Linear{.out_features = 2}, {g.add("flatten", Flatten{}, {g.add_input("x", {4})})}));
  return g;
}

double distance(const Weights& a, const Weights& b) {
  double most = 0;
  for (const auto& [name, array] : a)
    for (std::size_t i = 0; i < array.values<float>().size(); ++i)
      most = std::max<double>(most, std::abs(array.values<float>()[i] - b.at(name).values<float>()[i]));
  return most;
}

TEST(TrainerFeatures, AccumulatedBatchesAreOneBatch) {
  const auto train = [](std::vector<std::int64_t> bounds, std::int64_t accumulate, TrainResult& result) {
    TemporaryFolder folder;
    RowsTask task(bounds);
    GraphModule module(linear_graph(), {.seed = 3});
    TrainSection t{.epochs = 5, .accumulate = accumulate, .optimizer = "sgd", .learning_rate = 0.1, .clip_norm = 0.3};
    t.threads = 1;
    result = Trainer(task, module, {t, 3, folder.path()}).run();
    return module.to_weights();
  };
  TrainResult whole_result, parts_result;
  // Steps of 8 rows and of 4; as batches of 3, 3, 2 and a group that is shorter: 4.
  const Weights whole = train({0, 8, 12}, 1, whole_result), parts = train({0, 3, 6, 8, 12}, 3, parts_result);
  EXPECT_EQ(whole_result.steps, 10);
  EXPECT_EQ(parts_result.steps, 10);
  EXPECT_NEAR(whole_result.loss, parts_result.loss, 1e-6);
  EXPECT_LT(distance(whole, parts), 1e-6);
  EXPECT_GT(distance(whole, GraphModule(linear_graph(), {.seed = 3}).to_weights()), 0.01);
}

TEST(TrainerFeatures, TheAverageFollowsItsFormulaAndIsWhatIsValidatedAndKept) {
  struct Oracle : TrainCallback {
    const GraphModule* module;
    std::map<std::string, std::vector<double>> average;
    double steps = 0;
    void take(double d) {
      for (const auto& [name, array] : module->to_weights()) {
        std::vector<double>& a = average[name];
        a.resize(array.values<float>().size());
        for (std::size_t i = 0; i < a.size(); ++i) a[i] = d * a[i] + (1 - d) * array.values<float>()[i];
      }
    }
    void on_start(TrainEvent&) override { take(0); }
    void on_step(TrainEvent&) override {
      take(std::min(0.6, (1 + steps) / (10 + steps)));
      ++steps;
    }
  };
  TemporaryFolder folder;
  ToyTask task;
  GraphModule module(toy_graph(), {.seed = 4});
  Oracle oracle;
  oracle.module = &module;
  TrainSection t = toy_section();
  t.ema_decay = 0.6;
  const TrainResult result = Trainer(task, module, {t, 4, folder.path(), {.callbacks = {&oracle}}}).run();
  const Checkpoint last = read_checkpoint(folder.path() / "checkpoints/last.pt");
  ASSERT_EQ(last.average.size(), last.weights.size());
  EXPECT_NE(last.average, last.weights);
  for (const auto& [name, array] : last.average)
    for (std::size_t i = 0; i < array.values<float>().size(); ++i)
      EXPECT_NEAR(array.values<float>()[i], oracle.average.at(name)[i], 1e-5 * (1 + std::abs(oracle.average.at(name)[i]))) << name;
  EXPECT_EQ(module.to_weights(), last.average);  // the module ends with it
  module.eval();
  EXPECT_EQ(task.validate(module), result.last);
  GraphModule best(toy_graph());
  best.load(load_checkpoint(folder.path() / "checkpoints/best.pt"));
  best.eval();
  EXPECT_EQ(task.validate(best), result.best);
}

TEST(TrainerFeatures, FrozenLayersStayThroughTraining) {
  TemporaryFolder folder;
  ToyTask task;
  GraphModule module(toy_graph(), {.seed = 4});
  const Weights before = module.to_weights();
  TrainSection t = toy_section();
  t.freeze = {"conv", "norm"};
  t.weight_decay = 0.1;
  Trainer(task, module, {t, 4, folder.path()}).run();
  for (const auto& [name, array] : module.to_weights())
    EXPECT_EQ(array == before.at(name), name.starts_with("conv") || name.starts_with("norm")) << name;
}

// Validations that score as told; the network does not matter.
TrainResult train_scripted(const fs::path& folder, TrainSection t, std::vector<double> scores, TrainHooks hooks = {}) {
  std::size_t next = 0;
  Rows rows;
  LambdaTask task({.steps_per_epoch = 4,
                   .loss = [&](GraphModule& module, std::int64_t) { return at::mse_loss(module.forward(rows.x), rows.y); },
                   .validate = [&](GraphModule&) { return Metrics{{"score", scores.at(next++)}}; },
                   .best = "score",
                   .higher_is_better = true});
  GraphModule module(linear_graph(), {.seed = 3});
  t.threads = 1;
  return Trainer(task, module, {t, 3, folder, hooks}).run();
}

std::vector<std::int64_t> validated_steps(const fs::path& folder) {
  std::vector<std::int64_t> steps;
  for (const nlohmann::json& line : read_log(folder / "log.jsonl"))
    if (line.contains("validation")) steps.push_back(line.at("step"));
  return steps;
}

TEST(TrainerFeatures, ValidatesWhenToldAndAlwaysAtTheEnd) {
  TemporaryFolder by_epochs, by_steps, both, never;
  TrainSection t{.epochs = 5};
  t.validate_every_epochs = 2;
  train_scripted(by_epochs.path(), t, {1, 2, 3});
  EXPECT_THAT(validated_steps(by_epochs.path()), ElementsAre(8, 16, 20));
  t.validate_every_epochs = 0;
  t.validate_every_steps = 6;
  std::vector<std::string> shown;
  train_scripted(by_steps.path(), t, {1, 2, 3, 4}, {.progress = [&](const TrainProgress& p) { if (p.notable()) shown.push_back(progress_text(p)); }});
  EXPECT_THAT(validated_steps(by_steps.path()), ElementsAre(6, 12, 18, 20));
  ASSERT_EQ(shown.size(), 7u);  // five epochs, two validations within one
  EXPECT_THAT(shown[1], HasSubstr("epoch 2/5  step 6/20  loss"));
  t.validate_every_epochs = 1;
  t.validate_every_steps = 4;
  train_scripted(both.path(), t, {1, 2, 3, 4, 5});  // once where both are due
  EXPECT_THAT(validated_steps(both.path()), ElementsAre(4, 8, 12, 16, 20));
  t.validate_every_epochs = t.validate_every_steps = 0;
  const TrainResult result = train_scripted(never.path(), t, {});
  EXPECT_TRUE(validated_steps(never.path()).empty());
  EXPECT_TRUE(result.best.empty() && result.last.empty());
  EXPECT_EQ(load_checkpoint(never.path() / "checkpoints/best.pt"), load_checkpoint(never.path() / "checkpoints/last.pt"));
}

TEST(TrainerFeatures, KeepsTheBestSoManyAndRemovesWhatIsOvertaken) {
  TemporaryFolder folder;
  TrainSection t{.epochs = 5};
  t.keep_best = 2;
  const TrainResult result = train_scripted(folder.path(), t, {0.5, 0.1, 0.7, 0.6, 0.6});
  EXPECT_EQ(files_of(folder.path()), (std::set<std::string>{"best.pt", "best-step-12.pt", "best-step-16.pt", "last.pt"}));
  EXPECT_EQ(load_checkpoint(folder.path() / "checkpoints/best.pt"), load_checkpoint(folder.path() / "checkpoints/best-step-12.pt"));
  EXPECT_EQ(result.best_step, 12);
  EXPECT_EQ(result.best_epoch, 3);
  t.keep_best = 1;
  train_scripted(folder.path(), t, {1, 2, 3, 4, 5});  // a new run forgets the old one's
  EXPECT_EQ(files_of(folder.path()), (std::set<std::string>{"best.pt", "last.pt"}));
  fs::remove(folder.path() / "checkpoints/best.pt");
  EXPECT_THAT([&] { train_scripted(folder.path(), t, {}, {.resume = true}); }, ::testing::ThrowsMessage<Error>(HasSubstr("is missing")));
}

TEST(TrainerFeatures, StopsEarlyAndStaysStopped) {
  TemporaryFolder folder;
  TrainSection t{.epochs = 9};
  t.early_stop = 2;
  const TrainResult result = train_scripted(folder.path(), t, {0.5, 0.6, 0.6, 0.7, 0.1, 0.7});
  EXPECT_TRUE(result.stopped_early);
  EXPECT_EQ(result.epochs, 6);
  EXPECT_EQ(result.best_epoch, 4);
  const TrainResult again = train_scripted(folder.path(), t, {}, {.resume = true});
  EXPECT_TRUE(again.stopped_early);
  EXPECT_EQ(again.steps, result.steps);
  TemporaryFolder within;  // an epoch
  t.validate_every_steps = 3;
  t.validate_every_epochs = 0;
  EXPECT_EQ(train_scripted(within.path(), t, {0.5, 0.4, 0.3}).steps, 9);
  EXPECT_EQ(train_scripted(within.path(), t, {}, {.resume = true}).steps, 9);
}

TEST(TrainerFeatures, PlateauLowersTheRateOfTheStepsThatFollow) {
  TemporaryFolder folder;
  TrainSection t{.epochs = 4, .learning_rate = 0.1, .schedule = "plateau"};
  t.plateau_patience = 0;
  train_scripted(folder.path(), t, {0.5, 0.4, 0.6, 0.5}, {.log_every_steps = 4});
  std::vector<double> rates;
  for (const nlohmann::json& line : read_log(folder.path() / "log.jsonl"))
    if (line.at("kind") == "epoch") rates.push_back(line.at("learning_rate"));
  EXPECT_THAT(rates, ElementsAre(0.1, 0.1, ::testing::DoubleNear(0.01, 1e-12), ::testing::DoubleNear(0.01, 1e-12)));
}

struct Counter : TrainCallback {
  std::string own_name = "counter", calls;
  int steps = 0, stop_at = -1;
  void on_start(TrainEvent&) override { calls += 's'; }
  void on_step(TrainEvent& e) override { e.stop = ++steps == stop_at; }
  void on_validation(TrainEvent& e) override { calls += e.weights().empty() ? '?' : 'v'; }
  void on_epoch(TrainEvent& e) override { calls += e.seconds > 0 ? 'e' : '?'; }
  void on_end(TrainEvent&) override { calls += '.'; }
  std::string name() const override { return own_name; }
  nlohmann::json state() const override { return steps; }
  void load_state(const nlohmann::json& state) override { state.get_to(steps); }
};

TEST(TrainerFeatures, CallbacksAreCalledKeptAndMayStopTheRun) {
  TemporaryFolder folder;
  TrainSection t{.epochs = 3};
  Counter first, second;
  first.stop_at = 6;
  const TrainResult result = train_scripted(folder.path(), t, {1, 2, 3}, {.callbacks = {&first}});
  EXPECT_EQ(first.calls, "sve.");
  EXPECT_EQ(result.steps, 6);
  EXPECT_TRUE(result.stopped_early);
  train_scripted(folder.path(), t, {}, {.resume = true, .callbacks = {&second}});
  EXPECT_EQ(second.steps, 6) << "its state came back";
  EXPECT_EQ(second.calls, "s.");
  EXPECT_THROW(train_scripted(folder.path(), t, {}, {.callbacks = {&first, &second}}), Error);
  second.own_name = "early_stop";
  t.early_stop = 1;
  EXPECT_THROW(train_scripted(folder.path(), t, {}, {.callbacks = {&second}}), Error);
}

TEST(TrainerFeatures, LogsTrainingMetricsBesideThoseOfValidation) {
  TemporaryFolder folder;
  ToyTask task;
  GraphModule module(toy_graph(), {.seed = 4});
  TrainSection t = toy_section();
  t.epochs = 8;
  Trainer(task, module, {t, 4, folder.path()}).run();
  const nlohmann::json line = read_log(folder.path() / "log.jsonl").back();
  EXPECT_GT(line.at("train").at("top1").get<double>(), 0.5);
  EXPECT_TRUE(line.at("train").contains("recall/columns"));
  EXPECT_TRUE(line.at("validation").contains("top1"));
}

TEST(TrainerFeatures, RefusesTheCheckpointOfAnotherNetworkAndABestMetricThatIsNotThere) {
  TemporaryFolder folder;
  TrainSection t{.epochs = 1};
  train_scripted(folder.path(), t, {1});
  Graph wider("wider");
  wider.add_output("y", wider.add("linear", Linear{.out_features = 3}, {wider.add("flatten", Flatten{}, {wider.add_input("x", {4})})}));
  GraphModule module(wider);
  TaskFunctions functions{.steps_per_epoch = 4, .loss = [](GraphModule&, std::int64_t) { return at::Tensor(); }};
  functions.validate = [](GraphModule&) { return Metrics{}; };
  LambdaTask task(functions);
  t.threads = 1;
  EXPECT_THAT([&] { Trainer(task, module, {t, 3, folder.path(), {.resume = true}}).run(); }, ::testing::ThrowsMessage<Error>(HasSubstr("linear.weight")));
  Rows rows;
  GraphModule linear(linear_graph());
  functions.loss = [&](GraphModule& m, std::int64_t) { return at::mse_loss(m.forward(rows.x), rows.y); };
  LambdaTask no_metric(functions);
  EXPECT_THAT([&] { Trainer(no_metric, linear, {t, 3, folder.path()}).run(); }, ::testing::ThrowsMessage<Error>(HasSubstr("'loss'")));
  functions.loss = {};
  EXPECT_THROW(LambdaTask{functions}, Error);
}

}  // namespace
}  // namespace micromind::testing
