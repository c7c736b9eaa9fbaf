/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of live processes, shared by the objects that need it. */
#ifndef LICTOR_TABLE_MAP_H
#define LICTOR_TABLE_MAP_H

#include "records.h"

/* Memory is taken as processes come and given back as they go: max_entries is a bound, not a cost. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, u32);
	__type(value, struct process_entry);
} process_table SEC(".maps");

static __always_inline struct process_entry *find_process(u32 tgid)
{
	return bpf_map_lookup_elem(&process_table, &tgid);
}

#endif
