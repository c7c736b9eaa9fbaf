/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Paths of any depth, across mounts, as the process sees them (from its own root).
 *
 * The walk goes from the leaf up and writes backwards into the slot's `path`. Its state lives in map memory: the
 * verifier then knows nothing of it and is done with the loop after one round on every kernel, where state on the
 * stack makes newer verifiers explore each round anew.
 */
#ifndef LICTOR_PATH_H
#define LICTOR_PATH_H

#include "lib/slots.h"

#define MAX_COMPONENTS 8192 /* PATH_ROOM / 2: no path that fits has more */

/* Puts "/name" before what is there. Sets the walk's state when there is no room or no reading. */
static __always_inline void prepend_name(struct scratch *s, const void *name, u32 len)
{
	u32 at = s->walk.at;

	if (len >= NAME_ROOM) {
		s->walk.state = WALK_ERROR;
		return;
	}
	if (at < len + 1 || at > PATH_ROOM) {
		s->walk.state = WALK_TOO_LONG;
		return;
	}
	at -= len + 1;
	s->path[masked(at, PATH_ROOM)] = '/';
	if (bpf_probe_read_kernel(&s->path[masked(at + 1, PATH_ROOM)], masked(len, NAME_ROOM), name)) {
		s->walk.state = WALK_ERROR;
		return;
	}
	s->walk.at = at;
}

static long walk_up(u32 index, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct dentry *dentry, *parent;
	struct mount *mount, *above;
	struct qstr name = {};

	if (!s)
		return 1;
	dentry = (struct dentry *)s->walk.dentry;
	mount = (struct mount *)s->walk.mount;
	if (s->walk.dentry == s->walk.root_dentry && s->walk.mount == s->walk.root_mount) {
		s->walk.state = WALK_AT_ROOT;
		return 1;
	}
	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount) {
			s->walk.state = WALK_UNREACHABLE;
			return 1;
		}
		s->walk.dentry = (u64)BPF_CORE_READ(mount, mnt_mountpoint);
		s->walk.mount = (u64)above;
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry && !mount) {
		s->walk.state = WALK_AT_ROOT;
		return 1;
	}
	BPF_CORE_READ_INTO(&name, dentry, d_name);
	if (parent == dentry) {
		/* In no tree: a memfd and the like still has a name. */
		prepend_name(s, name.name, name.len);
		s->walk.state = WALK_UNREACHABLE;
		return 1;
	}
	prepend_name(s, name.name, name.len);
	s->walk.dentry = (u64)parent;
	return s->walk.state != WALK_GOING;
}

static __always_inline u64 mount_of(struct vfsmount *mnt)
{
	return (u64)mnt - bpf_core_field_offset(((struct mount *)0)->mnt);
}

static __always_inline bool is_deleted(struct dentry *dentry)
{
	return dentry != BPF_CORE_READ(dentry, d_parent) && !BPF_CORE_READ(dentry, d_hash.pprev);
}

/* Sets a walk out from a path, to the root of a task. */
static __always_inline void start_walk(struct scratch *s, struct task_struct *task, struct vfsmount *mnt,
                                       struct dentry *dentry)
{
	struct path root = {};

	BPF_CORE_READ_INTO(&root, task, fs, root);
	s->walk.dentry = (u64)dentry;
	s->walk.mount = mount_of(mnt);
	s->walk.root_dentry = (u64)root.dentry;
	s->walk.root_mount = mount_of(root.mnt);
}

/* Walks from the position in s->walk to its root. Leaves the path in s->path[walk.at..PATH_ROOM). */
__noinline int resolve_path(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return WALK_ERROR;
	s->walk.at = PATH_ROOM;
	s->walk.state = WALK_GOING;
	bpf_loop(MAX_COMPONENTS, walk_up, &slot, 0);
	if (s->walk.state == WALK_GOING)
		s->walk.state = WALK_TOO_LONG;
	if (s->walk.at == PATH_ROOM) {
		s->walk.at = PATH_ROOM - 1;
		s->path[PATH_ROOM - 1] = '/';
	}
	return s->walk.state;
}

/* NULL above the root of a hierarchy. */
static __always_inline struct kernfs_node *parent_node(struct kernfs_node *node)
{
	if (bpf_core_field_exists(((struct kernfs_node___rcu_parent *)0)->__parent))
		return BPF_CORE_READ((struct kernfs_node___rcu_parent *)node, __parent);
	return BPF_CORE_READ((struct kernfs_node___parent *)node, parent);
}

static long cgroup_up(u32 index, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct kernfs_node *node, *parent;
	const char *name;
	long len;

	if (!s)
		return 1;
	node = (struct kernfs_node *)s->walk.node;
	parent = parent_node(node);
	if (!parent) {
		s->walk.state = WALK_AT_ROOT;
		return 1;
	}
	name = BPF_CORE_READ(node, name);
	/* Measured in the room beyond the path, which no path uses. */
	len = bpf_probe_read_kernel_str(&s->path[PATH_ROOM], NAME_ROOM, name);
	if (len < 1) {
		s->walk.state = WALK_ERROR;
		return 1;
	}
	prepend_name(s, name, len - 1);
	s->walk.node = (u64)parent;
	return s->walk.state != WALK_GOING;
}

/* The path of the cgroup whose kernfs node is in s->walk.node, as resolve_path leaves one. */
__noinline int resolve_cgroup(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return WALK_ERROR;
	s->walk.at = PATH_ROOM;
	s->walk.state = WALK_GOING;
	bpf_loop(MAX_COMPONENTS, cgroup_up, &slot, 0);
	if (s->walk.at == PATH_ROOM) {
		s->walk.at = PATH_ROOM - 1;
		s->path[PATH_ROOM - 1] = '/';
	}
	return s->walk.state;
}

#endif
