/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* CelExpr: a stack machine over numbers of 64 bits. The code is policy/cel.py's; the state lies in the slot. */
#ifndef LICTOR_EXPRESSION_H
#define LICTOR_EXPRESSION_H

#include "read/value.h"

#define TOP(s) (s)->stack[masked((s)->depth - 1, STACK_ROOM)]
#define BELOW(s) (s)->stack[masked((s)->depth - 2, STACK_ROOM)]

static __always_inline void push(struct scratch *s, u64 value)
{
	s->stack[masked(s->depth, STACK_ROOM)] = value;
	s->depth++;
}

static __always_inline u64 computed(u8 op, u64 a, u64 b)
{
	switch (op) {
	case CEL_ADD:
		return a + b;
	case CEL_SUBTRACT:
		return a - b;
	case CEL_AND:
		return a & b;
	case CEL_OR:
		return a | b;
	case CEL_XOR:
		return a ^ b;
	case CEL_EQUAL:
		return a == b;
	case CEL_NOT_EQUAL:
		return a != b;
	case CEL_LESS:
		return a < b;
	case CEL_LESS_EQUAL:
		return a <= b;
	case CEL_SIGNED_LESS:
		return (s64)a < (s64)b;
	default:
		return (s64)a <= (s64)b;
	}
}

/* Puts the value of a slot, which was read, on the stack. False: there is none. */
static __always_inline bool push_value(struct scratch *s, u32 n)
{
	struct field *field = field_of(s, n);

	if (field->flags & FIELD_ERROR)
		return false;
	push(s, field->extra);
	return true;
}

static long run_step(u32 index, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	struct cel_step *step;

	if (!s || s->at_step >= s->end_step)
		return 1;
	step = cel_steps_at(s->at_step);
	if (!step)
		return 1;
	s->at_step++;
	switch (step->op) {
	case CEL_CONSTANT:
		push(s, step->value);
		return 0;
	case CEL_LOAD:
		if (push_value(s, step->value))
			return 0;
		s->depth = 0;
		return 1;
	case CEL_NOT:
		TOP(s) = ~TOP(s);
		return 0;
	case CEL_LOGICAL_NOT:
		TOP(s) = !TOP(s);
		return 0;
	case CEL_SIGN_EXTEND_32:
		TOP(s) = (s64)(s32)TOP(s);
		return 0;
	case CEL_ZERO_EXTEND_32:
		TOP(s) = (u32)TOP(s);
		return 0;
	case CEL_JUMP_IF_ZERO:
	case CEL_JUMP_IF_NOT_ZERO:
		if (!TOP(s) == (step->op == CEL_JUMP_IF_ZERO))
			s->at_step += step->value;
		return 0;
	case CEL_POP:
		s->depth--;
		return 0;
	}
	BELOW(s) = computed(step->op, BELOW(s), TOP(s));
	s->depth--;
	return 0;
}

/* Reads the values of an expression; not inside, where calls are too deep already. */
static __always_inline void read_values_of(u32 slot, struct filter *f)
{
	u64 slots = f->numbers[0];

	for (u32 i = 0; i < EXPRESSION_VALUES; i++) {
		if ((slots & 0xff) == NO_INDEX)
			break;
		read_value(slot, slots & 0xff);
		slots >>= 8;
	}
}

/* Whether a condition's expression is true: -1 if a value in it could not be read. */
__noinline int evaluate(u32 slot, u32 id)
{
	struct scratch *s = scratch_at(slot);
	struct filter *f = filters_at(id);

	if (!s || !f)
		return -1;
	s->depth = 0;
	s->at_step = f->set;
	s->end_step = f->set + f->count;
	bpf_loop(EXPRESSION_STEPS, run_step, &slot, 0);
	return s->depth ? !!TOP(s) : -1;
}

#endif
