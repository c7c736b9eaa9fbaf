/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* LSM hooks: loaded once per hook, told apart by the cookie all the same. */
#include "kernel.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/file_open")
long hook_lsm(u64 *ctx)
{
	u32 hook = bpf_get_attach_cookie(ctx), slot;
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
	return answer(run_entry(slot, s));
}

SEC("lsm/file_open")
long enforce_lsm(u64 *ctx)
{
	return answer(take_note());
}
