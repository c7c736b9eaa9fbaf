/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Buffers longer than a field keeps (`maxData`): what follows the field's bytes goes out before the record, in pieces
 * that are known by thread, time and slot. Every record of one run refers to the same ones.
 */
#ifndef LICTOR_PIECES_H
#define LICTOR_PIECES_H

#include "lib/emit.h"
#include "read/value.h"

struct piece_job {
	u64 from;
	u64 left;
	u32 slot;
	u32 value; /* the hook's slot */
	u32 offset;
	u32 failed;
};

static long send_piece(u32 index, struct piece_job *job)
{
	struct scratch *s = scratch_at(job->slot);
	struct piece_record *piece;
	struct record_header head = {};
	u32 len;

	if (!s || !job->left)
		return 1;
	if (!begin_record(&head, sizeof(*piece), RECORD_PIECE, RING_BULK, now_of(s)))
		return 1;
	piece = bpf_ringbuf_reserve(&bulk_ring, sizeof(*piece), 0);
	if (!piece) {
		count_lost(RING_BULK);
		job->failed = 1;
		return 1;
	}
	len = job->left < CHUNK_DATA ? job->left : CHUNK_DATA;
	head.tid = (u32)current_thread();
	head.hook = s->hook;
	piece->header = head;
	piece->slot = job->value;
	piece->offset = job->offset;
	piece->pad = 0;
	/* A page that is gone by now: the value ends there. */
	job->failed = !!read_memory(piece->data, at_most(len, CHUNK_DATA), job->from);
	piece->len = job->failed ? 0 : len;
	bpf_ringbuf_submit(piece, wake_flags(RING_BULK, now_of(s)));
	job->from += len;
	job->offset += len;
	job->left -= len;
	return job->failed != 0;
}

/* Sends the rest of one value, unless that was done. */
static long send_rest(u32 n, u32 *slot)
{
	struct piece_job job = { .slot = *slot, .value = n, .offset = TEXT_ROOM };
	struct scratch *s = scratch_at(*slot);
	struct hook_state *hook;
	struct read_spec *spec;
	struct field *field;
	u64 most;

	if (!s)
		return 1;
	if (!(s->to_send & 1U << masked(n, MAX_VALUES)))
		return 0;
	hook = hooks_at(s->hook);
	spec = hook ? reads_at(hook->read[masked(n, MAX_VALUES)]) : NULL;
	if (!spec || spec->type != TYPE_CHAR_BUF || spec->source == FROM_FIELD || spec->max_bytes <= TEXT_ROOM)
		return 0;
	field = field_of(s, n);
	if (field->flags & FIELD_ERROR || field->extra <= TEXT_ROOM)
		return 0;
	most = field->extra < spec->max_bytes ? field->extra : spec->max_bytes;
	job.from = s->args[spec->index < ARGUMENTS ? spec->index : 0] + TEXT_ROOM;
	job.left = most - TEXT_ROOM;
	bpf_loop(MOST_PIECES, send_piece, &job, 0);
	field->flags |= FIELD_CHAINED;
	s->sent |= 1U << masked(n, MAX_VALUES);
	return 0;
}

__noinline int send_pieces(u32 slot, u32 wanted)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	s->to_send = wanted & s->read & ~s->sent;
	bpf_loop(MAX_VALUES, send_rest, &slot, 0);
	return 0;
}

#endif
