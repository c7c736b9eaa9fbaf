/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* LSM hooks: loaded once per hook, told apart by the cookie all the same. */
#include "kernel.h"
#include "hooks/trampoline.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/file_open")
long hook_lsm(u64 *ctx)
{
	return answer(run_trampoline(ctx, false));
}

SEC("lsm/file_open")
long enforce_lsm(u64 *ctx)
{
	return answer(take_note());
}
