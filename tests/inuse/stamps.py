"""A program that writes to a file all the time, in a way that shows a torn copy.

It writes the number of its state into every page, first page first, then the next number. At any instant the
pages hold one number up to some page and the one before from there on; no other picture ever existed.
"""

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.inuse.disks import ROOT

PAGE = 4096
_WIDTH = 12
_HEAD = b"\x02\x44\x01\x44"  # as a data file of 4D begins
HOW = ("mapped", "page by page", "all at once")


def is_instant(content: bytes) -> bool:
    """Whether the file was like that at an instant."""
    states = [
        int(content[at + len(_HEAD) : at + len(_HEAD) + _WIDTH])
        for at in range(0, len(content), PAGE)
    ]
    newest, oldest = states[0], states[-1]
    turns = sum(one != after for one, after in pairwise(states))
    return newest - oldest in (0, 1) and turns == newest - oldest


def new_file(file: Path, pages: int) -> None:
    """A file in its first state."""
    file.write_bytes(_page(1) * pages)


def _page(state: int) -> bytes:
    return (_HEAD + b"%012d" % state).ljust(PAGE, b"\0")


@contextmanager
def written_to(file: Path, how: str, told: dict[str, Any] | None = None) -> Iterator[None]:
    """Somebody writes to the file; `told` gets how many states there were and the longest pause in ms."""
    command = [sys.executable, "-m", "tests.inuse.stamps", str(file), how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        try:
            yield
        finally:
            writer.send_signal(signal.SIGTERM)
            states, pause = writer.communicate(timeout=60)[0].split()
            if told is not None:
                told |= {"states": int(states), "longest pause ms": float(pause)}


def _write(file: Path, how: str) -> None:
    descriptor = os.open(file, os.O_RDWR)
    size = os.fstat(descriptor).st_size
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: over.append(number))
    with mmap.mmap(descriptor, size) as mapped:
        state, longest, last = 1, 0.0, time.monotonic()
        while not over:
            state += 1
            stamp = _HEAD + b"%012d" % state
            if how == "all at once":
                os.pwrite(descriptor, _page(state) * (size // PAGE), 0)
            for at in range(0, 0 if how == "all at once" else size, PAGE):
                if how == "mapped":
                    mapped[at : at + len(stamp)] = stamp
                else:
                    os.pwrite(descriptor, stamp, at)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            if state == 20:
                print("writing", flush=True)
                longest = 0.0
    print(state, round(longest * 1000, 1))


if __name__ == "__main__":
    _write(Path(sys.argv[1]), sys.argv[2])
