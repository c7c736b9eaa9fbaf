/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The shapes that cross from the kernel to user space. This is their only declaration: Python reads the layouts
 * from the objects' BTF (src/lictor/wire/layout.py). Every record starts with a header; variable data follows
 * the fixed part in the order of its length members.
 */
#ifndef LICTOR_RECORDS_H
#define LICTOR_RECORDS_H

#include "kernel.h"

enum record_kind {
	RECORD_CLONE = 1,
	RECORD_EXEC = 2,
	RECORD_EXIT = 3,
	RECORD_CHUNK = 4,
	RECORD_HOOK = 5,
	RECORD_PIECE = 6,
};

enum ring_id { RING_PRIORITY = 0, RING_BULK = 1, RINGS = 2 };

/* Names a process image: the thread group and the boot-clock nanosecond of its last exec (or of its birth). */
struct process_key {
	u64 ktime;
	u32 tgid;
	u32 pad;
};

struct record_header {
	u32 size; /* of the whole record, bytes */
	u8 kind;  /* enum record_kind */
	u8 flags;
	u16 cpu;
	u64 seq;  /* per (cpu, ring), taken before the reserve: a gap is a lost record */
	u64 time; /* boot clock, ns */
	struct process_key key;
	u32 tid;
	u32 hook;
	u32 policy;
	u32 reserved;
};

struct clone_record {
	struct record_header header;
	struct process_key parent; /* who created it, whatever its real_parent is later */
	u32 flags;                 /* enum process_flag of the child */
	u32 nspid;                 /* pid in its innermost pid namespace */
};

struct exit_record {
	struct record_header header;
	struct process_key parent;
	u32 flags;
	u32 code; /* as wait(2) gives it: signal in the low 7 bits, core flag 0x80, status << 8 */
	u64 start;
};

enum process_flag {
	PROCESS_CLONED = 1,       /* born since its last exec: shares its creator's image */
	PROCESS_EXECED = 2,       /* its exec was seen by this agent */
	PROCESS_IN_INIT_TREE = 4, /* the first process of a pid namespace, or a descendant */
	PROCESS_KTHREAD = 8,
	PROCESS_EXITED = 16,    /* its exit was reported */
	PROCESS_TOMBSTONE = 32, /* user space removes the table entry, see process/exit.h */
	PROCESS_UNKNOWN = 64,   /* was not in the table: the key is its birth time */
	PROCESS_UNTOLD = 128,   /* throttled since its birth: no record tells of it, see process/throttle.h */
};

enum exec_flag {
	EXEC_INTERPRETED = 1,      /* a script or binfmt_misc: what runs is not what was asked for */
	EXEC_PATH_UNREACHABLE = 2, /* the executable is outside the process's root or detached */
	EXEC_PATH_DELETED = 4,
	EXEC_PATH_ERROR = 8, /* could not be read whole */
	EXEC_CWD_UNREACHABLE = 16,
	EXEC_CWD_DELETED = 32,
	EXEC_CWD_ERROR = 64,
	EXEC_ARGS_ERROR = 128,
	EXEC_ARGS_TRUNCATED = 256,
	EXEC_ENV_ERROR = 512,
	EXEC_ENV_TRUNCATED = 1024,
	EXEC_FILENAME_ERROR = 2048,
	EXEC_RAISED_SETUID = 4096,
	EXEC_RAISED_SETGID = 8192,
	EXEC_RAISED_FILE_CAP = 16384,
	EXEC_RAISED_EXACT = 32768, /* told by the commit of credentials, not derived from the image afterwards */
	EXEC_CGROUP_ERROR = 65536,
};

/* Fields of variable length. They follow an exec record in falling order: the file name first. */
enum exec_field {
	FIELD_ENV = 0,
	FIELD_ARGS = 1,   /* argv, each with its NUL */
	FIELD_CGROUP = 2, /* path in its hierarchy; only when new to this process tree */
	FIELD_CWD = 3,
	FIELD_EXE = 4,      /* resolved path of the executable */
	FIELD_FILENAME = 5, /* as given to execve */
	FIELDS = 6,
	FIELD_SLOTS = 8, /* a power of two, so that an index can be masked */
};

struct credentials {
	u32 uid, gid, euid, egid, suid, sgid, fsuid, fsgid;
	u32 securebits;
	u32 loginuid;
	u32 user_ns_level;
	u32 user_ns_uid;
	u32 user_ns_gid;
	u32 pad;
	u64 inheritable, permitted, effective;
};

/* Inode numbers of the namespaces; 0 where the kernel has none of the kind. */
struct namespaces {
	u32 uts, ipc, mnt, pid, pid_for_children, net, time, time_for_children, cgroup, user;
};

/*
 * From inline_len[FIELD_CGROUP] on, up to the arguments, a record holds nothing but what many execs have in common:
 * user space takes those bytes as the name of what it has made of them before.
 */
