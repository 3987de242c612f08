"""A folder with every kind of name, size, time, mode and link that an application may meet."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.stories import FRAME, patterned

BLOCK = 512
SIZES = (
    *(0, 1, BLOCK - 1, BLOCK, BLOCK + 1),
    *(
        FRAME - BLOCK,
        FRAME - 1,
        FRAME,
        FRAME + 1,
        2 * FRAME - 1,
        2 * FRAME,
        2 * FRAME + 1,
        4 * FRAME + 1,
    ),
)
NAMES = (
    b"with space",
    b"new\nline",
    b"carriage\rreturn\ttab",
    b'it\'s "quoted"',
    b"back\\slash",
    b"-rf",
    b"*?[0001]",
    "größe 日本".encode(),
    b"latin-1 caf\xe9",
    b"\xff\xfe",
    b"n" * 99,
    b"n" * 100,
    b"n" * 101,
    b"n" * 255,
    "é".encode() * 127,
)
# ext4 keeps years up to 2446; what is above octal 77777777777 seconds needs a pax record
TIMES_NS = {
    b"nanoseconds": 1_700_000_000_123_456_789,
    b"one nanosecond": 1,
    b"epoch": 0,
    b"before 1970": -1_500_000_000,
    b"just before 1970": -1,
    b"long before 1970": -1_000_000_000_000_000_001,
    b"far future": 13_569_465_600_000_000_001,
}
MODES = (0o600, 0o644, 0o755, 0o4755, 0o2755, 0o6711, 0o400)
# (what lies where, size): data at these offsets, holes elsewhere
SPARSE = {
    b"hole at the start": ((5 * FRAME + 100,), 5 * FRAME + 777),
    b"hole at the end": ((0,), 9 * FRAME),
    b"hole in the middle": ((0, 7 * FRAME), 7 * FRAME + 4096),
    b"many extents": (tuple(range(FRAME, 40 * FRAME, 4 * FRAME)), 41 * FRAME + 3),
    b"nothing but a hole": ((), 6 * FRAME + 5),
    b"a small hole": ((), 100_000),
}


def make_oddities(folder: Path) -> None:
    """Fill a folder; folders get their times last."""
    _names(folder / "names")
    _sizes(folder / "sizes")
    _sparse(folder / "sparse")
    _links(folder / "links")
    _modes(folder / "modes")
    (folder / "empty folder").mkdir()
    noise = random.Random(7).randbytes(1_300_000)
    (folder / "noise").write_bytes(noise)
    _times(folder / "times")


def _names(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(name)
        inner = folder / "folders" / os.fsdecode(name)
        inner.mkdir(parents=True)
        (inner / os.fsdecode(name)).write_bytes(name[::-1])
    # prefix and name of ustar just fit, and just do not
    for length in (153, 154, 155, 156):
        inner = folder / ("p" * (length - 100)) / ("q" * 75)
        inner.mkdir(parents=True)
        (inner / ("r" * 100)).write_bytes(b"%d" % length)


def _sizes(folder: Path) -> None:
    folder.mkdir()
    for size in SIZES:
        (folder / f"{size} bytes").write_bytes(patterned(size, seed=size))


def _sparse(folder: Path) -> None:
    folder.mkdir()
    for name, (offsets, size) in SPARSE.items():
        with (folder / os.fsdecode(name)).open("wb") as stream:
            stream.truncate(size)
            for offset in offsets:
                stream.seek(offset)
                stream.write(b"data at %d" % offset)


def _links(folder: Path) -> None:
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    for name, target in {
        b"to the file": b"file",
        b"dangling": b"not there/at all",
        b"absolute": b"/etc/hostname",
        b"long target": b"t" * 101,
        b"very long target": b"/".join([b"u" * 200] * 15),
        b"target\nwith line end": b"new\nline",
        b"odd target": b"caf\xe9 \xff",
        b"to itself": b"to itself",
    }.items():
        path = os.fsencode(folder) + b"/" + name
        os.symlink(target, path)  # noqa: PTH211 - names in bytes
        os.utime(path, ns=(1_600_000_000_000_000_007,) * 2, follow_symlinks=False)
    (folder / "others").mkdir()
    os.link(folder / "file", folder / "others" / "the same file")
    os.link(folder / "file", folder / "one more")
    (folder / ("h" * 120)).write_bytes(b"a long first name")
    os.link(folder / ("h" * 120), folder / "i")
    large = folder / os.fsdecode(b"large \xe9")
    large.write_bytes(patterned(FRAME + 5))
    os.link(large, folder / "others" / "large again")
    os.link(folder.parent / "sparse" / "many extents", folder / "sparse again")


def _modes(folder: Path) -> None:
    folder.mkdir()
    for mode in MODES:
        file = folder / f"{mode:o}"
        file.write_bytes(b"%o" % mode)
        file.chmod(mode)
    for mode in (0o700, 0o1777, 0o2755, 0o500):
        (folder / f"folder {mode:o}").mkdir()
        (folder / f"folder {mode:o}").chmod(mode)


def _times(folder: Path) -> None:
    folder.mkdir()
    for name, when in TIMES_NS.items():
        file = folder / os.fsdecode(name)
        file.write_bytes(name)
        os.utime(file, ns=(when, when))
        inner = folder / f"folder {os.fsdecode(name)}"
        inner.mkdir()
        os.utime(inner, ns=(when, when))
    os.utime(folder, ns=(TIMES_NS[b"before 1970"],) * 2)


@contextmanager
def deep_folder(folder: Path, *, levels: int, name: bytes) -> Iterator[int]:
    """The descriptor of a folder so deep below this one that no system call takes its whole path."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(levels):
            os.mkdir(name, dir_fd=descriptor)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)
