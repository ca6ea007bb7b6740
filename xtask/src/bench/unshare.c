/*
 * Makes the system calls of `unshare-rs --fork --pid --mount-proc COMMAND` ("proc") or of `unshare-rs --map-root-user
 * --fork` with all eight kinds of namespaces ("all") and no others: the floor with which the table compares. The bench
 * compares the calls of both programs by strace before it begins.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

enum { FAILED = 125, NOT_FOUND = 127, SIGNALLED = 128 };

static void must(int is_good, const char *what)
{
	if (is_good)
		return;
	perror(what);
	exit(FAILED);
}

static void fill(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0, path);
}

static void map_to_root(const char *path, unsigned int outside)
{
	char text[32];

	snprintf(text, sizeof(text), "0 %u 1", outside);
	fill(path, text);
}

int main(int argc, char **argv)
{
	int status, is_all = argc > 2 && strcmp(argv[1], "all") == 0;
	unsigned int uid = geteuid(), gid = getegid();
	pid_t child;

	must(argc > 2, "floor proc|all COMMAND");
	if (is_all) {
		must(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID |
			     CLONE_NEWCGROUP | CLONE_NEWTIME) == 0,
		     "unshare");
		fill("/proc/self/setgroups", "deny");
		map_to_root("/proc/self/uid_map", uid);
		map_to_root("/proc/self/gid_map", gid);
	} else {
		must(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0, "unshare");
	}
	child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "mount /");
		if (!is_all)
			must(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0, "mount /proc");
		execv(argv[2], argv + 2);
		_exit(NOT_FOUND);
	}
	must(waitpid(child, &status, 0) == child, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status);
}
