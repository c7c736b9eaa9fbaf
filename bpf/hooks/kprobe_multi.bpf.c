/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One link for many functions, each with its cookie (kprobe.multi, Linux 5.18). */
#include "kernel.h"
#include "hooks/kprobe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe.multi")
int hook_kprobe_multi(struct pt_regs *ctx)
{
	run_kprobe(ctx);
	return 0;
}

SEC("kretprobe.multi")
int hook_kretprobe_multi(struct pt_regs *ctx)
{
	return run_kretprobe(ctx);
}
