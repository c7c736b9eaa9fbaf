/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keeps the scope bits of processes: computed at exec, handed down at fork, let go at exit. Loaded with the first
 * policy; the maps of this object are those of all hook programs.
 */
#include "kernel.h"
#include "engine/scope.h"
#include "process/table_map.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the shapes are in the object's BTF, where Python reads them. */
const struct hook_record *hook_record_shape __attribute__((unused));
const struct piece_record *piece_record_shape __attribute__((unused));
const struct field *field_shape __attribute__((unused));
const struct socket_value *socket_value_shape __attribute__((unused));
const struct packet_value *packet_value_shape __attribute__((unused));
const struct credentials_value *credentials_value_shape __attribute__((unused));
const struct user_namespace_value *user_namespace_value_shape __attribute__((unused));
const struct bpf_program_value *bpf_program_value_shape __attribute__((unused));
const struct bpf_map_value *bpf_map_value_shape __attribute__((unused));
const struct perf_event_value *perf_event_value_shape __attribute__((unused));
const struct module_value *module_value_shape __attribute__((unused));
const enum value_type *value_type_shape __attribute__((unused));
const enum value_source *value_source_shape __attribute__((unused));
const enum match_op *match_op_shape __attribute__((unused));
const enum cel_op *cel_op_shape __attribute__((unused));
const enum subject *subject_shape __attribute__((unused));
const enum predicate_kind *predicate_kind_shape __attribute__((unused));

/* Whether any policy asks something of processes. If none does they are met anew by the first that will. */
static __always_inline bool anybody_asks(struct engine_state *state)
{
	return state && (state->predicates || state->flags & ENGINE_CHANGES);
}

SEC("tp_btf/sched_process_exec")
int scope_exec(void *ctx)
{
	struct scratch *s = NULL;
	u32 slot = NO_SLOT;

	if (anybody_asks(engine_at(0))) {
		slot = claim_slot();
		s = scratch_at(slot);
	}
	if (slot == NO_SLOT || !s) {
		/* It is then met anew by the first hook. */
		forget_scope(bpf_get_current_pid_tgid() >> 32);
		return 0;
	}
	refresh_scope(slot, SCOPE_EXEC);
	release_slot(s);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(scope_fork, struct task_struct *parent, struct task_struct *child)
{
	struct engine_state *state = engine_at(0);
	struct scope_entry *entry;
	u32 slot, tgid, inum, level;
	struct scratch *s;

	if (child->pid != child->tgid || !anybody_asks(state))
		return 0;
	slot = claim_slot();
	s = scratch_at(slot);
	if (slot == NO_SLOT || !s)
		return 0;
	s->scope.generation = 0;
	tgid = parent->tgid;
	entry = bpf_map_lookup_elem(&scope_table, &tgid);
	/* The parent is the current task: its bits must be there, and be its own, for the child to take them over. */
	if ((entry && entry->image != image_of(parent)) ||
	    (state->flags & ENGINE_FORK_SENSITIVE && (!entry || entry->generation != state->generation)))
		refresh_scope(slot, SCOPE_MEET);
	look_at(s, parent);
	if (s->known_generation) {
		/* It begins life where clone3 was told to put it. What its bits are there, it finds out itself. */
		if (state->flags & ENGINE_WORKLOADS && cgroup_id_of(child) != s->cgroup_id)
			s->known_moved = SCOPE_MOVED;
		s->cgroup_id = cgroup_id_of(child);
		tgid = child->tgid;
		s->scope.image = image_of(child);
		s->mode = SCOPE_FORK;
		s->tgid = tgid;
		read_pid(child, &s->nspid, &inum, &level);
		if (state->flags & ENGINE_FORK_SENSITIVE && s->known_generation == state->generation) {
			decide_scope(slot, tgid);
		} else {
			s->scope.generation = s->known_generation | s->known_moved;
			s->scope.words = 0;
			for (u32 i = 0; i < SCOPE_WORDS; i++) {
				s->scope.bits[i] = s->before[i];
				if (s->before[i])
					s->scope.words |= 1U << i;
			}
			store_scope(s, tgid);
		}
		if (state->flags & ENGINE_WORKLOADS)
			look_again(s, child);
	}
	release_slot(s);
	return 0;
}

/* The kernel tells of a move when it is done, to whoever asked for it before the call returns. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(scope_move, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	struct engine_state *state = engine_at(0);

	if (state && state->flags & ENGINE_WORKLOADS)
		mark_moved(task);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(scope_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;

	/* Where other threads may still arrive, user space lets it go (src/lictor/sensors/engine.py). */
	if (task->signal->live.counter <= 0 && task->signal->nr_threads <= 1)
		bpf_map_delete_elem(&scope_table, &tgid);
	return 0;
}