struct exec_record {
	struct record_header header;
	u64 previous;              /* ktime of the image this one replaced */
	struct process_key parent; /* creator of the process */
	u64 start;                 /* task_struct.start_boottime */
	u32 nspid;
	u32 args_total, env_total;    /* bytes that the process has, whatever was read */
	u32 chained_len[FIELD_SLOTS]; /* bytes in chunks on the bulk ring */
	u16 inline_len[FIELD_SLOTS];  /* bytes behind this record */
	u32 process_flags;
	u32 exec_flags;
	u32 session;
	u32 tty; /* device number, 0 = none */
	u32 dev;
	u32 nlink;
	u32 mode;
	struct namespaces ns;
	struct credentials cred;
	u64 cgroup_id;
	u64 inode;
};

#define CHUNK_DATA 4096

/* A piece of a field too long to travel inline. */
struct chunk_record {
	struct record_header header;
	u32 field; /* enum exec_field */
	u32 offset;
	u32 len;
	u32 pad;
	u8 data[CHUNK_DATA];
};

enum hook_record_flag {
	HOOK_RETURNED = 1,       /* tells of the return too */
	HOOK_NEVER_RETURNED = 2, /* the call had not come back when its thread was gone or the agent ended */
	HOOK_READ_AGAIN = 4,     /* user memory that was not there at entry was read at the return */
	HOOK_MONITORED = 8,      /* an enforcing action was not carried out, because of the policy's mode */
	HOOK_EXEMPT = 16,        /* nor because it was the agent */
	HOOK_SUSPENDED = 32,     /* the policy denied too much, and was suspended */
	HOOK_DECIDED = 64,       /* of several policies that matched, this one's denial is the answer */
};

/* What one policy has to say of one run into a hook. Fields follow: struct field and its bytes, padded to 8. */
struct hook_record {
	struct record_header header;
	u32 instance;
	u32 group;
	u32 selector; /* its place among the group's */
	u32 flags;    /* enum hook_record_flag */
	u32 action, return_action;
	u32 fields; /* bytes behind this */
	u32 pad;
};

/* Bytes of a value that its field has no room for. The thread and the time are the record's. */
struct piece_record {
	struct record_header header;
	u32 slot;
	u32 offset;
	u32 len;
	u32 pad;
	u8 data[CHUNK_DATA];
};
#define MOST_PIECES 128

enum field_flag {
	FIELD_ERROR = 1,     /* could not be read: extra is the errno, above it the step of `resolve` that failed */
	FIELD_TRUNCATED = 2, /* extra is the bytes that there were */
	FIELD_UNREACHABLE = 4,
	FIELD_DELETED = 8,
	FIELD_READ_AGAIN = 16,
	FIELD_CHAINED = 32, /* pieces with what follows its bytes went out before the record */
};

/* Not a value: the matches of this run, where more than one policy matched on a hook that enforces. */
#define SLOT_MATCHES 0xff

struct match_value {
	u32 instance;
	u32 group;
	u32 selector;
	u32 decided; /* its denial is the answer */
};

/* One value. Numbers have no bytes: they are in `extra`. Of a file it holds the mode, of other bytes their count. */
struct field {
	u8 slot;
	u8 type; /* enum value_type */
	u16 flags;
	u32 len;
	u64 extra;
};

/* The bytes of fields whose value is more than a number or a text. Addresses are in network order, ports in the host's.
 */
struct address {
	u16 family;
	u16 port;
	u32 pad;
	u8 bytes[16];
};

struct socket_value {
	struct address source, destination;
	u16 type;
	u16 protocol;
	u32 state;
	u32 mark;
	u32 priority;
	u64 cookie;
};

struct packet_value {
	struct address source, destination;
	u32 hash;
	u32 len;
	u32 priority;
	u32 mark;
	u32 protocol; /* of the transport */
	u32 ethertype;
};

struct credentials_value {
	struct credentials cred;
	u32 user_ns;
	u32 pad;
};

struct user_namespace_value {
	u32 level, uid, gid, inode;
};

struct bpf_program_value {
	u32 type, instructions;
	char name[16];
};

struct bpf_map_value {
	u32 type, key_size, value_size, max_entries;
	char name[16];
};

struct perf_event_value {
	u64 config, offset;
	u32 type;
	u32 pad;
	char function[64];
};

struct module_value {
	u64 taints;
	u32 signature_ok;
	u32 signature_known;
	char name[64];
};

/* Per CPU; what could not be done is counted here, where it happens. */
struct cpu_counters {
	u64 seq[RINGS];
	u64 lost[RINGS];  /* records that found no room in the ring */
	u64 bytes_lost;   /* argument bytes that were not chained for want of room */
	u64 table_full;   /* processes that found no room in the process table */
	u64 scratch_busy; /* programs that found no scratch slot: the record is lost, and counted in lost[] */
	u64 unknown;      /* processes met that were not in the table */
};

/* The kernel's own knowledge of a live process, by tgid. */
struct process_entry {
	u64 ktime;
	struct process_key parent;
	u64 cgroup_id; /* whose path user space has been told by this process or its creator */
	u32 flags;     /* enum process_flag */
	u32 raised;    /* EXEC_RAISED_*, left by the commit of credentials for the exec that follows */
};

#endif
