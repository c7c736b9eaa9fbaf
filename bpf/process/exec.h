/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sched_process_exec: the new image, whole. What is short travels inline in the priority record; a field that does
 * not fit goes as chunks over the bulk ring, before the record that announces it. So a flood of huge command lines
 * can only fill the bulk ring.
 */
#ifndef LICTOR_EXEC_H
#define LICTOR_EXEC_H

#include "lib/emit.h"
#include "process/scratch.h"
#include "read/path.h"
#include "process/table.h"
#include "process/throttle.h"

/* Bytes of arguments and environment taken per exec; beyond it they are cut and flagged. */
const volatile u32 max_argument_bytes = 131072;
const volatile bool want_environment = false;

/* Where a field's bytes are: `from` is an offset into the slot's path room, or an address of the process. */
enum source { FROM_PATH_ROOM = 0, FROM_USER = 1 };

struct chunk_job {
	u64 from;
	u64 ktime;
	u64 now;
	u32 tgid;
	u32 slot;
	u32 field;
	u32 source;
	u32 total;
	u32 done;
	u32 failed; /* 1 no room in the ring, 2 unreadable */
};

static __always_inline void *path_room(u32 slot, u64 offset)
{
	struct scratch *s = scratch_at(slot);

	return s ? &s->path[masked(offset, PATH_ROOM)] : NULL;
}

static long send_chunk(u32 index, struct chunk_job *job)
{
	u32 left = job->total - job->done;
	struct chunk_record *chunk;
	struct cpu_counters *c;
	long err;

	if (job->done >= job->total)
		return 1;
	if (left > CHUNK_DATA)
		left = CHUNK_DATA;
	chunk = bpf_ringbuf_reserve(&bulk_ring, sizeof(*chunk), 0);
	if (!chunk) {
		c = my_counters();
		if (c) {
			__sync_fetch_and_add(&c->seq[RING_BULK], 1);
			__sync_fetch_and_add(&c->lost[RING_BULK], 1);
		}
		job->failed = 1;
		return 1;
	}
	if (!begin_record(&chunk->header, sizeof(*chunk), RECORD_CHUNK, RING_BULK, job->now)) {
		bpf_ringbuf_discard(chunk, BPF_RB_NO_WAKEUP);
		return 1;
	}
	chunk->header.key.ktime = job->ktime;
	chunk->header.key.tgid = job->tgid;
	chunk->header.key.pad = 0;
	chunk->header.tid = job->tgid;
	chunk->field = job->field;
	chunk->offset = job->done;
	chunk->len = left;
	chunk->pad = 0;
	if (left > CHUNK_DATA) /* for the verifier: `left` went through memory */
		left = CHUNK_DATA;
	if (job->source == FROM_USER)
		err = bpf_probe_read_user(chunk->data, left, (void *)job->from + job->done);
	else
		err = bpf_probe_read_kernel(chunk->data, left, path_room(job->slot, job->from + job->done));
	if (err) {
		/* Submitted all the same: it has taken a sequence number. */
		chunk->len = 0;
		job->failed = 2;
	}
	bpf_ringbuf_submit(chunk, wake_flags(RING_BULK, job->now));
	job->done += left;
	return job->failed != 0;
}

static __always_inline void count_bytes_lost(u32 bytes)
{
	struct cpu_counters *c = my_counters();

	if (c)
		__sync_fetch_and_add(&c->bytes_lost, bytes);
}

