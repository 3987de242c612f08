/*
 * A wall clock that a test moves: every process that has this library preloaded reads, from the file that
 * WALL_CLOCK_OFFSET names, by how many nanoseconds its wall clock differs from the machine's. The file is
 * mapped, so that a change is seen at once by all processes and all threads. No other clock is touched:
 * what is measured or waited for by the monotonic clock goes on as it was.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PER_SECOND = 1000000000 };

static const int64_t no_offset = 0;
static const int64_t *offset = &no_offset;

__attribute__((constructor)) static void map_offset(void)
{
    const char *name = getenv("WALL_CLOCK_OFFSET");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *shared = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (shared != MAP_FAILED)
        offset = shared;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    /* the system call itself: this function is the one that would be found by its name */
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return failed;
    int64_t moved = now->tv_sec * (int64_t)PER_SECOND + now->tv_nsec
                    + __atomic_load_n(offset, __ATOMIC_RELAXED);
    now->tv_sec = moved / PER_SECOND;
    now->tv_nsec = moved % PER_SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *seconds)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (seconds)
        *seconds = exact.tv_sec;
    return exact.tv_sec;
}
