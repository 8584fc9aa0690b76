/* How deep the stack has been: start-up fills it with a pattern, the deepest word that lost it is the mark.
 *
 *   mm_stack_paint();
 *   work();
 *   mm_report("stack_bytes", mm_stack_used());
 *
 * Counts from the top of the stack, so the frames of the callers of work() are included; mm_stack_depth()
 * before work() says how much those are. */
#ifndef MM_STACK_H
#define MM_STACK_H

#include <stddef.h>

void mm_stack_paint(void);   /* everything below the caller's frame */
size_t mm_stack_used(void);  /* most bytes in use since the last paint */
size_t mm_stack_depth(void); /* bytes in use now, at the call */
size_t mm_stack_size(void);  /* bytes reserved */

#endif
