/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * security_bprm_committing_creds: here the old credentials are still current's and the new ones are bprm's, so what
 * raises privileges can be told exactly. An object of its own, because a kernel under lockdown refuses fentry; the
 * exec program then derives it (process/exec.h).
 */
#include "kernel.h"
#include "process/table_map.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fentry/security_bprm_committing_creds")
int BPF_PROG(process_committing_creds, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_entry *entry = find_process(task->tgid);
	const struct cred *old = task->cred, *new = bprm->cred;
	u64 had = 0, has = 0;
	u32 raised = EXEC_RAISED_EXACT;

	if (!entry)
		return 0;
	if (new->euid.val != old->euid.val)
		raised |= EXEC_RAISED_SETUID;
	if (new->egid.val != old->egid.val)
		raised |= EXEC_RAISED_SETGID;
	bpf_probe_read_kernel(&had, sizeof(had), &old->cap_permitted);
	bpf_probe_read_kernel(&has, sizeof(has), &new->cap_permitted);
	if (has & ~had && new->uid.val && new->euid.val)
		raised |= EXEC_RAISED_FILE_CAP;
	entry->raised = raised;
	return 0;
}
