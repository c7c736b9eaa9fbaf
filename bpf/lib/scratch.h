/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Working memory of a program run. A slot is claimed and given back, because a program can be preempted, and the
 * next task on the CPU may run the same program: one slot per CPU would be overwritten (design: engine, filters).
 */
#ifndef LICTOR_SCRATCH_H
#define LICTOR_SCRATCH_H

#include "lib/maps.h"

#define SLOTS_PER_CPU 4
#define INLINE_BYTES 1536
#define INLINE_ROOM 4096 /* a power of two ≥ 2 * INLINE_BYTES: offset and length are both masked */
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

struct scratch {
	u32 busy;
	u32 used; /* bytes of `data` in use */
	struct path_walk walk;
	u64 filename, interp; /* kernel strings of the exec at hand */
	struct exec_record exec;
	u8 data[INLINE_ROOM]; /* goes out right behind `exec` */
	u8 path[PATH_ROOM + NAME_ROOM];
};

/* max_entries is SLOTS_PER_CPU × possible CPUs, set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS_PER_CPU);
	__type(key, u32);
	__type(value, struct scratch);
} scratch_slots SEC(".maps");

#define NO_SLOT 0xffffffffU

static __always_inline struct scratch *scratch_at(u32 slot)
{
	return bpf_map_lookup_elem(&scratch_slots, &slot);
}

static __always_inline u32 claim_slot(void)
{
	u32 first = bpf_get_smp_processor_id() * SLOTS_PER_CPU;

	for (u32 i = 0; i < SLOTS_PER_CPU; i++) {
		struct scratch *s = scratch_at(first + i);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return first + i;
	}
	return NO_SLOT;
}

static __always_inline void release_slot(struct scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

#endif
