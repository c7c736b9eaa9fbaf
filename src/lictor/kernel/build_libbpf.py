"""Builds `lictor.kernel._libbpf`: the functions of libbpf that we use, and the ring drain.

cffi in API mode: the compiler checks every declaration against the installed headers (libbpf ≥ 1.1).
"""

from __future__ import annotations

from cffi import FFI

ffibuilder = FFI()

ffibuilder.cdef(
    """
    struct bpf_object; struct bpf_program; struct bpf_map; struct bpf_link; struct btf;
    typedef unsigned int __u32;
    typedef unsigned long long __u64;

    __u32 libbpf_major_version(void);
    __u32 libbpf_minor_version(void);
    int libbpf_num_possible_cpus(void);
    char *strerror(int errnum);

    struct bpf_object *bpf_object__open_file(const char *path, const void *opts);
    int bpf_object__load(struct bpf_object *obj);
    void bpf_object__close(struct bpf_object *obj);
    struct btf *bpf_object__btf(const struct bpf_object *obj);
    const void *btf__raw_data(const struct btf *btf, __u32 *size);
    struct bpf_program *bpf_object__next_program(const struct bpf_object *obj, struct bpf_program *prog);
    struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map);

    const char *bpf_program__name(const struct bpf_program *prog);
    const char *bpf_program__section_name(const struct bpf_program *prog);
    int bpf_program__set_autoload(struct bpf_program *prog, _Bool autoload);
    int bpf_program__set_expected_attach_type(struct bpf_program *prog, int type);
    int bpf_program__fd(const struct bpf_program *prog);
    struct bpf_link *bpf_program__attach(const struct bpf_program *prog);
    int bpf_link__destroy(struct bpf_link *link);
    int bpf_link__fd(const struct bpf_link *link);

    const char *bpf_map__name(const struct bpf_map *map);
    int bpf_map__fd(const struct bpf_map *map);
    __u32 bpf_map__key_size(const struct bpf_map *map);
    __u32 bpf_map__value_size(const struct bpf_map *map);
    __u32 bpf_map__max_entries(const struct bpf_map *map);
    __u32 bpf_map__type(const struct bpf_map *map);
    int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries);
    int bpf_map__reuse_fd(struct bpf_map *map, int fd);
    void *bpf_map__initial_value(struct bpf_map *map, size_t *size);

    int bpf_map_lookup_elem(int fd, const void *key, void *value);
    int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags);
    int bpf_map_delete_elem(int fd, const void *key);
    int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value);
    int bpf_map_get_next_key(int fd, const void *cur_key, void *next_key);

    int bpf_program__set_attach_target(struct bpf_program *prog, int attach_prog_fd, const char *attach_func_name);
    struct bpf_link *lictor_attach_kprobe(const struct bpf_program *prog, const char *function, _Bool at_return,
                                          __u64 cookie);
    struct bpf_link *lictor_attach_kprobes(const struct bpf_program *prog, const char **functions,
                                           const __u64 *cookies, size_t count, _Bool at_return);
    struct bpf_link *bpf_program__attach_cgroup(const struct bpf_program *prog, int cgroup_fd);
    int lictor_attach_traced(int prog_fd, int attach_type, __u64 cookie);
    int close(int fd);

    void *lictor_map_array(int fd, size_t bytes);
    void lictor_unmap_array(void *memory, size_t bytes);
    void lictor_store32(void *place, __u32 value);
    void lictor_store64(void *place, __u64 value);
    void lictor_add64(void *place, long long change);
    int lictor_grace_period(void);
    void lictor_hash(const __u64 *seed, __u32 set, const void *text, __u32 len, __u64 *key);
    int lictor_update_batch(int fd, const void *keys, const void *values, __u32 count);
    __u64 lictor_map_bytes(int fd);

    int lictor_run_program(int fd, const __u64 *arguments, __u32 count, __u32 *result);
    int lictor_next_link(__u32 *link, char *name);
    int lictor_detach_link(__u32 link);
    int lictor_name_of(_Bool map, __u32 id, char *name);
    int lictor_count_runs(void);
    int lictor_program_instructions(int fd, __u32 *verified, __u64 *run_count, __u64 *run_time_ns,
                                    __u64 *recursion_misses);
    struct bpf_link *lictor_attach_tracepoint_id(const struct bpf_program *prog, __u64 id, __u64 cookie);
    int lictor_attach_raw_tracepoint(int prog_fd, const char *name, __u64 cookie);
    int lictor_try_uprobe_multi(int prog_fd);
    int lictor_link_missed(int link_fd, __u64 *missed);
    void lictor_log_start(void);
    const char *lictor_log_text(void);

    struct lictor_ring;
    struct lictor_ring *lictor_ring_open(int map_fd, __u32 size);
    void lictor_ring_close(struct lictor_ring *ring);
    size_t lictor_ring_drain(struct lictor_ring *ring, void *buf, size_t room, __u64 *stopped);
    __u64 lictor_ring_produced(const struct lictor_ring *ring);
    __u64 lictor_ring_consumed(const struct lictor_ring *ring);
    """
)

