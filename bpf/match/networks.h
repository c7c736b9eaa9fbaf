/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sets of networks: the lengths that occur in a set are searched by halves, as those of prefixes are (match/strings.h).
 * A trie is as deep as a set is large; here a look-up costs the same for ten and for a hundred thousand.
 */
#ifndef LICTOR_NETWORKS_H
#define LICTOR_NETWORKS_H

#include "engine/maps.h"
#include "engine/scratch.h"

#define NETWORK_STEPS 8 /* of 129 lengths */

/* The first so many bits of a word, as they lie in a packet. */
static __always_inline u64 first_bits(u64 word, u32 bits)
{
	if (bits >= 64)
		return word;
	return bits ? word & __builtin_bswap64(~0ULL << (64 - bits)) : 0;
}

/* Whether the address whose words are given (of version 4: the first half of one) is in a network of the set. */
__noinline int find_network(u32 set, u64 first, u64 second)
{
	struct network_key key = { .set = set };
	struct operand_set *info = sets_at(set);
	u32 low = 0, high, middle, *length, *mark;

	if (!info)
		return 0;
	high = info->count;
	for (u32 i = 0; i < NETWORK_STEPS; i++) {
		if (low >= high)
			break;
		middle = (low + high) / 2;
		length = set_lengths_at(info->first + middle);
		if (!length)
			break;
		key.bits = *length;
		key.address[0] = first_bits(first, key.bits);
		key.address[1] = key.bits > 64 ? first_bits(second, key.bits - 64) : 0;
		mark = bpf_map_lookup_elem(&set_networks, &key);
		if (!mark) {
			high = middle;
			continue;
		}
		if (*mark & STRING_IS_MEMBER)
			return 1;
		low = middle + 1;
	}
	return 0;
}

#endif
