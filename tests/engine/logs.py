"""Logs and data files made by hand, in the layout of 4D's own; archives of 4D taken apart."""

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

DATALINK = bytes(range(16))
OTHER_DATALINK = bytes(range(16, 32))
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
OPEN, CLOSE, BACKUP, CREATE, BLOB = 7, 8, 20, 24, 27


class Bytes:
    """A file in memory that counts how it is read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)
        self.reads: list[int] = []

    def read(self, offset: int, count: int) -> bytes:
        assert offset >= 0
        assert count >= 0
        self.reads.append(count)
        return self.content[offset : offset + count]


def record(number: int, kind: int, time: datetime = START, payload: bytes = b"") -> bytes:
    """One record of a log."""
    length = 44 + len(payload)
    since_midnight = time - time.replace(hour=0, minute=0, second=0, microsecond=0)
    head = struct.pack(
        "<4sQIIqIBBH",
        b"d4bd",
        number,
        length,
        kind,
        0,
        since_midnight // timedelta(milliseconds=1),
        time.day,
        time.month,
        time.year,
    )
    return head + payload + struct.pack("<I4s", length, b"D4BD")


def log(*records: bytes, tag: bytes = b"GOl4", datalink: bytes = DATALINK) -> bytes:
    """A log with these records."""
    return tag + b"ATAD" + datalink + b"".join(records)


def changes(first: int, last: int, payload: bytes = b"row") -> list[bytes]:
    """Records of the current format that create rows, one a minute."""
    return [
        record(number, CREATE, START + timedelta(minutes=number), payload)
        for number in range(first, last + 1)
    ]


def record_ends(content: bytes) -> list[int]:
    """Where the header and each record of a whole log end: the plainest way through it."""
    ends = [24]
    while ends[-1] < len(content):
        ends.append(ends[-1] + struct.unpack_from("<I", content, ends[-1] + 12)[0])
    return ends


def _names(*names: bytes, index: bytes = b"\0") -> bytes:
    joined = b"".join(bytes([len(name)]) + name for name in names)
    return struct.pack("<II", len(names), len(joined)) + joined + index


def link_block(datalink: bytes, *, index: bytes = b"\0", too_long: int = 0) -> bytes:
    """The block of a data file that names its log."""
    text = "./data.journal"
    path = struct.pack("<HI", 10, len(text)) + text.encode("utf-16-le")
    values = path + struct.pack("<Hi", 4, 1) + struct.pack("<H", 13) + datalink
    names = _names(b"filepath", b"sequence_number", b"datalink", index=index)
    inner = b"\1" + names + struct.pack("<I", len(values) // 2 + too_long) + values
    bag = b"GABV" + struct.pack("<I", 1) + b"\2" + _names(b"journal_file")
    bag += struct.pack("<I", 1) + inner
    checksum = 0
    for (word,) in struct.iter_unpack("<I", bag[: len(bag) // 4 * 4]):
        checksum ^= word
    return b"TADx" + struct.pack("<I8xI8x", len(bag), checksum) + bag


def data_file(last: int, blocks: Iterable[bytes] = (), size: int = 131584) -> bytes:
    """A data file of 4D as far as it is looked at."""
    content = bytearray(size)
    content[:4] = b"\x02\x44\x01\x44"
    struct.pack_into("<q", content, 100, last)
    for index, block in enumerate(blocks):
        at = 84608 + 2048 * index
        content[at : at + len(block)] = block
    return bytes(content)


def members_of_archive(content: bytes) -> dict[str, bytes]:
    """What is in an archive of 4D (.4BK, .4BL), every block compared with its MD5."""
    stream = b"".join(_blocks(content))
    sizes: list[tuple[str, int]] = []
    at = 17
    for _ in range(struct.unpack_from("<Q", stream, 5)[0]):
        length = -2 * struct.unpack_from("<i", stream, at + 4)[0]
        name = stream[at + 8 : at + 8 + length].decode("utf-16-le")
        sizes.append((name, struct.unpack_from("<Q", stream, at + 8 + length)[0]))
        at += 32 + length
    members: dict[str, bytes] = {}
    for name, size in sizes:
        members[name.partition("::")[0]] = stream[at + 12 : at + 12 + size]
        at += 24 + size
    assert at == len(stream)
    return members


def _blocks(content: bytes) -> Iterable[bytes]:
    at = 20
    while at < len(content):
        stored, plain = struct.unpack_from("<II", content, at + 8)
        payload = content[at + 48 : at + 48 + stored]
        block = payload if stored == plain else _unpack(payload)
        assert hashlib.md5(block, usedforsecurity=False).digest() == content[at + 16 : at + 32]
        yield block
        at += 48 + stored


def _unpack(payload: bytes) -> bytes:
    """LZRW3-A as 4D writes it."""
    out, at, cycle = bytearray(), 4, 0
    table: list[int | None] = [None] * 4096
    pending: list[int] = []
    while at < len(payload):
        control, at = payload[at] | payload[at + 1] << 8, at + 2
        for bit in range(16):
            if at >= len(payload):
                break
            if not control >> bit & 1:
                out.append(payload[at])
                at += 1
                pending.append(len(out) - 1)
                if len(pending) == 3:
                    table[_slot(out, pending.pop(0)) + cycle] = len(out) - 3
                    cycle = cycle + 1 & 7
                continue
            slot, length = (payload[at] & 0xF0) << 4 | payload[at + 1], (payload[at] & 15) + 3
            at, start, source = at + 2, len(out), table[slot]
            for index in range(length):
                out.append(b"123456789012345678"[index] if source is None else out[source + index])
            for position in pending:
                table[_slot(out, position) + cycle] = position
                cycle = cycle + 1 & 7
            pending.clear()
            table[(slot & ~7) + cycle] = start
            cycle = cycle + 1 & 7
    return bytes(out)


def _slot(out: bytearray, at: int) -> int:
    mixed = out[at] << 8 ^ out[at + 1] << 4 ^ out[at + 2]
    return (40543 * mixed >> 4 & 511) * 8
