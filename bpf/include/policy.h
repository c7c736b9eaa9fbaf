/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Policies as data: the shapes of what user space writes and the engine follows. This is their only declaration;
 * src/lictor/sensors/shapes.py takes the layouts from the objects' BTF.
 *
 * A hook holds a mask of scope bits. A process holds the scope bits that are true of it. Where both have a bit, the
 * hook's groups under that bit are run: a group is one policy on one hook, its selectors are tried in order. All of
 * it lies in arrays and is reached by number, so that following it costs a dozen instructions a step, and adding a
 * policy is writing elements that nothing points to yet.
 */
#ifndef LICTOR_POLICY_H
#define LICTOR_POLICY_H

#include "kernel.h"
#include "records.h"

#define MAX_HOOKS 2048
#define SCOPE_BITS 2048
#define SCOPE_WORDS 32
#define WORD_BITS 64
#define MAX_VALUES 16 /* different values that the policies of one hook read */
#define MAX_BLOCKS 4096
#define MAX_GROUPS 16384
#define MAX_SELECTORS 16384
#define MAX_FILTERS 32768
#define MAX_READS 4096
#define MAX_POLICIES 4096
#define MAX_SETS 8192
#define MAX_LENGTHS 32768
#define MAX_RANGES 65536
#define MAX_PREDICATES 2048
#define MAX_CONJUNCTIONS 4096
#define GROUP_SELECTORS 16
#define SELECTOR_FILTERS 24
#define FILTER_NUMBERS 8 /* or half as many ranges */
#define KEPT_MATCHES 16
#define KEPT_DATA 8192
#define RATE_BYTES 40 /* of a value, by which a rate limit tells events apart */
#define CONJUNCTION_TERMS 12
#define READ_STEPS 16
#define MAX_CEL_STEPS 16384
#define EXPRESSION_STEPS 128 /* of one expression; no step runs twice */
#define STACK_ROOM 16
#define EXPRESSION_VALUES 7
#define SYSCALLS 1024 /* per ABI */

/* Bit 0 is true of every process. */
#define SCOPE_ALL 0
#define NO_BIT 0xffff

struct engine_state {
	u32 generation; /* of the predicates: a process's bits of another one are computed anew */
	u32 predicates; /* in use, without holes at the end */
	u32 conjunctions;
	u32 flags;   /* enum engine_flag */
	u64 seed[2]; /* of the hash of strings, secret */
	/* The agent, which its own rules do not bind; tgid 0: none. */
	u64 agent_start;
	u64 agent_inode;
	u32 agent_device;
	u32 agent_tgid;
};

enum engine_flag {
	ENGINE_FORK_SENSITIVE = 1, /* a predicate looks at the pid or at the parent, or is handed down to children */
	ENGINE_PATHS = 2,          /* a predicate looks at the executable */
	ENGINE_PARENT_PATHS = 4,
	ENGINE_WORKLOADS = 8, /* a predicate looks at the cgroup */
	ENGINE_CHANGES = 16,  /* a condition compares with what a process had at its exec */
};

enum hook_flag {
	HOOK_IS_CALL = 2,     /* the function of a system call: its argument points to registers */
	HOOK_READS_AGAIN = 1, /* its return program reads user memory again that was not there at entry */
	HOOK_ENFORCES = 16,   /* a policy on it has enforcing actions: events are told when all have had their say */
	HOOK_DENIES = 32,     /* one can deny: a run that finds no scratch slot is refused */
};

struct hook_state {
	u32 words;  /* bit w: mask[w] is not 0 */
	u32 scoped; /* a selector asks for bits of its own, or there is more than SCOPE_ALL */
	u32 flags;  /* enum hook_flag */
	u32 pad;
	u64 mask[SCOPE_WORDS];
	u32 block[SCOPE_WORDS]; /* element of head_blocks: the groups of mask[w] */
	u16 read[MAX_VALUES];   /* element of reads, by slot */
	u64 scratch_busy;       /* runs that found no scratch slot */
	u64 lost;               /* records that found no room in the ring */
	u64 unjoined;           /* matches whose return could not be waited for */
	u64 waiting;            /* calls in kept_calls: one more for each put in, one less for each taken out; last */
};

struct head_block {
	u32 head[WORD_BITS]; /* first group, 0 is none */
};

enum group_flag {
	GROUP_RETURN = 1, /* its event leaves when the function returns */
};

