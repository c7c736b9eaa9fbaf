/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs of cgroups have in common. */
#ifndef LICTOR_CGROUP_H
#define LICTOR_CGROUP_H

#include "engine/engine.h"

const volatile u32 hook_id = 0;

/* include/uapi/linux/bpf.h, up to the last member that is used here. */
struct bpf_sock {
	u32 bound_dev_if;
	u32 family;
	u32 type;
	u32 protocol;
};

#define ALLOW 1
#define DENY 0

struct socket_address4 {
	u16 family;
	__be16 port;
	u32 address;
};

struct socket_address6 {
	u16 family;
	__be16 port;
	u32 flow;
	u32 address[4];
};

/* The sock that programs of cgroups are given: a pointer that may not be computed with, but stored. */
static __always_inline struct sock *sock_of(struct scratch *s, struct bpf_sock *sk)
{
	*(volatile u64 *)&s->args[0] = (u64)sk;
	return (struct sock *)*(volatile u64 *)&s->args[0];
}

#endif
