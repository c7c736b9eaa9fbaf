/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The working memory of one run into a hook: what the function was called with, what was read, the record. */
#ifndef LICTOR_ENGINE_SCRATCH_H
#define LICTOR_ENGINE_SCRATCH_H

#include "lib/walk.h"
#include "policy.h"

#define DATA_ROOM 16384  /* a field begins below it */
#define FIELD_ROOM 16384 /* and is at most this long */
#define ARGUMENTS 12

struct scratch {
	u32 busy;
	u32 used; /* bytes of `data` in use */
	struct path_walk walk;
	u64 args[ARGUMENTS];
	u64 result;
	u64 now; /* 0: not asked for yet (now_of) */
	u64 frame;
	u64 regs; /* address of the registers at the hook, 0: none are known */
	u64 raw;  /* the value at hand, while steps lead from it to another */
	u32 hook;
	u32 phase;     /* enum run_phase */
	u32 undecided; /* user memory was not there, and can be read again at the return */
	u32 read_again;
	u32 failed; /* reads, since a group began */
	u32 sent;   /* slots whose pieces are out */
	u32 to_send;
	u32 absent; /* slots whose memory was not there, and can be read again at the return */
	/* The walk over the groups: words and bits still to be looked at, the next group. */
	u32 words;
	u32 word;
	u64 common[SCOPE_WORDS];
	u64 bits;
	u32 group;
	u32 read;                 /* slots that were read */
	u32 at[MAX_VALUES];       /* where their fields are */
	struct scope_entry scope; /* bits of the process at hand */
	u64 before[SCOPE_WORDS];  /* while they are computed: what was known, and what ancestors hand down */
	u64 inherited[SCOPE_WORDS];
	u32 known_generation; /* of `before`, 0: nothing known */
	u32 known_moved;      /* SCOPE_MOVED, if `before` was marked so */
	u32 new_image;        /* `before` is of an image that the process no longer runs */
	u32 mode;             /* enum scope_mode */
	u32 workload;         /* enum workload */
	u32 fence;
	u32 tgid, nspid;
	u64 cgroup_id;
	u32 path_len, parent_path_len;
	u64 hash_low, hash_high;
	u32 hash_at;
	u32 rate_values;
	/* The expression at hand. */
	u32 at_step, end_step;
	u32 depth;
	u32 pad;
	u64 stack[STACK_ROOM];
	u8 address[32]; /* a struct sockaddr, where the program was not given one */
	s32 verdict;    /* what the hook answers: the first denial's error */
	u32 decider;    /* its group */
	u32 withheld;   /* flags of the match at hand */
	u32 matched;
	u32 nobody; /* the current process did not do it */
	u64 dice;
	u64 timed;                              /* whether this run's groups are */
	struct match_value match[KEPT_MATCHES]; /* of this run, to be told at its end */
	u32 match_flags[KEPT_MATCHES];
	struct kept_call kept;
	struct hook_record record;
	u8 data[DATA_ROOM + FIELD_ROOM + 64]; /* goes out right behind `record` */
	u8 path[PATH_ROOM + NAME_ROOM];
};

/* When the run was: asked for by the first that wants to know, since most runs end without an event. */
static __always_inline u64 now_of(struct scratch *s)
{
	if (!s->now)
		s->now = bpf_ktime_get_boot_ns();
	return s->now;
}

/*
 * Draws whether a run is timed: one of TIMED_RUNS, by chance, so that no pattern of calls is timed more than another.
 * Knuth's generator for MMIX; each slot has its own.
 */
static __always_inline void draw_timed(struct scratch *s)
{
	s->dice = s->dice * 6364136223846793005ULL + 1442695040888963407ULL;
	s->timed = (s->dice >> 32) % TIMED_RUNS == 0;
}

static __always_inline u64 begin_time(struct scratch *s)
{
	return s->timed ? bpf_ktime_get_ns() : 0;
}

static __always_inline void count_time(struct rule_group *g, u64 began)
{
	if (began)
		__sync_fetch_and_add(&g->timed, bpf_ktime_get_ns() - began);
}

enum run_phase { RUN_ENTRY = 0, RUN_RETURN = 1 };

#define SPARE_SLOTS 32
#define SLOTS run_slots
#include "lib/slots.h"

/* The field of a slot that was read; what it says of a slot that was not means nothing. */
static __always_inline struct field *field_of(struct scratch *s, u32 slot)
{
	return (struct field *)&s->data[masked(s->at[masked(slot, MAX_VALUES)], DATA_ROOM)];
}

#endif
