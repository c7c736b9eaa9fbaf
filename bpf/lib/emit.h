/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a record gets into a ring: numbered before the reserve, so that a failed reserve leaves a gap, and counted
 * when it fails, so that a loss at the tail is seen too.
 *
 * Wake-ups: waking the reader for each record is the largest single cost of agents like this one. A ring wakes
 * its reader when the last wake is more than wake_interval_ns ago. The reader, once woken, polls with a longer
 * period until a poll finds nothing (src/lictor/pipeline/reader.py): no record can be left lying.
 */
#ifndef LICTOR_EMIT_H
#define LICTOR_EMIT_H

#include "lib/maps.h"

const volatile u64 wake_interval_ns = 10000000;

struct last_wake {
	u64 time;
	u64 pad[7];
};
struct last_wake last_wakes[RINGS];

static __always_inline u64 wake_flags(u32 ring, u64 now)
{
	struct last_wake *last = &last_wakes[ring];

	if (now - last->time < wake_interval_ns)
		return BPF_RB_NO_WAKEUP;
	last->time = now;
	return BPF_RB_FORCE_WAKEUP;
}

/* Fills a header. `ring` says which sequence the record belongs to. False: no counters, cannot happen. */
static __always_inline bool begin_record(struct record_header *h, u32 size, u8 kind, u32 ring, u64 now)
{
	struct cpu_counters *c = my_counters();

	if (!c)
		return false;
	h->size = size;
	h->kind = kind;
	h->flags = 0;
	h->cpu = bpf_get_smp_processor_id();
	h->seq = __sync_fetch_and_add(&c->seq[ring], 1);
	h->time = now;
	h->hook = 0;
	h->policy = 0;
	h->reserved = 0;
	return true;
}

static __always_inline void count_lost(u32 ring)
{
	struct cpu_counters *c = my_counters();

	if (c)
		__sync_fetch_and_add(&c->lost[ring], 1);
}

static __always_inline void emit_priority(void *record, u32 size, u64 now)
{
	if (bpf_ringbuf_output(&priority_ring, record, size, wake_flags(RING_PRIORITY, now)))
		count_lost(RING_PRIORITY);
}

#endif
