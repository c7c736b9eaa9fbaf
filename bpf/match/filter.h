/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One condition of a selector. */
#ifndef LICTOR_FILTER_H
#define LICTOR_FILTER_H

#include "match/expression.h"
#include "match/networks.h"
#include "match/sets.h"
#include "read/task.h"
#include "read/value.h"

#define RANGE_STEPS 17
#define S_IFMT 0170000
#define FOLDED_AT (DATA_ROOM + 8192) /* where no field of a run with text in lower case reaches */

struct search {
	u32 slot, set, at, len;
	u32 found;
	u32 pad;
};

static __always_inline bool compare_number(struct filter *f, u64 value)
{
	u64 turn = f->flags & FILTER_SIGNED ? 1ULL << 63 : 0;

	for (u32 i = 0; i < FILTER_NUMBERS; i++) {
		if (i >= f->count)
			break;
		if (f->how == OP_RANGE) {
			if (!(i & 1) && (value ^ turn) >= f->numbers[i] && (value ^ turn) <= f->numbers[i | 1])
				return true;
		} else if (f->how == OP_MASK ? value & f->numbers[i] : value == f->numbers[i]) {
			return true;
		}
	}
	return false;
}

/* Ranges of a set lie in order: searched by halves. */
__noinline int in_ranges(u32 set, u64 value)
{
	struct operand_set *info = sets_at(set);
	u32 low = 0, high, middle;
	struct number_range *range;

	if (!info)
		return 0;
	high = info->count;
	for (u32 i = 0; i < RANGE_STEPS; i++) {
		if (low >= high)
			break;
		middle = (low + high) / 2;
		range = set_ranges_at(info->first + middle);
		if (!range)
			break;
		if (value < range->least)
			high = middle;
		else if (value > range->greatest)
			low = middle + 1;
		else
			return 1;
	}
	return 0;
}

__noinline int compare_with_numbers(u32 id, u64 value)
{
	struct filter *f = filters_at(id);

	if (!f)
		return 0;
	if (f->how == OP_IN_RANGES)
		return in_ranges(f->set, value ^ (f->flags & FILTER_SIGNED ? 1ULL << 63 : 0));
	if (f->how == OP_IN_NUMBERS)
		return number_in(f->set, value);
	return compare_number(f, value);
}

/* Looks for a member at one place of the text. */
static long search_here(u32 index, struct search *job)
{
	struct operand_set *info = sets_at(job->set);
	struct scratch *s = scratch_at(job->slot);
	u32 at = job->at + index, byte;

	if (!s || !info || index + info->least > job->len)
		return 1;
	byte = s->data[masked(at, 2 * DATA_ROOM)];
	if (!(info->starts[byte / 64 & 3] >> byte % 64 & 1))
		return 0;
	job->found = find_part(job->slot, job->set, at, job->len - index, 0);
	return job->found != 0;
}

/* Copies one byte of the text to behind the data, in lower case. */
static long fold_byte(u32 index, struct search *job)
{
	struct scratch *s = scratch_at(job->slot);
	u8 byte;

	if (!s || index >= job->len)
		return 1;
	byte = s->data[masked(job->at + index, 2 * DATA_ROOM)];
	if (byte >= 'A' && byte <= 'Z')
		byte += 'a' - 'A';
	s->data[FOLDED_AT + masked(index, TEXT_ROOM)] = byte;
	return 0;
}

/* Whether a member of the set is anywhere in the text. */
__noinline int search_text(u32 slot, u32 set, u32 at, u32 len, u32 fold)
{
	struct search job = { .slot = slot, .set = set, .at = at, .len = len };

	if (fold) {
		if (len > TEXT_ROOM)
			job.len = TEXT_ROOM;
		bpf_loop(TEXT_ROOM, fold_byte, &job, 0);
		job.at = FOLDED_AT;
	}
	bpf_loop(FIELD_ROOM, search_here, &job, 0);
	return job.found;
}

static __always_inline bool compare_string(u32 slot, struct scratch *s, struct filter *f, struct field *field)
{
	u32 at = masked(s->at[masked(f->slot, MAX_VALUES)], DATA_ROOM) + sizeof(*field), len = field->len;

	switch (f->op) {
	case OP_STRING:
		if (look_up_whole(slot, f->set, at, len))
			return true;
		/* What was deleted goes by its old name too: a rule on that is not escaped by deleting the file. */
		if (!(field->flags & FIELD_DELETED) || len < DELETED_LEN)
			return false;
		return look_up_whole(slot, f->set, at, len - DELETED_LEN);
	case OP_PREFIX:
		return look_up_part(slot, f->set, at, len, 0);
	case OP_POSTFIX:
		return look_up_part(slot, f->set, at, len, 1);
	}
	return search_text(slot, f->set, at, len, f->op == OP_SUBSTRING_NOCASE);
}