/* Chains `total` bytes of a field over the bulk ring. Gives the bytes sent; the top bits say what went wrong. */
#define CHAIN_NO_ROOM (1ULL << 62)
#define CHAIN_UNREADABLE (1ULL << 61)
__noinline u64 chain_field(u32 slot, u32 field, u32 source, u64 from, u32 total)
{
	struct scratch *s = scratch_at(slot);
	struct chunk_job job = {
		.from = from,
		.slot = slot,
		.field = field,
		.source = source,
		.total = total,
	};
	u64 sent;

	if (!s)
		return CHAIN_UNREADABLE;
	job.ktime = s->exec.header.key.ktime;
	job.tgid = s->exec.header.key.tgid;
	job.now = s->exec.header.key.ktime;
	bpf_loop(total / CHUNK_DATA + 1, send_chunk, &job, 0);
	sent = job.done;
	if (job.failed == 1)
		sent |= CHAIN_NO_ROOM;
	if (job.failed == 2)
		sent |= CHAIN_UNREADABLE;
	return sent;
}

/*
 * Adds one field to the record under construction: inline where it fits, else chained. Of arguments that find no room
 * in the bulk ring at all, the beginning goes inline: a flood cannot hide what was run. Gives 0, or CHAIN_* bits.
 */
__noinline u64 add_field(u32 slot, u32 field, u32 source, u64 from, u32 len)
{
	struct scratch *s = scratch_at(slot);
	u64 failed = 0;
	u32 used, sent, whole = len;
	long err;

	if (!s || field >= FIELDS || !len)
		return 0;
	used = s->used;
	if (used >= INLINE_BYTES || len > INLINE_BYTES - used) {
		failed = chain_field(slot, field, source, from, len);
		sent = failed;
		failed &= CHAIN_NO_ROOM | CHAIN_UNREADABLE;
		s->exec.chained_len[masked(field, FIELD_SLOTS)] = sent;
		if (sent || failed != CHAIN_NO_ROOM || source != FROM_USER || used >= INLINE_BYTES) {
			if (failed & CHAIN_NO_ROOM)
				count_bytes_lost(whole - sent);
			return failed;
		}
		len = INLINE_BYTES - used;
	}
	used = masked(used, INLINE_ROOM / 2);
	len = masked(len, INLINE_ROOM / 2);
	if (source == FROM_USER)
		err = bpf_probe_read_user(&s->data[used], len, (void *)from);
	else
		err = bpf_probe_read_kernel(&s->data[used], len, &s->path[masked(from, PATH_ROOM)]);
	if (err)
		return CHAIN_UNREADABLE;
	s->exec.inline_len[masked(field, FIELD_SLOTS)] = len;
	s->used = used + len;
	if (failed)
		count_bytes_lost(whole - len);
	return failed;
}

static __always_inline u64 add_path(u32 slot, struct scratch *s, u32 field)
{
	u32 at = s->walk.at & (PATH_ROOM - 1);

	return add_field(slot, field, FROM_PATH_ROOM, at, PATH_ROOM - at);
}

__noinline int read_executable(u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *s = scratch_at(slot);
	struct file *file = task->mm->exe_file;
	struct inode *inode;
	u32 state;

	if (!s || !file)
		return 0;
	inode = file->f_inode;
	s->exec.inode = inode->i_ino;
	s->exec.nlink = inode->i_nlink;
	s->exec.mode = inode->i_mode;
	s->exec.dev = inode->i_sb->s_dev;
	start_walk_here(s, file->f_path.mnt, file->f_path.dentry);
	state = resolve_path(slot);
	if (is_deleted(file->f_path.dentry))
		s->exec.exec_flags |= EXEC_PATH_DELETED;
	if (state == WALK_UNREACHABLE)
		s->exec.exec_flags |= EXEC_PATH_UNREACHABLE;
	else if (state != WALK_AT_ROOT)
		s->exec.exec_flags |= EXEC_PATH_ERROR;
	if (add_path(slot, s, FIELD_EXE))
		s->exec.exec_flags |= EXEC_PATH_ERROR;
	return 0;
}

