/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fmod_ret: what the program returns stands in for the function, if it is not 0. Loaded once per function. */
#include "kernel.h"
#include "lib/registers.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fmod_ret")
long hook_fmod_ret(u64 *ctx)
{
	u32 hook = bpf_get_attach_cookie(ctx), slot;
	struct hook_state *state;
	struct scratch *s;

	if (!hook_applies(hook))
		return 0;
	slot = claim_slot();
	s = begin_run(slot, hook);
	if (!s)
		return answer(without_slot(hook));
	for (u32 i = 0; i < 6; i++)
		if (bpf_get_func_arg(ctx, i, &s->args[i]))
			break;
	state = hooks_at(hook);
	if (state && state->flags & HOOK_IS_CALL)
		read_call_arguments(s->args, (struct pt_regs *)s->args[0], s->data);
	s->frame = (u64)ctx;
	return answer(run_entry(slot, s));
}

SEC("fmod_ret")
long enforce_fmod_ret(u64 *ctx)
{
	return answer(take_note());
}
