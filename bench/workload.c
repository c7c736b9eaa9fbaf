/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workload exec COUNT RATE PROGRAM   vfork, exec of PROGRAM with one argument and no environment, wait
 * workload file COUNT RATE PATH      open, read of 64 bytes, close
 * workload connect COUNT RATE IPV4   connect of a datagram socket that is there already
 *
 * RATE is in rounds per second, 0 for as fast as it goes. Prints one JSON object: rounds, wall and CPU nanoseconds
 * (our own and our children's).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long cpu_of(int who)
{
	struct rusage used;

	getrusage(who, &used);
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL +
	       (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL;
}

static int run_program(const char *path)
{
	char *arguments[] = { (char *)path, "a1", NULL }, *environment[] = { NULL };
	int status = -1;
	pid_t child = vfork();

	if (child == 0) {
		execve(path, arguments, environment);
		_exit(127);
	}
	return child < 0 || waitpid(child, &status, 0) < 0 ? -1 : status;
}

static int read_file(const char *path)
{
	char buffer[64];
	int fd = open(path, O_RDONLY), failed;

	if (fd < 0)
		return -1;
	failed = read(fd, buffer, sizeof(buffer)) < 0;
	close(fd);
	return failed;
}

static int connect_to(const char *text)
{
	static int fd = -1;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(9) };

	if (fd < 0)
		fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || !inet_aton(text, &address.sin_addr))
		return -1;
	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static int (*named(const char *kind))(const char *)
{
	if (!strcmp(kind, "file"))
		return read_file;
	return strcmp(kind, "connect") ? run_program : connect_to;
}

int main(int count, char **arguments)
{
	long rounds = count == 5 ? atol(arguments[2]) : 0, rate = count == 5 ? atol(arguments[3]) : 0;
	int (*once)(const char *) = named(count == 5 ? arguments[1] : "");
	long long start = now(), wait, end;

	if (rounds <= 0) {
		fprintf(stderr, "usage: workload exec|file|connect COUNT RATE PATH\n");
		return 2;
	}
	for (long i = 0; i < rounds; i++) {
		if (once(arguments[4])) {
			perror(arguments[4]);
			return 1;
		}
		wait = rate ? start + (i + 1) * 1000000000LL / rate - now() : 0;
		if (wait > 0)
			nanosleep(&(struct timespec){ wait / 1000000000LL, wait % 1000000000LL }, NULL);
	}
	end = now();
	printf("{\"rounds\": %ld, \"wall_ns\": %lld, \"cpu_ns\": %lld}\n", rounds, end - start,
	       cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN));
	return 0;
}
