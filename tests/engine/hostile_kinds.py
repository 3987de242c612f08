"""Every kind of hostile set that we know of, by name."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.member import Attributes, Kind
from engine.tarstream import END, member_header
from tests.engine.hostile_archives import (
    NAME,
    PLAIN,
    Hostile,
    Piece,
    pax,
    record,
    renew_checksums,
    spoiled_header,
)

GOOD = Piece(b"good", content=b"good")
FILE = Piece(b"file", content=b"content")
OUTSIDE = b"canary/secret"


def _file(path: bytes, content: bytes = b"bad") -> Piece:
    return Piece(path, content=content)


def _link(path: bytes, target: bytes) -> Piece:
    return Piece(path, Kind.SYMLINK, link=target)


def _hard(path: bytes, target: bytes) -> Piece:
    return Piece(path, Kind.HARDLINK, link=target)


def _folder(path: bytes) -> Piece:
    return Piece(path, Kind.FOLDER)


def _type(letter: bytes, path: bytes = b"odd") -> Piece:
    piece = Piece(path, content=b"")
    return replace(piece, raw_header=spoiled_header(piece, 156, letter))


def _field(at: int, value: bytes) -> Piece:
    return replace(FILE, raw_header=spoiled_header(FILE, at, value))


def _with(records: bytes, **more: Any) -> Piece:
    return replace(FILE, raw_header=pax(records, FILE.header), **more)


def _row(**changes: Any) -> Piece:
    return replace(FILE, row=lambda row: row.update(changes))


def _attributes(**changes: int) -> Attributes:
    return replace(PLAIN, **changes)


def _sparse(text: bytes, realsize: int) -> Piece:
    """A sparse file with this map as it is; `text` fills one block."""
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.name", b"sparse") + record(
        b"GNU.sparse.realsize", b"%d" % realsize
    )
    inner = member_header(b"GNUSparseFile.0/sparse", Kind.FILE, PLAIN, size=512 + 512)
    header = pax(records, inner) + text.ljust(512, b"\0")
    return Piece(
        b"sparse",
        content=b"x" * 512,
        raw_header=header,
        row=lambda row: row.update(size=min(realsize, 2**63 - 1), extents=_numbers(text)),
    )


def _numbers(text: bytes) -> list[list[int]]:
    values = [int(part) for part in text.split()[1:]]
    return [list(pair) for pair in zip(values[::2], values[1::2], strict=False)]


def _symlinked(name: str) -> Hostile:
    def spoil(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return Hostile((GOOD,), spoil=spoil)


def _special(name: str, kind: str) -> Hostile:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        if kind == "fifo":
            os.mkfifo(folder / name)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                here = os.open(folder, os.O_RDONLY)
                server.bind(f"/proc/self/fd/{here}/{name}")
                os.close(here)
        elif kind == "folder":
            (folder / name).mkdir()
        else:
            (folder / name).symlink_to("/dev/zero")

    return Hostile((GOOD,), spoil=spoil)


def _manifest(**changes: Any) -> Hostile:
    return Hostile((GOOD,), document=lambda document: document.update(changes))


def _frames(row: list[Any]) -> Hostile:
    def change(document: dict[str, Any]) -> None:
        document["frames"][0][: len(row)] = row
        document["archives"][0]["stream_bytes"] = document["frames"][0][1]

    return Hostile((GOOD,), document=change)


def _named(name: str) -> Hostile:
    def change(document: dict[str, Any]) -> None:
        document["archives"][0]["files"][0]["name"] = name
        document["set"]["files"] = [["main", name]]

    return Hostile((GOOD,), document=change)


def _sizes(size: int) -> Hostile:
    def spoil(folder: Path) -> None:
        data = bytearray((folder / NAME).read_bytes())
        # an eight-byte content size in the frame's header, single segment
        data[4] = 0xE4
        data[5:6] = size.to_bytes(8, "little")
        (folder / NAME).write_bytes(data)
        renew_checksums(folder)

    return Hostile((GOOD,), spoil=spoil)


_NESTED = b"".join(
    member_header(b"../%s" % OUTSIDE, Kind.FILE, PLAIN, size=3).ljust(512)
    + b"bad".ljust(512, b"\0")
    for _ in range(2048)
)
_LONG = b"/".join([b"d" * 100] * 120)

KINDS: dict[str, Hostile] = {
    # names
    "absolute path": Hostile((GOOD, _file(b"/tmp/hostile-canary"))),
    "parent folder": Hostile((GOOD, _file(b"../" + OUTSIDE))),
    "parent folder inside": Hostile((GOOD, _file(b"a/../../" + OUTSIDE))),
    "a dot as a part": Hostile((GOOD, _file(b"a/./b"))),
    "an empty part": Hostile((GOOD, _file(b"a//b"))),
    "no name": Hostile(
        (GOOD, replace(_file(b"x"), raw_header=spoiled_header(_file(b"x"), 0, b"\0")))
    ),
    "a zero byte in a name": Hostile((GOOD, _with(record(b"path", b"a\0b")))),
    "control characters": Hostile((GOOD, _file(b"\x1b[2Jx\n\r\x07"))),
    "a name of 255 bytes": Hostile((GOOD, _file(b"n" * 255))),
    "a name of 256 bytes": Hostile((GOOD, _file(b"n" * 256))),
    "a path of 12 KB": Hostile((GOOD, _file(_LONG))),
    "a path of 5000 folders": Hostile((GOOD, _file(b"d/" * 5000 + b"x"))),
    "our own names": Hostile(
        tuple(
            _file(name)
            for name in (
                *(b"SALVAGE REPORT.txt", b"x", b"x.incomplete", b"found without a name/0001"),
                *(b"scratch", b"root", b"found without a name/unusable name 0001", b"../y"),
            )
        )
    ),
    "equal but for case": Hostile((_file(b"Name"), _file(b"name"), _file(b"NAME"))),
    # links
    "a file through a symlink": Hostile((GOOD, _link(b"d", b"../canary"), _file(b"d/secret"))),
    "a file over a symlink": Hostile((GOOD, _link(b"f", b"../canary/secret"), _file(b"f"))),
    "a folder over a symlink": Hostile(
        (_link(b"d", b"../canary"), _folder(b"d"), _file(b"d/secret"))
    ),
    "a symlink through a symlink": Hostile((_link(b"d", b"../canary"), _link(b"d/new", b"x"))),
    "an absolute symlink": Hostile((GOOD, _link(b"a", b"/etc/passwd"))),
    "a symlink upwards": Hostile((GOOD, _link(b"a", b"../../../canary/secret"))),
    "an empty symlink": Hostile((GOOD, _link(b"a", b""))),
    "a symlink of 5000 bytes": Hostile((GOOD, _link(b"a", b"t" * 5000))),
    "a symlink with a zero byte": Hostile(
        (
            GOOD,
            replace(
                _link(b"a", b"b"),
                raw_header=pax(record(b"linkpath", b"a\0b"), _link(b"a", b"b").header),
            ),
        )
    ),
    "a hard link upwards": Hostile((GOOD, _hard(b"a", b"../" + OUTSIDE))),
    "an absolute hard link": Hostile((GOOD, _hard(b"a", b"/etc/passwd"))),
    "a hard link to itself": Hostile((GOOD, _hard(b"a", b"a"))),
    "a hard link to a symlink": Hostile(
        (GOOD, _link(b"l", b"../canary/secret"), _hard(b"a", b"l"))
    ),
    "a hard link through a symlink": Hostile((_link(b"l", b"../canary"), _hard(b"a", b"l/secret"))),
    "a hard link to a later file": Hostile((_hard(b"a", b"b"), _file(b"b"))),
    "a hard link to a folder": Hostile((_folder(b"d"), _hard(b"a", b"d"))),
    "a hard link to nothing": Hostile((GOOD, _hard(b"a", b"not there"))),
    # other types
    "a character device": Hostile((GOOD, _type(b"3"))),
    "a block device": Hostile((GOOD, _type(b"4"))),
    "a FIFO": Hostile((GOOD, _type(b"6"))),
    "an unknown type": Hostile((GOOD, _type(b"Z"))),
    "GNU long name": Hostile((GOOD, _type(b"L"), FILE)),
    "GNU long link": Hostile((GOOD, _type(b"K"), FILE)),
    "a global header": Hostile(
        (
            GOOD,
            replace(
                FILE, raw_header=pax(record(b"path", b"../" + OUTSIDE), FILE.header, kind=b"g")
            ),
        )
    ),
    "set-user-id of root": Hostile((GOOD, replace(FILE, attributes=_attributes(mode=0o6755)))),
    # twice
    "the same file twice": Hostile((GOOD, GOOD, GOOD)),
    "a file where a folder is": Hostile((_file(b"a/b"), _file(b"a"))),
    "a folder where a file is": Hostile((_file(b"a"), _file(b"a/b"), _folder(b"a"))),
    "a link where a folder is": Hostile(
        (_file(b"a/b"), _link(b"a", b"../canary"), _file(b"a/secret"))
    ),
    # numbers
    "2^62 bytes": Hostile((GOOD, _with(record(b"size", b"%d" % 2**62), size=2**62))),
    "2^64 bytes": Hostile((GOOD, _with(record(b"size", b"%d" % 2**64)))),
    "a negative size": Hostile((GOOD, _field(124, b"-0000000001\0"))),
    "a size in base 256": Hostile((GOOD, _field(124, b"\x80" + b"\xff" * 11))),
    "an owner of 2^40": Hostile((GOOD, _with(record(b"uid", b"%d" % 2**40)))),
    "an owner of 2^32 - 1": Hostile((GOOD, _with(record(b"uid", b"%d" % (2**32 - 1))))),
    "a time of 10^300": Hostile((GOOD, _with(record(b"mtime", b"1" + b"0" * 300)))),
    "a time that is none": Hostile((GOOD, _with(record(b"mtime", b"NaN")))),
    "a time of 1e999999999": Hostile((GOOD, _with(record(b"mtime", b"1e999999999")))),
    "a time of 2^63": Hostile((GOOD, _with(record(b"mtime", b"%d" % (2**63 - 1))))),
    "a time before all": Hostile((GOOD, _row(mtime_ns=-(2**63 - 1) * 10**9))),
    "a mode beyond": Hostile((GOOD, _row(mode="7777777"))),
    "a size in the manifest": Hostile((GOOD, _row(size=2**62))),
    "a header in the manifest": Hostile((GOOD, _row(header=2**60, data=2**61))),
    # extended headers
    "an extended header of 8 GiB": Hostile(
        (GOOD, replace(FILE, raw_header=pax(b"x", FILE.header, size=8**11 - 1)))
    ),
    "records without end": Hostile((GOOD, _with(b"9999999 path=x\n"))),
    "a record of no length": Hostile((GOOD, _with(b"0 path=x\n"))),
    "70000 records": Hostile((GOOD, _with(record(b"path", b"file") * 70_000))),
    "an extended header at the end": Hostile((GOOD,), tail=pax(record(b"path", b"x"), b"")),
    "two extended headers": Hostile(
        (
            GOOD,
            replace(
                FILE, raw_header=pax(record(b"path", b"a"), pax(record(b"path", b"b"), FILE.header))
            ),
        )
    ),
    # sparse files
    "a sparse file of 2^62": Hostile((GOOD, _sparse(b"1\n0\n512\n", 2**62))),
    "pieces that overlap": Hostile((GOOD, _sparse(b"2\n0\n256\n128\n256\n", 4096))),
    "pieces out of order": Hostile((GOOD, _sparse(b"2\n1024\n256\n0\n256\n", 4096))),
    "pieces beyond the end": Hostile((GOOD, _sparse(b"1\n100000\n512\n", 4096))),
    "pieces of 2^63": Hostile((GOOD, _sparse(b"1\n9223372036854775807\n512\n", 4096))),
    "a map of 2^24 pieces": Hostile((GOOD, _sparse(b"16777216\n0\n512\n", 4096))),
    "a map that is none": Hostile((GOOD, _sparse(b"many\n", 4096))),
    # the stream
    "garbage behind the end": Hostile((GOOD,), tail=END + b"garbage" * 1000),
    "a member behind the end": Hostile((GOOD,), tail=END + _file(b"../" + OUTSIDE).header + END),
    "no end": Hostile((GOOD, FILE), tail=b""),
    "an archive in an archive": Hostile((GOOD, _file(b"nested.tar", _NESTED), _file(b"last"))),
    "an archive in a file cut in frames": Hostile(
        (GOOD, _file(b"nested.tar", _NESTED * 2), _file(b"last"))
    ),
    "members that overlap": Hostile(
        (GOOD, replace(FILE, row=lambda row: row.update(header=0, data=512)))
    ),
    "members out of order": Hostile(
        (GOOD, FILE), document=lambda document: document["members"].reverse()
    ),
    "a member of the log in the archive": Hostile((GOOD, _row(role="log"))),
    # the manifest
    "a frame of 2^60": _frames([0, 2**60]),
    "a frame of another archive": _frames([7]),
    "a negative frame": _frames([0, -5]),
    "an archive elsewhere": _named("../canary/secret"),
    "an archive that is absolute": _named("/etc/passwd"),
    "an archive that is the folder": _named(".."),
    "a number that is a text": _manifest(version="1"),
    "a newer version": _manifest(version=99),
    "archives that are none": _manifest(archives={}),
    "no archives": _manifest(archives=[], frames=[]),
    "a frame header of 2^60": _sizes(2**60),
    # what stands where files should
    "a symlinked archive": _symlinked(NAME),
    "a symlinked manifest": _symlinked("manifest.json"),
    "symlinked checksums": _symlinked("SHA256SUMS"),
    "a FIFO as archive": _special(NAME, "fifo"),
    "a FIFO as manifest": _special("manifest.json", "fifo"),
    "a FIFO as checksums": _special("SHA256SUMS", "fifo"),
    "a socket as archive": _special(NAME, "socket"),
    "a folder as archive": _special(NAME, "folder"),
    "a folder as manifest": _special("manifest.json", "folder"),
    "an endless device as archive": _special(NAME, "device"),
    "an endless device as manifest": _special("manifest.json", "device"),
    "an endless device as checksums": _special("SHA256SUMS", "device"),
}
