struct bpf_object;
struct bpf_program;
struct bpf_map;
struct bpf_link;
struct btf;
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
struct bpf_link *lictor_attach_kprobes(const struct bpf_program *prog, const char **functions, const __u64 *cookies,
                                       size_t count, _Bool at_return);
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
int lictor_program_instructions(int fd, __u32 *verified, __u64 *run_count, __u64 *run_time_ns, __u64 *recursion_misses);
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
