/* Marks between which the emulator counts instructions by class (micromind/plugin). On a chip they do nothing. */
#ifndef MM_PROFILE_H
#define MM_PROFILE_H

void mm_profile_start(void); /* counting begins with the instruction behind the call */
void mm_profile_stop(void);  /* and ends with the call of this */

#endif
