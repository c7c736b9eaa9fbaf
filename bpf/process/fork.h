/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sched_process_fork: a new thread group enters the table with its creator's key. Threads pass by. */
#ifndef LICTOR_FORK_H
#define LICTOR_FORK_H

#include "lib/emit.h"
#include "process/table.h"
#include "process/throttle.h"

static __always_inline void on_fork(struct task_struct *child)
{
	struct task_struct *creator = child->real_parent;
	struct process_entry *above, entry = {};
	struct clone_record record;
	u32 inum, level;
	bool held_back;
	u64 now;

	if (child->pid != child->tgid)
		return;
	now = bpf_ktime_get_boot_ns();
	above = find_process(creator->tgid);
	entry.ktime = child->start_boottime;
	entry.flags = PROCESS_CLONED;
	entry.parent.tgid = creator->tgid;
	if (above) {
		entry.parent.ktime = above->ktime;
		entry.cgroup_id = above->cgroup_id;
		entry.flags |= above->flags & PROCESS_IN_INIT_TREE;
	} else {
		entry.parent.ktime = birth_key(creator);
		count_unknown();
	}
	if (child->flags & PF_KTHREAD)
		entry.flags |= PROCESS_KTHREAD;
	read_pid(child, &record.nspid, &inum, &level);
	if (level && record.nspid == 1)
		entry.flags |= PROCESS_IN_INIT_TREE;
	held_back = throttled(child, now);
	if (held_back)
		entry.flags |= PROCESS_UNTOLD;
	store_process(child->tgid, &entry);

	if (held_back || !begin_record(&record.header, sizeof(record), RECORD_CLONE, RING_PRIORITY, now))
		return;
	record.header.key.ktime = entry.ktime;
	record.header.key.tgid = child->tgid;
	record.header.key.pad = 0;
	record.header.tid = child->pid;
	record.parent = entry.parent;
	record.flags = entry.flags;
	emit_priority(&record, sizeof(record), now);
}

#endif
