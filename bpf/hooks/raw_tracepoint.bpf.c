/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Raw tracepoints: they have no cookies on 6.1, so the object is loaded once per hook, which `hook_id` names. */
#include "kernel.h"
#include "engine/engine.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile u32 hook_id = 0;
const volatile u32 arguments = 0; /* of the tracepoint: the kernel refuses programs that look at more */

SEC("raw_tp")
int hook_raw_tracepoint(u64 *ctx)
{
	struct scratch *s;
	u32 slot;

	if (!hook_applies(hook_id))
		return 0;
	slot = claim_slot();
	s = begin_run(slot, hook_id);
	if (!s)
		return 0;
	for (u32 i = 0; i < 6; i++)
		if (i < arguments)
			s->args[i] = ctx[i];
	run_entry(slot, s);
	return 0;
}
