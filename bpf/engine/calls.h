/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Entry and return of a call, joined: what matched at entry is kept under (thread, hook, frame) and leaves as one
 * record when the function returns. Calls that never return are found and told by user space.
 */
#ifndef LICTOR_CALLS_H
#define LICTOR_CALLS_H

#include "engine/groups.h"
#include "engine/scope.h"

static __always_inline void fill_call_key(struct call_key *key, u32 hook, u64 frame)
{
	key->thread = current_thread();
	key->frame = frame;
	key->hook = hook;
	key->pad = 0;
}

/*
 * How many calls of a hook are kept, so that a return that nobody waits for looks at a number instead of a table.
 *
 * The count may be too high for a moment, never too low. A call is counted before it is put into the table, and counted
 * out by whoever took it out: a deletion succeeds for one only, be it the return, the same thread's next call in the
 * same place (whose predecessor never came back), or user space (src/lictor/sensors/calls.py). So each element is
 * counted once in and once out, on whatever CPU. The return that looks for a call runs on the thread that kept it,
 * after it: however it was moved between CPUs, it sees its own count. What another thread's call adds or takes does not
 * matter to it, since its own is in the sum until its own is taken out. A call that was entered before there was a
 * policy, or before this hook's program, is not in the table and need not be counted. A hook's number may be given to
 * another hook while calls of the former are still in the table: the count is not reset then
 * (src/lictor/sensors/hooks.py), so that those are counted out too.
 */
static __always_inline void count_waiting(struct hook_state *hook, s64 change)
{
	if (hook)
		__sync_fetch_and_add(&hook->waiting, change);
}

/* Takes a call out of the table. */
static __always_inline bool take_call(struct hook_state *hook, struct call_key *key)
{
	if (bpf_map_delete_elem(&kept_calls, key))
		return false;
	count_waiting(hook, -1);
	return true;
}

/* Puts a call into the table. Gives 0, or why not. */
static __always_inline long put_call(struct hook_state *hook, struct call_key *key, struct kept_call *kept)
{
	long failed;

	count_waiting(hook, 1);
	failed = bpf_map_update_elem(&kept_calls, key, kept, BPF_NOEXIST);
	if (failed == -EEXIST) {
		/* Of a call that never came back. Its element is not written over: it was counted for another. */
		if (take_call(hook, key) && hook)
			__sync_fetch_and_add(&hook->unjoined, 1);
		failed = bpf_map_update_elem(&kept_calls, key, kept, BPF_NOEXIST);
	}
	if (failed)
		count_waiting(hook, -1);
	return failed;
}

/*
 * A call that keeps nothing ends what its thread left in the same place: the kernel missed that one's return, and this
 * one's must not be taken for it.
 */
static __always_inline void forget_missed(struct hook_state *hook, struct scratch *s)
{
	struct call_key key;

	if (!*(volatile u64 *)&hook->waiting)
		return;
	fill_call_key(&key, s->hook, s->frame);
	if (take_call(hook, &key))
		__sync_fetch_and_add(&hook->unjoined, 1);
}

/* Copies one field into the call that is kept. One that finds no room is told as too long. */
static long keep_field(u32 n, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct kept_call *kept;
	struct field *field;
	u32 used, size;

	if (!s)
		return 1;
	if (!(s->read & 1U << masked(n, MAX_VALUES)))
		return 0;
	kept = &s->kept;
	field = field_of(s, n);
	used = kept->used;
	size = sizeof(*field) + ((field->len + 7) & ~7U);
	if (used > KEPT_DATA - MAX_VALUES * sizeof(*field) || size > KEPT_DATA - MAX_VALUES * sizeof(*field) - used) {
		field->flags |= FIELD_ERROR;
		field->extra = E2BIG;
		field->len = 0;
		size = sizeof(*field);
	}
	if (bpf_probe_read_kernel(&kept->data[masked(used, KEPT_DATA)], masked(size, KEPT_DATA), field))
		return 0;
	kept->at[masked(n, MAX_VALUES)] = used;
	kept->read |= 1U << masked(n, MAX_VALUES);
	kept->used = used + size;
	return 0;
}

static long lose_match(u32 n, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);

	if (!s || n >= s->kept.count)
		return 1;
	count_unjoined(s, s->kept.match[masked(n, KEPT_MATCHES)].policy, 1);
	return 0;
}

