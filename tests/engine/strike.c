/* A disk that strikes: the n-th change of a name below a folder, or flush there, kills the process or fails.
 * Loaded with LD_PRELOAD; asleep until strike_arm is called. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum mode { ASLEEP, COUNT, KILL_BEFORE, KILL_AFTER, FAIL };

static enum mode mode;
static int step, target, number_of_error;
static char prefix[PATH_MAX];

void strike_arm(const char *folder, int new_mode, int at, int error) {
    snprintf(prefix, sizeof prefix, "%s", folder);
    step = 0;
    target = at;
    number_of_error = error;
    mode = new_mode;
}

int strike_count(void) { return step; }

static int is_below(int folder, const char *name) {
    char link[64], place[PATH_MAX];
    if (mode == ASLEEP || name == NULL) return 0;
    /* through a folder that is held by its descriptor (engine/anchor.py) */
    if (sscanf(name, "/proc/self/fd/%d/", &folder) != 1 && name[0] == '/')
        return strncmp(name, prefix, strlen(prefix)) == 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, place, sizeof place - 1);
    if (length < 0) return 0;
    place[length] = 0;
    return strncmp(place, prefix, strlen(prefix)) == 0;
}

/* 1: fail; 2: die when it is done */
static int strike(void) {
    if (++step != target || mode == COUNT) return 0;
    if (mode == KILL_BEFORE) kill(getpid(), SIGKILL);
    if (mode == FAIL) errno = number_of_error;
    return mode == FAIL ? 1 : 2;
}

#define STRUCK(watched, call)                            \
    do {                                                 \
        if (!(watched)) return call;                     \
        int how = strike();                              \
        if (how == 1) return -1;                         \
        int result = call;                               \
        if (how == 2) kill(getpid(), SIGKILL);           \
        return result;                                   \
    } while (0)

#define NEXT(name, ...) int (*next)(__VA_ARGS__) = dlsym(RTLD_NEXT, name)

int rename(const char *from, const char *to) {
    NEXT("rename", const char *, const char *);
    STRUCK(is_below(-1, from) || is_below(-1, to), next(from, to));
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    NEXT("renameat2", int, const char *, int, const char *, unsigned);
    if (mode != ASLEEP && getenv("STRIKE_OLD_DISK")) {
        errno = EINVAL;
        return -1;
    }
    STRUCK(is_below(a, from) || is_below(b, to), next(a, from, b, to, flags));
}

int unlink(const char *name) {
    NEXT("unlink", const char *);
    STRUCK(is_below(-1, name), next(name));
}

int unlinkat(int folder, const char *name, int flags) {
    NEXT("unlinkat", int, const char *, int);
    STRUCK(is_below(folder, name), next(folder, name, flags));
}

int mkdir(const char *name, mode_t bits) {
    NEXT("mkdir", const char *, mode_t);
    STRUCK(is_below(-1, name), next(name, bits));
}

int mkdirat(int folder, const char *name, mode_t bits) {
    NEXT("mkdirat", int, const char *, mode_t);
    STRUCK(is_below(folder, name), next(folder, name, bits));
}

int rmdir(const char *name) {
    NEXT("rmdir", const char *);
    STRUCK(is_below(-1, name), next(name));
}

int fsync(int file) {
    NEXT("fsync", int);
    STRUCK(is_below(file, ""), next(file));
}

int syncfs(int file) {
    NEXT("syncfs", int);
    STRUCK(is_below(file, ""), next(file));
}
