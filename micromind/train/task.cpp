#include "micromind/train/task.h"

#include <ATen/core/Tensor.h>

#include "micromind/base/error.h"

namespace micromind {

LambdaTask::LambdaTask(TaskFunctions functions) : functions_(std::move(functions)) {
  if (!functions_.loss) fail("task", "a task needs a loss");
  if (functions_.steps_per_epoch < 1) fail("task", "steps_per_epoch = {}: expected at least 1", functions_.steps_per_epoch);
  if (functions_.images < 1) fail("task", "images = {}: expected at least 1", functions_.images);
}

void LambdaTask::start_epoch(std::int64_t epoch, std::int64_t first_step) { batch_ = epoch * functions_.steps_per_epoch + first_step; }

at::Tensor LambdaTask::next_loss(GraphModule& module, std::int64_t& images) {
  images = functions_.images;
  return functions_.loss(module, batch_++);
}

}  // namespace micromind
