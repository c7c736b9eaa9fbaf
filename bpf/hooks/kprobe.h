/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What programs on kprobes do. On the function of a system call the arguments are in the registers that its own
 * argument points to.
 */
#ifndef LICTOR_KPROBE_H
#define LICTOR_KPROBE_H

#include "lib/registers.h"
#include "engine/engine.h"

/* Gives what a denial says, for programs that can carry it out. */
static __always_inline s32 run_kprobe(struct pt_regs *ctx)
{
	u32 hook = bpf_get_attach_cookie(ctx), slot;
	struct hook_state *state;
	struct scratch *s;

	if (!hook_applies(hook))
		return 0;
	s = begin_run(&slot, hook);
	if (!s)
		return without_slot(hook);
	state = hooks_at(hook);
	s->regs = (u64)ctx;
	if (state && state->flags & HOOK_IS_CALL) {
		s->regs = FIRST_ARGUMENT(ctx);
		read_call_arguments(s->args, (struct pt_regs *)s->regs, s->data);
	} else {
		FUNCTION_ARGUMENTS(s->args, ctx);
	}
	s->frame = FRAME_AT_ENTRY(ctx);
	return run_entry(slot, s);
}

static __always_inline int run_kretprobe(struct pt_regs *ctx)
{
	u32 hook = bpf_get_attach_cookie(ctx);

	if (somebody_waits(hook))
		run_return(hook, FRAME_AT_RETURN(ctx), RETURN_VALUE(ctx));
	return 0;
}

#endif
