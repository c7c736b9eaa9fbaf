/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Raw tracepoints. Where the kernel has cookies for them (Linux 6.10) one program serves all; before, the object is
 * loaded once per hook, which `hook_id` names.
 */
#include "kernel.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile u32 hook_id = 0;

SEC("raw_tp")
int hook_raw_tracepoint(u64 *ctx)
{
	u32 hook = hook_id ?: bpf_get_attach_cookie(ctx), slot;
	struct scratch *s;

	if (!hook_applies(hook))
		return 0;
	s = begin_run(&slot, hook);
	if (!s)
		return 0;
	/* As memory: a program that looks at more arguments than its tracepoint has is refused. No plan reads those. */
	bpf_probe_read_kernel(s->args, 6 * sizeof(u64), ctx);
	run_entry(slot, s);
	return 0;
}
