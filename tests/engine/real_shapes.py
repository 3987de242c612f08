"""Records of a log shaped as 4D's own: rows with checksums, keys, BLOBs, contexts of users. Made, not copied."""

import struct
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.engine.logs import DATALINK, START

TABLE, OTHER_TABLE = bytes(range(64, 80)), bytes(range(96, 112))
MOVING = frozenset({21, *range(23, 31)})


def text_value(text: str) -> bytes:
    return struct.pack("<HI", 10, len(text)) + text.encode("utf-16-le")


def long_value(value: int) -> bytes:
    return struct.pack("<HI", 4, value & 0xFFFFFFFF)


def names(*found: str) -> bytes:
    joined = b"".join(bytes([len(name)]) + name.encode() for name in found)
    return struct.pack("<II", len(found), len(joined)) + joined + b"\0"


def bag(values: dict[str, bytes]) -> bytes:
    """A bag with these values and nothing inside."""
    content = b"".join(values.values())
    return b"\1" + names(*values) + struct.pack("<I", len(content) // 2) + content


def context_values(user: str = "anna", host: str = "desk-7", task: str = "P_1") -> bytes:
    """What 4D writes of a context."""
    values = {
        "task_id": long_value(5),
        "user_name": text_value(user),
        "user4d_alias": text_value(f"{user} of 4D"),
        "host_name": text_value(host),
        "task_name": text_value(task),
        "client_version": long_value(0xF0011806),
    }
    return b"GABV" + struct.pack("<I", 1) + bag(values)


def long_key(value: int) -> bytes:
    return struct.pack("<iHi", 1, 4, value)


def uuid_key(value: bytes) -> bytes:
    return struct.pack("<iH", 1, 13) + value


def text_key(value: str) -> bytes:
    return struct.pack("<i", 1) + text_value(value)


def xor_of(data: bytes) -> int:
    """The checksum, the plainest way."""
    found = 0
    for (word,) in struct.iter_unpack("<I", data[: len(data) // 4 * 4]):
        found ^= word
    return found


def row(data: bytes, number: int = 3, table: bytes = TABLE, fields: int = 2) -> bytes:
    """A row as it stands in a record."""
    head = struct.pack(
        "<4sIIBBHIiii16s", b"1cer", len(data), 5, 1, 3, 2026, xor_of(data), number, 5, fields, table
    )
    return head + data + struct.pack("<ii", 0, 4) * fields


def deletion(key: bytes, number: int = 3, table: bytes = TABLE) -> bytes:
    return key + struct.pack("<i16s", number, table)


def blob(key: bytes, content: bytes, number: int = 3, table: bytes = TABLE) -> bytes:
    return key + struct.pack("<ii16sI", 8, number, table, len(content)) + content


def sequence(value: int, table: bytes = TABLE) -> bytes:
    return struct.pack("<q16s", value, table)


@dataclass
class LogMaker:
    """A log that grows record by record, each with the number it must have."""

    number: int = 0
    time: datetime = START
    is_old: bool = False
    datalink: bytes = DATALINK
    parts: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=lambda: [24])

    def add(
        self, kind: int, payload: bytes = b"", *, context: int = 0, seconds: float = 1.0
    ) -> "LogMaker":
        """One record more, so long after the one before it."""
        self.number += int(self.is_old or kind in MOVING)
        self.time += timedelta(seconds=seconds)
        self.parts.append(frame(self.number, kind, self.time, payload, context))
        self.ends.append(self.ends[-1] + len(self.parts[-1]))
        return self

    def content(self) -> bytes:
        tag = b"GOL4" if self.is_old else b"GOl4"
        return tag + b"ATAD" + self.datalink + b"".join(self.parts)


def frame(number: int, kind: int, time: datetime, payload: bytes = b"", context: int = 0) -> bytes:
    """One record."""
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    length = 44 + len(payload)
    head = struct.pack(
        "<4sQIIqIBBH",
        b"d4bd",
        number,
        length,
        kind,
        context,
        (time - midnight) // timedelta(milliseconds=1),
        time.day,
        time.month,
        time.year,
    )
    return head + payload + struct.pack("<I4s", length, b"D4BD")


def morning() -> LogMaker:
    """Half an hour of two people at work, with one record of each kind that real logs have."""
    made = LogMaker(number=40)
    made.add(7).add(22, context_values(), context=11)
    made.add(23, sequence(7), context=11)
    made.add(24, long_key(7) + row(b"seven and more", 6), context=11)
    made.add(27, blob(long_key(7), b"a picture" * 20, 6), context=11)
    made.add(22, context_values("bert", "desk-8", "P_2"), context=12, seconds=60)
    made.add(30, context=-12)
    made.add(24, uuid_key(bytes(range(16))) + row(b"other", 0, OTHER_TABLE), context=-12)
    made.add(31, context=-12)
    made.add(25, long_key(7) + row(b"seven, changed", 6), context=12, seconds=900)
    made.add(28, blob(text_key("k\u00e9y"), b"", 2), context=12)
    made.add(29, text_key("k") + struct.pack("<ii16s", 8, 2, TABLE), context=12)
    made.add(26, deletion(long_key(7), 6), context=12)
    made.add(21, struct.pack("<i16s", -1, OTHER_TABLE), context=12)
    made.add(30, context=-12).add(31, context=-12)
    made.add(16, context=12).add(16, context=11)
    made.add(20, seconds=3600)
    return made.add(8)
