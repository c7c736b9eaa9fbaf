/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flip GOOD BAD SECRET COUNT: one thread turns a path from GOOD to BAD and back, the other opens what it finds there.
 * The two differ in one letter: every open finds one or the other.
 * Ends with 42 as soon as what it opened held the secret.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile char path[256];
static const char *good, *bad;
static volatile int done;

static void *turn(void *unused)
{
	size_t at = 0;

	while (good[at] == bad[at])
		at++;
	for (unsigned n = 0; !done; n++) {
		path[at] = n & 1 ? good[at] : bad[at];
		if (n % 64 == 0)
			sched_yield();
	}
	return unused;
}

int main(int count, char **words)
{
	char found[64];
	pthread_t turner;

	if (count != 5)
		return 2;
	good = words[1];
	bad = words[2];
	strncpy((char *)path, good, sizeof(path) - 1);
	if (pthread_create(&turner, 0, turn, 0))
		return 2;
	while (!strcmp((const char *)path, good))
		sched_yield();
	for (int n = atoi(words[4]); n > 0; n--) {
		int file = open((const char *)path, O_RDONLY);

		if (n % 16 == 0)
			sched_yield();
		if (file < 0)
			continue;
		ssize_t len = read(file, found, sizeof(found));

		if (len == (ssize_t)strlen(words[3]) && !memcmp(found, words[3], len))
			_exit(42);
		close(file);
	}
	done = 1;
	pthread_join(turner, 0);
	return 0;
}
