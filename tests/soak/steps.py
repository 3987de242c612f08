"""The small steps that tricks are made of: signals, patience, ballast, a bit that flips."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def sent(pid: int | None, number: int) -> bool:
    """Send a signal; False when nobody is there any more."""
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def frozen(pid: int, seconds: float) -> bool:
    """Stop a process for a while; False when it is not there."""
    if not sent(pid, signal.SIGSTOP):
        return False
    time.sleep(seconds)
    sent(pid, signal.SIGCONT)
    return True


def wait(claim: Callable[[], object], seconds: float) -> None:
    """Wait for something to become true, but not for ever."""
    end = time.monotonic() + seconds
    while not claim() and time.monotonic() < end:
        time.sleep(0.02)


def fill(ballast: Path, leave: int) -> None:
    """Until nothing goes any more, and then leave so many bytes."""
    with ballast.open("wb", buffering=0) as stream:
        block = bytes(1 << 16)
        with suppress(OSError):
            while True:
                stream.write(block)
        with suppress(OSError):
            stream.truncate(max(0, stream.tell() - leave))


def flip(file: Path, at: int) -> bytes:
    """Change one byte; what it was."""
    with file.open("rb") as stream:
        stream.seek(at)
        before = stream.read(1)
    put(file, at, bytes([before[0] ^ 0x55]))
    return before


def put(file: Path, at: int, byte: bytes) -> None:
    """As a disk forgets: no time tells of it."""
    facts = file.stat()
    with file.open("r+b", buffering=0) as stream:
        stream.seek(at)
        stream.write(byte)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
