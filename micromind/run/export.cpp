#include "micromind/run/export.h"

#include "micromind/formats/checkpoint.h"
#include "micromind/formats/onnx.h"
#include "micromind/formats/pytorch.h"
#include "micromind/formats/tensor_file.h"
#include "micromind/networks/registry.h"

namespace micromind {

Model trained_model(const RunFolder& run) {
  return {load_graph(run.need(run.network_file(), "train").string()), load_checkpoint(run.need(run.checkpoints() / "best.pt", "train"))};
}

nlohmann::json export_onnx(RunFolder& run) {
  write_onnx(trained_model(run), run.onnx_file());
  nlohmann::json result = {{"onnx", run.onnx_file().string()}};
  std::error_code ignored;
  if (std::filesystem::exists(run.tflite_file(), ignored)) result["tflite"] = run.tflite_file().string();
  run.set_result("export", result);
  return result;
}

void export_weights(const RunFolder& run, const std::filesystem::path& file, ParameterNames names) {
  const Model model = trained_model(run);
  std::map<std::string, std::string> keys;
  if (names == ParameterNames::reference) keys = reference_names(model.graph, run.recipe().network.family);
  write_tensor_file(file, state_from_weights(model.weights, keys), {{"format", "pt"}});
}

}  // namespace micromind
