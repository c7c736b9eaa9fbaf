/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all programs share: the two rings and the counters. Sizes are set before loading. */
#ifndef LICTOR_MAPS_H
#define LICTOR_MAPS_H

#include "records.h"

/* Masks an index where the verifier can see it: the barrier keeps the compiler from proving the mask away. */
#define masked(index, size)                            \
	({                                             \
		u32 masked_index = (index);            \
		asm volatile("" : "+r"(masked_index)); \
		masked_index &((size) - 1);            \
	})

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} priority_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} bulk_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_counters);
} counters SEC(".maps");

static __always_inline struct cpu_counters *my_counters(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

/* pid and tgid, as bpf_get_current_pid_tgid() has them: programs of cgroups lack that. */
static __always_inline u64 current_thread(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return (u64)task->tgid << 32 | (u32)task->pid;
}

#endif
