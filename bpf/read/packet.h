/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets: what the headers in a struct sk_buff say. What is not there, or not in one piece, is left at 0. */
#ifndef LICTOR_PACKET_H
#define LICTOR_PACKET_H

#include "read/net.h"

#define MOST_EXTENSIONS 8
#define NO_HEADER 0xffff

/* include/uapi/linux/in.h, include/net/ipv6.h */
enum next_header {
	NEXT_HOP_BY_HOP = 0,
	NEXT_TCP = 6,
	NEXT_UDP = 17,
	NEXT_DCCP = 33,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_AUTHENTICATION = 51,
	NEXT_DESTINATION = 60,
	NEXT_SCTP = 132,
	NEXT_MOBILITY = 135,
	NEXT_UDPLITE = 136,
	NEXT_HIP = 139,
	NEXT_SHIM6 = 140,
};

/* Where headers are read. `end` is behind the last byte that lies in one piece. */
struct headers {
	u64 head;
	u32 at;
	u32 end;
};

static __always_inline long read_header(struct headers *h, void *to, u32 size)
{
	if (h->at + size > h->end)
		return -EFAULT;
	return bpf_probe_read_kernel(to, size, (void *)(h->head + h->at));
}

static __always_inline void read_ports(struct packet_value *value, struct headers *h)
{
	u16 ports[2] = {};

	switch (value->protocol) {
	case NEXT_TCP:
	case NEXT_UDP:
	case NEXT_DCCP:
	case NEXT_SCTP:
	case NEXT_UDPLITE:
		break;
	default:
		return;
	}
	if (read_header(h, ports, sizeof(ports)))
		return;
	value->source.port = swapped(ports[0]);
	value->destination.port = swapped(ports[1]);
}

static __always_inline void read_ip4(struct packet_value *value, struct headers *h)
{
	u8 ip[20] = {};

	if (read_header(h, ip, sizeof(ip)))
		return;
	value->source.family = value->destination.family = AF_INET;
	value->protocol = ip[9];
	__builtin_memcpy(value->source.bytes, ip + 12, 4);
	__builtin_memcpy(value->destination.bytes, ip + 16, 4);
	h->at += (ip[0] & 15) * 4;
	/* A later fragment has no ports of its own. */
	if (!(ip[6] & 0x1f) && !ip[7])
		read_ports(value, h);
}

/* Steps over one extension header. False: `next` is what the packet carries, or it cannot be followed. */
static __always_inline bool skip_extension(struct headers *h, u8 *next, bool *fragment)
{
	u8 head[4] = {};

	switch (*next) {
	case NEXT_HOP_BY_HOP:
	case NEXT_ROUTING:
	case NEXT_FRAGMENT:
	case NEXT_AUTHENTICATION:
	case NEXT_DESTINATION:
	case NEXT_MOBILITY:
	case NEXT_HIP:
	case NEXT_SHIM6:
		break;
	default:
		return false;
	}
	if (read_header(h, head, sizeof(head)))
		return false;
	if (*next == NEXT_FRAGMENT) {
		*fragment |= head[2] || head[3] & 0xf8;
		h->at += 8;
	} else if (*next == NEXT_AUTHENTICATION) {
		h->at += (head[1] + 2) * 4;
	} else {
		h->at += (head[1] + 1) * 8;
	}
	*next = head[0];
	return true;
}

static __always_inline void read_ip6(struct packet_value *value, struct headers *h)
{
	bool fragment = false;
	u8 ip[40] = {}, next;

	if (read_header(h, ip, sizeof(ip)))
		return;
	value->source.family = value->destination.family = AF_INET6;
	__builtin_memcpy(value->source.bytes, ip + 8, 16);
	__builtin_memcpy(value->destination.bytes, ip + 24, 16);
	next = ip[6];
	h->at += sizeof(ip);
	for (u32 i = 0; i < MOST_EXTENSIONS; i++)
		if (!skip_extension(h, &next, &fragment))
			break;
	value->protocol = next;
	if (!fragment)
		read_ports(value, h);
}

static __always_inline void read_packet(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_SKB);
	struct packet_value *value = (struct packet_value *)bytes_of_newest(s);
	struct sk_buff *skb = (struct sk_buff *)raw;
	struct headers h = { .head = (u64)BPF_CORE_READ(skb, head) };
	u16 network = BPF_CORE_READ(skb, network_header);
	u8 first = 0;

	__builtin_memset(value, 0, sizeof(*value));
	if (!h.head) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->hash = BPF_CORE_READ(skb, hash);
	value->len = BPF_CORE_READ(skb, len);
	value->priority = BPF_CORE_READ(skb, priority);
	value->mark = BPF_CORE_READ(skb, mark);
	value->ethertype = swapped(BPF_CORE_READ(skb, protocol));
	h.at = network;
	h.end = BPF_CORE_READ(skb, tail);
	/* No header yet, or one of another protocol: neither family nor addresses. */
	if (network && network != NO_HEADER && !read_header(&h, &first, 1)) {
		if (first >> 4 == 4)
			read_ip4(value, &h);
		else if (first >> 4 == 6)
			read_ip6(value, &h);
	}
	close_field(s, sizeof(*value));
}

#endif
