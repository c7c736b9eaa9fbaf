/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets, addresses and packets. */
#ifndef LICTOR_NET_H
#define LICTOR_NET_H

#include "read/field.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define UNIX_PATH_MAX 108

#define swapped(port) ((u16)((port) << 8 | (port) >> 8 & 0xff))

static __always_inline void read_socket(struct scratch *s, u32 n, u8 type, u64 raw)
{
	struct field *field = open_field(s, n, type);
	struct socket_value *value = (struct socket_value *)bytes_of_newest(s);
	struct sock *sk = (struct sock *)raw;
	u16 family;

	if (type == TYPE_SOCKET)
		sk = BPF_CORE_READ((struct socket *)raw, sk);
	__builtin_memset(value, 0, sizeof(*value));
	if (!sk || bpf_core_read(&family, sizeof(family), &sk->__sk_common.skc_family)) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->source.family = family;
	value->destination.family = family;
	value->type = BPF_CORE_READ(sk, sk_type);
	value->protocol = BPF_CORE_READ(sk, sk_protocol);
	value->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	value->mark = BPF_CORE_READ(sk, sk_mark);
	value->priority = BPF_CORE_READ(sk, sk_priority);
	value->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (family == AF_INET || family == AF_INET6) {
		value->source.port = BPF_CORE_READ(sk, __sk_common.skc_num);
		value->destination.port = swapped(BPF_CORE_READ(sk, __sk_common.skc_dport));
	}
	if (family == AF_INET) {
		bpf_core_read(value->source.bytes, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(value->destination.bytes, 4, &sk->__sk_common.skc_daddr);
	} else if (family == AF_INET6) {
		bpf_core_read(value->source.bytes, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(value->destination.bytes, 16, &sk->__sk_common.skc_v6_daddr);
	}
	close_field(s, sizeof(*value));
}

/* A struct sockaddr of the process or the kernel. */
static __always_inline void read_address(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_SOCKADDR);
	struct address *value = (struct address *)bytes_of_newest(s);
	u16 head[2] = {};

	__builtin_memset(value, 0, sizeof(*value));
	if (read_memory(head, sizeof(u16), raw)) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->family = head[0];
	/* Without a family it is what IPv4 takes for its own when it sends or binds. */
	if (head[0] == AF_INET || head[0] == AF_INET6 || !head[0]) {
		u32 at = head[0] == AF_INET6 ? 8 : 4, len = head[0] == AF_INET6 ? 16 : 4;

		if (read_memory(head, sizeof(head), raw) || read_memory(value->bytes, len, raw + at)) {
			failed_field(s, field, EFAULT);
			return;
		}
		value->port = swapped(head[1]);
	}
	close_field(s, sizeof(*value));
}

/*
 * The path of a struct sockaddr_un. The name of an abstract socket ends where the address does, which is what the next
 * argument says in every function that takes one; it begins with @. The family is in `extra`.
 */
static __always_inline void read_unix_address(struct scratch *s, u32 n, u64 raw, u64 size)
{
	struct field *field = open_field(s, n, TYPE_SOCKADDR_UN);
	u8 *text = bytes_of_newest(s);
	u16 family = 0;
	u8 first = 0;
	long len;

	if (read_memory(&family, sizeof(family), raw) || read_memory(&first, 1, raw + 2)) {
		failed_field(s, field, EFAULT);
		return;
	}
	field->extra = family;
	if (family != AF_UNIX) {
		close_field(s, 0);
		return;
	}
	if (first) {
		len = read_text(text, UNIX_PATH_MAX + 1, raw + 2);
	} else {
		text[0] = '@';
		len = size > 3 && size <= UNIX_PATH_MAX + 2 ? size - 3 : 0;
		if (len && read_memory(text + 1, at_most(len, UNIX_PATH_MAX), raw + 3))
			len = -1;
		else
			len += 2;
	}
	if (len < 1 || len > UNIX_PATH_MAX + 1) {
		failed_field(s, field, EFAULT);
		return;
	}
	close_field(s, len - 1);
}

#endif
