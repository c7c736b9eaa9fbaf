/* Maps, and memory that is shared with the kernel. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/membarrier.h>
#include <bpf/bpf.h>

static void *lictor_map_array(int fd, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void lictor_unmap_array(void *memory, size_t bytes)
{
	munmap(memory, bytes);
}

/* What the kernel follows is published by one store, after all that it leads to. */
static void lictor_store32(void *place, __u32 value)
{
	__atomic_store_n((__u32 *)place, value, __ATOMIC_SEQ_CST);
}
static void lictor_store64(void *place, __u64 value)
{
	__atomic_store_n((__u64 *)place, value, __ATOMIC_SEQ_CST);
}
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
