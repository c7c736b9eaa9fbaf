/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which predicates are true of a process. The bits are computed at exec and handed down at fork
 * (process/scope.bpf.c), and computed anew on first use when the predicates have changed since (the generation) or
 * the process was never met. An entry is written in place, by its own process: the bits that a running program looks
 * at mean the same before and after (src/lictor/sensors/predicates.py says when a bit may be given another meaning).
 */
#ifndef LICTOR_SCOPE_H
#define LICTOR_SCOPE_H

#include "engine/questions.h"
#include "engine/scope_cache.h"
#include "read/executable.h"
#include "read/task.h"
#include "read/workload.h"

#define ANCESTORS 16

/* What is known of the current process is out of date, and it is met anew. */
static __always_inline void forget_scope(u32 tgid)
{
	clear_note(tgid);
	bpf_map_delete_elem(&scope_table, &tgid);
}

/* A process is where its first thread is: others can be elsewhere in hierarchies of version 1. */
static __always_inline u64 cgroup_id_of(struct task_struct *task)
{
	return BPF_CORE_READ(cgroup_of(task->group_leader), id);
}

/* The bits of a process are those of a cgroup that it is no longer in. */
static __always_inline void mark_moved(struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct scope_entry *entry = bpf_map_lookup_elem(&scope_table, &tgid);

	if (entry && entry->image == image_of(task))
		__sync_fetch_and_or(&entry->generation, SCOPE_MOVED);
	clear_note(tgid);
}

/*
 * A process that is moved while its bits are computed: the mark can have come before they were stored. So they are
 * stored first, and then it is looked at again where the process is.
 */
static __always_inline void look_again(struct scratch *s, struct task_struct *task)
{
	__sync_lock_test_and_set(&s->fence, 1);
	if (cgroup_id_of(task) != s->cgroup_id)
		mark_moved(task);
}

/* What the slot is to ask about: who it is, and what was known of it before. */
static __always_inline void look_at(struct scratch *s, struct task_struct *task)
{
	struct scope_entry *entry;
	u32 tgid = task->tgid, inum, level;

	s->tgid = tgid;
	read_pid(task->group_leader, &s->nspid, &inum, &level);
	s->cgroup_id = cgroup_id_of(task);
	s->scope.image = image_of(task);
	s->new_image = 0;
	s->known_generation = 0;
	s->known_moved = 0;
	entry = bpf_map_lookup_elem(&scope_table, &tgid);
	if (entry && is_later_image(s->scope.image, entry->image)) {
		s->new_image = entry->image != s->scope.image;
		s->known_generation = entry->generation & ~SCOPE_MOVED;
		s->known_moved = entry->generation & SCOPE_MOVED;
	} else {
		entry = NULL;
	}
	for (u32 i = 0; i < SCOPE_WORDS; i++) {
		s->before[i] = entry ? entry->bits[i] : 0;
		s->inherited[i] = 0;
		s->scope.bits[i] = 0;
	}
	if (!entry)
		return;
	for (u32 i = 0; i < 10; i++)
		s->scope.namespaces[i] = entry->namespaces[i];
	for (u32 i = 0; i < 3; i++)
		s->scope.capabilities[i] = entry->capabilities[i];
}

/* What of an ancestor is handed down. Gives 1 when those above it need not be asked: it knows of them. */
__noinline int ask_ancestor(u32 slot, u64 address)
{
	struct task_struct *task = (struct task_struct *)address;
	struct engine_state *state = engine_at(0);
	struct scratch *s = scratch_at(slot);
	struct scope_entry *entry;
	u32 tgid = BPF_CORE_READ(task, tgid);

	if (!s || !state)
		return 1;
	entry = bpf_map_lookup_elem(&scope_table, &tgid);
	if (entry && entry->generation == state->generation &&
	    entry->image == BPF_CORE_READ(task, group_leader, start_boottime) + BPF_CORE_READ(task, self_exec_id)) {
		for (u32 i = 0; i < SCOPE_WORDS; i++)
			s->inherited[i] |= entry->bits[i];
		return 1;
	}
	s->tgid = tgid;
	s->nspid = 0;
	s->path_len = state->flags & ENGINE_PATHS ? read_executable_of(slot, address, 0) : 0;
	bpf_loop(state->predicates, ask_predicate, &slot, 0);
	return 0;
}

/* Ancestors that live: what they hand down to a process that was there before the predicate. */
static __always_inline void ask_ancestors(u32 slot, struct scratch *s, struct task_struct *task)
{
	struct task_struct *above = BPF_CORE_READ(task, group_leader, real_parent);
	u32 mode = s->mode, known = s->known_generation, nspid = s->nspid;

	s->mode = SCOPE_ANCESTOR;
	s->known_generation = 0;
	for (u32 i = 0; i < ANCESTORS; i++) {
		if (!above || ask_ancestor(slot, (u64)above))
			break;
		if (BPF_CORE_READ(above, tgid) <= 1)
			break;
		above = BPF_CORE_READ(above, group_leader, real_parent);
	}
	s->mode = mode;
	s->known_generation = known;
	s->tgid = task->tgid;
	s->nspid = nspid;
}

