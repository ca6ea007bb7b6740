// The calls that cgexec-rs makes for a command in a new group with limits, and nothing else: a guardian makes the groups,
// the process moves itself there and executes the command, and the guardian removes the groups.
//
// Usage: floor-cgroup STEP... -- COMMAND. A step is mDIRECTORY, cDIRECTORY, xDIRECTORY=MARK, wFILE=VALUE or jFILE (join); @ is our pid.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int own;

static char *named(const char *text) {
    char *result = malloc(strlen(text) + 32), *to = result;
    for (; *text; text++) {
        if (*text == '@')
            to += sprintf(to, "%d", own);
        else
            *to++ = *text;
    }
    *to = 0;
    return result;
}

static void put(const char *file, const char *value) {
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) {
        perror(file);
        _exit(1);
    }
    close(fd);
}

static void guard(char **steps, int count, int watched, int ready) {
    for (int i = 0; i < count; i++) {
        char *step = named(steps[i]), *object = step + 1, *value = strchr(step, '=');
        if (value)
            *value++ = 0;
        if (*step == 'm' && mkdir(object, 0755)) {
            perror(object);
            _exit(1);
        }
        if (*step == 'c' && chmod(object, 0755)) {
            perror(object);
            _exit(1);
        }
        if (*step == 'x')
            setxattr(object, "user.cgexec-rs", value, strlen(value), 0);
        if (*step == 'w')
            put(object, value);
    }
    if (write(ready, "+", 1) != 1)
        _exit(1);
    close(ready);
    struct pollfd poll_for = {.fd = watched, .events = POLLIN};
    poll(&poll_for, 1, -1);
    for (int i = count - 1; i >= 0; i--) {
        if (*steps[i] != 'm')
            continue;
        char *group = named(steps[i] + 1);
        for (int tries = 0; tries < 1000 && rmdir(group); tries++)
            usleep(1000);
    }
    _exit(0);
}

int main(int argc, char **argv) {
    int count = 0, ready[2];
    while (1 + count < argc && strcmp(argv[1 + count], "--"))
        count++;
    own = getpid();
    int watched = syscall(SYS_pidfd_open, own, 0);
    if (pipe2(ready, O_CLOEXEC))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        if (fork())
            _exit(0);
        close(ready[0]);
        guard(argv + 1, count, watched, ready[1]);
    }
    close(ready[1]);
    waitpid(child, NULL, 0);
    char byte;
    if (read(ready[0], &byte, 1) != 1)
        return 1;
    for (int i = 1; i <= count; i++)
        if (*argv[i] == 'j')
            put(named(argv[i] + 1), "0");
    execv(argv[count + 2], argv + count + 2);
    return 127;
}
