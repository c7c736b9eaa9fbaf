/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring read PATH SECRET | write PATH TEXT: opens, and reads or writes, by io_uring, on a worker thread of the kernel.
 * Ends with 42 if the file's content is as given at the end of it.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct io_uring_params params;
static struct io_uring_sqe *entries;
static char *sent, *came;
static int ring;

static int setup(void)
{
	ring = syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0)
		return -1;
	size_t sent_size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	size_t came_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);

	sent = mmap(0, sent_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	came = mmap(0, came_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	entries = mmap(0, params.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
	               IORING_OFF_SQES);
	return sent == MAP_FAILED || came == MAP_FAILED || entries == MAP_FAILED ? -1 : 0;
}

static int run(struct io_uring_sqe wanted)
{
	uint32_t *tail = (uint32_t *)(sent + params.sq_off.tail), *head = (uint32_t *)(came + params.cq_off.head);
	uint32_t mask = *(uint32_t *)(sent + params.sq_off.ring_mask), at = *tail & mask;

	wanted.flags = IOSQE_ASYNC;
	entries[at] = wanted;
	((uint32_t *)(sent + params.sq_off.array))[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0)
		return -1;
	struct io_uring_cqe *results = (struct io_uring_cqe *)(came + params.cq_off.cqes);
	int result = results[*head & *(uint32_t *)(came + params.cq_off.ring_mask)].res;

	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

int main(int count, char **words)
{
	char found[64];

	if (count != 4 || setup())
		return 2;
	int writes = !strcmp(words[1], "write");
	int file = run((struct io_uring_sqe){
		.opcode = IORING_OP_OPENAT,
		.fd = AT_FDCWD,
		.addr = (uintptr_t)words[2],
		.open_flags = writes ? O_WRONLY : O_RDONLY,
	});
	if (file < 0)
		return 0;
	int result = run((struct io_uring_sqe){
		.opcode = writes ? IORING_OP_WRITE : IORING_OP_READ,
		.fd = file,
		.addr = (uintptr_t)(writes ? words[3] : found),
		.len = writes ? strlen(words[3]) : sizeof(found),
	});
	if (result != (int)strlen(words[3]))
		return 0;
	return writes || !memcmp(found, words[3], result) ? 42 : 0;
}
