/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls where there are no kprobes: two programs see every call, and a table of numbers says which are hooks.
 * Arguments come from the registers of the process; memory that is not resident is read again when the call returns.
 */
#include "kernel.h"
#include "lib/registers.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline u32 hook_of_call(s64 number)
{
	u32 place, *hook;

	if (number < 0 || number >= SYSCALLS)
		return 0;
	place = number;
	if (is_32bit_call())
		place += SYSCALLS;
	hook = syscall_hooks_at(place);
	return hook ? *hook : 0;
}

SEC("raw_tp/sys_enter")
int hook_sys_enter(u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	u32 hook = hook_of_call(ctx[1]), slot;
	struct scratch *s;

	if (!hook || !hook_applies(hook))
		return 0;
	s = begin_run(&slot, hook);
	if (!s)
		return 0;
	read_call_arguments(s->args, regs, s->data);
	s->frame = 0;
	s->regs = (u64)regs;
	run_entry(slot, s);
	return 0;
}

SEC("raw_tp/sys_exit")
int hook_sys_exit(u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	u32 hook = hook_of_call(call_number(regs));

	if (hook && somebody_waits(hook))
		run_return(hook, 0, ctx[1]);
	return 0;
}
