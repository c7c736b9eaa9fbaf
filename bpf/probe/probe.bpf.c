/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One smallest program per ability of the kernel. src/lictor/host/features.py loads and attaches them one at a time,
 * for a moment, to find out what this kernel really takes. None of them records or changes anything.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16); /* a whole number of pages, whatever their size */
} ring SEC(".maps");

SEC("tp_btf/sched_process_exit")
int probe_tp_btf(void *ctx)
{
	return 0;
}

SEC("raw_tp/sched_process_exit")
int probe_raw_tp(void *ctx)
{
	return 0;
}

SEC("tp/sched/sched_process_exit")
int probe_tracepoint(void *ctx)
{
	return 0;
}

SEC("kprobe/security_bprm_committing_creds")
int probe_kprobe(void *ctx)
{
	return 0;
}

SEC("kretprobe/security_bprm_committing_creds")
int probe_kretprobe(void *ctx)
{
	return 0;
}

SEC("kprobe.multi/security_bprm_committing_creds")
int probe_kprobe_multi(void *ctx)
{
	return 0;
}

SEC("fentry/security_bprm_committing_creds")
int probe_fentry(void *ctx)
{
	return 0;
}

SEC("fexit/security_bprm_committing_creds")
int probe_fexit(void *ctx)
{
	return 0;
}

/* These two give 0: what was allowed stays allowed. */
SEC("fmod_ret/security_task_setnice")
int probe_fmod_ret(void *ctx)
{
	return 0;
}

SEC("lsm/task_setnice")
int probe_lsm(void *ctx)
{
	return 0;
}

SEC("lsm.s/bprm_committed_creds")
int BPF_PROG(probe_ima, struct linux_binprm *bprm)
{
	u8 hash[64] = {};

	bpf_ima_file_hash(bprm->file, hash, sizeof(hash));
	return 0;
}

SEC("uprobe/libc.so.6:gnu_get_libc_version")
int probe_uprobe(void *ctx)
{
	return 0;
}

SEC("iter/task")
int probe_iter(void *ctx)
{
	return 0;
}

SEC("cgroup/connect4")
int probe_cgroup_connect(void *ctx)
{
	return 1;
}

SEC("cgroup/sendmsg4")
int probe_cgroup_sendmsg(void *ctx)
{
	return 1;
}

SEC("cgroup/bind4")
int probe_cgroup_bind(void *ctx)
{
	return 1;
}

SEC("cgroup/sock_create")
int probe_cgroup_sock(void *ctx)
{
	return 1;
}

SEC("cgroup/connect4")
int probe_cgroup_signal(void *ctx)
{
	bpf_send_signal(0);
	return 1;
}

SEC("cgroup_skb/egress")
int probe_cgroup_skb(void *ctx)
{
	return 1;
}

/* Loaded only: attaching it would need a function that may be overridden. */
SEC("kprobe")
int probe_override(struct pt_regs *ctx)
{
	bpf_override_return(ctx, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int probe_signal(void *ctx)
{
	/* Signal 0: nothing is sent. */
	bpf_send_signal(0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int probe_storage(void *ctx)
{
	bpf_task_storage_get(&storage, bpf_get_current_task_btf(), 0, 0);
	return 0;
}

static long nothing(u32 index, void *ctx)
{
	return 1;
}

SEC("tp_btf/sched_process_exit")
int probe_loop(void *ctx)
{
	bpf_loop(1, nothing, NULL, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int probe_dynptr(void *ctx)
{
	struct bpf_dynptr space;

	bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &space);
	bpf_ringbuf_discard_dynptr(&space, 0);
	return 0;
}

/* Cookies of raw tracepoints: 68ca5d4eebb8 ("bpf: support BPF cookie in raw tracepoint … programs"), 6.10. */
SEC("raw_tp/sched_process_exit")
int probe_raw_tp_cookie(void *ctx)
{
	return bpf_get_attach_cookie(ctx) == 1;
}

SEC("tp_btf/sched_process_exit")
int probe_tp_btf_cookie(void *ctx)
{
	return bpf_get_attach_cookie(ctx) == 1;
}

/* Loaded as BPF_TRACE_UPROBE_MULTI, and linked by lictor_try_uprobe_multi(). */
SEC("uprobe")
int probe_uprobe_multi(void *ctx)
{
	return 0;
}

/* A word of struct pt_regs is written, which newer kernels allow to uprobes. Never attached. */
SEC("uprobe")
int probe_uprobe_registers(u64 *registers)
{
	registers[4] = 0;
	return 0;
}

SEC("uprobe")
int probe_write_user(void *ctx)
{
	u32 zero = 0;

	bpf_probe_write_user(NULL, &zero, sizeof(zero));
	return 0;
}

SEC("uprobe.s")
int probe_uprobe_sleepable(void *ctx)
{
	u32 value = 0;

	bpf_copy_from_user(&value, sizeof(value), NULL);
	return 0;
}

/* Kernel functions: a call of one that the kernel has not is refused. */
extern int bpf_copy_from_user_str(void *to, u32 size, const void *from, u64 flags) __ksym __weak;
extern int bpf_strnstr(const char *text, const char *part, u64 size) __ksym __weak;
extern int bpf_strncasestr(const char *text, const char *part, u64 size) __ksym __weak;

SEC("uprobe.s")
int probe_copy_from_user_str(void *ctx)
{
	char text[8] = {};

	bpf_copy_from_user_str(text, sizeof(text), NULL, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int probe_strnstr(void *ctx)
{
	char text[8] = {};

	return bpf_strnstr(text, text, sizeof(text));
}

SEC("tp_btf/sched_process_exit")
int probe_strncasestr(void *ctx)
{
	char text[8] = {};

	return bpf_strncasestr(text, text, sizeof(text));
}
