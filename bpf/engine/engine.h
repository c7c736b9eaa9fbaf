/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every hook program does: leave early where no policy applies, else claim a slot and run the groups. */
#ifndef LICTOR_ENGINE_H
#define LICTOR_ENGINE_H

#include "engine/applies.h"
#include "engine/calls.h"

/*
 * Begins a run at entry in a slot of its own; the caller puts the arguments into it next. NULL: there is none, which is
 * counted.
 */
static __always_inline struct scratch *begin_run(u32 *slot, u32 id)
{
	struct hook_state *hook;
	struct scratch *s;

	*slot = claim_slot();
	s = scratch_at(*slot);
	if (*slot != NO_SLOT && s) {
		s->hook = id;
		s->phase = RUN_ENTRY;
		s->used = 0;
		s->read = 0;
		s->result = 0;
		s->now = 0;
		s->regs = 0;
		s->sent = 0;
		s->absent = 0;
		s->undecided = 0;
		s->read_again = 0;
		s->kept.count = 0;
		s->verdict = 0;
		s->withheld = 0;
		s->matched = 0;
		s->nobody = 0;
		draw_timed(s);
		return s;
	}
	hook = hooks_at(id);
	if (hook)
		__sync_fetch_and_add(&hook->scratch_busy, 1);
	return NULL;
}

/* What a hook answers that could not be run: nothing escapes a denial for want of a slot. */
static __always_inline long without_slot(u32 id)
{
	struct hook_state *hook = hooks_at(id);

	return hook && hook->flags & HOOK_DENIES ? -EAGAIN : 0;
}

/* Runs the policies of a hook and gives the slot back. The answer: 0, or a denial's error. */
static __always_inline s32 run_entry(u32 slot, struct scratch *s)
{
	struct hook_state *hook = hooks_at(s->hook);
	s32 verdict;

	if (hook)
		run_groups(slot, s, hook);
	if (s->matched)
		tell_matches(slot);
	if (s->kept.count)
		keep_call(slot);
	else if (hook)
		forget_missed(hook, s);
	verdict = s->verdict;
	release_slot(s);
	return verdict;
}

#endif
