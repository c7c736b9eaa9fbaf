/* What is loaded in this kernel: links, programs, what they have run. */
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>

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
static int lictor_count_runs(void)
{
	return bpf_enable_stats(BPF_STATS_RUN_TIME);
}

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
