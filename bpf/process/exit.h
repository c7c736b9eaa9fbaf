/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sched_process_exit: one record per thread group, when its last thread goes.
 *
 * Several threads can arrive with `live` already at 0, so the exit is claimed by an atomic on the entry. The entry
 * can be deleted at once only when no other thread is left that might still arrive: then nr_threads is 1. Else it
 * stays as a tombstone, and user space deletes it a while later (src/lictor/sensors/process.py).
 */
#ifndef LICTOR_EXIT_H
#define LICTOR_EXIT_H

#include "lib/emit.h"
#include "process/table.h"
#include "process/throttle.h"

static __always_inline u32 exit_code_of(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	/* As wait_task_zombie() chooses: the group's code, else the leader's own. */
	if (signal->flags & SIGNAL_GROUP_EXIT)
		return signal->group_exit_code;
	return task->group_leader->exit_code;
}

static __always_inline void on_exit(struct task_struct *task)
{
	struct exit_record record = {};
	struct process_entry *entry;
	u32 tgid = task->tgid;
	bool alone;
	u64 now;

	if (task->signal->live.counter > 0)
		return;
	now = bpf_ktime_get_boot_ns();
	alone = task->signal->nr_threads <= 1;
	entry = find_process(tgid);
	if (entry) {
		if (__sync_fetch_and_or(&entry->flags, PROCESS_EXITED) & PROCESS_EXITED)
			return;
		record.header.key.ktime = entry->ktime;
		record.parent = entry->parent;
		record.flags = entry->flags;
		if (alone && untold(task, record.flags, now)) {
			bpf_map_delete_elem(&process_table, &tgid);
			return;
		}
		if (alone)
			bpf_map_delete_elem(&process_table, &tgid);
		else
			record.flags |= PROCESS_TOMBSTONE;
	} else {
		count_unknown();
		record.header.key.ktime = birth_key(task);
		record.flags = PROCESS_UNKNOWN | PROCESS_EXITED;
		if (task->flags & PF_KTHREAD)
			record.flags |= PROCESS_KTHREAD;
	}
	record.header.key.tgid = tgid;
	record.header.tid = task->pid;
	record.code = exit_code_of(task);
	record.start = task->group_leader->start_boottime;
	if (begin_record(&record.header, sizeof(record), RECORD_EXIT, RING_PRIORITY, now))
		emit_priority(&record, sizeof(record), now);
}

#endif
