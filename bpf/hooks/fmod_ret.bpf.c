/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fmod_ret: what the program returns stands in for the function, if it is not 0. Loaded once per function. */
#include "kernel.h"
#include "hooks/trampoline.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fmod_ret")
long hook_fmod_ret(u64 *ctx)
{
	return answer(run_trampoline(ctx, true));
}

SEC("fmod_ret")
long enforce_fmod_ret(u64 *ctx)
{
	return answer(take_note());
}
