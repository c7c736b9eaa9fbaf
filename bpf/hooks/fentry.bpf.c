/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fentry and fexit: loaded once per function. Both of a call get the same context, on the stack of the trampoline. */
#include "kernel.h"
#include "hooks/trampoline.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fentry")
int hook_fentry(u64 *ctx)
{
	run_trampoline(ctx, true);
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
