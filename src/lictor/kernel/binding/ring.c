/* The user half of kernel/bpf/ringbuf.c. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <linux/bpf.h>

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
