/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What most processes come to, in a note that is read without a lock, instead of a hash table. */
#ifndef LICTOR_SCOPE_CACHE_H
#define LICTOR_SCOPE_CACHE_H

#include "engine/maps.h"
#include "lib/maps.h"
#include "read/task.h"

static __always_inline struct scope_note *note_of(u32 tgid)
{
	u32 place = tgid & (SCOPE_CACHE - 1);

	return bpf_map_lookup_elem(&scope_cache, &place);
}

static __always_inline u64 seal_of(u64 bits, u64 image, u32 generation)
{
	return bits * SCOPE_SEAL ^ (image + generation * SCOPE_SEAL);
}

/*
 * The bits that a note has for a process under a generation, 0: it has none (bit 0 is set for every process).
 *
 * Nothing orders the four members, and another process that shares the place may write at the same time, on another CPU
 * or on this one between two of the reads. The seal makes an answer of parts impossible: given bits of one process and
 * a seal of another it matches neither. A note is written by those only who compute bits (store_scope), never
 * copied from the table: so what makes the table's entry stale and then clears the note (mark_moved, forget_scope) has
 * the last word. The same process writes the same bits under one generation, but for its exec, when no other thread of
 * it runs.
 */
static __always_inline u64 noted_bits(u32 tgid, u64 image, u32 generation)
{
	volatile struct scope_note *note = note_of(tgid);
	u64 bits;

	if (!note)
		return 0;
	bits = note->bits;
	if (note->tgid != tgid || note->generation != generation || note->seal != seal_of(bits, image, generation))
		return 0;
	return bits;
}

static __always_inline void write_note(u32 tgid, u64 bits, u64 image, u32 generation)
{
	volatile struct scope_note *note = note_of(tgid);

	if (!note)
		return;
	note->bits = bits;
	note->seal = seal_of(bits, image, generation);
	note->tgid = tgid;
	note->generation = generation;
}

static __always_inline void clear_note(u32 tgid)
{
	volatile struct scope_note *note = note_of(tgid);

	if (note)
		note->generation = 0;
}

#endif
