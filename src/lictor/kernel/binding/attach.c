/* Attaching where libbpf 1.1 has no call, or none with a cookie. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* libbpf's own call wants tracefs where it is usually mounted. */
static struct bpf_link *lictor_attach_tracepoint_id(const struct bpf_program *prog, __u64 id, __u64 cookie)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id };
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
	} attr = { .name = (unsigned long)name, .prog_fd = prog_fd, .cookie = cookie };
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
			struct {
				__u32 kind, padding;
				__u64 name;
				__u32 name_len, offset;
				__u64 address, missed;
			} event;
			struct {
				__u64 addresses;
				__u32 count, flags;
				__u64 missed;
			} multi;
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
