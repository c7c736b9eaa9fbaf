/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Predicates, and combinations of them, asked of the process that is in the slot. */
#ifndef LICTOR_QUESTIONS_H
#define LICTOR_QUESTIONS_H

#include "engine/maps.h"
#include "engine/scratch.h"
#include "match/sets.h"

#define PARENT_PATH_AT 8192 /* in the data; the process's own path is at 0 */

enum scope_mode { SCOPE_MEET = 0, SCOPE_EXEC, SCOPE_FORK, SCOPE_ANCESTOR };

static __always_inline bool bit_of(u64 *bits, u32 bit)
{
	return bits[masked(bit / WORD_BITS, SCOPE_WORDS)] >> (bit % WORD_BITS) & 1;
}

static __always_inline void set_bit_of(u64 *bits, u32 bit)
{
	bits[masked(bit / WORD_BITS, SCOPE_WORDS)] |= 1ULL << (bit % WORD_BITS);
}

static __always_inline bool path_matches(u32 slot, struct predicate *p, u32 at, u32 len)
{
	bool at_end = p->op == OP_POSTFIX;

	if (!len)
		return false;
	if (p->op == OP_STRING)
		return look_up_whole(slot, p->set, at, len);
	if (len > LONGEST_STRING) {
		at += at_end ? LONGEST_STRING : 0;
		len = LONGEST_STRING;
	}
	return look_up_part(slot, p->set, at, len, at_end);
}

static __always_inline bool predicate_holds(u32 slot, struct scratch *s, struct predicate *p)
{
	bool known = s->known_generation >= p->born, before = known && bit_of(s->before, p->bit);

	if (p->sticky && (before || bit_of(s->inherited, p->bit)))
		return true;
	switch (p->kind) {
	case PREDICATE_BINARY:
		if (s->mode == SCOPE_FORK)
			return before;
		return path_matches(slot, p, 0, s->path_len);
	case PREDICATE_PARENT_BINARY:
		if (s->mode == SCOPE_FORK)
			return bit_of(s->before, p->twin);
		if (known)
			return before;
		return path_matches(slot, p, PARENT_PATH_AT, s->parent_path_len);
	case PREDICATE_PID:
		return number_in(p->set, s->tgid);
	case PREDICATE_NAMESPACE_PID:
		return number_in(p->set, s->nspid);
	case PREDICATE_WORKLOAD:
		if (s->mode == SCOPE_FORK)
			return before;
		return number_in(p->set, s->workload);
	}
	return false;
}

static long ask_predicate(u32 index, u32 *slot)
{
	struct predicate *p = predicates_at(index);
	struct scratch *s = scratch_at(*slot);

	if (!p || !s)
		return 1;
	if (p->kind == PREDICATE_NONE)
		return 0;
	if (s->mode == SCOPE_ANCESTOR) {
		if (p->sticky && predicate_holds(*slot, s, p))
			set_bit_of(s->inherited, p->bit);
		return 0;
	}
	if (predicate_holds(*slot, s, p))
		set_bit_of(s->scope.bits, p->bit);
	return 0;
}

static long ask_conjunction(u32 index, u32 *slot)
{
	struct conjunction *c = conjunctions_at(index);
	struct scratch *s = scratch_at(*slot);

	if (!c || !s)
		return 1;
	if (c->bit == NO_BIT)
		return 0;
	for (u32 i = 0; i < CONJUNCTION_TERMS; i++) {
		if (i >= c->positive + c->negative)
			break;
		if (bit_of(s->scope.bits, c->term[i]) != i < c->positive)
			return 0;
	}
	set_bit_of(s->scope.bits, c->bit);
	return 0;
}

#endif
