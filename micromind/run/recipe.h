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
  /// Share of an epoch's images that may fail to decode: they are counted, reported and replaced by others (training) or
  /// left out; beyond it training stops.
  double damaged_share = 0.01;
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
    visit("damaged_share", self.damaged_share);
    visit("mean", self.mean);
    visit("deviation", self.deviation);
  }
};

/// Random changes of the training images; all off by default (data/augment.h says what each does).
struct AugmentSection {
  bool horizontal_flip = false;
  int crop_padding = 0;         ///< random crop after padding so many zero pixels
  double rotation_degrees = 0;  ///< ±
  double zoom = 0;              ///< factor 1 ±
  double brightness = 0, contrast = 0, saturation = 0;  ///< factors 1 ±
  std::int64_t randaugment = 0;          ///< operations an image (Cubuk et al., 2020); 0: off
  double randaugment_magnitude = 9;      ///< 0 to 30
  double erase_probability = 0;          ///< random erasing (Zhong et al., 2020)
  double mixup = 0;                      ///< α of Beta(α, α) (Zhang et al., ICLR 2018); 0: off
  double cutmix = 0;                     ///< α of Beta(α, α) (Yun et al., ICCV 2019); with mixup: one of the two, by the toss of a coin
  double mix_probability = 1;            ///< share of the batches that mixup or cutmix changes
  std::int64_t plain_epochs = 0;         ///< at the end without mixup and cutmix

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("horizontal_flip", self.horizontal_flip);
    visit("crop_padding", self.crop_padding);
    visit("rotation_degrees", self.rotation_degrees);
    visit("zoom", self.zoom);
    visit("brightness", self.brightness);
    visit("contrast", self.contrast);
    visit("saturation", self.saturation);
    visit("randaugment", self.randaugment);
    visit("randaugment_magnitude", self.randaugment_magnitude);
    visit("erase_probability", self.erase_probability);
    visit("mixup", self.mixup);
    visit("cutmix", self.cutmix);
    visit("mix_probability", self.mix_probability);
    visit("plain_epochs", self.plain_epochs);
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
  std::int64_t batch_size = 128;  ///< of a process
  std::int64_t accumulate = 1;    ///< batches whose gradients a step sums up
  std::string optimizer = "adam";  ///< sgd, adam, adamw, lamb, rmsprop
  double learning_rate = 1e-3;     ///< the peak
  double momentum = 0.9;           ///< sgd, rmsprop
  bool nesterov = true;            ///< sgd
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< adam, adamw, lamb; rmsprop: epsilon
  double smoothing = 0.99;         ///< rmsprop: of the mean square
  double weight_decay = 0;
  bool decay_norm_and_bias = true;  ///< false: biases and batch norms are left out of weight decay
  double layer_decay = 1;  ///< the rate of a layer is multiplied by this once for every layer behind it
  double clip_norm = 0;    ///< largest norm of all gradients together; 0: any
  double clip_value = 0;   ///< largest magnitude of a gradient's element; 0: any
  double ema_decay = 0;    ///< moving average of the weights, validated and kept in place of them; 0: off
  std::string schedule = "cosine";  ///< cosine, step, one_cycle, plateau, constant
  double warmup_epochs = 0;         ///< linear from warmup_learning_rate to the peak
  double warmup_learning_rate = 0;
  double final_learning_rate = 0;   ///< where cosine and one_cycle end; the least of plateau
  std::vector<double> step_epochs;  ///< step: the rate is multiplied by step_factor after each of these
  double step_factor = 0.1;         ///< step, plateau
  double one_cycle_rise = 0.3;      ///< one_cycle: share of the run until the peak
  std::int64_t plateau_patience = 5;  ///< plateau: so many validations without a better one are waited for, the next lowers the rate
  std::string loss = "cross_entropy";  ///< cross_entropy, bce (a sigmoid a class)
  double label_smoothing = 0;
  std::string initial;                ///< fine-tune from this: a run folder, a .pt or a .safetensors; empty: random weights
  std::vector<std::string> initial_except;  ///< parameters that stay random: names or beginnings of names ("classifier.")
  std::vector<std::string> freeze;    ///< layers that keep their weights and statistics: names, or beginnings of names up to a dot
  std::int64_t validate_every_epochs = 1;  ///< and after the last one; with both 0: never, the last weights are the best
  std::int64_t validate_every_steps = 0;   ///< beside the epochs'; 0: none
  std::int64_t early_stop = 0;  ///< validations without a better one before training ends; 0: off
  std::int64_t keep_best = 1;   ///< so many best checkpoints
  int threads = 0;         ///< of the trainer; 0: one a core
  int loader_threads = 1;  ///< change nothing but speed
  bool channels_last = true;
  std::string precision = "float32";  ///< float32, bfloat16 (products and images between them; weights stay float32)
  bool sync_batch_norm = false;       ///< several processes: statistics over all of them
  double rank_timeout = 300;          ///< several processes: seconds after which one that does not answer ends the run
  std::int64_t checkpoint_every_steps = 0;  ///< beside the one every epoch; 0: none
  std::string device = "cpu";

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("task", self.task);
    visit("epochs", self.epochs);
    visit("batch_size", self.batch_size);
    visit("accumulate", self.accumulate);
    visit("optimizer", self.optimizer);
    visit("learning_rate", self.learning_rate);
    visit("momentum", self.momentum);
    visit("nesterov", self.nesterov);
    visit("beta1", self.beta1);
    visit("beta2", self.beta2);
    visit("epsilon", self.epsilon);
    visit("smoothing", self.smoothing);
    visit("weight_decay", self.weight_decay);
    visit("decay_norm_and_bias", self.decay_norm_and_bias);
    visit("layer_decay", self.layer_decay);
    visit("clip_norm", self.clip_norm);
    visit("clip_value", self.clip_value);
    visit("ema_decay", self.ema_decay);
    visit("schedule", self.schedule);
    visit("warmup_epochs", self.warmup_epochs);
    visit("warmup_learning_rate", self.warmup_learning_rate);
    visit("final_learning_rate", self.final_learning_rate);
    visit("step_epochs", self.step_epochs);
    visit("step_factor", self.step_factor);
    visit("one_cycle_rise", self.one_cycle_rise);
    visit("plateau_patience", self.plateau_patience);
    visit("loss", self.loss);
    visit("label_smoothing", self.label_smoothing);
    visit("initial", self.initial);
    visit("initial_except", self.initial_except);
    visit("freeze", self.freeze);
    visit("validate_every_epochs", self.validate_every_epochs);
    visit("validate_every_steps", self.validate_every_steps);
    visit("early_stop", self.early_stop);
    visit("keep_best", self.keep_best);
    visit("threads", self.threads);
    visit("loader_threads", self.loader_threads);
    visit("channels_last", self.channels_last);
    visit("precision", self.precision);
    visit("sync_batch_norm", self.sync_batch_norm);
    visit("rank_timeout", self.rank_timeout);
    visit("checkpoint_every_steps", self.checkpoint_every_steps);
    visit("device", self.device);
  }
};

