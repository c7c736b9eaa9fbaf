/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What programs on trampolines do: fentry, fmod_ret, LSM. `calls`: the function may be that of a system call, whose
 * arguments are in the registers that its own argument points to.
 */
#ifndef LICTOR_TRAMPOLINE_H
#define LICTOR_TRAMPOLINE_H

#include "lib/registers.h"
#include "engine/engine.h"

/* Gives what a denial says, for programs that can carry it out. */
static __always_inline s32 run_trampoline(u64 *ctx, bool calls)
{
	u32 hook = bpf_get_attach_cookie(ctx), slot;
	struct hook_state *state;
	struct scratch *s;

	if (!hook_applies(hook))
		return 0;
	s = begin_run(&slot, hook);
	if (!s)
		return without_slot(hook);
	for (u32 i = 0; i < 6; i++)
		if (bpf_get_func_arg(ctx, i, &s->args[i]))
			break;
	state = calls ? hooks_at(hook) : NULL;
	if (state && state->flags & HOOK_IS_CALL) {
		s->regs = s->args[0];
		read_call_arguments(s->args, (struct pt_regs *)s->regs, s->data);
	}
	/* A return gets the same context: its address names the call. */
	s->frame = (u64)ctx;
	return run_entry(slot, s);
}

#endif
