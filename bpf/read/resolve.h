/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values that lie behind others: from an address over members and pointers to the value (`resolve`). */
#ifndef LICTOR_RESOLVE_H
#define LICTOR_RESOLVE_H

#include "read/field.h"

struct resolve_job {
	u32 slot;
	u32 element;
	u32 failed; /* the step that could not be done, counted from 1 */
};

static long follow_step(u32 index, struct resolve_job *job)
{
	struct read_spec *spec = reads_at(job->element);
	struct scratch *s = scratch_at(job->slot);
	u64 next = 0;
	u32 step;

	if (!s || !spec || index >= spec->steps)
		return 1;
	step = spec->step[masked(index, READ_STEPS)];
	s->raw += step & ~STEP_FOLLOW;
	if (!(step & STEP_FOLLOW))
		return 0;
	/* Memory of the process leads to no memory of the kernel. */
	if (spec->flags & READ_USER && !is_user(s->raw))
		job->failed = index + 1;
	else if (read_memory(&next, sizeof(next), s->raw) || !next)
		job->failed = index + 1;
	if (job->failed)
		return 1;
	s->raw = next;
	return 0;
}

/* Goes from s->raw to where the steps of a value end. Gives 0, or which of them could not be done. */
__noinline int follow_steps(u32 slot, u32 element)
{
	struct resolve_job job = { .slot = slot, .element = element };

	bpf_loop(READ_STEPS, follow_step, &job, 0);
	return job.failed;
}

/* Reads the number at the end of the steps: s->raw, an address, becomes it. False: it is not there. */
static __always_inline bool load_number(struct scratch *s, struct read_spec *spec)
{
	u64 value = 0;
	u32 size = spec->size, bits = spec->bits;

	if (bits)
		size = (bits + spec->shift + 7) / 8;
	size = at_most(size, sizeof(value));
	if (read_memory(&value, size, s->raw))
		return false;
	if (bits && bits < 64) {
		value = value >> (spec->shift & 63) & ((1ULL << bits) - 1);
		if (spec->flags & READ_SIGNED && value >> (bits - 1) & 1)
			value |= ~0ULL << bits;
	} else if (size && size < sizeof(value) && spec->flags & READ_SIGNED && value >> (8 * size - 1) & 1) {
		value |= ~0ULL << (8 * size);
	}
	s->raw = value;
	return true;
}

#endif
