/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values of a hook, read when a filter or a record first wants them, once per run. What cannot be read becomes a
 * field that says so, never a value.
 */
#ifndef LICTOR_VALUE_H
#define LICTOR_VALUE_H

#include "lib/registers.h"
#include "read/files.h"
#include "read/net.h"
#include "read/objects.h"
#include "read/packet.h"
#include "read/resolve.h"
#include "read/text.h"

static __always_inline s64 extended(u64 raw, u8 type)
{
	switch (type) {
	case TYPE_S8:
		return (s8)raw;
	case TYPE_U8:
		return (u8)raw;
	case TYPE_S16:
		return (s16)raw;
	case TYPE_U16:
		return (u16)raw;
	case TYPE_S32:
	case TYPE_CAPABILITY:
	case TYPE_BPF_CMD:
		return (s32)raw;
	case TYPE_U32:
		return (u32)raw;
	default:
		return raw;
	}
}

static __always_inline bool is_number(u8 type)
{
	return type <= TYPE_U64 || type == TYPE_SYSCALL64 || type == TYPE_CAPABILITY || type == TYPE_BPF_CMD;
}

/* What the value is made of: a number, or an address. False: the record or the registers could not be read. */
static __always_inline bool raw_value(struct scratch *s, struct read_spec *spec, u64 *raw)
{
	*raw = 0;
	if (spec->source == FROM_RETURN) {
		*raw = s->result;
		return true;
	}
	if (spec->source == FROM_FIELD) {
		if (spec->index < RECORD_HEAD) {
			*raw = bpf_get_current_task_btf()->pid;
			return spec->index == RECORD_PID;
		}
		*raw = s->args[0] + spec->index;
		if (spec->flags & READ_INLINE)
			return true;
		s->raw = *raw;
		if (!load_number(s, spec))
			return false;
		*raw = s->raw;
		return true;
	}
	if (spec->source == FROM_TASK) {
		*raw = bpf_get_current_task();
		return true;
	}
	if (spec->source == FROM_REGISTER)
		return s->regs && !bpf_probe_read_kernel(raw, sizeof(*raw), (void *)s->regs + spec->index);
	*raw = s->args[spec->index < ARGUMENTS ? spec->index : 0];
	return true;
}

/* Bytes of a buffer: as an argument says, and once the function has returned no more than it returned. */
static __always_inline u64 size_of(struct scratch *s, struct read_spec *spec)
{
	u64 size = spec->size_index == NO_INDEX ? ~0ULL : s->args[masked(spec->size_index, 8)];

	if (s->phase == RUN_RETURN && spec->flags & READ_AT_RETURN) {
		if ((s64)s->result < 0)
			return 0;
		if (s->result < size)
			size = s->result;
	}
	return size;
}

/* Numbers, and what is read as one. */
static __always_inline void read_number(struct scratch *s, u32 n, struct read_spec *spec, u64 raw)
{
	struct field *field = open_field(s, n, spec->type);

	field->extra = extended(raw, spec->type);
	if (spec->type == TYPE_SYSCALL64)
		field->extra = (u32)raw | (is_32bit_call() ? CALL_OF_32_BITS : 0);
	close_field(s, 0);
}

__noinline int read_file_slot(u32 slot, u32 n, u32 type, u64 raw)
{
	struct scratch *s = scratch_at(slot);

	if (s)
		read_file_value(slot, s, n, type, raw);
	return 0;
}

__noinline int read_net_slot(u32 slot, u32 n, u32 element, u64 raw)
{
	struct scratch *s = scratch_at(slot);
	struct read_spec *spec = reads_at(element);
	u8 type;

	if (!s || !spec)
		return 0;
	type = spec->type;
	switch (type) {
	case TYPE_SOCKADDR:
		read_address(s, n, raw);
		break;
	case TYPE_SOCKADDR_UN:
		read_unix_address(s, n, raw, s->args[masked(spec->index + 1, 8)]);
		break;
	case TYPE_SKB:
		read_packet(s, n, raw);
		break;
	default:
		read_socket(s, n, type, raw);
	}
	return 0;
}

__noinline int read_object_slot(u32 slot, u32 n, u32 type, u64 raw)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	switch (type) {
	case TYPE_CRED:
		read_cred(s, n, raw);
		break;
	case TYPE_USER_NAMESPACE:
		read_user_namespace(s, n, raw);
		break;
	case TYPE_BPF_ATTR:
		read_bpf_attr(s, n, raw);
		break;
	case TYPE_BPF_PROG:
		read_bpf_prog(s, n, raw);
		break;
	case TYPE_BPF_MAP:
		read_bpf_map(s, n, raw);
		break;
	case TYPE_PERF_EVENT:
		read_perf_event(s, n, raw);
		break;
	case TYPE_MODULE:
	case TYPE_LOAD_INFO:
		read_module(s, n, type, raw);
		break;
	default:
		read_capability_set(s, n, type, raw);
	}
	return 0;
}

