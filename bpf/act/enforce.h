/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The enforcing actions: what a selector that matched does to the call and to the process. Carried out at once, in the
 * context of the operation; of several policies that deny, the first decides. What stands in the way (the policy's
 * mode, its trial period, the agent itself) is told by the flags of the record.
 */
#ifndef LICTOR_ENFORCE_H
#define LICTOR_ENFORCE_H

#include "engine/maps.h"
#include "engine/scratch.h"

#define MINUTE_NS 60000000000ULL
#define EPERM 1
#define EAGAIN 11
#define MAX_ERRNO 4095

/* False in programs that may not send signals: those of cgroups. */
const volatile bool can_signal = true;

/* The agent: the process that loaded the policies, as long as it runs the program that it ran then. */
static __always_inline bool is_agent(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct engine_state *state = engine_at(0);
	struct inode *inode;

	if (!state || !state->agent_tgid || (u32)task->tgid != state->agent_tgid)
		return false;
	if (task->group_leader->start_boottime != state->agent_start)
		return false;
	inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	return inode && BPF_CORE_READ(inode, i_ino) == state->agent_inode &&
	       BPF_CORE_READ(inode, i_sb, s_dev) == state->agent_device;
}

/* Counts what a trial period allows; true: it was too much, and the policy is suspended. */
static __always_inline bool is_too_much(struct scratch *s, struct policy_state *p)
{
	u64 minute;

	if (!p->limit)
		return false;
	minute = now_of(s) / MINUTE_NS;
	if (p->minute != minute) {
		p->minute = minute;
		p->denials = 0;
	}
	if (__sync_fetch_and_add(&p->denials, 1) < p->limit)
		return false;
	p->suspended = 1;
	return true;
}

/* Why enforcing actions are not carried out, as flags of the record; 0: they are. */
static __always_inline u32 why_not(struct scratch *s, struct policy_state *p)
{
	u32 mode = p->until && now_of(s) >= p->until ? p->after : p->mode;

	if (mode != MODE_ENFORCE)
		return HOOK_MONITORED;
	if (p->suspended)
		return HOOK_MONITORED | HOOK_SUSPENDED;
	if (s->nobody) /* neither the agent, nor one more thing that was tried */
		return 0;
	if (is_agent())
		return HOOK_EXEMPT;
	return is_too_much(s, p) ? HOOK_MONITORED | HOOK_SUSPENDED : 0;
}

/* Leaves word for the enforcer, which acts on another function of the same call. */
static __always_inline void leave_note(struct rule_group *g, struct policy_state *p, struct actions *a)
{
	struct note note = { .policy = g->policy, .instance = g->instance, .error = a->note_error }, *last;
	u64 thread = current_thread();

	note.signal = a->note_signal;
	note.start = bpf_get_current_task_btf()->start_boottime;
	last = bpf_map_lookup_elem(&notes, &thread);
	if (last && last->start == note.start)
		__sync_fetch_and_add(&p->overwritten, 1);
	if (bpf_map_update_elem(&notes, &thread, &note, BPF_ANY))
		__sync_fetch_and_add(&p->unused, 1);
}

/* Carries out the enforcing actions of a selector; gives the flags for its record. */
__noinline int enforce(u32 slot, u32 id, u32 place, u32 at_return)
{
	struct scratch *s = scratch_at(slot);
	struct rule_group *g = groups_at(id);
	struct selector_stats *stats;
	struct policy_state *p;
	struct selector *sel;
	struct actions *a;
	u32 flags;

	if (!s || !g)
		return 0;
	p = policies_at(g->policy);
	sel = selectors_at(g->first + place);
	stats = stats_at(g->first + place);
	if (!p || !sel || !stats)
		return 0;
	a = at_return ? &sel->at_return : &sel->act;
	if (a->bits & ACT_CLEANUP) {
		u64 thread = current_thread();

		bpf_map_delete_elem(&notes, &thread);
	}
	if (!(a->bits & ACT_STRONG))
		return 0;
	flags = why_not(s, p);
	if (flags) {
		__sync_fetch_and_add(&stats->monitored, 1);
		return flags;
	}
	if (a->bits & ACT_DENY && s->phase == RUN_ENTRY && !s->verdict) {
		s->verdict = a->error;
		s->decider = id;
	}
	if (a->bits & ACT_NOTIFY)
		leave_note(g, p, a);
	if (a->bits & ACT_SIGNAL && can_signal)
		bpf_send_signal(a->signal);
	return 0;
}

/* Carries out what was left for the current thread, by a policy that is still in force. */
static __always_inline s32 take_note(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 thread = current_thread();
	struct note *note = bpf_map_lookup_elem(&notes, &thread);
	struct policy_state *p;
	s32 error = 0;

	if (!note)
		return 0;
	p = policies_at(note->policy);
	if (p && p->instance == note->instance && note->start == task->start_boottime) {
		error = note->error;
		if (note->signal)
			bpf_send_signal(note->signal);
	}
	bpf_map_delete_elem(&notes, &thread);
	return error;
}

/* What a hook answers, in the range that the verifier wants to see. */
static __always_inline long answer(s32 verdict)
{
	long value = verdict;

	asm volatile("" : "+r"(value));
	if (value > 0 || value < -MAX_ERRNO)
		value = -EPERM;
	return value;
}

#endif
