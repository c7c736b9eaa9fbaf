/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that leave sockets of a cgroup, where there is no LSM to ask when they are sent: what connected sockets send,
 * and what raw and ping sockets send anywhere. Those two stand in for socket_sendmsg, whose arguments they present: a
 * struct socket, or the name that was sent to.
 *
 * A packet mostly leaves in the context of the call that sent it. One that leaves later (a retransmission, data that
 * the peer had no room for) leaves on some CPU's interrupt, and the current process has nothing to do with it: it is
 * judged and counted, and told of nobody.
 */
#include "hooks/cgroup.h"
#include "read/net.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ETHERTYPE_IPV6 0xdd86 /* in network byte order */
#define IP_TCP 6
#define IP_ICMP 1
#define IP_ICMPV6 58
#define KIND_DATAGRAM 2
#define KIND_RAW 3

struct __sk_buff {
	u32 len;
	u32 before[3];
	u32 protocol;
	u32 between[30];
	u32 data_meta;
	u64 flow_keys;
	u64 tstamp;
	u32 wire_len;
	u32 gso_segs;
	struct bpf_sock *sk __attribute__((aligned(8)));
};

/* By the kernel's word: the first byte of a raw socket's packet may be the process's own. */
static __always_inline bool is_ipv6(struct __sk_buff *skb)
{
	return skb->protocol == ETHERTYPE_IPV6;
}

/* The socket that a packet is from, if its members can be looked at. */
static __always_inline struct bpf_sock *sender_of(struct __sk_buff *skb)
{
	return skb->sk ? bpf_sk_fullsock(skb->sk) : NULL;
}

static __always_inline int verdict_of(s32 verdict)
{
	return verdict ? DENY : ALLOW;
}

/*
 * Whether the current process is a bystander. TCP, and what queues as it does, sends for a process while that holds the
 * socket's lock, and later on an interrupt, which does without; a datagram leaves when it is sent or never.
 */
static __always_inline bool is_later(struct scratch *s, struct bpf_sock *sk)
{
	if (sk->type == KIND_RAW || sk->type == KIND_DATAGRAM)
		return false;
	return !BPF_CORE_READ(sock_of(s, sk), sk_lock.owned);
}

/* Whether the packet has data of the process in it. What TCP says on its own account nobody sent. */
static __always_inline bool has_data(struct __sk_buff *skb, struct bpf_sock *sk)
{
	u8 first = 0, next = IP_TCP, offset = 0;
	u32 at;

	if (sk->protocol != IP_TCP || sk->type == KIND_RAW)
		return true;
	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return true;
	if (is_ipv6(skb) && bpf_skb_load_bytes(skb, 6, &next, 1))
		return true;
	at = is_ipv6(skb) ? 40 : (first & 15) * 4;
	/* Behind other headers TCP's is not looked for. */
	if (next != IP_TCP || bpf_skb_load_bytes(skb, at + 12, &offset, 1))
		return true;
	return skb->len > at + (offset >> 4) * 4;
}

/* A struct socket that leads to this sock: one whose process has closed it has none of its own any more. */
static __always_inline void put_socket(struct scratch *s, struct bpf_sock *sk)
{
	u32 word = bpf_core_field_offset(struct socket, sk) / sizeof(u64);

	__builtin_memset(s->address, 0, sizeof(s->address));
	((volatile u64 *)s->address)[masked(word, sizeof(s->address) / sizeof(u64))] = (u64)sk;
	s->args[0] = (u64)s->address;
	s->args[1] = 0;
	s->args[2] = 0;
}

SEC("cgroup_skb/egress")
int hook_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = sender_of(skb);
	struct scratch *s;
	u32 slot;

	if (!sk || !hook_applies(hook_id) || !has_data(skb, sk))
		return ALLOW;
	s = begin_run(&slot, hook_id);
	if (!s)
		return verdict_of(without_slot(hook_id));
	s->nobody = is_later(s, sk);
	put_socket(s, sk);
	return verdict_of(run_entry(slot, s));
}

/* No other program sees where these send. */
static __always_inline bool is_unseen(struct bpf_sock *sk)
{
	return sk->type == KIND_RAW || sk->protocol == IP_ICMP || sk->protocol == IP_ICMPV6;
}

/* The kernel's own sockets, which answer echo requests, have no file. */
static __always_inline bool is_of_kernel(struct scratch *s, struct bpf_sock *sk)
{
	return !BPF_CORE_READ(sock_of(s, sk), sk_socket, file);
}

/* The name that a packet is sent to, as if it had been given. */
static __always_inline bool put_name(struct scratch *s, struct __sk_buff *skb)
{
	struct socket_address4 *v4 = (struct socket_address4 *)s->address;
	struct socket_address6 *v6 = (struct socket_address6 *)s->address;
	u32 address[4] = {};

	if (is_ipv6(skb) ? bpf_skb_load_bytes(skb, 24, address, 16) : bpf_skb_load_bytes(skb, 16, address, 4))
		return false;
	__builtin_memset(s->address, 0, sizeof(s->address));
	if (is_ipv6(skb)) {
		v6->family = AF_INET6;
		__builtin_memcpy(v6->address, address, 16);
	} else {
		v4->family = AF_INET;
		v4->address = address[0];
	}
	s->args[0] = 0;
	s->args[1] = (u64)s->address;
	s->args[2] = is_ipv6(skb) ? 28 : 16;
	return true;
}

SEC("cgroup_skb/egress")
int hook_egress_raw(struct __sk_buff *skb)
{
	struct bpf_sock *sk = sender_of(skb);
	struct scratch *s;
	u32 slot;

	if (!sk || !is_unseen(sk) || !hook_applies(hook_id))
		return ALLOW;
	s = begin_run(&slot, hook_id);
	if (!s)
		return verdict_of(without_slot(hook_id));
	if (is_of_kernel(s, sk) || !put_name(s, skb)) {
		release_slot(s);
		return ALLOW;
	}
	return verdict_of(run_entry(slot, s));
}