__noinline int read_text_slot(u32 slot, u32 n, u32 element, u64 raw)
{
	struct scratch *s = scratch_at(slot);
	struct read_spec *spec = reads_at(element);

	if (!s || !spec)
		return 0;
	switch (spec->type) {
	case TYPE_FILENAME:
		read_string(s, n, spec->type, (u64)BPF_CORE_READ((struct filename *)raw, name), TEXT_ROOM);
		break;
	case TYPE_NET_DEVICE:
		read_string(s, n, spec->type, raw + bpf_core_field_offset(((struct net_device *)0)->name), TEXT_ROOM);
		break;
	case TYPE_STRING:
		if (spec->flags & READ_DYNAMIC)
			read_dynamic(s, n, spec, s->args[0]);
		else
			read_string(s, n, spec->type, raw, spec->flags & READ_INLINE ? spec->size : TEXT_ROOM);
		break;
	case TYPE_CHAR_IOVEC:
		read_iovec(slot, s, n, raw, size_of(s, spec));
		break;
	case TYPE_IOV_ITER:
		read_iterator(slot, s, n, raw, size_of(s, spec));
		break;
	default:
		if (spec->flags & READ_DYNAMIC)
			read_dynamic(s, n, spec, s->args[0]);
		else if (spec->flags & READ_INLINE)
			read_bytes(s, n, spec->type, raw, spec->size);
		else if (spec->size_index == NO_INDEX && !(spec->flags & READ_AT_RETURN))
			read_string(s, n, spec->type, raw, TEXT_ROOM);
		else
			read_bytes(s, n, spec->type, raw, size_of(s, spec));
	}
	return 0;
}

/* Reads a slot of the hook at hand, unless it was read before. `want_value` is the same with less ado. */
__noinline int read_value(u32 slot, u32 n)
{
	struct scratch *s = scratch_at(slot);
	struct hook_state *hook;
	struct read_spec *spec;
	struct field *field;
	u32 element, lost = 0;
	u64 raw;

	if (!s)
		return 0;
	if (s->read & 1U << masked(n, MAX_VALUES)) {
		if (s->absent & 1U << masked(n, MAX_VALUES))
			s->undecided = 1;
		return 0;
	}
	hook = hooks_at(s->hook);
	if (!hook)
		return 0;
	element = hook->read[masked(n, MAX_VALUES)];
	spec = reads_at(element);
	if (!spec)
		return 0;
	/* A process that names an address of the kernel is not told what lies there. */
	if (!raw_value(s, spec, &raw) || (spec->flags & READ_USER && !is_user(raw))) {
		failed_field(s, open_field(s, n, spec->type), EFAULT);
		return 0;
	}
	if (spec->steps) {
		s->raw = raw;
		lost = follow_steps(slot, element);
		if (!lost && (is_number(spec->type) || spec->type == TYPE_FD) && !load_number(s, spec))
			lost = spec->steps;
		if (lost) {
			field = open_field(s, n, spec->type);
			failed_field(s, field, EFAULT);
			field->extra |= (u64)lost << 32;
		}
		raw = s->raw;
	}
	if (lost)
		;
	else if (is_number(spec->type))
		read_number(s, n, spec, raw);
	else if ((spec->type >= TYPE_STRING && spec->type <= TYPE_DATA_LOC) || spec->type == TYPE_NET_DEVICE)
		read_text_slot(slot, n, element, raw);
	else if (is_path(spec->type))
		read_file_slot(slot, n, spec->type, raw);
	else if (spec->type >= TYPE_SOCK && spec->type <= TYPE_SKB)
		read_net_slot(slot, n, element, raw);
	else
		read_object_slot(slot, n, spec->type, raw);
	field = field_of(s, n);
	if (spec->flags & READ_USER && hook->flags & HOOK_READS_AGAIN) {
		if (s->phase == RUN_ENTRY && field->flags & FIELD_ERROR && (u32)field->extra == EFAULT) {
			s->undecided = 1;
			s->absent |= 1U << masked(n, MAX_VALUES);
		}
		if (s->phase == RUN_RETURN && !(spec->flags & READ_AT_RETURN)) {
			field->flags |= FIELD_READ_AGAIN;
			s->read_again = 1;
		}
	}
	return 0;
}

static __always_inline void want_value(u32 slot, struct scratch *s, u32 n)
{
	u32 bit = 1U << masked(n, MAX_VALUES);

	if (!(s->read & bit) || s->absent & bit)
		read_value(slot, n);
}

#endif
