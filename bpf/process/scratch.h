/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The working memory of the process sensor: the exec record under construction and the paths it wants. */
#ifndef LICTOR_PROCESS_SCRATCH_H
#define LICTOR_PROCESS_SCRATCH_H

#include "lib/walk.h"

#define INLINE_BYTES 1536
#define INLINE_ROOM 4096 /* a power of two ≥ 2 * INLINE_BYTES: offset and length are both masked */

struct scratch {
	u32 busy;
	u32 used; /* bytes of `data` in use */
	struct path_walk walk;
	u64 filename, interp; /* kernel strings of the exec at hand */
	struct exec_record exec;
	u8 data[INLINE_ROOM]; /* goes out right behind `exec` */
	u8 path[PATH_ROOM + NAME_ROOM];
};

#define SPARE_SLOTS 0
#define SLOTS scratch_slots
#include "lib/slots.h"

#endif
