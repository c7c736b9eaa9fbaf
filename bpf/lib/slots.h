/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Working memory of a program run. A slot is claimed and given back, because a program can be preempted, and the
 * next task on the CPU may run the same program: one slot per CPU would be overwritten (design: engine, filters).
 * Whoever includes this has defined `struct scratch`, with the members busy, walk and path; SLOTS, the map's name; and
 * SPARE_SLOTS, which serve all CPUs: one may have more tasks than it has slots that were preempted inside a program.
 */
#ifndef LICTOR_SLOTS_H
#define LICTOR_SLOTS_H

#include "lib/maps.h"

#define SLOTS_PER_CPU 4

/* max_entries is SLOTS_PER_CPU × possible CPUs + SPARE_SLOTS, set before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS_PER_CPU);
	__type(key, u32);
	__type(value, struct scratch);
} SLOTS SEC(".maps");

#define NO_SLOT 0xffffffffU

static __always_inline struct scratch *scratch_at(u32 slot)
{
	return bpf_map_lookup_elem(&SLOTS, &slot);
}

/* The spare slots are the first ones. */
static long claim_spare(u32 n, u32 *slot)
{
	struct scratch *s = scratch_at(n);

	if (!s || __sync_lock_test_and_set(&s->busy, 1))
		return 0;
	*slot = n;
	return 1;
}

static __always_inline u32 claim_slot(void)
{
	u32 first = SPARE_SLOTS + bpf_get_smp_processor_id() * SLOTS_PER_CPU, spare = NO_SLOT;

	for (u32 i = 0; i < SLOTS_PER_CPU; i++) {
		struct scratch *s = scratch_at(first + i);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return first + i;
	}
	bpf_loop(SPARE_SLOTS, claim_spare, &spare, 0);
	return spare;
}

static __always_inline void release_slot(struct scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

#endif
