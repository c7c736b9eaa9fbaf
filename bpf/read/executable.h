/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The path of the file that a process runs, as long as it may be. */
#ifndef LICTOR_EXECUTABLE_H
#define LICTOR_EXECUTABLE_H

#include "read/path.h"

#define MOST_CLIMBS 64 /* of 12 kB each: how deep an executable may lie to be known by its beginning */

/* The walk had no room left: of what is known, the beginning stays, and it goes on before that. */
static long climb_further(u32 index, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	u32 from;

	if (!s || s->walk.state != WALK_TOO_LONG)
		return 1;
	from = masked(s->walk.at, PATH_ROOM);
	if (from <= PATH_ROOM - 2 * LONGEST_STRING) {
		bpf_probe_read_kernel(&s->path[PATH_ROOM - LONGEST_STRING], LONGEST_STRING, &s->path[from]);
		s->walk.at = PATH_ROOM - LONGEST_STRING;
	}
	climb(s, slot);
	return 0;
}

/*
 * Puts the path of a task's executable into the data. One that is longer than a member of a set may be is in two parts,
 * its beginning and behind that its end, LONGEST_STRING bytes each. Gives the length, 0 where there is none.
 */
__noinline u32 read_executable_of(u32 slot, u64 address, u32 at)
{
	struct task_struct *task = (struct task_struct *)address;
	struct scratch *s = scratch_at(slot);
	struct path path = {};
	struct file *file;
	u32 from, len;

	file = BPF_CORE_READ(task, mm, exe_file);
	if (!s || !file || BPF_CORE_READ_INTO(&path, file, f_path) || !path.dentry)
		return 0;
	start_walk(s, task, path.mnt, path.dentry);
	resolve_path(slot);
	from = masked(s->walk.at, PATH_ROOM);
	len = PATH_ROOM - from;
	at = masked(at, DATA_ROOM);
	if (len <= LONGEST_STRING)
		return bpf_probe_read_kernel(&s->data[at], len, &s->path[from]) ? 0 : len;
	bpf_probe_read_kernel(&s->data[at + LONGEST_STRING], LONGEST_STRING, &s->path[PATH_ROOM - LONGEST_STRING]);
	bpf_loop(MOST_CLIMBS, climb_further, &slot, 0);
	from = masked(s->walk.at, PATH_ROOM);
	/* A part from the middle could be taken for a beginning. */
	if (s->walk.state == WALK_TOO_LONG || from > PATH_ROOM - LONGEST_STRING)
		return 0;
	return bpf_probe_read_kernel(&s->data[at], LONGEST_STRING, &s->path[from]) ? 0 : len;
}

#endif