static __always_inline bool is_mapped(const u8 *address)
{
	return !*(u64 *)address && *(u32 *)(address + 8) == 0xffff0000;
}

/* Whether an address is in one of the networks of a filter's two sets. */
__noinline int address_in(u32 slot, u32 id, u32 offset)
{
	struct scratch *s = scratch_at(slot);
	struct filter *f = filters_at(id);
	struct address *address;

	if (!s || !f)
		return 0;
	address = (struct address *)&s->data[masked(offset, DATA_ROOM)];
	/* Without a family it is what IPv4 takes for its own. */
	if (address->family != AF_INET6)
		return f->set && find_network(f->set, *(u32 *)address->bytes, 0);
	if (f->set6 && find_network(f->set6, *(u64 *)address->bytes, *(u64 *)(address->bytes + 8)))
		return 1;
	/* ::ffff:a.b.c.d is an address of version 4, reached by a socket of version 6. */
	return f->set && is_mapped(address->bytes) && find_network(f->set, *(u32 *)(address->bytes + 12), 0);
}

/*
 * Conditions on sockets, packets and addresses. Gives 2 where the value has nothing of the kind: many packets have no
 * ports, a socket of another family no address. Such a condition does not hold, nor does
 * its negation.
 */
__noinline int compare_net(u32 slot, u32 id)
{
	struct scratch *s = scratch_at(slot);
	struct filter *f = filters_at(id);
	struct socket_value *socket;
	struct packet_value *packet;
	struct address *end;
	struct field *field;
	bool far;
	u32 at;

	if (!s || !f)
		return 0;
	field = field_of(s, f->slot);
	at = masked(s->at[masked(f->slot, MAX_VALUES)], DATA_ROOM) + sizeof(*field);
	socket = (struct socket_value *)&s->data[at];
	packet = (struct packet_value *)&s->data[at];
	if (field->type == TYPE_SOCKADDR_UN)
		return f->op == OP_FAMILY ? compare_with_numbers(id, field->extra) : 2;
	far = f->op == OP_DESTINATION_ADDRESS || f->op == OP_DESTINATION_PORT;
	end = far && field->type != TYPE_SOCKADDR ? &socket->destination : &socket->source;
	switch (f->op) {
	case OP_FAMILY:
		return compare_with_numbers(id, end->family);
	case OP_PROTOCOL:
		return compare_with_numbers(id, field->type == TYPE_SKB ? packet->protocol : socket->protocol);
	case OP_STATE:
		return compare_with_numbers(id, socket->state);
	}
	if (end->family != AF_INET && end->family != AF_INET6 && (end->family || field->type != TYPE_SOCKADDR))
		return 2;
	if (f->op == OP_SOURCE_ADDRESS || f->op == OP_DESTINATION_ADDRESS)
		return address_in(slot, id, at + (far && field->type != TYPE_SOCKADDR ? sizeof(*end) : 0));
	if (field->type == TYPE_SKB && !packet->source.port && !packet->destination.port)
		return 2;
	return compare_with_numbers(id, end->port);
}

/* A path so deep that its beginning is not known, a value that others left no room for: it could be any, and nothing
 * escapes a denial that way. */
static __always_inline bool is_too_long(struct field *field)
{
	if (field->flags & FIELD_ERROR)
		return (u32)field->extra == E2BIG;
	return field->flags & FIELD_TRUNCATED && is_path(field->type);
}

