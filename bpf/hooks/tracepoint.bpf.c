/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tracepoints: one program for all, told apart by the cookie. Fields are read from the record the context points to. */
#include "kernel.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tracepoint")
int hook_tracepoint(void *ctx)
{
	u32 hook = bpf_get_attach_cookie(ctx), slot;
	struct scratch *s;

	if (!hook_applies(hook))
		return 0;
	s = begin_run(&slot, hook);
	if (!s)
		return 0;
	s->args[0] = (u64)ctx;
	run_entry(slot, s);
	return 0;
}
