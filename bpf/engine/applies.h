/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a policy on a hook may apply to the current process. */
#ifndef LICTOR_APPLIES_H
#define LICTOR_APPLIES_H

#include "engine/scope_cache.h"

enum applies { APPLIES_NOT = 0, APPLIES, APPLIES_MAYBE };

/* hook_applies for what the note does not answer. */
__noinline int scope_applies(u32 id)
{
	struct hook_state *hook = hooks_at(id);
	struct engine_state *state = engine_at(0);
	struct task_struct *task = bpf_get_current_task_btf();
	struct scope_entry *entry;
	u32 words, word, tgid = task->tgid, generation;
	int applies = APPLIES_NOT;

	if (!hook || !state)
		return APPLIES_NOT;
	generation = *(volatile u32 *)&state->generation;
	entry = bpf_map_lookup_elem(&scope_table, &tgid);
	if (!entry || entry->generation != generation || entry->image != image_of(task))
		return APPLIES_MAYBE;
	words = hook->words & entry->words;
	for (u32 i = 0; i < SCOPE_WORDS; i++) {
		if (!words)
			break;
		word = masked(i, SCOPE_WORDS);
		if (words & 1U << word && hook->mask[word] & entry->bits[word]) {
			applies = APPLIES;
			break;
		}
		words &= ~(1U << word);
	}
	barrier();
	return *(volatile u32 *)&state->generation == generation ? applies : APPLIES_MAYBE;
}

/*
 * Whether a policy on the hook may apply to the current process: the cheap question that most runs end with. The mask
 * is read before the generation, as in run_groups: bits of that generation know of whatever the mask says.
 */
static __always_inline int hook_applies(u32 id)
{
	struct hook_state *hook = hooks_at(id);
	struct engine_state *state = engine_at(0);
	struct task_struct *task;
	u64 mask, bits;

	if (!hook || !state || !hook->words)
		return APPLIES_NOT;
	mask = *(volatile u64 *)&hook->mask[0];
	if (mask & 1 << SCOPE_ALL)
		return APPLIES;
	task = bpf_get_current_task_btf();
	bits = noted_bits(task->tgid, image_of(task), *(volatile u32 *)&state->generation);
	if (bits)
		return mask & bits ? APPLIES : APPLIES_NOT;
	return scope_applies(id);
}

#endif
