// The proof that a chip computes what this computer does: outputs byte by byte, layers byte by byte, and how far both
// are from the float network, as the usual error measures.
//
//   const Proof p = prove(model, inputs, chip, {.labels = labels, .real = &float_network});
//   p.identical(), p.first_difference, p.to_host.argmax, p.chip_accuracy->top1
//
// The chip's bytes come from an emulated core (harness.h) or from a board over a serial line (serial.h); who computed
// them makes no difference here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "micromind/graph/model.h"
#include "micromind/metrics/classification.h"

namespace micromind {

using ByteTensor = std::vector<std::int8_t>;

/// What a chip computed.
struct ChipValues {
  std::vector<ByteTensor> outputs;              ///< per input, all of the graph's outputs one after another
  std::vector<std::vector<ByteTensor>> layers;  ///< of the first inputs (or none): per output of every node, in node order
  std::vector<std::int64_t> instructions;       ///< per output of every node, first input; may be empty
};

struct LayerMeasurement {
  std::string name, kernel;
  std::int64_t macs = 0;
  std::int64_t instructions = 0;         ///< of the first input, with what the trace hook adds (some ten); 0: not counted
  bool identical = false;                ///< every byte of its outputs equals the host's, in all inputs that were traced
  std::int64_t bytes = 0;                ///< compared
  std::int64_t differing = 0;            ///< of these, other than the host's
  std::optional<OutputDifference> to_host = {};   ///< chip against host, as real numbers
  std::optional<OutputDifference> to_float = {};  ///< chip against the float network
  std::optional<double> cycles = {};              ///< an estimate, see Validation
};

/// Of all inputs' outputs taken as one vector of real numbers.
struct Agreement {
  OutputDifference difference;
  double argmax = 0;  ///< share of inputs whose largest value of the first output is at the same place
};

struct Proof {
  std::int64_t outputs_compared = 0,
               outputs_identical = 0;  ///< inferences whose every output byte was compared
  std::string first_difference;        ///< "" when all is identical
  std::vector<LayerMeasurement> layers;
  Agreement to_host;                                ///< chip against host
  std::optional<Agreement> to_float, host_to_float; ///< chip, and host, against the float network
  std::optional<ClassificationResult> chip_accuracy, host_accuracy, float_accuracy;  ///< where labels are at hand

  bool identical() const {
    return outputs_compared > 0 && outputs_identical == outputs_compared && first_difference.empty();
  }
};

/// A float network beside an int8 model made of it. It sees what the int8 model sees: its inputs are the int8 ones as
/// real numbers.
class FloatNetwork {
 public:
  /// Keeps references. `layers`: compare layers too; not where the int8 model's were rescaled against each other
  /// (equalisation). Throws Error when the two networks' inputs or outputs differ.
  FloatNetwork(const Model& int8_model, const Graph& graph, const Weights& weights, bool layers = true);
  ~FloatNetwork();

  struct Values {
    std::vector<std::vector<float>> outputs;                ///< (C, H, W)
    std::vector<std::optional<std::vector<float>>> layers;  ///< per output of every node of the int8 model, where it has a name in both
  };
  Values run(const ByteTensor& input) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct ProofOptions {
  std::vector<std::int64_t> labels;      ///< one an input, or none: classes of the first output
  const FloatNetwork* real = nullptr;
};

/// Runs `inputs` on the host and compares. Throws Error when counts do not fit or a label is no class.
Proof prove(const Model& model, const std::vector<ByteTensor>& inputs, const ChipValues& chip, const ProofOptions& options = {});

/// Names, kernels and MACs of the layers, with nothing measured.
std::vector<LayerMeasurement> describe_layers(const Graph& graph);

/// Keys of both `deploy --emulate --json` and `validate --json`.
nlohmann::json to_json(const LayerMeasurement& layer);
nlohmann::json to_json(const OutputDifference& difference);

}  // namespace micromind
