/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What workload a process belongs to, told from the names of its cgroup and those above it: runtimes name the cgroup of
 * a container after its id, and Kubernetes that of a pod after its uid. Looked at when a process's bits are computed:
 * a cgroup counts from its first process on, and there is nothing to forget when it goes.
 *
 * The same as regular expressions: tests/kernel/test_workloads.py; containers: src/lictor/track/container.py.
 */
#ifndef LICTOR_WORKLOAD_H
#define LICTOR_WORKLOAD_H

#include "read/path.h"

#define NAME_TAIL 96 /* an id, a suffix, and what may stand before */
#define SUFFIX 6     /* .scope, .slice */
#define CONTAINER_ID 64
#define POD_UID 36
#define STATIC_POD_UID 32 /* of a pod that comes from a file: a hash */
#define CGROUP_LEVELS 65536

/* The top bit says that a byte is no hexadecimal digit. Without branches, of which the verifier would try all. */
static __always_inline u64 no_hex(u8 byte)
{
	s64 digit = (s64)byte - '0', letter = (s64)byte - 'a';

	return (digit | (9 - digit)) & (letter | (5 - letter));
}

static __always_inline bool all_hex(const u8 *text, u32 count)
{
	u64 wrong = 0;

	for (u32 i = 0; i < count; i++)
		wrong |= no_hex(text[i]);
	return !(wrong >> 63);
}

/* Whether a name whose last bytes are given is a container's. 0 is what stands before a name. */
static __always_inline bool names_container(const u8 *tail)
{
	u8 before = tail[NAME_TAIL - CONTAINER_ID - 1];
	const u8 *helper = &tail[NAME_TAIL - CONTAINER_ID - 7];

	if (before && before != '-' && before != ':')
		return false;
	/* What watches over a container is called after it, and lives outside. */
	if (before && helper[0] == 'c' && helper[1] == 'o' && helper[2] == 'n' && helper[3] == 'm' &&
	    helper[4] == 'o' && helper[5] == 'n')
		return false;
	return all_hex(&tail[NAME_TAIL - CONTAINER_ID], CONTAINER_ID);
}

static __always_inline bool after_pod(const u8 *tail, u32 at)
{
	u8 before = tail[at - 4];

	return (!before || before == '-') && tail[at - 3] == 'p' && tail[at - 2] == 'o' && tail[at - 1] == 'd';
}

static __always_inline bool is_uid(const u8 *uid)
{
	u64 wrong = 0;

	for (u32 i = 0; i < POD_UID; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (uid[i] != '-' && uid[i] != '_')
				return false;
		} else {
			wrong |= no_hex(uid[i]);
		}
	}
	return !(wrong >> 63);
}

static __always_inline bool names_pod(const u8 *tail)
{
	if (after_pod(tail, NAME_TAIL - POD_UID))
		return is_uid(&tail[NAME_TAIL - POD_UID]);
	return after_pod(tail, NAME_TAIL - STATIC_POD_UID) &&
	       all_hex(&tail[NAME_TAIL - STATIC_POD_UID], STATIC_POD_UID);
}

enum suffix { SUFFIX_NONE = 0, SUFFIX_SCOPE, SUFFIX_SLICE };

/* What kind of unit systemd calls it, of the last bytes of a name. */
static __always_inline u32 suffix_of(const u8 *suffix)
{
	if (suffix[0] != '.' || suffix[1] != 's' || suffix[5] != 'e')
		return SUFFIX_NONE;
	if (suffix[2] == 'c' && suffix[3] == 'o' && suffix[4] == 'p')
		return SUFFIX_SCOPE;
	return suffix[2] == 'l' && suffix[3] == 'i' && suffix[4] == 'c' ? SUFFIX_SLICE : SUFFIX_NONE;
}

/* What one cgroup's name says: bits of enum workload. */
__noinline u32 workload_of_name(u32 slot, u64 name)
{
	struct scratch *s = scratch_at(slot);
	u8 tail[NAME_TAIL], suffix[SUFFIX];
	u32 at, kind;
	long len;

	if (!s)
		return 0;
	for (u32 i = 0; i < NAME_TAIL / 8; i++)
		((u64 *)s->path)[i] = 0;
	len = bpf_probe_read_kernel_str(&s->path[NAME_TAIL], NAME_ROOM, (void *)name) - 1;
	if (len < STATIC_POD_UID || len >= NAME_ROOM)
		return 0;
	/* So many bytes from there end where the name does, or what stands before its suffix. */
	at = masked(len, NAME_ROOM);
	if (bpf_probe_read_kernel(suffix, sizeof(suffix), &s->path[at + NAME_TAIL - SUFFIX]))
		return 0;
	kind = suffix_of(suffix);
	if (kind)
		at = masked(at - SUFFIX, NAME_ROOM);
	if (bpf_probe_read_kernel(tail, NAME_TAIL, &s->path[at]))
		return 0;
	if (kind != SUFFIX_SLICE && names_container(tail))
		return WORKLOAD_CONTAINER;
	return kind != SUFFIX_SCOPE && names_pod(tail) ? WORKLOAD_POD : 0;
}

static long look_at_cgroup(u32 level, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct kernfs_node *node;

	if (!s || !s->walk.node)
		return 1;
	node = (struct kernfs_node *)s->walk.node;
	s->workload |= workload_of_name(*slot, (u64)BPF_CORE_READ(node, name));
	s->walk.node = (u64)parent_node(node);
	return s->workload == (WORKLOAD_POD | WORKLOAD_CONTAINER);
}

/* Puts into the slot what the cgroup whose kernfs node is in s->walk.node makes of a process. Overwrites the path. */
__noinline int find_workload(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	s->workload = 0;
	bpf_loop(CGROUP_LEVELS, look_at_cgroup, &slot, 0);
	return 0;
}

#endif
