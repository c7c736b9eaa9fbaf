/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where policies lie in the kernel. One object makes these maps, the others use them; user space writes arrays by mmap.
 */
#ifndef LICTOR_ENGINE_MAPS_H
#define LICTOR_ENGINE_MAPS_H

#include "policy.h"

#define POLICY_ARRAY(name, shape, entries)             \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);      \
		__uint(map_flags, BPF_F_MMAPABLE);     \
		__uint(max_entries, entries);          \
		__type(key, u32);                      \
		__type(value, shape);                  \
	} name SEC(".maps");                           \
	static __always_inline shape *name##_at(u32 i) \
	{                                              \
		return bpf_map_lookup_elem(&name, &i); \
	}

#define POLICY_HASH(name, key_shape, value_shape, entries) \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_HASH);           \
		__uint(map_flags, BPF_F_NO_PREALLOC);      \
		__uint(max_entries, entries);              \
		__type(key, key_shape);                    \
		__type(value, value_shape);                \
	} name SEC(".maps")

POLICY_ARRAY(engine, struct engine_state, 1)
POLICY_ARRAY(hooks, struct hook_state, MAX_HOOKS)
POLICY_ARRAY(head_blocks, struct head_block, MAX_BLOCKS)
POLICY_ARRAY(groups, struct rule_group, MAX_GROUPS)
POLICY_ARRAY(selectors, struct selector, MAX_SELECTORS)
POLICY_ARRAY(stats, struct selector_stats, MAX_SELECTORS)
POLICY_ARRAY(filters, struct filter, MAX_FILTERS)
POLICY_ARRAY(reads, struct read_spec, MAX_READS)
POLICY_ARRAY(cel_steps, struct cel_step, MAX_CEL_STEPS)
POLICY_ARRAY(policies, struct policy_state, MAX_POLICIES)
POLICY_ARRAY(sets, struct operand_set, MAX_SETS)
POLICY_ARRAY(set_lengths, u32, MAX_LENGTHS)
POLICY_ARRAY(set_ranges, struct number_range, MAX_RANGES)
POLICY_ARRAY(predicates, struct predicate, MAX_PREDICATES)
POLICY_ARRAY(conjunctions, struct conjunction, MAX_CONJUNCTIONS)
POLICY_ARRAY(syscall_hooks, u32, 2 * SYSCALLS) /* by number, those of the 32-bit ABI behind the others; 0: none */

/* What most processes come to, ready to be compared (engine/scope.h). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCOPE_CACHE);
	__type(key, u32);
	__type(value, struct scope_note);
} scope_cache SEC(".maps");

POLICY_HASH(set_numbers, struct number_key, u32, 1 << 17);
POLICY_HASH(set_strings, struct string_key, u32, 1 << 17);
POLICY_HASH(set_networks, struct network_key, u32, 1 << 17);
POLICY_HASH(notes, u64, struct note, 32768);
POLICY_HASH(kept_calls, struct call_key, struct kept_call, 65536);
POLICY_HASH(scope_table, u32, struct scope_entry, 131072);

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct rate_key);
	__type(value, u64);
} rate_limits SEC(".maps");

#endif
