/*
 * Makes the system calls of `nsenter-rs -t PID -a COMMAND` and no others: the floor with which the table compares.
 * "plain" finds out which namespaces of PID are not ours, joins those, and runs the command in a child if the pid
 * namespace is among them. "sealed" first executes a read-only view of this program, which is as safe as what nsenter-rs
 * does across a border. "blind" skips finding out: it joins uts, ipc and net. Where there is no border, the bench compares
 * the calls of "plain" with those of nsenter-rs by strace before it begins. The program is linked like nsenter-rs, for
 * random addresses, which cost time at start; and once more without them, to show how much.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

enum { FAILED = 125, NOT_FOUND = 127, SIGNALLED = 128 };
enum { CLONE_TREE = 1, READ_ONLY = 1, EMPTY_PATH = 0x1000 };
enum { LINK = 48 };

static const struct {
	const char *name;
	int flag;
} kinds[] = {
	{ "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS },  { "uts", CLONE_NEWUTS },	   { "ipc", CLONE_NEWIPC },
	{ "net", CLONE_NEWNET },   { "pid", CLONE_NEWPID }, { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },
};

extern char **environ;

static long must(long answer, const char *what)
{
	if (answer >= 0)
		return answer;
	perror(what);
	exit(FAILED);
}

static void seal(char **argv)
{
	unsigned long attributes[] = { READ_ONLY, 0, 0, 0 };
	int view = must(syscall(SYS_open_tree, AT_FDCWD, "/proc/self/exe", CLONE_TREE | O_CLOEXEC), "open_tree");

	must(syscall(SYS_mount_setattr, view, "", EMPTY_PATH, attributes, sizeof(attributes)), "mount_setattr");
	argv[1] = "plain";
	must(syscall(SYS_execveat, view, "", argv, environ, EMPTY_PATH), "execveat");
}

static int directory(int base, const char *path)
{
	return must(openat(base, path, O_PATH | O_DIRECTORY | O_CLOEXEC), path);
}

static int foreign(const char *pid)
{
	char path[32], theirs[LINK], own[LINK];
	int process, of_theirs, of_own, flags = 0;
	size_t kind;

	snprintf(path, sizeof(path), "/proc/%s", pid);
	process = directory(AT_FDCWD, path);
	of_theirs = directory(process, "ns");
	of_own = directory(AT_FDCWD, "/proc/self/ns");
	for (kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++) {
		long length = must(readlinkat(of_theirs, kinds[kind].name, theirs, LINK), kinds[kind].name);

		if (must(readlinkat(of_own, kinds[kind].name, own, LINK), kinds[kind].name) != length ||
		    memcmp(theirs, own, length) != 0)
			flags |= kinds[kind].flag;
	}
	return flags;
}

int main(int argc, char **argv)
{
	char own[LINK];
	int status, pidfd, flags = CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
	pid_t child;

	must(argc > 3 ? 0 : -1, "floor sealed|plain|blind PID COMMAND");
	if (strcmp(argv[1], "sealed") == 0)
		seal(argv);
	/* Whether we are in the first pid namespace, or others may see us. */
	must(readlinkat(AT_FDCWD, "/proc/self/ns/pid", own, LINK), "readlinkat");
	pidfd = must(syscall(SYS_pidfd_open, atoi(argv[2]), 0), "pidfd_open");
	if (strcmp(argv[1], "blind") != 0)
		flags = foreign(argv[2]);
	must(setns(pidfd, flags), "setns");
	child = flags & CLONE_NEWPID ? must(fork(), "fork") : 0;
	if (child == 0) {
		execv(argv[3], argv + 3);
		_exit(NOT_FOUND);
	}
	must(waitpid(child, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status);
}