/* Notes the namespaces and capabilities of the current process: what a change is told by. */
__noinline int take_baseline(u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *s = scratch_at(slot);
	struct namespaces ns;

	if (!s)
		return 0;
	read_namespaces(&ns, task);
	s->scope.namespaces[0] = ns.uts;
	s->scope.namespaces[1] = ns.ipc;
	s->scope.namespaces[2] = ns.mnt;
	s->scope.namespaces[3] = pid_namespace_of(task);
	s->scope.namespaces[4] = ns.pid_for_children;
	s->scope.namespaces[5] = ns.net;
	s->scope.namespaces[6] = ns.time;
	s->scope.namespaces[7] = ns.time_for_children;
	s->scope.namespaces[8] = ns.cgroup;
	s->scope.namespaces[9] = ns.user;
	read_capabilities(s->scope.capabilities, task);
	return 0;
}

static __always_inline void store_scope(struct scratch *s, u32 tgid)
{
	struct scope_entry *entry = bpf_map_lookup_elem(&scope_table, &tgid);

	if (s->scope.words == 1)
		write_note(tgid, s->scope.bits[0], s->scope.image, s->scope.generation);
	else
		clear_note(tgid);
	if (!entry || !is_later_image(s->scope.image, entry->image)) {
		bpf_map_update_elem(&scope_table, &tgid, &s->scope, BPF_ANY);
		return;
	}
	for (u32 i = 0; i < SCOPE_WORDS; i++)
		entry->bits[i] = s->scope.bits[i];
	for (u32 i = 0; i < 10; i++)
		entry->namespaces[i] = s->scope.namespaces[i];
	for (u32 i = 0; i < 3; i++)
		entry->capabilities[i] = s->scope.capabilities[i];
	entry->words = s->scope.words;
	barrier();
	entry->image = s->scope.image;
	entry->generation = s->scope.generation;
}

/* Asks all predicates about what is in the slot, and keeps the answer under `tgid`. */
__noinline int decide_scope(u32 slot, u32 tgid)
{
	struct engine_state *state = engine_at(0);
	struct scratch *s = scratch_at(slot);

	if (!s || !state)
		return 0;
	if (s->mode == SCOPE_FORK)
		s->scope.generation = s->known_generation | s->known_moved;
	s->scope.bits[0] |= 1 << SCOPE_ALL;
	bpf_loop(state->predicates, ask_predicate, &slot, 0);
	bpf_loop(state->conjunctions, ask_conjunction, &slot, 0);
	s->scope.words = 0;
	for (u32 i = 0; i < SCOPE_WORDS; i++)
		if (s->scope.bits[i])
			s->scope.words |= 1U << i;
	store_scope(s, tgid);
	return 0;
}

/* Computes the bits of the current process. Overwrites the data. */
__noinline int refresh_scope(u32 slot, u32 mode)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct engine_state *state = engine_at(0);
	struct scratch *s = scratch_at(slot);

	if (!s || !state)
		return 0;
	look_at(s, task);
	/* Before it is asked what there is to know: whoever changes that afterwards makes this answer stale. */
	s->scope.generation = state->generation;
	barrier();
	s->mode = mode;
	s->path_len = 0;
	s->parent_path_len = 0;
	if (state->flags & ENGINE_FORK_SENSITIVE && s->known_generation != state->generation)
		ask_ancestors(slot, s, task);
	if (state->flags & ENGINE_PARENT_PATHS)
		s->parent_path_len = read_executable_of(slot, (u64)BPF_CORE_READ(task, real_parent), PARENT_PATH_AT);
	if (state->flags & ENGINE_PATHS)
		s->path_len = read_executable_of(slot, bpf_get_current_task(), 0);
	if (mode == SCOPE_EXEC || s->new_image || !s->known_generation)
		take_baseline(slot);
	if (!(state->flags & ENGINE_WORKLOADS))
		return decide_scope(slot, task->tgid);
	s->walk.node = (u64)cgroup_of(task->group_leader);
	find_workload(slot);
	decide_scope(slot, task->tgid);
	look_again(s, task);
	return 0;
}

/* Puts the bits of the current process into the slot: the words that are not 0, as `words` says. */
__noinline int load_scope(u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct engine_state *state = engine_at(0);
	struct scratch *s = scratch_at(slot);
	struct scope_entry *entry;
	u32 tgid = task->tgid, words;
	u64 image, bits;

	if (!s || !state)
		return 0;
	image = image_of(task);
	s->scope.generation = *(volatile u32 *)&state->generation;
	bits = noted_bits(tgid, image, s->scope.generation);
	if (bits) {
		s->scope.words = 1;
		s->scope.bits[0] = bits;
		return 0;
	}
	entry = bpf_map_lookup_elem(&scope_table, &tgid);
	if (!entry || entry->generation != s->scope.generation || entry->image != image)
		return refresh_scope(slot, SCOPE_MEET);
	words = entry->words;
	s->scope.words = words;
	for (u32 i = 0; i < SCOPE_WORDS; i++) {
		if (!words)
			break;
		s->scope.bits[i] = entry->bits[i];
		words &= ~(1U << i);
	}
	return 0;
}

#endif