__noinline int read_cwd(u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *s = scratch_at(slot);
	struct fs_struct *fs = task->fs;
	u32 state;

	if (!s)
		return 0;
	start_walk_here(s, fs->pwd.mnt, fs->pwd.dentry);
	state = resolve_path(slot);
	if (is_deleted(fs->pwd.dentry))
		s->exec.exec_flags |= EXEC_CWD_DELETED;
	if (state == WALK_UNREACHABLE)
		s->exec.exec_flags |= EXEC_CWD_UNREACHABLE;
	else if (state != WALK_AT_ROOT)
		s->exec.exec_flags |= EXEC_CWD_ERROR;
	if (add_path(slot, s, FIELD_CWD))
		s->exec.exec_flags |= EXEC_CWD_ERROR;
	return 0;
}

/* Names the cgroup when this process tree has not named it yet; `told` is the cgroup user space knows of. */
__noinline int read_cgroup(u32 slot, u64 told)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kernfs_node *node = cgroup_of(task);
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	s->exec.cgroup_id = BPF_CORE_READ(node, id);
	if (s->exec.cgroup_id == told)
		return 0;
	s->walk.node = (u64)node;
	if (resolve_cgroup(slot) != WALK_AT_ROOT || add_path(slot, s, FIELD_CGROUP))
		s->exec.exec_flags |= EXEC_CGROUP_ERROR;
	return 0;
}

__noinline int read_arguments(u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *s = scratch_at(slot);
	struct mm_struct *mm = task->mm;
	u64 from, len, failed;

	if (!s)
		return 0;
	from = mm->arg_start;
	len = mm->arg_end - from;
	s->exec.args_total = len;
	if (len > max_argument_bytes) {
		len = max_argument_bytes;
		s->exec.exec_flags |= EXEC_ARGS_TRUNCATED;
	}
	failed = add_field(slot, FIELD_ARGS, FROM_USER, from, len);
	if (failed & CHAIN_NO_ROOM)
		s->exec.exec_flags |= EXEC_ARGS_TRUNCATED;
	if (failed & CHAIN_UNREADABLE)
		s->exec.exec_flags |= EXEC_ARGS_ERROR;
	if (!want_environment)
		return 0;
	len = max_argument_bytes - (u32)len;
	from = mm->env_start;
	s->exec.env_total = mm->env_end - from;
	if (s->exec.env_total > len)
		s->exec.exec_flags |= EXEC_ENV_TRUNCATED;
	else
		len = s->exec.env_total;
	failed = add_field(slot, FIELD_ENV, FROM_USER, from, len);
	if (failed & CHAIN_NO_ROOM)
		s->exec.exec_flags |= EXEC_ENV_TRUNCATED;
	if (failed & CHAIN_UNREADABLE)
		s->exec.exec_flags |= EXEC_ENV_ERROR;
	return 0;
}

/* The name given to execve; the program left its address in the slot. */
__noinline int read_filename(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	long len;

	if (!s)
		return 0;
	if (s->filename != s->interp)
		s->exec.exec_flags |= EXEC_INTERPRETED;
	/* PATH_MAX bounds it (getname), so the path room always has space. */
	len = bpf_probe_read_kernel_str(s->path, PATH_ROOM, (void *)s->filename);
	if (len < 1 || add_field(slot, FIELD_FILENAME, FROM_PATH_ROOM, 0, len - 1))
		s->exec.exec_flags |= EXEC_FILENAME_ERROR;
	return 0;
}

/*
 * Who raised privileges, told from the new image alone: used where security_bprm_committing_creds cannot be
 * attached. A set-id file whose id is now effective but not real did; so did file capabilities when a process
 * without uid 0 has permitted capabilities that are not ambient.
 */
