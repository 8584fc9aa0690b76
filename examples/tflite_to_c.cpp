// Teaches: anybody's int8 .tflite to a folder of plain C, and what it needs on a chip. No data, no training.
//
//   build/example_tflite_to_c model.tflite model-c && make -C model-c test
//
// The folder compiles by itself; its own test compares every output byte with what this program computed.
#include <cstdio>

#include "micromind/base/error.h"
#include "micromind/base/text.h"
#include "micromind/cost/cost.h"
#include "micromind/deploy/emit.h"
#include "micromind/formats/tflite.h"

using namespace micromind;

int main(int argc, char** argv) try {
  if (argc != 3) fail_with_hint("example", "example_tflite_to_c model.tflite model-c", "expected a model and a folder");
  const Model model = read_tflite(argv[1]);  // throws one Error that lists every operator it cannot read
  if (!is_quantized(model)) fail_with_hint("example", "quantise it first", "{} is a float model", argv[1]);

  // The graph in an int8 file is what the chip runs, so it is costed as it is: same planner, same arena as in the C.
  const Lowered lowered = as_lowered(model.graph);
  const Cost cost = estimate_cost(model.graph, lowered);
  std::printf("%s: %zu layers, %s MACs, arena %s, flash %s\n", argv[1], model.graph.nodes().size(),
              format_count(cost.macs).c_str(), format_bytes(cost.peak_ram_bytes).c_str(),
              format_bytes(cost.flash_bytes).c_str());
  for (const std::string& name : target_names())
    std::printf("  %s\n", check_fit(cost, lowered, load_target(name)).text.c_str());

  write_c(model, argv[2]);  // {.prefix = "wakeword"} names the functions wakeword_run() and so on
  std::printf("%s/model.h declares model_run(); try: make -C %s test\n", argv[2], argv[2]);
  return 0;
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
