/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The action Post: the record of a match, held back by a rate limit where there is one. */
#ifndef LICTOR_POST_H
#define LICTOR_POST_H

#include "act/pieces.h"
#include "lib/emit.h"
#include "match/strings.h"
#include "process/table_map.h"
#include "read/task.h"
#include "read/value.h"

static __always_inline void count_unjoined(struct scratch *s, u32 policy, u32 matches)
{
	struct policy_state *p = policies_at(policy);
	struct hook_state *hook = hooks_at(s->hook);

	if (p)
		__sync_fetch_and_add(&p->unjoined, matches);
	if (hook)
		__sync_fetch_and_add(&hook->unjoined, matches);
}

static __always_inline void read_wanted(u32 slot, u32 wanted)
{
	for (u32 i = 0; i < MAX_VALUES; i++)
		if (wanted & 1U << i)
			read_value(slot, i);
}

/* Who an event is about: the current process, as the table knows it. */
static __always_inline void fill_key(struct process_key *key, struct task_struct *task)
{
	struct process_entry *entry = find_process(task->tgid);

	key->tgid = task->tgid;
	key->pad = 0;
	key->ktime = entry ? entry->ktime : birth_key(task);
}

/* Adds one value to what a rate limit tells events apart by. */
static long hash_value(u32 n, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct field *field;
	u64 low, high;
	u32 at, len;

	if (!s)
		return 1;
	if (!(s->rate_values & 1U << masked(n, MAX_VALUES)))
		return 0;
	field = field_of(s, n);
	at = masked(s->at[masked(n, MAX_VALUES)], DATA_ROOM) + sizeof(*field);
	len = field->len;
	low = s->hash_low;
	high = s->hash_high;
	hash_word(&low, &high, field->extra);
	for (u32 i = 0; i < RATE_BYTES / 8; i++) {
		if (8 * i >= len)
			break;
		u64 word = *(u64 *)&s->data[at + 8 * i];

		if (len - 8 * i < 8)
			word &= (1ULL << (8 * (len - 8 * i))) - 1;
		hash_word(&low, &high, word);
	}
	s->hash_low = low;
	s->hash_high = high;
	return 0;
}

/*
 * Begins the name of an event under a rate limit: whose it is, and of what selector. Numbers of threads and selectors
 * are used again: births and instances are not. The seed is secret, so that nobody makes one event look like another.
 */
static __always_inline bool begin_rate_key(struct scratch *s, struct actions *a, u32 instance, u32 selector)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct engine_state *state = engine_at(0);

	if (!state)
		return false;
	s->hash_low = state->seed[0];
	s->hash_high = state->seed[1];
	hash_word(&s->hash_low, &s->hash_high, (u64)instance << 32 | selector);
	if (a->rate_scope == RATE_PROCESS) {
		hash_word(&s->hash_low, &s->hash_high, task->tgid);
		hash_word(&s->hash_low, &s->hash_high, task->group_leader->start_boottime);
	} else if (a->rate_scope != RATE_GLOBAL) {
		hash_word(&s->hash_low, &s->hash_high, task->pid);
		hash_word(&s->hash_low, &s->hash_high, task->start_boottime);
	}
	return true;
}

/* Whether a rate limit holds the event back. */
static __always_inline bool is_limited(u32 slot, struct scratch *s, struct actions *a, struct rule_group *g, u32 place)
{
	struct rate_key key;
	u64 *last;

	if (!a->rate_ns || !begin_rate_key(s, a, g->instance, g->first + place))
		return false;
	s->rate_values = g->wanted;
	bpf_loop(MAX_VALUES, hash_value, &slot, 0);
	key.low = s->hash_low;
	key.high = s->hash_high;
	last = bpf_map_lookup_elem(&rate_limits, &key);
	if (last && now_of(s) - *last < a->rate_ns)
		return true;
	now_of(s);
	bpf_map_update_elem(&rate_limits, &key, &s->now, BPF_ANY);
	return false;
}

static __always_inline void send_record(struct scratch *s, struct rule_group *g, struct selector_stats *stats)
{
	struct policy_state *p = policies_at(g->policy);
	struct hook_state *hook = hooks_at(s->hook);
	u32 used = s->used;

	if (used > DATA_ROOM + FIELD_ROOM)
		used = DATA_ROOM + FIELD_ROOM;
	if (!begin_record(&s->record.header, sizeof(s->record) + used, RECORD_HOOK, RING_BULK, now_of(s)))
		return;
	s->record.header.hook = s->hook;
	s->record.header.policy = g->policy;
	if (!bpf_ringbuf_output(&bulk_ring, &s->record, sizeof(s->record) + used, wake_flags(RING_BULK, now_of(s)))) {
		__sync_fetch_and_add(&stats->posts, 1);
		return;
	}
	count_lost(RING_BULK);
	__sync_fetch_and_add(&stats->dropped, 1);
	if (p)
		__sync_fetch_and_add(&p->lost, 1);
	if (hook)
		__sync_fetch_and_add(&hook->lost, 1);
}

/* Sends what was read, as the event of a selector that matched. */
__noinline int post(u32 slot, u32 id, u32 place)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *s = scratch_at(slot);
	struct rule_group *g = groups_at(id);
	struct selector_stats *stats;
	struct selector *sel;
	struct hook_record *r;

	if (!s || !g)
		return 0;
	sel = selectors_at(g->first + place);
	stats = stats_at(g->first + place);
	if (!sel || !stats)
		return 0;
	if (s->nobody || is_limited(slot, s, &sel->act, g, place)) {
		__sync_fetch_and_add(&stats->limited, 1);
		return 0;
	}
	r = &s->record;
	if (s->phase == RUN_ENTRY)
		fill_key(&r->header.key, task);
	else
		r->header.key = s->kept.key;
	r->header.tid = task->pid;
	r->instance = g->instance;
	r->group = id;
	r->selector = place;
	r->flags = s->withheld;
	r->action = sel->act.code;
	r->return_action = 0;
	if (s->phase == RUN_RETURN && g->flags & GROUP_RETURN) {
		r->flags |= HOOK_RETURNED;
		r->return_action = sel->at_return.code;
	}
	if (s->read_again)
		r->flags |= HOOK_READ_AGAIN;
	send_pieces(slot, s->phase == RUN_ENTRY ? g->wanted : g->wanted | g->wanted_return);
	r->fields = s->used;
	r->pad = 0;
	send_record(s, g, stats);
	return 0;
}

#endif
