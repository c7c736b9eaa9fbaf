/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Holds back forks and execs of a cgroup that has more of them in an interval than the settings allow. What is held
 * back is counted per cgroup; user space reads the counts, tells of them, and ends the throttling of a cgroup that has
 * become quiet (src/lictor/sensors/throttle.py). A process of which nothing was told has no exit record either; of any
 * other the exit is always told.
 */
#ifndef LICTOR_THROTTLE_H
#define LICTOR_THROTTLE_H

#include "lib/maps.h"
#include "read/task.h"

const volatile u32 cgroup_rate_events = 0; /* 0: nothing of this is in the loaded program */
const volatile u64 cgroup_rate_ns = 1000000000;

struct cgroup_rate {
	u64 interval; /* its number */
	u64 count;
};

struct throttled_cgroup {
	u64 held_back;
	u64 last; /* boot clock of the last record that was */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, struct cgroup_rate);
} cgroup_rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, struct throttled_cgroup);
} throttled_cgroups SEC(".maps");

static __always_inline void *find_or_add(void *map, u64 id, void *fresh)
{
	void *found = bpf_map_lookup_elem(map, &id);

	if (found)
		return found;
	bpf_map_update_elem(map, &id, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, &id);
}

/* Counts a record of a cgroup that is over its rate. False: there is no room to count it, so it must be told. */
static __always_inline bool hold_back(u64 id, u64 now)
{
	struct throttled_cgroup fresh = {}, *t = find_or_add(&throttled_cgroups, id, &fresh);

	if (!t)
		return false;
	__sync_fetch_and_add(&t->held_back, 1);
	t->last = now;
	return true;
}

/* Whether a record about `task` is to be held back; then it is counted. */
static __always_inline bool throttled(struct task_struct *task, u64 now)
{
	struct cgroup_rate fresh = {}, *rate;
	u64 id, interval;

	if (!cgroup_rate_events)
		return false;
	id = BPF_CORE_READ(cgroup_of(task), id);
	rate = find_or_add(&cgroup_rates, id, &fresh);
	if (!rate)
		return false;
	interval = now / cgroup_rate_ns;
	/* Two CPUs may both begin an interval: a few records more are told then. */
	if (rate->interval != interval) {
		rate->interval = interval;
		rate->count = 0;
	}
	if (__sync_fetch_and_add(&rate->count, 1) < cgroup_rate_events)
		return false;
	return hold_back(id, now);
}

/* Whether the exit of a process is to be held back: nothing was told of it before. */
static __always_inline bool untold(struct task_struct *task, u32 flags, u64 now)
{
	return cgroup_rate_events && flags & PROCESS_UNTOLD && hold_back(BPF_CORE_READ(cgroup_of(task), id), now);
}

#endif
