"""What PAR2 files protect: every packet is read and proved before the par2 program is handed any of them.

The scan takes and passes over the same packets as par2cmdline does, so that it finds no name that was not
seen here. Only what a packet says of names, sizes and digests is kept.
"""

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from engine.files import open_regular
from engine.stop import StopRequest

_NAME = re.compile(r".+\.par2", re.IGNORECASE | re.DOTALL)
_MAGIC = b"PAR2\0PKT"
_HEADER = struct.Struct("<8sQ16s16s16s")
_DESCRIPTION = struct.Struct("<16s16s16sQ")
_DESCRIBES = b"PAR 2.0\0FileDesc"
_RECOVERS = b"PAR 2.0\0RecvSlic"
_LONGEST_NAME = 255
_BODY_LIMIT = _DESCRIPTION.size + (1 << 16)
_CHUNK = 1 << 20
# a hostile file of nothing but beginnings of packets would be read once for each of them
_WASTE_FACTOR, _WASTE_LEAST = 8, 64 << 20


@dataclass(frozen=True, slots=True)
class Protected:
    """One file as it was when the recovery data was made."""

    name: str
    size: int
    md5: bytes


@dataclass(frozen=True, slots=True)
class Recovery:
    """PAR2 files that belong together (the first packet of each is of the same set) and what they protect.

    `slices`: how many whole recovery slices they hold.
    """

    files: tuple[Path, ...]
    protected: tuple[Protected, ...]
    slices: int

    @property
    def name(self) -> str:
        """What to call it: its file with the shortest name."""
        return min((file.name for file in self.files), key=lambda name: (len(name), name))


@dataclass(slots=True)
class _Found:
    """What was found so far of one recovery set; `names` by what stands in the packet, `bad` is the first hostile one."""

    files: list[Path] = field(default_factory=list)
    names: dict[str, Protected] = field(default_factory=dict)
    slices: int = 0
    bad: str = ""


def parity_files(folder: Path) -> list[Path]:
    """The PAR2 files in a folder by their names, in order. Raises OSError."""
    return sorted(entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name))


def read_recoveries(folder: Path, stop: StopRequest) -> tuple[list[Recovery], list[str]]:
    """The recovery sets in a folder that can be used, and in words why others cannot.

    Raises OSError when the folder cannot be listed, StoppedError.
    """
    found: dict[bytes, _Found] = {}
    notes: list[str] = []
    for file in parity_files(folder):
        try:
            _read(file, found, stop)
        except OSError as error:
            notes.append(f"{file.name} cannot be read: {error.strerror}")
        except ValueError as error:
            notes.append(f"{file.name} is not used: {error}")
    recoveries: list[Recovery] = []
    for one in found.values():
        if not one.files:
            continue
        recovery = Recovery(tuple(one.files), tuple(one.names.values()), one.slices)
        if one.bad:
            notes.append(f"{recovery.name} is not used: {one.bad}")
        elif recovery.protected:
            recoveries.append(recovery)
    return recoveries, notes


def _read(file: Path, found: dict[bytes, _Found], stop: StopRequest) -> None:
    """Raises OSError, ValueError when it holds no packet or is not to be trusted."""
    first: bytes | None = None
    with open_regular(file, links=False) as stream:
        for set_id, kind, body in _packets(stream, stop):
            first = first or set_id
            one = found.setdefault(set_id, _Found())
            one.slices += kind == _RECOVERS
            if kind == _DESCRIBES:
                _describe(body, one)
    if first is None:
        raise ValueError("it holds no whole packet of PAR2")
    found[first].files.append(file)


def _describe(body: bytes, found: _Found) -> None:
    if len(body) <= _DESCRIPTION.size:
        found.bad = found.bad or "a description of a file in it has no name"
        return
    _, md5, _, size = _DESCRIPTION.unpack_from(body)
    raw = body[_DESCRIPTION.size :].rstrip(b"\0")
    name = os.fsdecode(raw)
    if not is_plain(name):
        found.bad = found.bad or f"it names a file outside the set: {name!a}"
        return
    protected = Protected(name, size, md5)
    if found.names.setdefault(name, protected) != protected:
        found.bad = found.bad or f"it names {name!a} twice"


def is_plain(name: str) -> bool:
    """Whether a name is that of a file right in a folder, for every program that may read it."""
    return 0 < len(os.fsencode(name)) <= _LONGEST_NAME and not (
        name in (".", "..") or any(sign in name for sign in "/\\\0")
    )


def _packets(stream: BinaryIO, stop: StopRequest) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(set, kind, body) of each packet whose MD5 is right; a body that is not needed is empty."""
    size = os.fstat(stream.fileno()).st_size
    at = wasted = 0
    while at + _HEADER.size <= size:
        stop.check()
        stream.seek(at)
        magic, length, md5, set_id, kind = _HEADER.unpack(stream.read(_HEADER.size))
        if magic == _MAGIC and length >= _HEADER.size and not length % 4 and at + length <= size:
            stream.seek(at + 32)
            keeps = kind == _DESCRIBES and length <= _BODY_LIMIT
            body = _proved_body(stream, length - 32, md5, keeps=keeps, stop=stop)
            if body is not None:
                yield set_id, kind, body[32:]
                at += length
                continue
            wasted += length
            if wasted > max(_WASTE_LEAST, _WASTE_FACTOR * size):
                raise ValueError("it is made of damaged packets")
        at = _next_magic(stream, at + 1, size, stop)


def _proved_body(
    stream: BinaryIO, length: int, md5: bytes, *, keeps: bool, stop: StopRequest
) -> bytes | None:
    """What the MD5 in a header is of, when it is right; empty when it need not be kept."""
    digest = hashlib.md5(usedforsecurity=False)
    kept = bytearray()
    while length:
        stop.check()
        piece = stream.read(min(length, _CHUNK))
        if not piece:
            return None
        digest.update(piece)
        length -= len(piece)
        if keeps:
            kept += piece
    return bytes(kept) if digest.digest() == md5 else None


def _next_magic(stream: BinaryIO, at: int, size: int, stop: StopRequest) -> int:
    """Where the next packet may begin; the end of the file when there is none."""
    while at < size:
        stop.check()
        stream.seek(at)
        chunk = stream.read(_CHUNK)
        found = chunk.find(_MAGIC)
        if found >= 0:
            return at + found
        if len(chunk) < len(_MAGIC):
            break
        at += len(chunk) - len(_MAGIC) + 1
    return size


def is_there(folder: Path) -> bool:
    """Whether a folder holds PAR2 files, by their names."""
    with suppress(OSError):
        return bool(parity_files(folder))
    return False
