"""Waiting for a log to grow without being woken by each record: by the kernel's word where it has one, else by time.

The kernel is asked for one word only, while nothing grows; while the log grows, nobody asks. A library that tells of
every write would wake the service a thousand times a second. On network disks the kernel knows nothing of what other
machines write, so there the time decides.
"""

import ctypes
import os
import select
from contextlib import suppress
from pathlib import Path

from engine.mounts import kind_of

_LIBRARY = ctypes.CDLL(None, use_errno=True)
_MODIFY, _ATTRIBUTES, _MOVED_TO, _CREATE = 0x2, 0x4, 0x80, 0x100
_DELETE_SELF, _MOVE_SELF, _ONE_WORD = 0x400, 0x800, 0x80000000
_OF_FILE = _MODIFY | _ATTRIBUTES | _DELETE_SELF | _MOVE_SELF | _ONE_WORD
_OF_FOLDER = _MOVED_TO | _CREATE | _DELETE_SELF | _MOVE_SELF | _ONE_WORD
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
# prefixes; the last ones are shared with a host or with other machines, too
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "ceph",
    "afs",
    "gluster",
    "lustre",
    "ocfs2",
    "gfs2",
    "virtiofs",
    "vbox",
)
_BUFFER = 4096

Signature = tuple[int, int, int, int] | None


class LogWait:
    """Waits in one thread; `wake` ends a wait from any other."""

    def __init__(self) -> None:
        self._bell_out, self._bell_in = os.pipe2(_FLAGS)

    def wake(self) -> None:
        """End the wait that is on, or the next one."""
        with suppress(OSError):  # full: it rings already; closed: nobody waits any more
            os.write(self._bell_in, b"!")

    def close(self) -> None:
        """No more waits."""
        pair, self._bell_out, self._bell_in = (self._bell_out, self._bell_in), -1, -1
        for descriptor in pair:
            if descriptor >= 0:
                os.close(descriptor)

    def pause(self, seconds: float) -> None:
        """Let time pass; `wake` cuts it short."""
        self._poll(seconds, None)

    def until_changed(
        self, log: Path, seen: Signature, seconds: float, *, unwatched: float
    ) -> bool:
        """Return when the log is another than was seen (True), or when the seconds are over (False), or at `wake`.

        Where the kernel cannot tell, it is looked at every `unwatched` seconds.
        """
        descriptor = _watch(log)
        if descriptor is None:
            self._look_now_and_then(log, seen, seconds, unwatched)
            return signature(log) != seen
        try:
            # what came between the last look and the watching was not told
            if signature(log) == seen:
                self._poll(seconds, descriptor)
        finally:
            os.close(descriptor)
        return signature(log) != seen

    def _look_now_and_then(self, log: Path, seen: Signature, seconds: float, every: float) -> None:
        left = seconds
        while left > 0 and signature(log) == seen:
            if self._poll(min(left, every), None):
                return
            left -= every

    def _poll(self, seconds: float, descriptor: int | None) -> bool:
        """Whether somebody called `wake`."""
        waiter = select.poll()
        for one in (self._bell_out, descriptor):
            if one is not None:
                waiter.register(one, select.POLLIN)
        waiter.poll(max(0.0, seconds) * 1000)
        with suppress(BlockingIOError):
            return bool(os.read(self._bell_out, _BUFFER))
        return False


def signature(log: Path) -> Signature:
    """What changes when anything happens to the log; None while there is none, or it cannot be looked at."""
    try:
        facts = log.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _watch(log: Path) -> int | None:
    """A descriptor that is readable once something happens to the log, None where the kernel cannot tell."""
    try:
        if kind_of(log.parent).startswith((*_NETWORK, "fuse")):
            return None
    except OSError:
        return None
    descriptor: int = _LIBRARY.inotify_init1(_FLAGS)
    if descriptor < 0:
        return None
    wanted = (log, _OF_FILE) if os.path.lexists(log) else (log.parent, _OF_FOLDER)
    if (
        _LIBRARY.inotify_add_watch(descriptor, os.fsencode(wanted[0]), ctypes.c_uint32(wanted[1]))
        < 0
    ):
        os.close(descriptor)
        return None
    return descriptor
