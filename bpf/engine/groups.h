/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The groups of a hook: one policy's selectors in order, the first that matches acts. */
#ifndef LICTOR_GROUPS_H
#define LICTOR_GROUPS_H

#include "act/enforce.h"
#include "act/post.h"
#include "engine/scope.h"
#include "match/filter.h"

enum decision { DECISION_NO = 0, DECISION_YES, DECISION_LATER };

/* Whether filters hold that lie side by side: DECISION_*. */
__noinline int filters_hold(u32 slot, u32 first, u32 count)
{
	int holds;

	for (u32 i = 0; i < SELECTOR_FILTERS; i++) {
		if (i >= count)
			break;
		holds = filter_holds(slot, first + i);
		if (holds != DECISION_YES)
			return holds;
	}
	return DECISION_YES;
}

static __always_inline bool in_scope(struct scratch *s, u32 bit)
{
	u32 word = masked(bit / WORD_BITS, SCOPE_WORDS);

	return bit == NO_BIT || (s->scope.words >> word & 1 && s->scope.bits[word] >> (bit % WORD_BITS) & 1);
}

/* Keeps a match until the call returns. */
static __always_inline void keep_match(struct scratch *s, struct rule_group *g, u32 id, u32 selector, u32 flags)
{
	u32 n = s->kept.count;
	struct kept_match *match;

	if (n >= KEPT_MATCHES) {
		count_unjoined(s, g->policy, 1);
		return;
	}
	match = &s->kept.match[masked(n, KEPT_MATCHES)];
	match->group = id;
	match->instance = g->instance;
	match->policy = g->policy;
	match->selector = selector;
	match->flags = flags;
	s->kept.count = n + 1;
}

/* Keeps a match until every policy on the hook has had its say. False: no room, or nobody enforces here. */
static __always_inline bool tell_later(struct scratch *s, struct rule_group *g, u32 id, u32 place)
{
	struct hook_state *hook = hooks_at(s->hook);
	struct match_value *match;
	u32 n = s->matched;

	if (!hook || !(hook->flags & HOOK_ENFORCES) || n >= KEPT_MATCHES)
		return false;
	match = &s->match[masked(n, KEPT_MATCHES)];
	match->instance = g->instance;
	match->group = id;
	match->selector = place;
	s->match_flags[masked(n, KEPT_MATCHES)] = s->withheld;
	s->matched = n + 1;
	return true;
}

static long tell_match(u32 n, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct match_value *match;

	if (!s || n >= s->matched)
		return 1;
	match = &s->match[masked(n, KEPT_MATCHES)];
	s->withheld = s->match_flags[masked(n, KEPT_MATCHES)];
	if (s->matched > 1 && s->verdict && match->group == s->decider)
		s->withheld |= HOOK_DECIDED;
	post(*slot, match->group, match->selector);
	return 0;
}

/* Puts behind the values who else matched. */
static __always_inline void tell_of_others(struct scratch *s)
{
	struct field *field = (struct field *)&s->data[masked(s->used, DATA_ROOM)];
	struct match_value *value = (struct match_value *)bytes_of_newest(s);

	field->slot = SLOT_MATCHES;
	field->type = TYPE_NONE;
	field->flags = 0;
	field->extra = -s->verdict;
	for (u32 i = 0; i < KEPT_MATCHES; i++) {
		if (i >= s->matched)
			break;
		value[i] = s->match[i];
		value[i].decided = s->verdict && s->match[i].group == s->decider;
	}
	close_field(s, at_most(s->matched, KEPT_MATCHES) * sizeof(*value));
}

/* The events of a hook that enforces, once the answer is known. */
__noinline int tell_matches(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	if (s->matched > 1)
		tell_of_others(s);
	bpf_loop(KEPT_MATCHES, tell_match, &slot, 0);
	return 0;
}

/* What a selector that matched does: its event leaves now, or when the function returns. */
__noinline int act(u32 slot, u32 id, u32 place)
{
	struct scratch *s = scratch_at(slot);
	struct rule_group *g = groups_at(id);
	struct selector_stats *stats;
	struct selector *sel;

	if (!s || !g)
		return 0;
	sel = selectors_at(g->first + place);
	stats = stats_at(g->first + place);
	if (!sel || !stats)
		return 0;
	if (s->phase == RUN_ENTRY)
		s->withheld = sel->act.bits & ACT_ENFORCING ? enforce(slot, id, place, 0) : 0;
	else if (sel->at_return.bits & ACT_ENFORCING)
		s->withheld |= enforce(slot, id, place, 1);
	s->undecided = 0;
	s->failed = 0;
	read_wanted(slot, s->phase == RUN_ENTRY ? g->wanted : g->wanted | g->wanted_return);
	if (s->phase == RUN_ENTRY && (g->flags & GROUP_RETURN || s->undecided)) {
		keep_match(s, g, id, place, s->withheld);
		return 0;
	}
	if (s->failed)
		__sync_fetch_and_add(&stats->failed_reads, s->failed);
	__sync_fetch_and_add(&stats->matches, 1);
	if (!(sel->act.bits & ACT_POST) || (s->phase == RUN_RETURN && !(sel->at_return.bits & ACT_POST)))
		return 0;
	if (s->phase == RUN_RETURN || !tell_later(s, g, id, place))
		post(slot, id, place);
	return 0;
}

#define PLACE_NONE 0xff
#define PLACE_LATER 0x100 /* undecided, from this place on */

