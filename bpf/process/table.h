/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's table of live processes: who is who, and what user space has been told of them. */
#ifndef LICTOR_TABLE_H
#define LICTOR_TABLE_H

#include "lib/maps.h"
#include "process/table_map.h"
#include "read/task.h"

static __always_inline void count_unknown(void)
{
	struct cpu_counters *c = my_counters();

	if (c)
		__sync_fetch_and_add(&c->unknown, 1);
}

/* Stores an entry; a full table is counted, and the process goes on as an unknown one. */
static __always_inline void store_process(u32 tgid, struct process_entry *entry)
{
	struct cpu_counters *c;

	if (!bpf_map_update_elem(&process_table, &tgid, entry, BPF_ANY))
		return;
	c = my_counters();
	if (c)
		__sync_fetch_and_add(&c->table_full, 1);
}

/* The key of any live process: from the table, else its birth. */
static __always_inline void key_of(struct process_key *key, struct task_struct *task)
{
	struct process_entry *entry = find_process(task->tgid);

	key->tgid = task->tgid;
	key->pad = 0;
	key->ktime = entry ? entry->ktime : birth_key(task);
}

#endif