/// Knowledge distillation (Hinton et al., 2015): loss = (1 − weight) · loss + weight · T² · KL(teacher / T ‖ network / T).
struct DistillSection {
  std::string teacher;     ///< the run folder of a trained network of the same classes and input; empty: off
  double weight = 0.5;
  double temperature = 4;  ///< T

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("teacher", self.teacher);
    visit("weight", self.weight);
    visit("temperature", self.temperature);
  }
};

struct QuantizeSection {
  std::string calibration = "percentile";  ///< minmax, percentile, mse
  double percentile = 99.99;               ///< share of the values kept, in percent
  std::int64_t samples = 512;              ///< calibration images, from the training set
  bool equalize = false;         ///< cross-layer equalisation before calibration (Nagel et al., ICCV 2019, section 4.1)
  bool correct_bias = false;     ///< bias correction on the calibration images (the same, section 4.2)
  bool qat = false;              ///< quantisation-aware training after the float one
  std::int64_t qat_epochs = 5;
  double qat_learning_rate = 1e-4;
  std::string qat_ranges = "average";  ///< average (moving, of what is seen), learned

  template <class Self, class Visit>
  static void attributes(Self& self, Visit&& visit) {
    visit("calibration", self.calibration);
    visit("percentile", self.percentile);
    visit("samples", self.samples);
    visit("equalize", self.equalize);
    visit("correct_bias", self.correct_bias);
    visit("qat", self.qat);
    visit("qat_epochs", self.qat_epochs);
    visit("qat_learning_rate", self.qat_learning_rate);
    visit("qat_ranges", self.qat_ranges);
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
  AugmentSection augment;
  DesignSection design;
  NetworkSection network;
  TrainSection train;
  DistillSection distill;
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