/* Keeps the matches of the entry, with what was read. */
__noinline int keep_call(u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *s = scratch_at(slot);
	struct kept_call *kept;
	struct call_key key;

	if (!s)
		return 0;
	kept = &s->kept;
	fill_call_key(&key, s->hook, s->frame);
	fill_key(&kept->key, task);
	kept->start = task->start_boottime;
	kept->time = now_of(s);
	kept->mm = (u64)BPF_CORE_READ(task, mm);
	for (u32 i = 0; i < 6; i++)
		kept->args[i] = s->args[i];
	kept->read = 0;
	kept->used = 0;
	bpf_loop(MAX_VALUES, keep_field, &slot, 0);
	if (put_call(hooks_at(s->hook), &key, kept))
		bpf_loop(KEPT_MATCHES, lose_match, &slot, 0);
	return 0;
}

/* Puts a kept call back into the slot. */
__noinline int restore_call(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct kept_call *kept;
	struct call_key key;
	u32 used;

	if (!s)
		return 0;
	fill_call_key(&key, s->hook, s->frame);
	kept = bpf_map_lookup_elem(&kept_calls, &key);
	if (!kept)
		return 0;
	used = kept->used;
	if (used > KEPT_DATA)
		used = KEPT_DATA;
	bpf_probe_read_kernel(s->data, used, kept->data);
	s->used = used;
	s->read = kept->read;
	for (u32 i = 0; i < MAX_VALUES; i++)
		s->at[i] = kept->at[i];
	for (u32 i = 0; i < 6; i++)
		s->args[i] = kept->args[i];
	s->kept.count = kept->count;
	s->kept.key = kept->key;
	s->kept.mm = kept->mm;
	s->kept.time = kept->time;
	for (u32 i = 0; i < KEPT_MATCHES; i++)
		s->kept.match[i] = kept->match[i];
	take_call(hooks_at(s->hook), &key);
	return s->kept.count;
}

/* Forgets the values that were not there at entry, so that they are read again; not after an exec. */
static __always_inline void forget_failed(struct scratch *s, struct hook_state *hook)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!(hook->flags & HOOK_READS_AGAIN) || s->kept.mm != (u64)BPF_CORE_READ(task, mm))
		return;
	for (u32 i = 0; i < MAX_VALUES; i++) {
		struct read_spec *spec = reads_at(hook->read[i]);

		if (s->read & 1U << i && spec && spec->flags & READ_USER && field_of(s, i)->flags & FIELD_ERROR)
			s->read &= ~(1U << i);
	}
}

/* What one kept match comes to at the return. */
static long finish_match(u32 n, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct kept_match *match;
	struct policy_state *p;
	struct selector *sel;
	struct rule_group *g;
	u32 place;
	u64 began;

	if (!s)
		return 1;
	match = &s->kept.match[masked(n, KEPT_MATCHES)];
	g = groups_at(match->group);
	p = policies_at(match->policy);
	if (!g || !p)
		return 0;
	if (g->instance != match->instance || p->instance != match->instance) {
		/* Taken out of force during the call, and user space had not come to tell of it. */
		count_unjoined(s, match->policy, 1);
		return 0;
	}
	began = begin_time(s);
	place = match->selector;
	s->withheld = match->flags & ~MATCH_UNDECIDED;
	if (match->flags & MATCH_UNDECIDED)
		place = try_group(*slot, match->group, place);
	sel = place < GROUP_SELECTORS ? selectors_at(g->first + place) : NULL;
	if (sel && filters_hold(*slot, sel->first_filter + sel->filters, sel->return_filters) == DECISION_YES)
		act(*slot, match->group, place);
	count_time(g, began);
	return 0;
}

/* Whether a call of the hook is kept at all: the question that most returns end with. */
static __always_inline bool somebody_waits(u32 id)
{
	struct hook_state *hook = hooks_at(id);

	return hook && *(volatile u64 *)&hook->waiting;
}

static __always_inline void run_return(u32 id, u64 frame, u64 result)
{
	struct hook_state *hook = hooks_at(id);
	struct kept_call *kept;
	struct call_key key;
	struct scratch *s;
	u32 slot;

	if (!hook)
		return;
	fill_call_key(&key, id, frame);
	kept = bpf_map_lookup_elem(&kept_calls, &key);
	if (!kept)
		return;
	slot = claim_slot();
	s = scratch_at(slot);
	if (slot == NO_SLOT || !s) {
		__sync_fetch_and_add(&hook->scratch_busy, 1);
		__sync_fetch_and_add(&hook->unjoined, kept->count);
		take_call(hook, &key);
		return;
	}
	s->hook = id;
	s->frame = frame;
	s->phase = RUN_RETURN;
	s->regs = 0;
	s->sent = 0;
	s->absent = 0;
	s->result = result;
	s->now = 0;
	s->undecided = 0;
	s->read_again = 0;
	draw_timed(s);
	if (restore_call(slot)) {
		look_up_scope(slot, s, hook->scoped);
		forget_failed(s, hook);
		bpf_loop(s->kept.count, finish_match, &slot, 0);
	}
	release_slot(s);
}

#endif
