/* Every call that changes something below one of up to four folders is counted, whichever thread makes it,
 * and one of them, or a range, goes wrong as the board says. Loaded with LD_PRELOAD; the board is memory that
 * the test shares with the process, so that what a killed one did can still be read.
 *
 *     cc -O1 -shared -fPIC -o faults.so faults.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FOLDERS 4
#define ROOM 512
#define CALLS 16384

/* tests/faults/shim.py has the same numbers */
enum mode { COUNT, KILL_BEFORE, KILL_AFTER, TORN, ERROR, SHORT };
enum kind { DATA = 1, MAKE = 2, SYNC = 4, NAME = 8, REMOVE = 16, META = 32, CUT = 64, READ = 128, CLOSE = 256 };

struct call {
	int kind;
	char name[20];
	char path[ROOM];
};

struct board {
	atomic_int count;  /* calls so far, of the kinds asked for */
	int mode, first, last, error;
	int kinds;
	int torn_bytes;  /* of a torn or short write; 0: half of it */
	char folders[FOLDERS][ROOM];  /* empty ones are not used */
	char lies[ROOM];  /* flushes of paths with this text say 0 and do nothing; empty: none */
	struct call calls[CALLS];
};

static struct board *board;

void faults_arm(struct board *ours) { board = ours; }

static int below(const char *path)
{
	for (int at = 0; at < FOLDERS; at++) {
		size_t length = strlen(board->folders[at]);
		if (length > 0 && strncmp(path, board->folders[at], length) == 0 &&
		    (path[length] == '/' || path[length] == '\0' || path[length] == ' '))
			return 1;
	}
	return 0;
}

static int linked(const char *link, char *into)
{
	ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, into, ROOM - 1);
	into[length < 0 ? 0 : length] = '\0';
	return length > 0;
}

static int path_of(int descriptor, char *into)
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
	return linked(link, into);
}

static int full_path(int folder, const char *name, char *into)
{
	char start[ROOM];
	int held, used = 0;
	if (name == NULL)
		return 0;
	/* through a folder that is held by its descriptor (engine/anchor.py) */
	if (sscanf(name, "/proc/self/fd/%d%n", &held, &used) == 1 && name[used] == '/' && path_of(held, start)) {
		snprintf(into, ROOM, "%.255s%.255s", start, name + used);
		return 1;
	}
	if (name[0] == '/') {
		snprintf(into, ROOM, "%s", name);
		return 1;
	}
	if (!(folder == AT_FDCWD ? linked("/proc/self/cwd", start) : path_of(folder, start)))
		return 0;
	snprintf(into, ROOM, "%.255s/%.255s", start, name);
	return 1;
}

static void die(void)
{
	syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
	for (;;)
		pause();
}

/* What is to be done with this call: COUNT for nothing. */
static int met(const char *name, int kind, const char *path)
{
	if (!(board->kinds & kind))
		return COUNT;
	int number = atomic_fetch_add(&board->count, 1) + 1;
	if (number <= CALLS) {
		struct call *call = &board->calls[number - 1];
		call->kind = kind;
		snprintf(call->name, sizeof call->name, "%s", name);
		snprintf(call->path, sizeof call->path, "%s", path);
	}
	if (number < board->first || number > board->last)
		return COUNT;
	if (board->mode == KILL_BEFORE)
		die();
	return board->mode;
}

static int met_open(const char *name, int kind, int descriptor)
{
	char path[ROOM];
	int kept = errno, found = COUNT;
	if (board != NULL && path_of(descriptor, path) && below(path))
		found = met(name, kind, path);
	errno = kept;
	return found;
}

static int met_named(const char *name, int kind, int folder, const char *file)
{
	char path[ROOM];
	int kept = errno, found = COUNT;
	if (board != NULL && full_path(folder, file, path) && below(path))
		found = met(name, kind, path);
	errno = kept;
	return found;
}

static int lied(int descriptor)
{
	char path[ROOM];
	return board != NULL && board->lies[0] != '\0' && path_of(descriptor, path) && below(path) &&
	       strstr(path, board->lies) != NULL;
}

static size_t part(size_t count)
{
	size_t some = board->torn_bytes > 0 ? (size_t)board->torn_bytes : (count + 1) / 2;
	return some < count ? some : count;
}

/* A function of the C library under its own name: met, and then done, or not.
 * `real` is the original, `shorter` the same call with part of its data; both see the parameters by name. */
