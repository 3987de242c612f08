"""The made-up log and data file of the demo, shaped as 4D's own as far as anything here looks at them. Pure."""

import random
import struct
from datetime import datetime, timedelta

from engine.beginning import DATA_FILE
from engine.logfile import LogFormat
from engine.xorsum import xor_words

_IDENTITY = bytes.fromhex("9F0C41D27B6E4A0FB5A3C18D2E7743A1")
_INVOICES = bytes.fromhex("5AFA15123F991C43B6ACF8B46A914BD0")
_CUSTOMERS = bytes.fromhex("C18D2E7743A19F0C41D27B6E4A0FB5A3")
CATALOG = f"""<?xml version="1.0" encoding="UTF-8"?>
<base name="Invoices" uuid="{_IDENTITY.hex().upper()}">
  <table name="Invoices" uuid="{_INVOICES.hex().upper()}" id="1"/>
  <table name="Customers" uuid="{_CUSTOMERS.hex().upper()}" id="2"/>
</base>
"""
_PEOPLE = (("anna", "desk-7", "Application process"), ("bert", "desk-8", "P_2"))
_OPEN, _CONTEXT, _CREATE, _MODIFY, _DELETE = 7, 22, 24, 25, 26
_RECORDS = 1500
_BLOCK_AT, _HEADER_BYTES, _UNIT = 84_608, 98_304, 128


def demo_log(until: datetime) -> tuple[bytes, int]:
    """A log of an hour's work, and the number of its last operation."""
    source = random.Random(4)  # noqa: S311 - the same made-up work every time
    now = until - timedelta(hours=1)
    parts = [LogFormat.CURRENT.value, b"ATAD", _IDENTITY, _record(1, _OPEN, now, b"", 0)]
    number = 1
    for context, (user, host, task) in enumerate(_PEOPLE, start=11):
        parts.append(_record(number, _CONTEXT, now, _context(context, user, host, task), context))
    for row in range(_RECORDS):
        number += 1
        now += timedelta(seconds=source.uniform(0.5, 3.5)) if row else timedelta()
        kind = source.choices((_CREATE, _MODIFY, _DELETE), (6, 3, 1))[0]
        table = source.choices((_INVOICES, _CUSTOMERS), (3, 1))[0]
        payload = struct.pack("<iHi", 1, 4, row) + _row(kind, table, row, now, source)
        parts.append(_record(number, kind, now, payload, source.choice((11, 12))))
    return b"".join(parts), number


def demo_data(rows: bytes, last: int) -> bytes:
    """A data file with these rows, at this operation, that names the log beside it."""
    size = -(-(_HEADER_BYTES + len(rows)) // _UNIT) * _UNIT
    content = bytearray(size)
    content[: len(DATA_FILE)] = DATA_FILE
    content[24:40] = _CUSTOMERS[::-1]
    struct.pack_into("<q", content, 40, size)
    struct.pack_into("<q", content, 100, last)
    block = _log_block()
    content[_BLOCK_AT : _BLOCK_AT + len(block)] = block
    content[_HEADER_BYTES : _HEADER_BYTES + len(rows)] = rows
    return bytes(content)


def _record(number: int, kind: int, now: datetime, payload: bytes, context: int) -> bytes:
    length = 44 + len(payload)
    head = struct.pack("<4sQIIqIBBH", b"d4bd", number, length, kind, context, *_stamp(now))
    return head + payload + struct.pack("<I4s", length, b"D4BD")


def _stamp(now: datetime) -> tuple[int, int, int, int]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return (now - midnight) // timedelta(milliseconds=1), now.day, now.month, now.year


def _row(kind: int, table: bytes, row: int, now: datetime, source: random.Random) -> bytes:
    if kind == _DELETE:
        return struct.pack("<i16s", row, table)
    data = f"{row:08d};customer {row % 997};open".encode() + source.randbytes(96)
    values = (xor_words(data), row, 1, 2, table)
    head = struct.pack("<4sIIBBHIiii16s", b"1cer", len(data), *_stamp(now), *values)
    return head + data + struct.pack("<4i", 0, 10, len(data) - 96, 12)


def _context(number: int, user: str, host: str, task: str) -> bytes:
    texts = {"user_name": user, "user4d_alias": user, "host_name": host, "task_name": task}
    values = {name: _text(text) for name, text in texts.items()}
    values |= {
        "task_id": struct.pack("<Hi", 4, number),
        "client_version": struct.pack("<HI", 4, 0xF0012100),
    }
    return b"GABV" + struct.pack("<I", 1) + _bag(values)


def _log_block() -> bytes:
    link = struct.pack("<H", 13) + _IDENTITY
    number = struct.pack("<Hi", 4, 1)
    inner = _bag({"filepath": _text("./data.journal"), "sequence_number": number, "datalink": link})
    bag = b"GABV" + struct.pack("<I", 1) + b"\2" + _names(["journal_file"])
    bag += struct.pack("<I", 1) + inner
    return b"TADx" + struct.pack("<IIBBHI8x", len(bag), 0, 1, 1, 2026, xor_words(bag)) + bag


def _bag(values: dict[str, bytes]) -> bytes:
    content = b"".join(values.values())
    return b"\1" + _names(list(values)) + struct.pack("<I", len(content) // 2) + content


def _names(names: list[str]) -> bytes:
    joined = b"".join(bytes([len(name)]) + name.encode() for name in names)
    return struct.pack("<II", len(names), len(joined)) + joined + b"\0"


def _text(text: str) -> bytes:
    return struct.pack("<HI", 10, len(text)) + text.encode("utf-16-le")
