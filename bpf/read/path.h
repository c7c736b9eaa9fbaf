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

/* Members that lie side by side, as those below do on every kernel so far, are one read. */
#define FOLLOWS(shape, next, member, size) \
	(bpf_core_field_offset(shape, next) == bpf_core_field_offset(shape, member) + (size))

/* Reads parent and name of a dentry. */
static __always_inline void read_dentry(struct scratch *s, struct dentry *dentry)
{
	if (FOLLOWS(struct dentry, d_name, d_parent, 8)) {
		bpf_core_read(&s->walk.parent, 24, &dentry->d_parent);
		return;
	}
	s->walk.parent = (u64)BPF_CORE_READ(dentry, d_parent);
	s->walk.name_len = BPF_CORE_READ(dentry, d_name.len);
	s->walk.name = (u64)BPF_CORE_READ(dentry, d_name.name);
}

/* The same with its inode, and whether it is in a hash of names. */
static __always_inline void read_leaf(struct scratch *s, struct dentry *dentry)
{
	if (FOLLOWS(struct dentry, d_parent, d_hash, 16) && FOLLOWS(struct dentry, d_name, d_hash, 24) &&
	    FOLLOWS(struct dentry, d_inode, d_hash, 40)) {
		bpf_core_read(&s->walk.hash_next, 48, &dentry->d_hash);
		return;
	}
	read_dentry(s, dentry);
	s->walk.hash_before = (u64)BPF_CORE_READ(dentry, d_hash.pprev);
	s->walk.inode = (u64)BPF_CORE_READ(dentry, d_inode);
}

/* Puts the walk into a mount, 0: none is known. */
static __always_inline void enter_mount(struct scratch *s, u64 address)
{
	struct mount *mount = (struct mount *)address;

	s->walk.mount = address;
	if (FOLLOWS(struct mount, mnt_mountpoint, mnt_parent, 8) &&
	    FOLLOWS(struct mount, mnt.mnt_root, mnt_parent, 16)) {
		/* What cannot be read is 0. */
		bpf_core_read(&s->walk.mount_parent, 24, &mount->mnt_parent);
		return;
	}
	s->walk.mount_parent = (u64)BPF_CORE_READ(mount, mnt_parent);
	s->walk.mount_point = (u64)BPF_CORE_READ(mount, mnt_mountpoint);
	s->walk.mount_root = (u64)BPF_CORE_READ(mount, mnt.mnt_root);
}

static long walk_up(u32 index, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	u64 dentry, mount;

	if (!s)
		return 1;
	dentry = s->walk.dentry;
	mount = s->walk.mount;
	if (dentry == s->walk.root_dentry && mount == s->walk.root_mount) {
		s->walk.state = WALK_AT_ROOT;
		return 1;
	}
	if (dentry == s->walk.mount_root) {
		if (s->walk.mount_parent == mount) {
			s->walk.state = WALK_UNREACHABLE;
			return 1;
		}
		s->walk.dentry = s->walk.mount_point;
		enter_mount(s, s->walk.mount_parent);
		return 0;
	}
	read_dentry(s, (struct dentry *)dentry);
	if (s->walk.parent == dentry && !mount) {
		s->walk.state = WALK_AT_ROOT;
		return 1;
	}
	prepend_name(s, (void *)s->walk.name, s->walk.name_len);
	if (s->walk.parent == dentry) {
		/* In no tree: a memfd and the like still has a name. */
		s->walk.state = WALK_UNREACHABLE;
		return 1;
	}
	s->walk.dentry = s->walk.parent;
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
	s->walk.root_dentry = (u64)root.dentry;
	s->walk.root_mount = mount_of(root.mnt);
	enter_mount(s, mount_of(mnt));
}

/* The same to the root of the current task, which need not be copied to be looked at. */
static __always_inline void start_walk_here(struct scratch *s, struct vfsmount *mnt, struct dentry *dentry)
{
	struct task_struct *task = bpf_get_current_task_btf();

	s->walk.dentry = (u64)dentry;
	s->walk.root_dentry = (u64)task->fs->root.dentry;
	s->walk.root_mount = mount_of(task->fs->root.mnt);
	enter_mount(s, mount_of(mnt));
}

/* Goes on from the position in s->walk to its root, before s->path[walk.at..PATH_ROOM). */
static __always_inline void climb(struct scratch *s, u32 *slot)
{
	s->walk.state = WALK_GOING;
	bpf_loop(MAX_COMPONENTS, walk_up, slot, 0);
	if (s->walk.state == WALK_GOING)
		s->walk.state = WALK_TOO_LONG;
}

/* Walks from the position in s->walk to its root. Leaves the path in s->path[walk.at..PATH_ROOM). */
__noinline int resolve_path(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return WALK_ERROR;
	s->walk.at = PATH_ROOM;
	climb(s, &slot);
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
