/* Fully connected layer for cores with the vector extension, on weights laid out for it (mve_s8.h).
 *
 * The bytes are those of linear_s8.h, whose parameter struct serves here too; only `weights` differs, which hold bias,
 * multipliers and shifts.
 */
#ifndef MICROMIND_RUNTIME_KERNELS_MVE_LINEAR_S8_H
#define MICROMIND_RUNTIME_KERNELS_MVE_LINEAR_S8_H

#include "linear_s8.h"
#include "mve_s8.h"

#if MM_HAS_MVE

#ifdef __cplusplus
extern "C" {
#endif

/* columns: scratch of in_features bytes, rounded up to 16; unused where in_features is a multiple of 16. */
static inline void mm_mve_linear_s8(const mm_linear_s8_params* p, const int8_t* input, int8_t* output, uint32_t* columns) {
  mm_mve_job job;
  job.x0 = input;
  if ((p->in_features & 15) != 0) {
    mm_mve_copy((int8_t*)columns, input, p->in_features);
    job.x0 = (const int8_t*)columns;
  }
  job.more_steps = (p->in_features + 15) / 16 - 1;
  job.output_offset = p->output_offset;
  if (p->per_channel) {
    mm_mve_pixels(&job, mm_mve_one_pixel, p->weights, p->out_features, output, NULL, MM_MVE_CONSTANTS);
  } else {
    job.x1 = p->weights;
    mm_mve_pixels(&job, mm_mve_one_pixel_one_factor, p->weights + MM_MVE_FACTOR, p->out_features, output, NULL,
                  MM_MVE_SHARED_CONSTANTS);
  }
  mm_mve_clamp_all(output, p->out_features, p->act_min, p->act_max);
}

#ifdef __cplusplus
}
#endif

#endif /* MM_HAS_MVE */

#endif
