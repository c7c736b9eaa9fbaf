/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Runs single parts of the engine, as BPF_PROG_TEST_RUN wants them (tests/kernel/runs.py). Not shipped. */
#include "kernel.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define HOOK 1
#define MEMORY 32768

/* Memory of the kernel, which the test writes by mmap. */
struct memory {
	u8 bytes[MEMORY];
};
POLICY_ARRAY(test_memory, struct memory, 1)

struct result {
	u64 memory; /* the address of it */
	u32 failed;
	u32 undecided;
	u32 used;
	u32 pad;
	struct field field;
	u8 bytes[FIELD_ROOM];
};
POLICY_ARRAY(test_result, struct result, 1)

const struct result *result_shape __attribute__((unused));

static __always_inline struct scratch *begin_test(u32 *slot, u64 *ctx)
{
	struct scratch *s;

	s = begin_run(slot, HOOK);
	if (!s)
		return NULL;
	s->phase = ctx[1];
	s->result = ctx[2];
	s->failed = 0;
	for (u32 i = 0; i < 6; i++)
		s->args[i] = ctx[3 + i];
	return s;
}

/* Reads a value twice: in one run and in another, which must find nothing of the first. ctx: slot, phase, result, six
 * arguments. */
SEC("raw_tp")
int test_read(u64 *ctx)
{
	struct result *result = test_result_at(0);
	struct field *field;
	struct scratch *s;
	u32 slot, len;

	s = begin_test(&slot, ctx);
	if (!s || !result)
		return 1;
	read_value(slot, ctx[0]);
	field = field_of(s, ctx[0]);
	result->failed = s->failed;
	result->undecided = s->undecided;
	result->used = s->used;
	bpf_probe_read_kernel(&result->field, sizeof(*field), field);
	len = at_most(field->len, FIELD_ROOM);
	bpf_probe_read_kernel(result->bytes, len, field + 1);
	release_slot(s);
	return 0;
}

/* Whether a condition holds. ctx: its number, and the rest as above. */
SEC("raw_tp")
int test_filter(u64 *ctx)
{
	struct scratch *s;
	u32 slot;
	int holds;

	s = begin_test(&slot, ctx);
	if (!s)
		return 100;
	holds = filters_hold(slot, ctx[0], 1);
	release_slot(s);
	return holds;
}

/* What the name of a cgroup says. ctx: its address. */
SEC("raw_tp")
int test_workload(u64 *ctx)
{
	u32 slot = claim_slot();
	struct scratch *s = scratch_at(slot);
	int found;

	if (!s)
		return 100;
	found = workload_of_name(slot, ctx[0]);
	release_slot(s);
	return found;
}

SEC("raw_tp")
int test_address(void *ctx)
{
	struct memory *memory = test_memory_at(0);
	struct result *result = test_result_at(0);

	if (!memory || !result)
		return 1;
	result->memory = (u64)memory;
	return 0;
}