/* The place of the first selector of a group, from one on, that matches. */
__noinline u32 try_group(u32 slot, u32 id, u32 from)
{
	struct scratch *s = scratch_at(slot);
	struct rule_group *g = groups_at(id);
	struct selector *sel;
	int holds;

	if (!s || !g)
		return PLACE_NONE;
	for (u32 i = 0; i < GROUP_SELECTORS; i++) {
		if (i >= g->count)
			break;
		if (i < from)
			continue;
		sel = selectors_at(g->first + i);
		if (!sel)
			break;
		if (!in_scope(s, sel->scope))
			continue;
		holds = filters_hold(slot, sel->first_filter, sel->filters);
		if (holds == DECISION_YES)
			return i;
		if (holds == DECISION_LATER)
			return i | PLACE_LATER;
	}
	return PLACE_NONE;
}

/* Runs one group if its policy is in force; gives the next one under the same bit. */
static __always_inline u32 run_group(u32 slot, struct scratch *s, u32 id)
{
	struct rule_group *g = groups_at(id);
	struct policy_state *p;
	u32 place;
	u64 began;

	if (!g || g->hook != s->hook)
		return 0;
	p = policies_at(g->policy);
	if (!p || p->instance != g->instance)
		return g->next;
	began = begin_time(s);
	s->failed = 0;
	place = try_group(slot, id, 0);
	if (s->failed)
		__sync_fetch_and_add(&p->failed_reads, s->failed);
	if (place & PLACE_LATER)
		keep_match(s, g, id, place & PLACE_NONE, MATCH_UNDECIDED);
	else if (place != PLACE_NONE)
		act(slot, id, place);
	count_time(g, began);
	return g->next;
}

static __always_inline u32 lowest_bit(u64 bits)
{
	u32 n = 0;

	if (!(bits & 0xffffffff))
		n += 32, bits >>= 32;
	if (!(bits & 0xffff))
		n += 16, bits >>= 16;
	if (!(bits & 0xff))
		n += 8, bits >>= 8;
	if (!(bits & 0xf))
		n += 4, bits >>= 4;
	if (!(bits & 3))
		n += 2, bits >>= 2;
	return n + !(bits & 1);
}

/* One step over the words, bits and groups that hook and process have in common. */
static long step_over_groups(u32 index, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct hook_state *hook;
	struct head_block *block;
	u32 bit;

	if (!s)
		return 1;
	if (s->group) {
		s->group = run_group(*slot, s, s->group);
		if (s->group)
			return 0;
	}
	hook = hooks_at(s->hook);
	if (!hook)
		return 1;
	if (!s->bits) {
		if (!s->words)
			return 1;
		s->word = lowest_bit(s->words);
		s->words &= s->words - 1;
		bit = masked(s->word, SCOPE_WORDS);
		s->bits = s->common[bit];
	}
	block = head_blocks_at(hook->block[masked(s->word, SCOPE_WORDS)]);
	if (!block)
		return 1;
	bit = lowest_bit(s->bits);
	s->bits &= s->bits - 1;
	s->group = block->head[masked(bit, WORD_BITS)];
	return 0;
}

#define MOST_STEPS (1 << 16)
#define MOST_TRIES 3

/* Notes which bits hook and process have in common. */
__noinline int find_common(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct hook_state *hook = s ? hooks_at(s->hook) : NULL;
	u32 words;

	if (!hook)
		return 0;
	words = hook->words & s->scope.words;
	s->words = 0;
	for (u32 i = 0; i < SCOPE_WORDS; i++) {
		if (!words)
			return 0;
		s->common[i] = hook->mask[i] & s->scope.bits[i];
		if (words & 1U << i && s->common[i])
			s->words |= 1U << i;
		words &= ~(1U << i);
	}
	return 0;
}

/* The same where either has bits in the first word only, as most do. */
static __always_inline void find_common_fast(u32 slot, struct scratch *s, struct hook_state *hook)
{
	if (s->scope.words != 1) {
		find_common(slot);
		return;
	}
	s->common[0] = *(volatile u64 *)&hook->mask[0] & s->scope.bits[0];
	s->words = !!s->common[0];
}

/* Puts the bits of the process at hand into the slot, those that the hook asks for. */
static __always_inline void look_up_scope(u32 slot, struct scratch *s, bool scoped)
{
	if (scoped) {
		load_scope(slot);
		return;
	}
	s->scope.words = 1;
	s->scope.bits[0] = 1 << SCOPE_ALL;
}

/*
 * Runs the groups that apply to the process. The generation is looked at after the mask: whoever gives a bit to a hook
 * has turned it before. So bits that were computed under another one are computed anew, and a mask is never compared
 * with bits from before it.
 */
static __always_inline void run_groups(u32 slot, struct scratch *s, struct hook_state *hook)
{
	struct engine_state *state = engine_at(0);
	bool scoped = *(volatile u32 *)&hook->scoped;
	u32 tries;

	look_up_scope(slot, s, scoped);
	for (tries = 0; tries < MOST_TRIES; tries++) {
		find_common_fast(slot, s, hook);
		barrier();
		if (!scoped || !state || s->scope.generation == *(volatile u32 *)&state->generation)
			break;
		refresh_scope(slot, SCOPE_MEET);
	}
	if (tries == MOST_TRIES) {
		/* Policies change faster than we look: nothing escapes a denial by that. */
		__sync_fetch_and_add(&hook->scratch_busy, 1);
		if (hook->flags & HOOK_DENIES)
			s->verdict = -EAGAIN;
		return;
	}
	s->bits = 0;
	s->group = 0;
	bpf_loop(MOST_STEPS, step_over_groups, &slot, 0);
}

#endif