#define TIMED_RUNS 32 /* one of so many; a power of two */

struct rule_group {
	u32 next; /* group under the same bit of the same hook */
	u32 policy;
	u32 instance;
	u32 hook;
	u32 first; /* selector */
	u16 count;
	u16 flags;
	u32 wanted;        /* slots that its record shows, read at entry */
	u32 wanted_return; /* and at return */
	u64 timed;         /* nanoseconds that it took, in the runs that were timed (draw_timed) */
};

enum action_bits {
	ACT_POST = 1,
	ACT_SIGNAL = 2,
	ACT_DENY = 4,
	ACT_NOTIFY = 8,   /* leaves word for the enforcer */
	ACT_CLEANUP = 16, /* takes it back */
};

#define ACT_STRONG (ACT_SIGNAL | ACT_DENY | ACT_NOTIFY) /* left out in monitor mode */
#define ACT_ENFORCING (ACT_STRONG | ACT_CLEANUP)

enum rate_scope { RATE_NONE = 0, RATE_THREAD, RATE_PROCESS, RATE_GLOBAL };

struct actions {
	u32 bits;
	u32 code; /* what the event calls it: tetragon.KprobeAction */
	s32 error;
	u32 signal;
	u64 rate_ns;
	u32 rate_scope;
	s32 note_error; /* for the enforcer */
	u32 note_signal;
	u32 pad;
};

/* What NotifyEnforcer left for a thread. */
struct note {
	u32 policy;
	u32 instance;
	s32 error;
	u32 signal;
	u64 start; /* of the thread: its number is used again */
};

struct selector {
	u32 first_filter;
	u8 filters;
	u8 return_filters; /* behind the filters */
	u16 scope;         /* bit that must be set, NO_BIT: the group's own is enough */
	struct actions act;
	struct actions at_return;
};

/* Counted where it happens; read through the mapped array. */
struct selector_stats {
	u64 matches;
	u64 posts;
	u64 limited;
	u64 dropped;
	u64 monitored;
	u64 failed_reads;
	u64 last_post; /* for a global rate limit */
};

enum subject {
	SUBJECT_VALUE = 1,
	SUBJECT_NAMESPACE,
	SUBJECT_NAMESPACE_CHANGE,
	SUBJECT_CAPABILITY,
	SUBJECT_CAPABILITY_CHANGE,
};

enum match_op {
	OP_EQUAL = 1,
	OP_RANGE, /* numbers are pairs */
	OP_MASK,
	OP_IN_NUMBERS, /* the set's */
	OP_IN_RANGES,
	OP_STRING,
	OP_PREFIX,
	OP_POSTFIX,
	OP_SUBSTRING,
	OP_SUBSTRING_NOCASE,
	OP_SOURCE_ADDRESS,
	OP_DESTINATION_ADDRESS,
	OP_SOURCE_PORT,
	OP_DESTINATION_PORT,
	OP_PROTOCOL,
	OP_FAMILY,
	OP_STATE,
	OP_FILE_TYPE,
	OP_CAPABILITIES_GAINED,
	OP_EXPRESSION, /* `count` elements of cel_steps, from `set` on; the bytes of numbers[0] are its slots */
};

enum filter_flag {
	FILTER_NEGATED = 1,
	FILTER_SIGNED = 2,
	FILTER_OUTSIDE_INIT_USER_NS = 4,
	FILTER_ENFORCES = 8, /* of a selector that does something to the call or the process */
};

struct filter {
	u8 subject;
	u8 op;   /* what is looked at */
	u8 how;  /* it is compared, if it is a number */
	u8 slot; /* or the number of the namespace, or of the capability set: effective, inheritable, permitted */
	u8 slot2;
	u8 flags;
	u8 count; /* of numbers */
	u8 pad;
	u16 kinds; /* bits of the namespaces listed */
	u32 set;
	u32 set6; /* of IPv6 networks */
	u32 pad2;
	u64 numbers[FILTER_NUMBERS];
};

enum value_source {
	FROM_ARGUMENT = 1,
	FROM_SYSCALL,
	FROM_FIELD,
	FROM_RETURN,
	FROM_TASK,
	FROM_REGISTER,
};

enum read_flag {
	READ_USER = 1,
	READ_AT_RETURN = 2,
	READ_RELATIVE = 4, /* a dynamic field whose offset counts from behind it */
	READ_SIGNED = 8,
	READ_INLINE = 16,  /* a tracepoint's record has the bytes, not a pointer to them */
	READ_DYNAMIC = 32, /* it has a word that tells where in it the bytes are, and how many */
};

