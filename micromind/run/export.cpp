#include "micromind/run/export.h"

#include "micromind/formats/checkpoint.h"
#include "micromind/formats/onnx.h"

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

}  // namespace micromind
