"""What we read of the application's files does not stay in the page cache when it was not there before.

The cache is the application's: a backup that reads everything once would throw out what 4D reads all day. Who may
not ask the kernel what is cached (mincore(2) tells the owner of a file, who may write it, and root) is told that all is, and
leaves all.
"""

import ctypes
import mmap
import os
from contextlib import suppress

from engine.sourcefile import fill

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_LIBC.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_FAILED = ctypes.c_void_p(-1).value
_PAGE = mmap.PAGESIZE
# one look at the cache for so many bytes
WINDOW = 64 << 20


class Footprint:
    """Reads one file in rising order; pages that only we needed are dropped, window by window behind the reading."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._start = -WINDOW  # that of the window we are in: before the first one
        self._cached = b""
        self._ahead = self._look(0)

    def fill(self, block: memoryview, offset: int) -> bool:
        """Fill the block from the file; False when the file ends before. Raises ReadError."""
        self._reach(offset)
        return fill(self._descriptor, block, offset)

    def _reach(self, offset: int) -> None:
        """The reading has come to this offset: what lies in windows behind it is done with."""
        if offset < self._start + WINDOW:
            return
        self.leave()
        start = offset // WINDOW * WINDOW
        is_next = start == self._start + WINDOW
        self._cached = self._ahead if is_next else self._look(start)
        self._start = start
        # before we come near it: the kernel reads ahead of us
        self._ahead = self._look(start + WINDOW)

    def _look(self, start: int) -> bytes:
        length = min(WINDOW, self._size - start)
        return _cached_pages(self._descriptor, start, length)

    def leave(self) -> None:
        """Drop what was not cached when the window was begun."""
        cached, self._cached = self._cached, b""
        at = cached.find(0)
        while at >= 0:
            end = cached.find(1, at)
            end = len(cached) if end < 0 else end
            with suppress(OSError):  # a hint, and nothing else
                os.posix_fadvise(
                    self._descriptor,
                    self._start + at * _PAGE,
                    (end - at) * _PAGE,
                    os.POSIX_FADV_DONTNEED,
                )
            at = cached.find(0, end)


def _cached_pages(descriptor: int, start: int, length: int) -> bytes:
    """1 for each page that is in the cache, 0 for each that is not; empty where nobody can tell."""
    if length <= 0:
        return b""
    address = _LIBC.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, start)
    if address is None or address == _FAILED:
        return b""
    pages = ctypes.create_string_buffer(-(-length // _PAGE))
    told = _LIBC.mincore(address, length, pages)
    _LIBC.munmap(address, length)
    return pages.raw.translate(_LOWEST_BIT) if told == 0 else b""


_LOWEST_BIT = bytes(value & 1 for value in range(256))
