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
	/* Of `mount`, read once when the walk comes to it; in the order of struct mount. */
	u64 mount_parent;
	u64 mount_point;
	u64 mount_root;
	/* Of the dentry at hand, in the order of struct dentry. */
	u64 hash_next;
	u64 hash_before; /* 0: it is in no hash of names, and if it has a parent it was deleted */
	u64 parent;
	u32 name_hash;
	u32 name_len;
	u64 name;
	u64 inode;
	u64 node;  /* struct kernfs_node of a cgroup walk */
	u32 at;    /* the path is path[at..PATH_ROOM) */
	u32 state; /* enum walk_state */
};

enum walk_state { WALK_GOING = 0, WALK_AT_ROOT, WALK_UNREACHABLE, WALK_TOO_LONG, WALK_ERROR };

#endif
