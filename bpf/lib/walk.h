/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The state of a path walk, and the room that a path is written into. */
#ifndef LICTOR_WALK_H
#define LICTOR_WALK_H

#include "records.h"

#define PATH_ROOM 16384
#define NAME_ROOM 256

struct path_walk {
	u64 dentry;
	u64 mount; /* struct mount, the one around the vfsmount */
	u64 root_dentry;
	u64 root_mount;
	u64 node;  /* struct kernfs_node of a cgroup walk */
	u32 at;    /* the path is path[at..PATH_ROOM) */
	u32 state; /* enum walk_state */
};

enum walk_state { WALK_GOING = 0, WALK_AT_ROOT, WALK_UNREACHABLE, WALK_TOO_LONG, WALK_ERROR };

#endif
