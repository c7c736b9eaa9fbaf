/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fields under construction: each is written at the end of the data that follows the record, ready to go out. */
#ifndef LICTOR_FIELD_H
#define LICTOR_FIELD_H

#include "engine/maps.h"
#include "engine/scratch.h"

#define EFAULT 14
#define E2BIG 7
#define EEXIST 17
#define EBADF 9
#define EOPNOTSUPP 95
#define TEXT_ROOM 4096 /* of strings and buffers */

/* Puts a field's head at the end of the data. Its bytes, if any, follow by `close_field`. */
static __always_inline struct field *open_field(struct scratch *s, u32 n, u8 type)
{
	struct field *field = (struct field *)&s->data[masked(s->used, DATA_ROOM)];

	s->at[masked(n, MAX_VALUES)] = masked(s->used, DATA_ROOM);
	s->read |= 1U << masked(n, MAX_VALUES);
	field->slot = n;
	field->type = type;
	field->flags = 0;
	field->len = 0;
	field->extra = 0;
	return field;
}

/* Ends the newest field, which has `len` bytes behind its head. */
static __always_inline void close_field(struct scratch *s, u32 len)
{
	struct field *field = (struct field *)&s->data[masked(s->used, DATA_ROOM)];
	u32 used = masked(s->used, DATA_ROOM) + sizeof(*field) + ((len + 7) & ~7U);

	field->len = len;
	/* The heads of all that may still come find room: a field that would leave none is an error instead. */
	if (used > DATA_ROOM - 2 * MAX_VALUES * sizeof(*field)) {
		field->flags = FIELD_ERROR;
		field->extra = E2BIG;
		field->len = 0;
		used = masked(s->used, DATA_ROOM) + sizeof(*field);
	}
	s->used = used;
}

static __always_inline void failed_field(struct scratch *s, struct field *field, s32 error)
{
	s->failed++;
	field->flags |= FIELD_ERROR;
	field->extra = error;
	close_field(s, 0);
}

/* Where the bytes of the newest field go. */
static __always_inline u8 *bytes_of_newest(struct scratch *s)
{
	return &s->data[masked(s->used, DATA_ROOM) + sizeof(struct field)];
}

/* Bounds a length where the verifier can see it. */
static __always_inline u32 at_most(u32 len, u32 most)
{
	asm volatile("" : "+r"(len));
	return len > most ? most : len;
}

static __always_inline bool is_user(u64 address)
{
	return (s64)address >= 0;
}

/* From the process's memory or the kernel's, as the address has it. */
static __always_inline long read_memory(void *to, u32 size, u64 from)
{
	return is_user(from) ? bpf_probe_read_user(to, size, (void *)from)
	                     : bpf_probe_read_kernel(to, size, (void *)from);
}

static __always_inline long read_text(void *to, u32 size, u64 from)
{
	return is_user(from) ? bpf_probe_read_user_str(to, size, (void *)from)
	                     : bpf_probe_read_kernel_str(to, size, (void *)from);
}

#endif
