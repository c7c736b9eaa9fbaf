/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strings and buffers, of the kernel or of the process. */
#ifndef LICTOR_TEXT_H
#define LICTOR_TEXT_H

#include "read/field.h"

#define MOST_SEGMENTS 64

/* A string that ends with a NUL, which is not part of the value, or after `most` bytes. */
static __always_inline void read_string(struct scratch *s, u32 n, u8 type, u64 from, u32 most)
{
	struct field *field = open_field(s, n, type);
	/* One byte more: what is read always ends with a NUL. */
	long len = read_text(bytes_of_newest(s), at_most(most + 1, TEXT_ROOM + 1), from);

	if (len < 0) {
		failed_field(s, field, EFAULT);
		return;
	}
	/* Before Linux 6.13 an empty string of a process has no length at all. */
	if (!len)
		len = 1;
	if (len > TEXT_ROOM)
		field->flags |= FIELD_TRUNCATED;
	close_field(s, len - 1);
}

/* As many bytes as there are, at most TEXT_ROOM. */
static __always_inline void read_bytes(struct scratch *s, u32 n, u8 type, u64 from, u64 size)
{
	struct field *field = open_field(s, n, type);
	u32 len = size;

	field->extra = size;
	if (size > TEXT_ROOM) {
		len = TEXT_ROOM;
		field->flags |= FIELD_TRUNCATED;
	}
	len = at_most(len, TEXT_ROOM);
	if (len && read_memory(bytes_of_newest(s), len, from)) {
		failed_field(s, field, EFAULT);
		return;
	}
	close_field(s, len);
}

/* The text of a dynamic field of a tracepoint's record: its length and offset lie at `at`. */
static __always_inline void read_dynamic(struct scratch *s, u32 n, struct read_spec *spec, u64 record)
{
	u32 place = 0, from, len;

	if (bpf_probe_read_kernel(&place, sizeof(place), (void *)record + spec->index)) {
		failed_field(s, open_field(s, n, spec->type), EFAULT);
		return;
	}
	from = place & 0xffff;
	len = place >> 16;
	if (spec->flags & READ_RELATIVE)
		from += spec->index + sizeof(place);
	if (spec->type != TYPE_CONST_BUF && spec->type != TYPE_CHAR_BUF)
		read_string(s, n, spec->type, record + from, len);
	else
		read_bytes(s, n, spec->type, record + from, len);
}

struct segments {
	u64 from; /* struct iovec[] */
	u64 skip; /* bytes of the first that are done */
	u64 left; /* bytes that may still be taken */
	u64 total;
	u32 slot;
	u32 count;
	u32 done;
	u32 failed;
};

static long read_segment(u32 index, struct segments *job)
{
	struct scratch *s = scratch_at(job->slot);
	struct iovec one = {};
	u32 len, at;
	u64 size;

	if (!s || index >= job->count || !job->left)
		return 1;
	if (read_memory(&one, sizeof(one), job->from + index * sizeof(one))) {
		job->failed = 1;
		return 1;
	}
	if (job->skip >= one.iov_len) {
		job->skip -= one.iov_len;
		return 0;
	}
	size = one.iov_len - job->skip;
	if (size > job->left)
		size = job->left;
	job->left -= size;
	job->total += size;
	if (job->done >= TEXT_ROOM)
		return 0;
	len = TEXT_ROOM - job->done;
	if (size < len)
		len = size;
	at = masked(s->used, DATA_ROOM) + sizeof(struct field) + masked(job->done, TEXT_ROOM);
	len = at_most(len, TEXT_ROOM);
	if (len && read_memory(&s->data[at], len, (u64)one.iov_base + job->skip)) {
		job->failed = 1;
		return 1;
	}
	job->skip = 0;
	job->done += len;
	return 0;
}

/* The bytes that segments hold, one behind the other, at most job->left of them. */
static __always_inline void read_segments(u32 slot, struct scratch *s, u32 n, u8 type, struct segments *job)
{
	struct field *field = open_field(s, n, type);

	job->slot = slot;
	bpf_loop(MOST_SEGMENTS, read_segment, job, 0);
	if (job->failed) {
		failed_field(s, field, EFAULT);
		return;
	}
	field->extra = job->total;
	if (job->done < job->total)
		field->flags |= FIELD_TRUNCATED;
	close_field(s, job->done);
}

static __always_inline void read_iovec(u32 slot, struct scratch *s, u32 n, u64 from, u64 count)
{
	struct segments job = { .from = from, .count = count, .left = ~0ULL };

	read_segments(slot, s, n, TYPE_CHAR_IOVEC, &job);
}

static __always_inline void read_iterator(u32 slot, struct scratch *s, u32 n, u64 raw, u64 size)
{
	struct iov_iter *iter = (struct iov_iter *)raw;
	u8 kind = 0;
	struct segments job = { .skip = BPF_CORE_READ(iter, iov_offset) };
	u64 count = BPF_CORE_READ(iter, count);

	if (size > count)
		size = count;
	if (bpf_core_read(&kind, sizeof(kind), &iter->iter_type)) {
		failed_field(s, open_field(s, n, TYPE_IOV_ITER), EFAULT);
		return;
	}
	if (kind == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
		read_bytes(s, n, TYPE_IOV_ITER, (u64)BPF_CORE_READ(iter, ubuf) + job.skip, size);
		return;
	}
	if (kind == bpf_core_enum_value(enum iter_type, ITER_KVEC))
		job.from = (u64)BPF_CORE_READ(iter, kvec);
	else if (kind != bpf_core_enum_value(enum iter_type, ITER_IOVEC)) {
		/* Pages, which have no address, and what has no bytes. */
		failed_field(s, open_field(s, n, TYPE_IOV_ITER), EOPNOTSUPP);
		return;
	} else if (bpf_core_field_exists(((struct iov_iter___renamed *)0)->__iov))
		job.from = (u64)BPF_CORE_READ((struct iov_iter___renamed *)raw, __iov);
	else
		job.from = (u64)BPF_CORE_READ((struct iov_iter___before *)raw, iov);
	job.count = BPF_CORE_READ(iter, nr_segs);
	job.left = size;
	read_segments(slot, s, n, TYPE_IOV_ITER, &job);
}

#endif
