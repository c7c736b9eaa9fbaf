/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The process sensor: always on. Only tp_btf programs, so that it runs on a kernel under lockdown.
 */
#include "kernel.h"
#include "process/exec.h"
#include "process/exit.h"
#include "process/fork.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the shapes are in the object's BTF, where Python reads them. */
const struct chunk_record *chunk_shape __attribute__((unused));
const struct exec_record *exec_shape __attribute__((unused));
const struct exit_record *exit_shape __attribute__((unused));
const struct clone_record *clone_shape __attribute__((unused));
const enum record_kind *kind_shape __attribute__((unused));
const enum process_flag *process_flag_shape __attribute__((unused));
const enum exec_flag *exec_flag_shape __attribute__((unused));
const enum exec_field *field_shape __attribute__((unused));

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	on_fork(child);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	on_exec(task, bprm);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	on_exit(task);
	return 0;
}
