/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a task_struct says of its process: credentials, namespaces, session, cgroup, identity. */
#ifndef LICTOR_TASK_H
#define LICTOR_TASK_H

#include "lib/maps.h"

/* Which hierarchy names the workload: the unified one, or a version 1 controller where containers live there. */
enum cgroup_source { CGROUP_UNIFIED = 0, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPUSET };
const volatile u32 cgroup_source = CGROUP_UNIFIED;

/* USER_HZ is 100 on every architecture we run on: /proc/PID/stat counts starttime in these. */
#define TICK_NS 10000000ULL

/*
 * The key of a process that the table does not know: its birth as /proc tells it, so that the scan of the
 * processes that lived before the agent and the kernel's programs name them alike without sharing anything.
 */
static __always_inline u64 birth_key(struct task_struct *task)
{
	u64 start = task->group_leader->start_boottime;

	return start - start % TICK_NS;
}

#define MOST_EXECS (1 << 20)

/*
 * Names the image that a process runs: the birth of the process, and the number that the kernel raises at every exec
 * (begin_new_exec). Bits are those of an image, so that they are no longer believed after an exec of which the program
 * scope_exec was not told: from Linux 7.0 on the kernel may skip it.
 */
static __always_inline u64 image_of(struct task_struct *task)
{
	return task->group_leader->start_boottime + task->self_exec_id;
}

/* Of one process: no process can have the same number so many nanoseconds after another. */
static __always_inline bool is_later_image(u64 image, u64 than)
{
	return image - than < MOST_EXECS;
}

static __always_inline void read_credentials(struct credentials *out, struct task_struct *task)
{
	const struct cred *cred = task->cred;
	struct user_namespace *ns = cred->user_ns;

	out->uid = cred->uid.val;
	out->gid = cred->gid.val;
	out->euid = cred->euid.val;
	out->egid = cred->egid.val;
	out->suid = cred->suid.val;
	out->sgid = cred->sgid.val;
	out->fsuid = cred->fsuid.val;
	out->fsgid = cred->fsgid.val;
	out->securebits = cred->securebits;
	out->loginuid = bpf_core_field_exists(task->loginuid) ? task->loginuid.val : ~0U;
	out->user_ns_level = ns->level;
	out->user_ns_uid = ns->owner.val;
	out->user_ns_gid = ns->group.val;
	out->pad = 0;
	bpf_probe_read_kernel(&out->inheritable, sizeof(u64), &cred->cap_inheritable);
	bpf_probe_read_kernel(&out->permitted, sizeof(u64), &cred->cap_permitted);
	bpf_probe_read_kernel(&out->effective, sizeof(u64), &cred->cap_effective);
}

/* A task's number in its innermost pid namespace, that namespace, and how deep it lies. */
static __always_inline void read_pid(struct task_struct *task, u32 *nr, u32 *ns_inum, u32 *level)
{
	struct pid *pid = task->thread_pid;
	struct upid id = {};
	u64 at = 0;

	*level = pid->level;
	if (*level == 0) {
		*nr = pid->numbers[0].nr;
		*ns_inum = pid->numbers[0].ns->ns.inum;
		return;
	}
	/* A variable offset wants a plain number: the verifier forbids it on a typed pointer. */
	bpf_probe_read_kernel(&at, sizeof(at), &task->thread_pid);
	at += bpf_core_field_offset(struct pid, numbers) + *level * bpf_core_type_size(struct upid);
	bpf_probe_read_kernel(&id, sizeof(id), (void *)at);
	*nr = id.nr;
	*ns_inum = BPF_CORE_READ(id.ns, ns.inum);
}

/* The pid namespace that a task lives in; its nsproxy only says which its children will. */
static __always_inline u32 pid_namespace_of(struct task_struct *task)
{
	u32 nr, inum, level;

	read_pid(task, &nr, &inum, &level);
	return inum;
}

/* Effective, inheritable and permitted capabilities. */
static __always_inline void read_capabilities(u64 *sets, struct task_struct *task)
{
	const struct cred *cred = task->cred;

	bpf_probe_read_kernel(&sets[0], sizeof(u64), &cred->cap_effective);
	bpf_probe_read_kernel(&sets[1], sizeof(u64), &cred->cap_inheritable);
	bpf_probe_read_kernel(&sets[2], sizeof(u64), &cred->cap_permitted);
}

static __always_inline void read_namespaces(struct namespaces *out, struct task_struct *task)
{
	struct nsproxy *proxy = task->nsproxy;

	out->uts = proxy->uts_ns->ns.inum;
	out->ipc = proxy->ipc_ns->ns.inum;
	out->mnt = proxy->mnt_ns->ns.inum;
	out->pid_for_children = proxy->pid_ns_for_children->ns.inum;
	out->net = proxy->net_ns->ns.inum;
	out->time = bpf_core_field_exists(proxy->time_ns) ? proxy->time_ns->ns.inum : 0;
	out->time_for_children =
		bpf_core_field_exists(proxy->time_ns_for_children) ? proxy->time_ns_for_children->ns.inum : 0;
	out->cgroup = proxy->cgroup_ns->ns.inum;
	out->user = task->cred->user_ns->ns.inum;
}

static __always_inline u32 session_of(struct task_struct *task)
{
	/* numbers[0] is the number in the initial pid namespace. */
	return task->signal->pids[PIDTYPE_SID]->numbers[0].nr;
}

/* The controlling terminal as a device number, huge encoding of new_encode_dev for these majors: major << 20 | minor.
 */
static __always_inline u32 tty_of(struct task_struct *task)
{
	struct tty_struct *tty = task->signal->tty;

	if (!tty)
		return 0;
	return (u32)tty->driver->major << 20 | (u32)(tty->driver->minor_start + tty->index);
}

static __always_inline struct kernfs_node *cgroup_of(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup_subsys_state *css = NULL;
	u64 at = 0;
	u32 id;

	switch (cgroup_source) {
	case CGROUP_MEMORY:
		id = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
		break;
	case CGROUP_PIDS:
		id = bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id);
		break;
	case CGROUP_CPUSET:
		id = bpf_core_enum_value(enum cgroup_subsys_id, cpuset_cgrp_id);
		break;
	default:
		return set->dfl_cgrp->kn;
	}
	bpf_probe_read_kernel(&at, sizeof(at), &task->cgroups);
	at += bpf_core_field_offset(struct css_set, subsys) + id * sizeof(void *);
	bpf_probe_read_kernel(&css, sizeof(css), (void *)at);
	return BPF_CORE_READ(css, cgroup, kn);
}

#endif
