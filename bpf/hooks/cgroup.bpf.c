/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Network operations where there is no LSM: programs of the root cgroup, loaded once per attach type, since they have
 * no cookie. They present what they see as the arguments of the LSM hook that they stand in for: a struct socket, a
 * struct sockaddr; or family, type and protocol of a socket that is made. Packets that leave: hooks/egress.bpf.c.
 */
#include "engine/engine.h"
#include "hooks/cgroup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct bpf_sock_addr {
	u32 user_family;
	u32 user_ip4;
	u32 user_ip6[4];
	u32 user_port;
	u32 family;
	u32 type;
	u32 protocol;
	u32 msg_src_ip4;
	u32 msg_src_ip6[4];
	struct bpf_sock *sk __attribute__((aligned(8)));
};

/* libbpf declares it with an int: the upper half of the register would be unknown, which Linux 7 refuses. */
static long (*set_retval)(long value) = (void *)187;

static __always_inline int verdict_of(s32 verdict)
{
	if (!verdict)
		return ALLOW;
	set_retval(answer(verdict));
	return DENY;
}

static __always_inline void put_socket(struct scratch *s, struct bpf_sock *sk)
{
	s->args[0] = (u64)BPF_CORE_READ(sock_of(s, sk), sk_socket);
}

static __always_inline void put_address4(struct scratch *s, struct bpf_sock_addr *ctx)
{
	struct socket_address4 *address = (struct socket_address4 *)s->address;

	address->family = AF_INET;
	address->port = ctx->user_port;
	address->address = ctx->user_ip4;
	s->args[2] = 16;
}

static __always_inline void put_address6(struct scratch *s, struct bpf_sock_addr *ctx)
{
	struct socket_address6 *address = (struct socket_address6 *)s->address;

	address->family = AF_INET6;
	address->port = ctx->user_port;
	address->flow = 0;
	address->address[0] = ctx->user_ip6[0];
	address->address[1] = ctx->user_ip6[1];
	address->address[2] = ctx->user_ip6[2];
	address->address[3] = ctx->user_ip6[3];
	s->args[2] = 28;
}

/* A socket and an address. Each program may look at the members of its own family only. */
static __always_inline int run_address(struct bpf_sock_addr *ctx, int family)
{
	struct scratch *s;
	u32 slot;

	if (!hook_applies(hook_id))
		return ALLOW;
	s = begin_run(&slot, hook_id);
	if (!s)
		return verdict_of(without_slot(hook_id));
	put_socket(s, ctx->sk);
	s->args[1] = (u64)s->address;
	if (family == AF_INET)
		put_address4(s, ctx);
	else
		put_address6(s, ctx);
	return verdict_of(run_entry(slot, s));
}

SEC("cgroup/connect4")
int hook_connect4(struct bpf_sock_addr *ctx)
{
	return run_address(ctx, AF_INET);
}

SEC("cgroup/connect6")
int hook_connect6(struct bpf_sock_addr *ctx)
{
	return run_address(ctx, AF_INET6);
}

SEC("cgroup/sendmsg4")
int hook_sendmsg4(struct bpf_sock_addr *ctx)
{
	return run_address(ctx, AF_INET);
}

SEC("cgroup/sendmsg6")
int hook_sendmsg6(struct bpf_sock_addr *ctx)
{
	return run_address(ctx, AF_INET6);
}

SEC("cgroup/bind4")
int hook_bind4(struct bpf_sock_addr *ctx)
{
	return run_address(ctx, AF_INET);
}

SEC("cgroup/bind6")
int hook_bind6(struct bpf_sock_addr *ctx)
{
	return run_address(ctx, AF_INET6);
}

SEC("cgroup/sock_create")
int hook_sock_create(struct bpf_sock *ctx)
{
	struct scratch *s;
	u32 slot;

	if (!hook_applies(hook_id))
		return ALLOW;
	s = begin_run(&slot, hook_id);
	if (!s)
		return verdict_of(without_slot(hook_id));
	s->args[0] = ctx->family;
	s->args[1] = ctx->type;
	s->args[2] = ctx->protocol;
	s->args[3] = 0;
	return verdict_of(run_entry(slot, s));
}
