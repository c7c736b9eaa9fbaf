/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* kprobes that can leave the function before it begins: attached to functions whose failure can be injected only. */
#include "kernel.h"
#include "hooks/kprobe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe")
int hook_override(struct pt_regs *ctx)
{
	long verdict = run_kprobe(ctx);

	if (verdict)
		bpf_override_return(ctx, verdict);
	return 0;
}

/* The same for what NotifyEnforcer left. */
SEC("kprobe")
int enforce_override(struct pt_regs *ctx)
{
	long verdict = take_note();

	if (verdict)
		bpf_override_return(ctx, verdict);
	return 0;
}