static __always_inline u32 derive_raised(struct scratch *s, struct task_struct *task)
{
	struct credentials *cred = &s->exec.cred;
	u32 raised = 0;
	u64 ambient = 0;

	if (s->exec.mode & S_ISUID && cred->euid != cred->uid)
		raised |= EXEC_RAISED_SETUID;
	if ((s->exec.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && cred->egid != cred->gid)
		raised |= EXEC_RAISED_SETGID;
	bpf_probe_read_kernel(&ambient, sizeof(ambient), &task->cred->cap_ambient);
	if (cred->uid && cred->euid && cred->permitted & ~ambient)
		raised |= EXEC_RAISED_FILE_CAP;
	return raised;
}

static __always_inline void fill_identity(struct scratch *s, struct task_struct *task, u64 now, u64 *told)
{
	struct exec_record *e = &s->exec;
	struct process_entry *entry = find_process(task->tgid);
	struct process_entry fresh = {};
	u32 level;

	e->header.key.ktime = now;
	e->header.key.tgid = task->tgid;
	e->header.key.pad = 0;
	e->header.tid = task->pid;
	e->start = task->group_leader->start_boottime;
	read_pid(task, &e->nspid, &e->ns.pid, &level);
	*told = 0;
	if (entry) {
		e->previous = entry->ktime;
		e->parent = entry->parent;
		e->process_flags = entry->flags;
		e->exec_flags = entry->raised;
		*told = entry->cgroup_id;
		entry->ktime = now;
		entry->raised = 0;
		entry->flags = (entry->flags & ~(PROCESS_CLONED | PROCESS_KTHREAD)) | PROCESS_EXECED;
		return;
	}
	count_unknown();
	e->previous = birth_key(task);
	key_of(&e->parent, task->real_parent);
	e->process_flags = PROCESS_UNKNOWN;
	if (level && e->nspid == 1)
		e->process_flags |= PROCESS_IN_INIT_TREE;
	fresh.ktime = now;
	fresh.parent = e->parent;
	fresh.flags = PROCESS_EXECED | (e->process_flags & PROCESS_IN_INIT_TREE);
	store_process(task->tgid, &fresh);
}

static __always_inline void on_exec(struct task_struct *task, struct linux_binprm *bprm)
{
	u64 now = bpf_ktime_get_boot_ns(), told;
	u32 slot = claim_slot(), used;
	struct process_entry *entry;
	struct scratch *s;

	s = scratch_at(slot);
	if (slot == NO_SLOT || !s) {
		struct cpu_counters *c = my_counters();

		if (c) {
			__sync_fetch_and_add(&c->scratch_busy, 1);
			__sync_fetch_and_add(&c->seq[RING_PRIORITY], 1);
			__sync_fetch_and_add(&c->lost[RING_PRIORITY], 1);
		}
		return;
	}
	s->used = 0;
	s->exec.exec_flags = 0;
	__builtin_memset(s->exec.inline_len, 0, sizeof(s->exec.inline_len));
	__builtin_memset(s->exec.chained_len, 0, sizeof(s->exec.chained_len));
	s->exec.env_total = 0;
	fill_identity(s, task, now, &told);
	if (throttled(task, now)) {
		release_slot(s);
		return;
	}
	if (cgroup_rate_events) {
		entry = find_process(task->tgid);
		if (entry)
			entry->flags &= ~PROCESS_UNTOLD;
	}
	read_credentials(&s->exec.cred, task);
	read_namespaces(&s->exec.ns, task);
	s->exec.session = session_of(task);
	s->exec.tty = tty_of(task);
	s->filename = (u64)bprm->filename;
	s->interp = (u64)bprm->interp;
	read_filename(slot);
	read_executable(slot);
	read_cwd(slot);
	read_cgroup(slot, told);
	if (s->exec.cgroup_id != told) {
		entry = find_process(task->tgid);
		if (entry)
			entry->cgroup_id = s->exec.cgroup_id;
	}
	read_arguments(slot);
	if (!(s->exec.exec_flags & EXEC_RAISED_EXACT))
		s->exec.exec_flags |= derive_raised(s, task);
	used = s->used;
	if (used > INLINE_BYTES)
		used = INLINE_BYTES;
	if (begin_record(&s->exec.header, sizeof(s->exec) + used, RECORD_EXEC, RING_PRIORITY, now))
		emit_priority(&s->exec, sizeof(s->exec) + used, now);
	release_slot(s);
}

#endif