/* A record begins with struct trace_entry. Of that a program sees only what is the same for all: the kernel puts a
 * pointer of its own in its place. */
#define RECORD_HEAD 8
#define RECORD_PID 4

#define STEP_FOLLOW (1U << 31) /* besides the bytes to add: go where the pointer there leads */

#define NO_INDEX 0xff
#define CALL_OF_32_BITS 0x80000000ULL /* in the number of a system call */

struct read_spec {
	u8 type; /* enum value_type */
	u8 source;
	u8 flags;
	u8 size_index; /* argument that holds the bytes, NO_INDEX: none */
	u16 index;
	u16 size; /* bytes of the value where its type does not say it */
	u32 max_bytes;
	u8 steps; /* to the value from what is read first */
	u8 bits;  /* of a bit field at the end of the steps, 0: none */
	u8 shift;
	u8 pad;
	u32 step[READ_STEPS];
};

/* Instructions of an expression, as policy/plan.py says them. */
enum cel_op {
	CEL_CONSTANT = 1,
	CEL_LOAD, /* a slot */
	CEL_ADD,
	CEL_SUBTRACT,
	CEL_AND,
	CEL_OR,
	CEL_XOR,
	CEL_NOT,
	CEL_LOGICAL_NOT,
	CEL_EQUAL,
	CEL_NOT_EQUAL,
	CEL_LESS,
	CEL_LESS_EQUAL,
	CEL_SIGNED_LESS,
	CEL_SIGNED_LESS_EQUAL,
	CEL_SIGN_EXTEND_32,
	CEL_ZERO_EXTEND_32,
	CEL_JUMP_IF_ZERO, /* keeps the value */
	CEL_JUMP_IF_NOT_ZERO,
	CEL_POP,
};

struct cel_step {
	u64 value;
	u32 op; /* enum cel_op */
	u32 pad;
};

/* The types of the policy language, as the engine reads them and as fields of a record name them. */
enum value_type {
	TYPE_NONE = 0,
	TYPE_S8,
	TYPE_U8,
	TYPE_S16,
	TYPE_U16,
	TYPE_S32,
	TYPE_U32,
	TYPE_S64,
	TYPE_U64,
	TYPE_STRING,
	TYPE_FILENAME,
	TYPE_CHAR_BUF,
	TYPE_CHAR_IOVEC,
	TYPE_IOV_ITER,
	TYPE_CONST_BUF,
	TYPE_DATA_LOC,
	TYPE_FD,
	TYPE_FILE,
	TYPE_PATH,
	TYPE_DENTRY,
	TYPE_KIOCB,
	TYPE_LINUX_BINPRM,
	TYPE_SOCK,
	TYPE_SOCKET,
	TYPE_SOCKADDR,
	TYPE_SOCKADDR_UN,
	TYPE_SKB,
	TYPE_NET_DEVICE,
	TYPE_CRED,
	TYPE_CAPABILITY,
	TYPE_KERNEL_CAP,
	TYPE_CAP_INHERITABLE,
	TYPE_CAP_PERMITTED,
	TYPE_CAP_EFFECTIVE,
	TYPE_USER_NAMESPACE,
	TYPE_SYSCALL64,
	TYPE_BPF_ATTR,
	TYPE_BPF_MAP,
	TYPE_BPF_PROG,
	TYPE_BPF_CMD,
	TYPE_PERF_EVENT,
	TYPE_MODULE,
	TYPE_LOAD_INFO,
	TYPE_TASK_FIELD,
	TYPES,
};

/* A call that matched, until it returns. */
struct call_key {
	u64 thread; /* pid and tgid */
	u64 frame;  /* where its stack begins: calls nest */
	u32 hook;
	u32 pad;
};

enum match_flag {
	MATCH_UNDECIDED = 1, /* user memory was not there: the group is tried again from this selector on */
	                     /* Others are flags of the record: why an enforcing action was not carried out. */
};

struct kept_match {
	u32 group;
	u32 instance; /* the group's number may be another's when the call returns */
	u16 selector;
	u16 flags;
	u32 policy;
};