ffibuilder.set_source(
    "lictor.kernel._libbpf",
    r"""
    #include <errno.h>
    #include <stdarg.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <linux/membarrier.h>
    #include <unistd.h>
    #include <linux/bpf.h>
    #include <linux/perf_event.h>
    #include <bpf/bpf.h>
    #include <bpf/btf.h>
    #include <bpf/libbpf.h>

    /* libbpf explains failures by printing. Kept instead, up to the tail that a verifier's verdict needs. */
    static char log_buf[1 << 16];
    static size_t log_len;

    static int keep_log(enum libbpf_print_level level, const char *format, va_list args)
    {
        va_list again;
        char *text;
        size_t n;
        int len;

        if (level == LIBBPF_DEBUG)
            return 0;
        va_copy(again, args);
        len = vsnprintf(NULL, 0, format, again);
        va_end(again);
        text = len > 0 ? malloc(len + 1) : NULL;
        if (!text)
            return 0;
        vsnprintf(text, len + 1, format, args);
        /* A verifier's log comes as one line; its end has the verdict. */
        n = (size_t)len < sizeof(log_buf) / 4 ? (size_t)len : sizeof(log_buf) / 4;
        if (log_len + n >= sizeof(log_buf)) {
            size_t keep = sizeof(log_buf) / 2;
            memmove(log_buf, log_buf + log_len - keep, keep);
            log_len = keep;
        }
        memcpy(log_buf + log_len, text + len - n, n);
        log_len += n;
        log_buf[log_len] = 0;
        free(text);
        return 0;
    }

    static void lictor_log_start(void)
    {
        log_len = 0;
        log_buf[0] = 0;
        libbpf_set_print(keep_log);
    }

    static const char *lictor_log_text(void) { return log_buf; }

    /* Whether a program uses the table of processes or the slots of the engine. Fills in its name. */
    static int program_is_ours(__u32 id, char *name)
    {
        struct bpf_prog_info program = {};
        struct bpf_map_info map;
        __u32 maps[64], size = sizeof(program), map_size;
        int ours = 0, fd = bpf_prog_get_fd_by_id(id), map_fd;

        if (fd < 0)
            return 0;
        program.map_ids = (unsigned long)maps;
        program.nr_map_ids = 64;
        if (!bpf_obj_get_info_by_fd(fd, &program, &size)) {
            memcpy(name, program.name, 16);
            for (__u32 i = 0; i < program.nr_map_ids && i < 64; i++) {
                map_fd = bpf_map_get_fd_by_id(maps[i]);
                memset(&map, 0, sizeof(map));
                map_size = sizeof(map);
                if (map_fd >= 0 && !bpf_obj_get_info_by_fd(map_fd, &map, &map_size))
                    ours |= !strcmp(map.name, "process_table") || !strcmp(map.name, "run_slots");
                if (map_fd >= 0)
                    close(map_fd);
            }
        }
        close(fd);
        return ours;
    }

    /* Goes on to the next link. 1: to a program of ours, whose name is filled in; 0: another's; -1: there is none. */
    static int lictor_next_link(__u32 *link, char *name)
    {
        struct bpf_link_info info = {};
        __u32 size = sizeof(info);
        int fd, ours = 0;

        if (bpf_link_get_next_id(*link, link))
            return -1;
        fd = bpf_link_get_fd_by_id(*link);
        if (fd < 0)
            return 0;
        if (!bpf_obj_get_info_by_fd(fd, &info, &size))
            ours = program_is_ours(info.prog_id, name);
        close(fd);
        return ours;
    }

    static int lictor_detach_link(__u32 link)
    {
        int fd = bpf_link_get_fd_by_id(link), error;

        if (fd < 0)
            return 0;
        error = bpf_link_detach(fd);
        close(fd);
        return error;
    }

    static int lictor_run_program(int fd, const __u64 *arguments, __u32 count, __u32 *result)
    {
        LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = count ? arguments : NULL, .ctx_size_in = count * sizeof(__u64));
        int error = bpf_prog_test_run_opts(fd, &opts);

        *result = opts.retval;
        return error;
    }

    /* The name of a program, or of a map, by its id: at most 15 characters. Negative: there is none. */
    static int lictor_name_of(_Bool map, __u32 id, char *name)
    {
        struct bpf_prog_info program = {};
        struct bpf_map_info of_map = {};
        __u32 size = map ? sizeof(of_map) : sizeof(program);
        int fd = map ? bpf_map_get_fd_by_id(id) : bpf_prog_get_fd_by_id(id), err;

        if (fd < 0)
            return fd;
        err = bpf_obj_get_info_by_fd(fd, map ? (void *)&of_map : (void *)&program, &size);
        if (!err)
            memcpy(name, map ? of_map.name : program.name, 16);
        close(fd);
        return err;
    }

    /* Runs and run times are counted until the descriptor is closed. */
    static int lictor_count_runs(void) { return bpf_enable_stats(BPF_STATS_RUN_TIME); }

    static int lictor_program_instructions(int fd, __u32 *verified, __u64 *run_count, __u64 *run_time_ns,
                                           __u64 *recursion_misses)
    {
        struct bpf_prog_info info;
        __u32 len = sizeof(info);
        int err;

        memset(&info, 0, sizeof(info));
        err = bpf_obj_get_info_by_fd(fd, &info, &len);
        if (err)
            return err;
        *verified = info.verified_insns;
        *run_count = info.run_cnt;
        *run_time_ns = info.run_time_ns;
        *recursion_misses = info.recursion_misses;
        return 0;
    }

    /* libbpf's own call wants tracefs where it is usually mounted. */
    static struct bpf_link *lictor_attach_tracepoint_id(const struct bpf_program *prog, __u64 id, __u64 cookie)
    {
        struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id};
        LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = cookie);
        int event = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
        struct bpf_link *link;
        int err;

        if (event < 0)
            return NULL;
        link = bpf_program__attach_perf_event_opts(prog, event, &opts);
        if (!link) {
            err = errno;
            close(event);
            errno = err;
        }
        return link;
    }

    /* BPF_RAW_TRACEPOINT_OPEN, with a cookie from Linux 6.10 on, which libbpf 1.1 does not know. */
    static int lictor_attach_raw_tracepoint(int prog_fd, const char *name, __u64 cookie)
    {
        struct {
            __u64 name;
            __u32 prog_fd, padding;
            __u64 cookie;
        } attr = {.name = (unsigned long)name, .prog_fd = prog_fd, .cookie = cookie};
        long fd = syscall(SYS_bpf, 17, &attr, cookie ? sizeof(attr) : sizeof(attr) - sizeof(attr.cookie));

        return fd < 0 ? -errno : fd;
    }

    /* BPF_LINK_CREATE of uprobe.multi on a directory: a kernel that knows such links says EBADF, one that does not,
     * EINVAL. libbpf 1.1 does not know them. */
    static int lictor_try_uprobe_multi(int prog_fd)
    {
        static const unsigned long offset = 1;
        struct {
            __u32 prog_fd, target_fd, attach_type, flags;
            __u64 path, offsets, ref_ctr_offsets, cookies;
            __u32 count, multi_flags, pid, padding;
        } attr = {
            .prog_fd = prog_fd,
            .attach_type = 48,
            .path = (unsigned long)"/",
            .offsets = (unsigned long)&offset,
            .count = 1,
        };
        long fd = syscall(SYS_bpf, 28, &attr, sizeof(attr) - sizeof(attr.padding));

        if (fd >= 0)
            close(fd);
        return fd >= 0 || errno == EBADF ? 0 : -errno;
    }

    /* How often the kernel passed over the probes of a link: struct bpf_link_info, from Linux 6.7 on, which libbpf 1.1
     * does not know. Gives 1 if it is known, 0 if the kernel does not tell. */
    static int lictor_link_missed(int link_fd, __u64 *missed)
    {
        enum { PERF_EVENT = 7, KPROBE_MULTI = 8 };
        struct {
            __u32 type, id, prog_id, padding;
            union {
                struct { __u32 kind, padding; __u64 name; __u32 name_len, offset; __u64 address, missed; } event;
                struct { __u64 addresses; __u32 count, flags; __u64 missed; } multi;
                char room[64];
            };
        } info;
        __u32 len = sizeof(info);
        int err;

        memset(&info, 0, sizeof(info));
        err = bpf_obj_get_info_by_fd(link_fd, (void *)&info, &len);
        if (err)
            return err;
        if (info.type == PERF_EVENT && info.event.kind) {
            *missed = info.event.missed;
            return 1;
        }
        if (info.type == KPROBE_MULTI && info.multi.count) {
            *missed = info.multi.missed;
            return 1;
        }
        return 0;
    }

    static struct bpf_link *lictor_attach_kprobe(const struct bpf_program *prog, const char *function, _Bool at_return,
                                                 __u64 cookie)
    {
        LIBBPF_OPTS(bpf_kprobe_opts, opts, .bpf_cookie = cookie, .retprobe = at_return);

        return bpf_program__attach_kprobe_opts(prog, function, &opts);
    }

    static struct bpf_link *lictor_attach_kprobes(const struct bpf_program *prog, const char **functions,
                                                  const __u64 *cookies, size_t count, _Bool at_return)
    {
        LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .syms = functions, .cookies = cookies, .cnt = count,
                    .retprobe = at_return);

        return bpf_program__attach_kprobe_multi_opts(prog, NULL, &opts);
    }

    /* fentry, fexit, fmod_ret and LSM, whose libbpf call has no cookie in version 1.1. */
    static int lictor_attach_traced(int prog_fd, int attach_type, __u64 cookie)
    {
        LIBBPF_OPTS(bpf_link_create_opts, opts, .tracing.cookie = cookie);

        return bpf_link_create(prog_fd, 0, attach_type, &opts);
    }

    static void *lictor_map_array(int fd, size_t bytes)
    {
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        return memory == MAP_FAILED ? NULL : memory;
    }

    static void lictor_unmap_array(void *memory, size_t bytes) { munmap(memory, bytes); }

    /* What the kernel follows is published by one store, after all that it leads to. */
    static void lictor_store32(void *place, __u32 value) { __atomic_store_n((__u32 *)place, value, __ATOMIC_SEQ_CST); }
    static void lictor_store64(void *place, __u64 value) { __atomic_store_n((__u64 *)place, value, __ATOMIC_SEQ_CST); }
    static void lictor_add64(void *place, long long change)
    {
        __atomic_fetch_add((__u64 *)place, change, __ATOMIC_SEQ_CST);
    }

    /* Returns when every BPF program that runs now has ended: membarrier's global command is synchronize_rcu(). */
    static int lictor_grace_period(void)
    {
        return syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
    }

    /* The key of a string in a set: the same as look_up_string in bpf/match/strings.h. */
    static void lictor_hash(const __u64 *seed, __u32 set, const void *text, __u32 len, __u64 *key)
    {
        const __u64 first = 0x9e3779b97f4a7c15ULL, second = 0xd6e8feb86659fd93ULL;
        __u64 low = seed[0] ^ (__u64)set * second, high = seed[1] + len, word;
        const uint8_t *at = text;
        __u32 left = len;

        for (;;) {
            if (left >= 8) {
                memcpy(&word, at, 8);
                at += 8;
                left -= 8;
            } else if (left) {
                word = 0;
                memcpy(&word, at, left);
                left = 0;
            } else {
                break;
            }
            low = (low ^ word) * first;
            low ^= low >> 32;
            high = (high + word) * second;
            high ^= high >> 29;
        }
        low = (low ^ len) * first;
        key[0] = low ^ low >> 32;
        high = (high + len) * second;
        key[1] = high ^ high >> 29;
    }

    static int lictor_update_batch(int fd, const void *keys, const void *values, __u32 count)
    {
        LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = BPF_ANY);
        int err = bpf_map_update_batch(fd, keys, values, &count, &opts);

        return err ? -errno : 0;
    }

    /* What a map holds in the kernel, as its fdinfo tells. */
    static __u64 lictor_map_bytes(int fd)
    {
        unsigned long long bytes = 0;
        char line[256];
        FILE *info;

        snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
        info = fopen(line, "r");
        while (info && fgets(line, sizeof(line), info))
            if (sscanf(line, "memlock: %llu", &bytes) == 1)
                break;
        if (info)
            fclose(info);
        return bytes;
    }

    /* The user half of kernel/bpf/ringbuf.c: one writable page with our position, then the kernel's position and
     * the data. The kernel would map the data twice, so that no record wraps; once is half of what it adds to our
     * resident memory, and a record that wraps is copied in two pieces. */
    struct lictor_ring {
        unsigned long *consumer;
        const unsigned long *producer;
        const uint8_t *data;
        size_t mask;
        size_t page;
    };

    static struct lictor_ring *lictor_ring_open(int map_fd, __u32 size)
    {
        struct lictor_ring *ring = calloc(1, sizeof(*ring));
        void *mem;

        if (!ring)
            return NULL;
        ring->page = sysconf(_SC_PAGESIZE);
        ring->mask = size - 1;
        mem = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
        if (mem == MAP_FAILED)
            goto fail;
        ring->consumer = mem;
        mem = mmap(NULL, ring->page + (size_t)size, PROT_READ, MAP_SHARED, map_fd, ring->page);
        if (mem == MAP_FAILED)
            goto fail;
        ring->producer = mem;
        ring->data = (const uint8_t *)mem + ring->page;
        return ring;
    fail:
        if (ring->consumer)
            munmap(ring->consumer, ring->page);
        free(ring);
        return NULL;
    }

    static void lictor_ring_close(struct lictor_ring *ring)
    {
        munmap(ring->consumer, ring->page);
        munmap((void *)ring->producer, ring->page + ring->mask + 1);
        free(ring);
    }

    static void lictor_ring_copy(const struct lictor_ring *ring, void *to, size_t from, size_t len)
    {
        size_t start = from & ring->mask, whole = ring->mask + 1 - start;

        if (whole > len)
            whole = len;
        memcpy(to, ring->data + start, whole);
        memcpy((uint8_t *)to + whole, ring->data, len - whole);
    }

    static __u64 lictor_ring_produced(const struct lictor_ring *ring)
    {
        return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
    }

    static __u64 lictor_ring_consumed(const struct lictor_ring *ring)
    {
        return *ring->consumer;
    }

    /* Copies whole records, each padded to 8 bytes, and hands their room back to the kernel. `stopped`: 0 the ring
     * is empty or a record is still being written, 1 the buffer is full. */
    static size_t lictor_ring_drain(struct lictor_ring *ring, void *buf, size_t room, __u64 *stopped)
    {
        unsigned long at = *ring->consumer;
        unsigned long end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
        size_t used = 0;

        *stopped = 0;
        while (at < end) {
            const uint32_t *head = (const uint32_t *)(ring->data + (at & ring->mask));
            uint32_t len = __atomic_load_n(head, __ATOMIC_ACQUIRE);
            size_t body, padded;

            if (len & BPF_RINGBUF_BUSY_BIT)
                break;
            body = len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
            padded = (body + 7) & ~(size_t)7;
            if (!(len & BPF_RINGBUF_DISCARD_BIT)) {
                if (used + padded > room) {
                    *stopped = 1;
                    break;
                }
                lictor_ring_copy(ring, (uint8_t *)buf + used, at + BPF_RINGBUF_HDR_SZ, padded);
                used += padded;
            }
            at += padded + BPF_RINGBUF_HDR_SZ;
            __atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
        }
        return used;
    }
    """,
    libraries=["bpf", "elf", "z"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=False)
