/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Run once by the agent itself: who it is, seen as the hooks will see it, whatever namespaces and file systems it has.
 */
#include "kernel.h"
#include "engine/maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("raw_tp")
int remember_agent(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	struct engine_state *state = engine_at(0);

	if (!state || !inode)
		return 1;
	state->agent_start = task->group_leader->start_boottime;
	state->agent_inode = BPF_CORE_READ(inode, i_ino);
	state->agent_device = BPF_CORE_READ(inode, i_sb, s_dev);
	state->agent_tgid = task->tgid;
	return 0;
}
