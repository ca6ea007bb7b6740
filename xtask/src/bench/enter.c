/*
 * What `nsenter-rs -t PID -a COMMAND` asks of the kernel where PID has mount, uts, ipc, net, pid and cgroup namespaces of
 * its own, and nothing else: the floor that the table measures above. "sealed" executes a read-only view of this very
 * program first, which is as safe as what nsenter-rs does; "flat" is for a PID whose mount and pid namespaces are ours.
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

enum { FAILED = 125, NOT_FOUND = 127, SIGNALLED = 128 };
enum { CLONE_TREE = 1, READ_ONLY = 1, EMPTY_PATH = 0x1000 };

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
	argv[1] = "entire";
	must(syscall(SYS_execveat, view, "", argv, environ, EMPTY_PATH), "execveat");
}

int main(int argc, char **argv)
{
	int status, pidfd, flags = CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
	pid_t child;

	must(argc > 3 ? 0 : -1, "floor sealed|entire|flat PID COMMAND");
	if (strcmp(argv[1], "sealed") == 0)
		seal(argv);
	pidfd = must(syscall(SYS_pidfd_open, atoi(argv[2]), 0), "pidfd_open");
	if (strcmp(argv[1], "flat") == 0) {
		must(setns(pidfd, flags), "setns");
		execv(argv[3], argv + 3);
		return NOT_FOUND;
	}
	must(setns(pidfd, flags | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP), "setns");
	child = must(fork(), "fork");
	if (child == 0) {
		execv(argv[3], argv + 3);
		_exit(NOT_FOUND);
	}
	must(waitpid(child, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status);
}
