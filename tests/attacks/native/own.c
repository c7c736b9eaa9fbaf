/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes the process that does it, done by one of its own. Ends with 42 if the effect is there.
 *
 * own unshare | user             leave the UTS or the user namespace
 * own setns FILE                 join a namespace
 * own pivot DIRECTORY            have another root, in which there is a file "here"
 * own trace                      ask to be traced, and start a program that then stops
 * own write FILE TEXT            own unlink FILE
 * own read FILE TEXT             find it there
 * own pose PROGRAM FILE TEXT     the same, under another program's name
 * own exec NUMBER                become the program behind a descriptor
 * own is NUMBER                  be this user
 * own churn                      write to a BPF map until whoever started it ends
 * own regain NUMBER              drop a capability, and have it after an exec
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static ino_t namespace(const char *path)
{
	struct stat seen;

	return stat(path, &seen) ? 0 : seen.st_ino;
}

static int changes(const char *path, int kind, const char *file)
{
	ino_t before = namespace(path);

	if (file)
		setns(open(file, O_RDONLY), kind);
	else
		unshare(kind);
	return before && namespace(path) != before;
}

static int pivots(const char *directory)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) ||
	    mount(directory, directory, 0, MS_BIND, 0) || chdir(directory))
		return 0;
	syscall(SYS_pivot_root, ".", ".");
	return !access("/here", F_OK);
}

static int reads(const char *file, const char *text)
{
	char found[64];
	ssize_t size = read(open(file, O_RDONLY), found, sizeof(found));

	return size == (ssize_t)strlen(text) && !memcmp(found, text, size);
}

static int poses(char **words)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) ||
	    mount(words[0], words[2], 0, MS_BIND, 0))
		return 0;
	return execl(words[2], words[2], "read", words[3], words[4], (char *)0);
}

static int has(int capability, int dropped)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	if (syscall(SYS_capget, &head, sets))
		return 0;
	sets[0].effective &= dropped ? ~(1U << capability) : ~0U;
	sets[0].permitted &= dropped ? ~(1U << capability) : ~0U;
	if (dropped && syscall(SYS_capset, &head, sets))
		return 0;
	return sets[0].effective >> capability & 1;
}

/* While a map is written to, the kernel runs no probes on the CPU: whoever comes in between is not seen by any. */
static int churns(void)
{
	union bpf_attr make = { .map_type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 64, .max_entries = 64 };
	char value[64] = "";
	uint64_t key = 0;
	int map;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map = syscall(SYS_bpf, BPF_MAP_CREATE, &make, sizeof(make));
	union bpf_attr put = { .map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)value };

	while (map >= 0 && !syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &put, sizeof(put)))
		key = (key + 1) % 32;
	return 0;
}

static int is_traced(char *self)
{
	int status, stopped;
	pid_t child = vfork();

	if (!child) {
		if (!ptrace(PTRACE_TRACEME, 0, 0, 0))
			execl(self, self, (char *)0);
		_exit(1);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return 0;
	stopped = WIFSTOPPED(status);
	if (stopped) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	}
	return stopped;
}

int main(int count, char **words)
{
	int effect = 0;

	if (count < 2)
		return 2;
	if (!strcmp(words[1], "unshare"))
		effect = changes("/proc/self/ns/uts", CLONE_NEWUTS, 0);
	else if (!strcmp(words[1], "user"))
		effect = changes("/proc/self/ns/user", CLONE_NEWUSER, 0);
	else if (!strcmp(words[1], "setns") && count == 3)
		effect = changes("/proc/self/ns/uts", CLONE_NEWUTS, words[2]);
	else if (!strcmp(words[1], "pivot") && count == 3)
		effect = pivots(words[2]);
	else if (!strcmp(words[1], "write") && count == 4)
		effect = write(open(words[2], O_WRONLY), words[3], strlen(words[3])) > 0;
	else if (!strcmp(words[1], "exec") && count == 3)
		syscall(SYS_execveat, atoi(words[2]), "", (char *[]){ "", 0 }, (char *[]){ 0 }, AT_EMPTY_PATH);
	else if (!strcmp(words[1], "unlink") && count == 3)
		effect = !unlink(words[2]);
	else if (!strcmp(words[1], "read") && count == 4)
		effect = reads(words[2], words[3]);
	else if (!strcmp(words[1], "pose") && count == 5)
		effect = poses(words);
	else if (!strcmp(words[1], "is") && count == 3)
		effect = geteuid() == (uid_t)atoi(words[2]);
	else if (!strcmp(words[1], "has") && count == 3)
		effect = has(atoi(words[2]), 0);
	else if (!strcmp(words[1], "regain") && count == 3)
		effect = !has(atoi(words[2]), 1) && execl(words[0], words[0], "has", words[2], (char *)0);
	else if (!strcmp(words[1], "churn"))
		effect = churns();
	else if (!strcmp(words[1], "trace"))
		effect = is_traced(words[0]);
	else
		return 2;
	return effect ? 42 : 0;
}
