/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values with a path: struct file, path, dentry, kiocb, linux_binprm, and descriptors of the current process. */
#ifndef LICTOR_FILES_H
#define LICTOR_FILES_H

#include "read/field.h"
#include "read/path.h"

static __always_inline bool is_path(u8 type)
{
	return type >= TYPE_FD && type <= TYPE_LINUX_BINPRM;
}

static __always_inline struct file *file_of_descriptor(u32 number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **place, *file = NULL;

	if (number >= BPF_CORE_READ(table, max_fds))
		return NULL;
	place = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), place + number);
	return file;
}

static __always_inline struct file *file_of(u8 type, u64 raw)
{
	switch (type) {
	case TYPE_FD:
		return file_of_descriptor(raw);
	case TYPE_KIOCB:
		return BPF_CORE_READ((struct kiocb *)raw, ki_filp);
	case TYPE_LINUX_BINPRM:
		return BPF_CORE_READ((struct linux_binprm *)raw, file);
	default:
		return (struct file *)raw;
	}
}

/* Finds mount and dentry of a value. False: it has none. */
static __always_inline bool start_at(struct scratch *s, u8 type, u64 raw)
{
	struct path path = {};

	if (type == TYPE_DENTRY) {
		/* Within its own file system: no mount is known. */
		s->walk.dentry = raw;
		s->walk.root_dentry = 0;
		s->walk.root_mount = 0;
		enter_mount(s, 0);
		return raw;
	}
	if (type == TYPE_PATH)
		bpf_probe_read_kernel(&path, sizeof(path), (void *)raw);
	else
		BPF_CORE_READ_INTO(&path, file_of(type, raw), f_path);
	if (!path.dentry || !path.mnt)
		return false;
	start_walk_here(s, path.mnt, path.dentry);
	return true;
}

#define DELETED " (deleted)"
#define DELETED_LEN (sizeof(DELETED) - 1)

static __always_inline void read_file_value(u32 slot, struct scratch *s, u32 n, u8 type, u64 raw)
{
	struct field *field;
	struct inode *inode;
	u32 state, at, len;

	if (!start_at(s, type, raw)) {
		failed_field(s, open_field(s, n, type), type == TYPE_FD ? EBADF : EFAULT);
		return;
	}
	read_leaf(s, (struct dentry *)s->walk.dentry);
	field = open_field(s, n, type);
	inode = (struct inode *)s->walk.inode;
	field->extra = BPF_CORE_READ(inode, i_mode);
	if (s->walk.parent != s->walk.dentry && !s->walk.hash_before)
		field->flags |= FIELD_DELETED;
	state = resolve_path(slot);
	if (state == WALK_UNREACHABLE)
		field->flags |= FIELD_UNREACHABLE;
	else if (state == WALK_TOO_LONG)
		field->flags |= FIELD_TRUNCATED;
	at = masked(s->walk.at, PATH_ROOM);
	len = PATH_ROOM - at;
	if (len > FIELD_ROOM - sizeof(*field))
		len = FIELD_ROOM - sizeof(*field);
	if (state == WALK_ERROR || bpf_probe_read_kernel(bytes_of_newest(s), len, &s->path[at])) {
		failed_field(s, field, EFAULT);
		return;
	}
	if (field->flags & FIELD_DELETED && len <= FIELD_ROOM - sizeof(*field) - DELETED_LEN) {
		__builtin_memcpy(bytes_of_newest(s) + len, DELETED, DELETED_LEN);
		len += DELETED_LEN;
	}
	close_field(s, len);
}

#endif