struct kept_call {
	u64 start; /* of the thread: its number can be another's by now */
	u64 time;
	u64 mm; /* address, which an exec changes */
	u64 args[6];
	u32 count;
	u32 used;
	u32 read;
	u16 at[MAX_VALUES];
	struct kept_match match[KEPT_MATCHES];
	struct process_key key;
	u8 data[KEPT_DATA];
};

struct rate_key {
	u64 low, high;
};

struct policy_state {
	u32 instance; /* whose groups are in force; 0: none */
	u32 mode;     /* enum policy_mode */
	u64 lost;     /* records that found no room in the ring */
	u64 unjoined; /* matches whose return was not seen, or not kept */
	u64 failed_reads;
	u64 until;  /* boot time from which `after` stands for `mode`; 0: never */
	u32 after;  /* enum policy_mode */
	u32 limit;  /* denials per minute that suspend it, 0: none */
	u64 minute; /* that `denials` are of */
	u32 denials;
	u32 suspended;   /* its enforcing actions are not carried out until user space says so */
	u64 overwritten; /* notes for the enforcer that another one replaced */
	u64 unused;      /* that found no room, or that nothing acted on */
};

enum policy_mode { MODE_ENFORCE = 0, MODE_MONITOR, MODE_MONITOR_ONLY };

#define LONGEST_STRING 4096 /* in a set */

/* A set of strings looked up by the hash of their beginnings, or ends, of each length that occurs. */
struct operand_set {
	u32 kind;
	u32 first; /* in lengths, or ranges */
	u32 count;
	u32 least; /* bytes of the shortest */
	/* Sub-strings: which bytes one begins with. Others: which hashes (first_hash) the bytes have that one ends
	 * with, or begins if it is a prefix, as many as the shortest has and at most 8. */
	u64 starts[4];
};

struct number_key {
	u32 set;
	u32 pad;
	u64 number;
};

struct string_key {
	u64 low, high;
};

enum string_mark {
	STRING_IS_MEMBER = 1, /* it, or for prefixes a beginning of it, is in the set */
	STRING_IS_MARK = 2,   /* it lies on the way to a member */
};

struct number_range {
	u64 least, greatest; /* inclusive; in a signed set both with the top bit turned */
};

struct network_key {
	u32 set;
	u32 bits; /* of the address, as it lies in a packet; the others are 0 */
	u64 address[2];
};

enum predicate_kind {
	PREDICATE_NONE = 0,
	PREDICATE_BINARY,
	PREDICATE_PARENT_BINARY,
	PREDICATE_PID,
	PREDICATE_NAMESPACE_PID,
	PREDICATE_WORKLOAD, /* the process's workload, bits of enum workload, is one of the set's numbers */
};

/* What the names of its cgroups make of a process; 0: it is the host's. */
enum workload { WORKLOAD_POD = 1, WORKLOAD_CONTAINER = 2 };

struct predicate {
	u8 kind;
	u8 op;     /* OP_STRING, OP_PREFIX or OP_POSTFIX */
	u8 sticky; /* true of the children of a process that it is true of */
	u8 pad;
	u16 bit;
	u16 twin; /* of a parent predicate: the bit of the same question about the process itself */
	u32 set;
	u32 born; /* generation: a bit that was computed before it means something else */
};

/* All terms hold: the bit is set. Several conjunctions may set one bit. */
struct conjunction {
	u16 bit; /* NO_BIT: not in use */
	u8 positive;
	u8 negative; /* behind the positive ones */
	u16 term[CONJUNCTION_TERMS];
	u32 pad;
};

/* In a generation: computed for another cgroup than the process is in now. */
#define SCOPE_MOVED (1U << 31)

#define SCOPE_CACHE 4096 /* a power of two */
#define SCOPE_SEAL 0x9e3779b97f4a7c15ULL

/*
 * The bits of a process that has none outside the first word, by the low bits of its tgid. Written and read without a
 * lock: `seal` is made of bits, the process's start and the generation: a note that is half another's is no one's.
 */
struct scope_note {
	u64 bits;
	u64 seal;
	u32 tgid;
	u32 generation; /* 0: nothing */
};

struct scope_entry {
	u64 image; /* whose it is: image_of */
	u32 generation;
	u32 words; /* bit w: bits[w] is not 0 */
	u64 bits[SCOPE_WORDS];
	/* As they were at exec, or when the process was met: what a change is told by. */
	u32 namespaces[10];
	u64 capabilities[3]; /* effective, inheritable, permitted */
};

#endif