static __always_inline int compare_value(u32 slot, struct scratch *s, u32 id, struct filter *f)
{
	struct field *field, *other;
	int holds;

	if (f->op == OP_EXPRESSION) {
		read_values_of(slot, f);
		holds = evaluate(slot, id);
		return holds < 0 ? 0 : holds != !!(f->flags & FILTER_NEGATED);
	}
	s->undecided = 0;
	want_value(slot, s, f->slot);
	if (f->op == OP_CAPABILITIES_GAINED)
		read_value(slot, f->slot2);
	if (s->undecided)
		return 2; /* DECISION_LATER */
	field = field_of(s, f->slot);
	if (f->flags & FILTER_ENFORCES && is_too_long(field))
		return 1;
	/* What could not be read matches nothing, what is negated neither. */
	if (field->flags & FIELD_ERROR)
		return 0;
	if (f->op >= OP_STRING && f->op <= OP_SUBSTRING_NOCASE) {
		holds = compare_string(slot, s, f, field);
	} else if (f->op >= OP_SOURCE_ADDRESS && f->op <= OP_STATE) {
		holds = compare_net(slot, id);
		if (holds == 2)
			return 0;
	} else if (f->op == OP_FILE_TYPE) {
		holds = compare_with_numbers(id, field->extra & S_IFMT);
	} else if (f->op == OP_CAPABILITIES_GAINED) {
		other = field_of(s, f->slot2);
		if (other->flags & FIELD_ERROR)
			return 0;
		holds = !!(other->extra & ~field->extra);
	} else {
		holds = compare_with_numbers(id, field->extra);
	}
	return holds != !!(f->flags & FILTER_NEGATED);
}

static __always_inline u32 namespace_now(struct task_struct *task, u32 kind)
{
	struct nsproxy *proxy = task->nsproxy;

	switch (kind) {
	case 0:
		return proxy->uts_ns->ns.inum;
	case 1:
		return proxy->ipc_ns->ns.inum;
	case 2:
		return proxy->mnt_ns->ns.inum;
	case 3:
		return pid_namespace_of(task);
	case 4:
		return proxy->pid_ns_for_children->ns.inum;
	case 5:
		return proxy->net_ns->ns.inum;
	case 6:
		return bpf_core_field_exists(proxy->time_ns) ? proxy->time_ns->ns.inum : 0;
	case 7:
		return bpf_core_field_exists(proxy->time_ns_for_children) ? proxy->time_ns_for_children->ns.inum : 0;
	case 8:
		return proxy->cgroup_ns->ns.inum;
	default:
		return task->cred->user_ns->ns.inum;
	}
}

/* What the process had when it was last looked at; NULL: it was never met, and is now. */
static __always_inline struct scope_entry *baseline_of(struct task_struct *task)
{
	struct scope_entry *entry;
	u32 tgid = task->tgid;

	entry = bpf_map_lookup_elem(&scope_table, &tgid);
	return entry && entry->image == image_of(task) ? entry : NULL;
}

static __always_inline bool is_inside(struct filter *f, struct task_struct *task)
{
	/* isNamespaceCapability: only processes outside the first user namespace. */
	return !(f->flags & FILTER_OUTSIDE_INIT_USER_NS) || task->cred->user_ns->level;
}

/* Conditions on the current process as it is now. */
__noinline int compare_process(u32 id)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct filter *f = filters_at(id);
	struct scope_entry *entry;
	bool holds = false;
	u64 sets[3] = {};
	u32 inode, kind;

	if (!f)
		return 0;
	kind = masked(f->slot, 16);
	if (f->subject == SUBJECT_NAMESPACE) {
		return compare_with_numbers(id, namespace_now(task, kind)) != !!(f->flags & FILTER_NEGATED);
	}
	if (!is_inside(f, task))
		return 0;
	read_capabilities(sets, task);
	if (kind > 2)
		return 0;
	if (f->subject == SUBJECT_CAPABILITY)
		return !!(sets[kind] & f->numbers[0]) != !!(f->flags & FILTER_NEGATED);
	entry = baseline_of(task);
	if (!entry)
		return 0;
	if (f->subject == SUBJECT_CAPABILITY_CHANGE) {
		u64 changed = sets[kind] ^ entry->capabilities[kind];

		/* In: a listed one differs. NotIn: none of those, but another does. */
		holds = f->flags & FILTER_NEGATED ? changed && !(changed & f->numbers[0]) : !!(changed & f->numbers[0]);
		if (holds)
			entry->capabilities[kind] = sets[kind];
		return holds;
	}
	for (u32 i = 0; i < 10; i++) {
		inode = namespace_now(task, i);
		if (!entry->namespaces[i] || inode == entry->namespaces[i])
			continue;
		if (!!(f->kinds >> i & 1) != !(f->flags & FILTER_NEGATED))
			continue;
		entry->namespaces[i] = inode;
		holds = true;
	}
	return holds;
}

/* Gives 0 no, 1 yes, 2 cannot be told before the return. */
static __always_inline int filter_holds(u32 slot, u32 id)
{
	struct scratch *s = scratch_at(slot);
	struct filter *f = filters_at(id);

	if (!s || !f)
		return 0;
	if (f->subject == SUBJECT_VALUE)
		return compare_value(slot, s, id, f);
	return compare_process(id);
}

#endif