#define CALL(result, symbol, found, parameters, whole, shorter) \
	result symbol parameters \
	{ \
		static result (*real) parameters; \
		if (real == NULL) \
			real = (result(*) parameters)dlsym(RTLD_NEXT, #symbol); \
		int what = (found); \
		if (what == ERROR) { \
			errno = board->error; \
			return -1; \
		} \
		if (what == SHORT) \
			return shorter; \
		result done = what == TORN ? shorter : whole; \
		if (what == KILL_AFTER || what == TORN) \
			die(); \
		return done; \
	}
#define WHOLE(result, symbol, found, parameters, whole) CALL(result, symbol, found, parameters, whole, whole)

/* --- content --- */

CALL(ssize_t, write, met_open("write", DATA, fd), (int fd, const void *data, size_t count),
     real(fd, data, count), real(fd, data, part(count)))
CALL(ssize_t, pwrite64, met_open("pwrite", DATA, fd), (int fd, const void *data, size_t count, off64_t at),
     real(fd, data, count, at), real(fd, data, part(count), at))
CALL(ssize_t, writev, met_open("writev", DATA, fd), (int fd, const struct iovec *rows, int count),
     real(fd, rows, count), real(fd, rows, (count + 1) / 2))
CALL(ssize_t, pwritev64, met_open("pwritev", DATA, fd), (int fd, const struct iovec *rows, int count, off64_t at),
     real(fd, rows, count, at), real(fd, rows, (count + 1) / 2, at))
CALL(ssize_t, pwritev64v2, met_open("pwritev", DATA, fd),
     (int fd, const struct iovec *rows, int count, off64_t at, int flags),
     real(fd, rows, count, at, flags), real(fd, rows, (count + 1) / 2, at, flags))
CALL(ssize_t, copy_file_range, met_open("copy_file_range", DATA, fd),
     (int in, off64_t *from, int fd, off64_t *to, size_t count, unsigned flags),
     real(in, from, fd, to, count, flags), real(in, from, fd, to, part(count), flags))
CALL(ssize_t, sendfile64, met_open("sendfile", DATA, fd), (int fd, int in, off64_t *from, size_t count),
     real(fd, in, from, count), real(fd, in, from, part(count)))
WHOLE(int, fallocate64, met_open("fallocate", DATA, fd), (int fd, int mode, off64_t at, off64_t count),
      real(fd, mode, at, count))
WHOLE(int, ftruncate64, met_open("ftruncate", CUT, fd), (int fd, off64_t size), real(fd, size))
WHOLE(int, truncate64, met_named("truncate", CUT, AT_FDCWD, file), (const char *file, off64_t size), real(file, size))

ssize_t pwrite(int fd, const void *data, size_t count, off_t at) { return pwrite64(fd, data, count, at); }
int fallocate(int fd, int mode, off_t at, off_t count) { return fallocate64(fd, mode, at, count); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* --- made durable, closed --- */

WHOLE(int, fsync, met_open("fsync", SYNC, fd), (int fd), lied(fd) ? 0 : real(fd))
WHOLE(int, fdatasync, met_open("fdatasync", SYNC, fd), (int fd), lied(fd) ? 0 : real(fd))
/* dropping pages begins to write them back: a disk that lies does not do that either */
WHOLE(int, posix_fadvise64, COUNT, (int fd, off64_t at, off64_t count, int advice),
      lied(fd) ? 0 : real(fd, at, count, advice))

int posix_fadvise(int fd, off_t at, off_t count, int advice) { return posix_fadvise64(fd, at, count, advice); }

static int met_close(int fd)
{
	if (board == NULL || !(board->kinds & CLOSE) || (syscall(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return COUNT;
	return met_open("close", CLOSE, fd);
}

/* as a network disk does it: the descriptor is gone, and only now the error is told */
int close(int fd)
{
	int what = met_close(fd);
	long done = syscall(SYS_close, fd);
	if (what == KILL_AFTER || what == TORN)
		die();
	if (what == ERROR) {
		errno = board->error;
		return -1;
	}
	return (int)done;
}

/* --- names --- */

WHOLE(int, rename, met_named("rename", NAME, AT_FDCWD, to), (const char *from, const char *to), real(from, to))
WHOLE(int, renameat, met_named("rename", NAME, b, to), (int a, const char *from, int b, const char *to),
      real(a, from, b, to))
WHOLE(int, renameat2, met_named("rename", NAME, b, to),
      (int a, const char *from, int b, const char *to, unsigned flags), real(a, from, b, to, flags))
WHOLE(int, unlink, met_named("unlink", REMOVE, AT_FDCWD, file), (const char *file), real(file))
WHOLE(int, unlinkat, met_named(flags & AT_REMOVEDIR ? "rmdir" : "unlink", REMOVE, at, file),
      (int at, const char *file, int flags), real(at, file, flags))
WHOLE(int, rmdir, met_named("rmdir", REMOVE, AT_FDCWD, folder), (const char *folder), real(folder))
WHOLE(int, mkdir, met_named("mkdir", MAKE, AT_FDCWD, folder), (const char *folder, mode_t mode), real(folder, mode))
WHOLE(int, mkdirat, met_named("mkdir", MAKE, at, folder), (int at, const char *folder, mode_t mode),
      real(at, folder, mode))
WHOLE(int, link, met_named("link", MAKE, AT_FDCWD, to), (const char *from, const char *to), real(from, to))
WHOLE(int, linkat, met_named("link", MAKE, b, to), (int a, const char *from, int b, const char *to, int flags),
      real(a, from, b, to, flags))
WHOLE(int, symlink, met_named("symlink", MAKE, AT_FDCWD, to), (const char *text, const char *to), real(text, to))
WHOLE(int, symlinkat, met_named("symlink", MAKE, at, to), (const char *text, int at, const char *to),
      real(text, at, to))

/* --- rights and times --- */

WHOLE(int, chmod, met_named("chmod", META, AT_FDCWD, file), (const char *file, mode_t mode), real(file, mode))
WHOLE(int, fchmod, met_open("chmod", META, fd), (int fd, mode_t mode), real(fd, mode))
WHOLE(int, fchmodat, met_named("chmod", META, at, file), (int at, const char *file, mode_t mode, int flags),
      real(at, file, mode, flags))
WHOLE(int, chown, met_named("chown", META, AT_FDCWD, file), (const char *file, uid_t user, gid_t group),
      real(file, user, group))
WHOLE(int, lchown, met_named("chown", META, AT_FDCWD, file), (const char *file, uid_t user, gid_t group),
      real(file, user, group))
WHOLE(int, fchown, met_open("chown", META, fd), (int fd, uid_t user, gid_t group), real(fd, user, group))
WHOLE(int, fchownat, met_named("chown", META, at, file),
      (int at, const char *file, uid_t user, gid_t group, int flags), real(at, file, user, group, flags))
WHOLE(int, utimensat, met_named("utime", META, at, file),
      (int at, const char *file, const struct timespec times[2], int flags), real(at, file, times, flags))
WHOLE(int, futimens, met_open("utime", META, fd), (int fd, const struct timespec times[2]), real(fd, times))

/* --- opened for writing, or made --- */

#define CHANGING(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

static WHOLE(int, opened, CHANGING(flags) ? met_named("open", MAKE, at, file) : COUNT,
	     (int at, const char *file, int flags, mode_t mode), (int)syscall(SYS_openat, at, file, flags, mode))

#define OPEN(parameters, at) \
	parameters \
	{ \
		va_list rest; \
		va_start(rest, flags); \
		mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
		va_end(rest); \
		return opened(at, file, flags, mode); \
	}
OPEN(int open(const char *file, int flags, ...), AT_FDCWD)
OPEN(int open64(const char *file, int flags, ...), AT_FDCWD)
OPEN(int openat(int at, const char *file, int flags, ...), at)
OPEN(int openat64(int at, const char *file, int flags, ...), at)

/* --- reading --- */

CALL(ssize_t, read, met_open("read", READ, fd), (int fd, void *data, size_t count),
     real(fd, data, count), real(fd, data, part(count)))
CALL(ssize_t, pread64, met_open("pread", READ, fd), (int fd, void *data, size_t count, off64_t at),
     real(fd, data, count, at), real(fd, data, part(count), at))
WHOLE(ssize_t, preadv64, met_open("preadv", READ, fd), (int fd, const struct iovec *rows, int count, off64_t at),
      real(fd, rows, count, at))
WHOLE(ssize_t, preadv64v2, met_open("preadv", READ, fd),
      (int fd, const struct iovec *rows, int count, off64_t at, int flags), real(fd, rows, count, at, flags))
