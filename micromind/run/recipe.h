// A recipe: everything that decides a run, as TOML. One section is one struct; a key is one member, listed once in
// `attributes`. Unknown keys are errors that name the nearest known one; `--set train.epochs=5` overrides; the
// resolved recipe is stored with the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace micromind {

struct RunSection {
  std::string name;        ///< the run folder below runs/; empty: the recipe's file name
  std::uint64_t seed = 0;  ///< every random choice derives from it

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("name", self.name);
    visit("seed", self.seed);
  }
};

struct DataSection {
  std::string name = "glyphs";   ///< `micromind datasets` lists them
  std::string folder;            ///< where it lies; empty: below MICROMIND_DATA, ../shared/data or data
  double validation_share = 0;   ///< share of the training set held out; 0: validate on the test set
  std::int64_t train_limit = 0;  ///< use so many training images; 0: all
  std::int64_t test_limit = 0;
  int image_size = 0;            ///< resize folder images to this side; 0: as the set is
  int channels = 3;              ///< 1 grey, 3 RGB (folder images)
  bool horizontal_flip = false;
  int crop_padding = 0;          ///< random crop after padding so many zero pixels; 0: none
  std::vector<double> mean, deviation;  ///< per channel, of pixels in [0, 1]; empty: the data set's own

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("name", self.name);
    visit("folder", self.folder);
    visit("validation_share", self.validation_share);
    visit("train_limit", self.train_limit);
    visit("test_limit", self.test_limit);
    visit("image_size", self.image_size);
    visit("channels", self.channels);
    visit("horizontal_flip", self.horizontal_flip);
    visit("crop_padding", self.crop_padding);
    visit("mean", self.mean);
    visit("deviation", self.deviation);
  }
};

/// The family and its options; the options' keys are the family's own (networks/registry.h checks them). Input shape
/// and class count come from the data unless given.
struct NetworkSection {
  std::string family = "phinet";
  nlohmann::json options = nlohmann::json::object();
};

/// Present: the family's hyperparameters are chosen to fill a budget (scaling/design.h) before anything else, and
/// [network] names the family and what is fixed. The board is deploy.target; the limits tighten its own.
struct DesignSection {
  bool present = false;         ///< the recipe has the section; no key
  std::string ram, flash, macs; ///< "320kB", "1MB", "60M"; empty: the board's, MACs without limit
  double latency_ms = 0;        ///< 0: no limit
  std::string least_flash, least_macs;  ///< at least so large; empty: any size
  std::string objective = "fill";       ///< fill, macs, latency
  std::vector<double> weights;          ///< of RAM, flash, MACs and latency in "fill"; empty: 1, 1, 1, 0
  nlohmann::json space = nlohmann::json::object();  ///< knobs narrowed: {alpha = [0.1, 2], num_layers = [5, 7]}
  std::string solver = "exact";         ///< exact, bonmin

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("ram", self.ram);
    visit("flash", self.flash);
    visit("macs", self.macs);
    visit("latency_ms", self.latency_ms);
    visit("least_flash", self.least_flash);
    visit("least_macs", self.least_macs);
    visit("objective", self.objective);
    visit("weights", self.weights);
    visit("space", self.space);
    visit("solver", self.solver);
  }
};

struct TrainSection {
  std::string task = "classification";
  std::int64_t epochs = 10;
  std::int64_t batch_size = 128;
  std::string optimizer = "adam";  ///< sgd, adam, adamw
  double learning_rate = 1e-3;     ///< the peak
  double momentum = 0.9;           ///< sgd
  bool nesterov = true;            ///< sgd
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< adam, adamw
  double weight_decay = 0;
  std::string schedule = "cosine";  ///< cosine, constant; per step
  double warmup_epochs = 0;         ///< linear from warmup_learning_rate to the peak
  double warmup_learning_rate = 0;
  double final_learning_rate = 0;  ///< where cosine ends
  double label_smoothing = 0;
  int threads = 0;         ///< of the trainer; 0: one a core
  int loader_threads = 1;  ///< change nothing but speed
  bool channels_last = true;
  std::int64_t checkpoint_every_steps = 0;  ///< beside the one every epoch; 0: none
  std::string device = "cpu";

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("task", self.task);
    visit("epochs", self.epochs);
    visit("batch_size", self.batch_size);
    visit("optimizer", self.optimizer);
    visit("learning_rate", self.learning_rate);
    visit("momentum", self.momentum);
    visit("nesterov", self.nesterov);
    visit("beta1", self.beta1);
    visit("beta2", self.beta2);
    visit("epsilon", self.epsilon);
    visit("weight_decay", self.weight_decay);
    visit("schedule", self.schedule);
    visit("warmup_epochs", self.warmup_epochs);
    visit("warmup_learning_rate", self.warmup_learning_rate);
    visit("final_learning_rate", self.final_learning_rate);
    visit("label_smoothing", self.label_smoothing);
    visit("threads", self.threads);
    visit("loader_threads", self.loader_threads);
    visit("channels_last", self.channels_last);
    visit("checkpoint_every_steps", self.checkpoint_every_steps);
    visit("device", self.device);
  }
};

struct QuantizeSection {
  std::string calibration = "percentile";  ///< minmax, percentile, mse
  double percentile = 99.99;               ///< share of the values kept, in percent
  std::int64_t samples = 512;              ///< calibration images, from the training set

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("calibration", self.calibration);
    visit("percentile", self.percentile);
    visit("samples", self.samples);
  }
};

struct DeploySection {
  std::string target = "stm32h743";  ///< `micromind targets` lists them
  bool emulate = true;
  std::int64_t inputs = 100;  ///< how many test images the chip and the host are compared on

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("target", self.target);
    visit("emulate", self.emulate);
    visit("inputs", self.inputs);
  }
};

struct Recipe {
  RunSection run;
  DataSection data;
  DesignSection design;
  NetworkSection network;
  TrainSection train;
  QuantizeSection quantize;
  DeploySection deploy;
};

/// Reads a recipe: a path, or the name of one that the binary carries ("demo"). `overrides` are "section.key=value".
/// Throws Error with file, line and the nearest known key.
Recipe load_recipe(const std::string& path_or_name, const std::vector<std::string>& overrides = {});
Recipe parse_recipe(std::string_view toml, std::string_view where, const std::vector<std::string>& overrides = {});

/// The recipe as TOML that load_recipe reads back: whole, with every default filled in, or only what differs from them.
std::string to_toml(const Recipe& recipe, bool with_defaults = true);
std::vector<std::string> recipe_names();  ///< those that the binary carries

}  // namespace micromind
