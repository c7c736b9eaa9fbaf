/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Registers of a probed function, by architecture. The layouts are those of the kernel's own struct pt_regs. */
#ifndef LICTOR_REGISTERS_H
#define LICTOR_REGISTERS_H

#include "kernel.h"

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#define FIRST_ARGUMENT(regs) ((regs)->di)
#define FUNCTION_ARGUMENTS(args, regs)  \
	do {                            \
		(args)[0] = (regs)->di; \
		(args)[1] = (regs)->si; \
		(args)[2] = (regs)->dx; \
		(args)[3] = (regs)->cx; \
		(args)[4] = (regs)->r8; \
		(args)[5] = (regs)->r9; \
	} while (0)
#define RETURN_VALUE(regs) ((regs)->ax)

/* struct thread_info.status: the call came in by the 32-bit gate. */
#define TS_COMPAT 2

static __always_inline bool is_32bit_call(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->thread_info.status & TS_COMPAT;
}

static __always_inline s64 call_number(struct pt_regs *regs)
{
	s64 number = -1;

	bpf_probe_read_kernel(&number, sizeof(number), &regs->orig_ax);
	return is_32bit_call() ? (s32)number : number;
}

/* Arguments of a system call, from the registers that the process had. `room` takes the registers for a moment. */
static __always_inline void read_call_arguments(u64 *args, struct pt_regs *at, void *room)
{
	struct pt_regs *regs = room;

	bpf_probe_read_kernel(regs, sizeof(*regs), at);
	if (is_32bit_call()) {
		args[0] = (u32)regs->bx;
		args[1] = (u32)regs->cx;
		args[2] = (u32)regs->dx;
		args[3] = (u32)regs->si;
		args[4] = (u32)regs->di;
		args[5] = (u32)regs->bp;
		return;
	}
	args[0] = regs->di;
	args[1] = regs->si;
	args[2] = regs->dx;
	args[3] = regs->r10;
	args[4] = regs->r8;
	args[5] = regs->r9;
}
/* Where the return address lay: the same at entry and, popped, at return. */
#define FRAME_AT_ENTRY(regs) ((regs)->sp + 8)
#define FRAME_AT_RETURN(regs) ((regs)->sp)
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	u64 regs[31], sp, pc, pstate;
};
#define FIRST_ARGUMENT(at) ((at)->regs[0])
#define FUNCTION_ARGUMENTS(args, at)               \
	do {                                       \
		for (int i = 0; i < 6; i++)        \
			(args)[i] = (at)->regs[i]; \
	} while (0)
#define RETURN_VALUE(at) ((at)->regs[0])

static __always_inline bool is_32bit_call(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->thread_info.flags >> 22 & 1; /* TIF_32BIT */
}

static __always_inline s64 call_number(struct pt_regs *regs)
{
	s32 number = -1;

	/* struct pt_regs: orig_x0 and syscallno follow the registers. */
	bpf_probe_read_kernel(&number, sizeof(number), (void *)regs + sizeof(*regs) + 8);
	return number;
}

static __always_inline void read_call_arguments(u64 *args, struct pt_regs *at, void *room)
{
	bpf_probe_read_kernel(args, 6 * sizeof(u64), at);
	bpf_probe_read_kernel(args, sizeof(u64), (void *)at + sizeof(*at)); /* orig_x0 */
}
#define FRAME_AT_ENTRY(at) ((at)->sp)
#define FRAME_AT_RETURN(at) ((at)->sp)
#endif

#endif
