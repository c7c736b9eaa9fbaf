/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sets of strings. A member is known by 128 bits of a keyed hash, so that a map holds strings of any length and a
 * look-up costs the same for ten and for a hundred thousand. The seed is secret: nobody can look for collisions.
 *
 * Prefixes: the lengths that occur in the set are searched by halves. On the way to a longer prefix lies a mark for
 * its beginning of the length probed, which also says whether a member is a beginning of the mark (Waldvogel et al.,
 * Scalable High Speed IP Routing Lookups, 1997). Postfixes are the same from the other end.
 */
#ifndef LICTOR_STRINGS_H
#define LICTOR_STRINGS_H

#include "engine/maps.h"
#include "engine/scratch.h"

#define HASH_FIRST 0x9e3779b97f4a7c15ULL
#define HASH_SECOND 0xd6e8feb86659fd93ULL
#define LENGTH_STEPS 13

static __always_inline void hash_word(u64 *low, u64 *high, u64 word)
{
	*low = (*low ^ word) * HASH_FIRST;
	*low ^= *low >> 32;
	*high = (*high + word) * HASH_SECOND;
	*high ^= *high >> 29;
}

/* Hashes the next 64 bytes. */
static long hash_block(u32 index, u32 *slot)
{
	struct scratch *s = scratch_at(*slot);
	u64 low, high;
	u32 at;

	if (!s)
		return 1;
	low = s->hash_low;
	high = s->hash_high;
	at = masked(s->hash_at, 2 * DATA_ROOM);
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 8; i++)
		hash_word(&low, &high, *(u64 *)&s->data[at + 8 * i]);
	s->hash_low = low;
	s->hash_high = high;
	s->hash_at = at + 64;
	return 0;
}

/*
 * The mark of `len` bytes of the data at `at` in a set, 0: they are not in it.
 * The same in C for user space: lictor_hash in src/lictor/kernel/binding/maps.c.
 */
__noinline u32 look_up_string(u32 slot, u32 set, u32 at, u32 len)
{
	struct scratch *s = scratch_at(slot);
	struct engine_state *state = engine_at(0);
	struct string_key key;
	u64 low, high;
	u32 *mark, words = len / 8 % 8, rest = len % 8;

	if (!s || !state || len > LONGEST_STRING)
		return 0;
	low = state->seed[0] ^ (u64)set * HASH_SECOND;
	high = state->seed[1] + len;
	if (len >= 64) {
		s->hash_low = low;
		s->hash_high = high;
		s->hash_at = at;
		bpf_loop(len / 64, hash_block, &slot, 0);
		low = s->hash_low;
		high = s->hash_high;
		at += len & ~63U;
	}
	at = masked(at, 2 * DATA_ROOM);
	for (u32 i = 0; i < 7; i++) {
		if (i >= words)
			break;
		hash_word(&low, &high, *(u64 *)&s->data[at]);
		at = masked(at + 8, 2 * DATA_ROOM);
	}
	if (rest)
		hash_word(&low, &high, *(u64 *)&s->data[at] & ((1ULL << (8 * rest)) - 1));
	hash_word(&low, &high, len);
	key.low = low;
	key.high = high;
	mark = bpf_map_lookup_elem(&set_strings, &key);
	return mark ? *mark : 0;
}

/* Whether a member of the set is a beginning of the string, or its end. */
static __always_inline u32 find_part(u32 slot, u32 set, u32 at, u32 len, u32 at_end)
{
	struct operand_set *info = sets_at(set);
	u32 low = 0, high, middle, mark, *length;

	if (!info)
		return 0;
	high = info->count;
	for (u32 i = 0; i < LENGTH_STEPS; i++) {
		if (low >= high)
			break;
		middle = (low + high) / 2;
		length = set_lengths_at(info->first + middle);
		if (!length)
			break;
		if (*length > len) {
			high = middle;
			continue;
		}
		mark = look_up_string(slot, set, at_end ? at + len - *length : at, *length);
		if (!mark) {
			high = middle;
			continue;
		}
		if (mark & STRING_IS_MEMBER)
			return 1;
		low = middle + 1;
	}
	return 0;
}

/* 8 bits of the first `count` bytes of a word. The same in Python: sensors/sets.py. */
static __always_inline u32 first_hash(u64 word, u32 count)
{
	if (count < 8)
		word &= (1ULL << (8 * count)) - 1;
	return word * HASH_FIRST >> 56;
}

/*
 * Whether a text may have a member as its beginning or its end, by its first or last bytes. Most have none, and most of
 * those show it there: looked at before anything is hashed. There is room behind a text to read a word anywhere in it.
 */
static __always_inline bool may_have_part(u32 slot, u32 set, u32 at, u32 len, u32 at_end)
{
	struct operand_set *info = sets_at(set);
	struct scratch *s = scratch_at(slot);
	u32 count, hash;

	if (!info || !s || len < info->least)
		return false;
	count = info->least < 8 ? info->least : 8;
	hash = first_hash(*(u64 *)&s->data[masked(at_end ? at + len - count : at, 2 * DATA_ROOM)], count);
	return info->starts[hash / 64 & 3] >> hash % 64 & 1;
}

/* Whether a member of the set is a beginning of the text, or its end. */
__noinline u32 look_up_part(u32 slot, u32 set, u32 at, u32 len, u32 at_end)
{
	return may_have_part(slot, set, at, len, at_end) && find_part(slot, set, at, len, at_end);
}

/* Whether the text is a member of the set. */
__noinline u32 look_up_whole(u32 slot, u32 set, u32 at, u32 len)
{
	return may_have_part(slot, set, at, len, 1) && look_up_string(slot, set, at, len) & STRING_IS_MEMBER;
}

#endif
