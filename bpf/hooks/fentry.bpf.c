/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fentry and fexit: loaded once per function. Both of a call get the same context, on the stack of the trampoline:
 * its address names the call.
 */
#include "kernel.h"
#include "lib/registers.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fentry")
int hook_fentry(u64 *ctx)
{
	u32 hook = bpf_get_attach_cookie(ctx), slot;
	struct hook_state *state;
	struct scratch *s;

	if (!hook_applies(hook))
		return 0;
	slot = claim_slot();
	s = begin_run(slot, hook);
	if (!s)
		return 0;
	for (u32 i = 0; i < 6; i++)
		if (bpf_get_func_arg(ctx, i, &s->args[i]))
			break;
	state = hooks_at(hook);
	if (state && state->flags & HOOK_IS_CALL) {
		s->regs = s->args[0];
		read_call_arguments(s->args, (struct pt_regs *)s->regs, s->data);
	}
	s->frame = (u64)ctx;
	run_entry(slot, s);
	return 0;
}

SEC("fexit")
int hook_fexit(u64 *ctx)
{
	u32 hook = bpf_get_attach_cookie(ctx);
	u64 result = 0;

	if (!somebody_waits(hook))
		return 0;
	bpf_get_func_ret(ctx, &result);
	run_return(hook, (u64)ctx, result);
	return 0;
}
