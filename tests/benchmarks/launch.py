"""Runs one command and prints its cost as JSON; a process of its own, because a child's peak memory counts its parent's.

Run as a file with `python -I -S`, so that it stays far smaller than anything that is measured.
"""

import json
import os
import select
import sys
import time

_LOOK_SECONDS = 0.1


def family(pid: int) -> list[int]:
    """A process and all below it, as far as they still live."""
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):  # noqa: PTH208 - pathlib is not loaded here
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as stream:  # noqa: PTH123
                    found += [int(word) for word in stream.read().split()]
        except OSError:
            continue
    return found


def resident_kib(pids: list[int]) -> int:
    """What they hold together; pages that they share count for each."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", encoding="ascii") as stream:  # noqa: PTH123
                pages += int(stream.read().split()[1])
        except OSError:
            continue
    return pages * (os.sysconf("SC_PAGE_SIZE") // 1024)


def main() -> None:
    """Run it, look at its memory ten times a second, say what it cost."""
    words = sys.argv[1:]
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    pid = os.posix_spawnp(words[0], words, os.environ, file_actions=silent)
    waiting = select.poll()
    waiting.register(os.pidfd_open(pid), select.POLLIN)
    together = 0
    while not waiting.poll(_LOOK_SECONDS * 1000):
        together = max(together, resident_kib(family(pid)))
    _, status, usage = os.wait4(pid, 0)
    cost = {
        "wall": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_kib": max(usage.ru_maxrss, together),
        "code": os.waitstatus_to_exitcode(status),
    }
    sys.stdout.write(json.dumps(cost))


if __name__ == "__main__":
    main()
