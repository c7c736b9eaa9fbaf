/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Membership of a number in a set; strings are in match/strings.h. */
#ifndef LICTOR_SETS_H
#define LICTOR_SETS_H

#include "match/strings.h"

static __always_inline bool number_in(u32 set, u64 number)
{
	struct number_key key = { .set = set, .number = number };

	return bpf_map_lookup_elem(&set_numbers, &key);
}

#endif
