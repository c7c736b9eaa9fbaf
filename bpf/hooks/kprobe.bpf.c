/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* kprobes and kretprobes: one program for all, told apart by the cookie. */
#include "kernel.h"
#include "hooks/kprobe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe")
int hook_kprobe(struct pt_regs *ctx)
{
	run_kprobe(ctx);
	return 0;
}

SEC("kretprobe")
int hook_kretprobe(struct pt_regs *ctx)
{
	return run_kretprobe(ctx);
}
