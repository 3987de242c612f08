"""What the records of a log carry: table, key, record number, sizes; never the values of fields.

The layout was worked out from real files. What does not fit it is "not understood", never guessed at.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from engine.logfile import Record, Window
from engine.xorsum import xor_pieces

# the front of a payload tells everything: the key, and what stands before the row itself
FRONT_BYTES = 4096
NAMES = {
    1: "Create record",
    2: "Modify record",
    3: "Delete record",
    4: "Start transaction",
    5: "Validate transaction",
    6: "Cancel transaction",
    7: "Open data file",
    8: "Close data file",
    16: "Close context",
    20: "Start backup",
    21: "Truncate table",
    22: "Create context",
    23: "Save seqnum",
    24: "Create record",
    25: "Modify record",
    26: "Delete record",
    27: "Create BLOB",
    28: "Modify BLOB",
    29: "Delete BLOB",
    30: "Start transaction",
    31: "Validate transaction",
}
CREATE_CONTEXT, CLOSE_CONTEXT = 22, 16
RECORD_BYTES = 44  # of one that carries nothing
# tag, bytes of data, stamp, checksum, record, number of the table in the data file, fields, table
_ROW = struct.Struct("<4sI8xIi4xi16s")
_SEQUENCE = struct.Struct("<q16s")
_TABLED = struct.Struct("<i16s")
_FIELD = struct.Struct("<ii16s")
_BLOB = struct.Struct("<ii16sI")
_ROW_TAG = b"1cer"
_KEY_COUNT = struct.Struct("<i")
_KEY_KIND = struct.Struct("<H")
_LONG_KEY = struct.Struct("<iHi")
_PIECE = 1 << 20  # a multiple of a word
_PAYLOAD_AT = 36


class NotUnderstoodError(Exception):
    """What a record carries is not as the layout says."""


class Details(NamedTuple):
    """What a record carries; None is what its kind does not have.

    `size` is that of the row or BLOB. `row` is where in the payload a row's data begins, `checksum` theirs.
    """

    table: bytes | None = None
    record: int | None = None
    key: str | None = None
    field: int | None = None
    sequence: int | None = None
    size: int | None = None
    row: int | None = None
    checksum: int | None = None


NOTHING = Details()
_new = tuple.__new__


def operation_name(kind: int) -> str:
    """`Create record`; of a kind that was never met, `type n`."""
    return NAMES.get(kind) or f"type {kind}"


def read_details(window: Window, record: Record) -> Details:
    """What a record carries; nothing of a context or of a kind never met. Raises NotUnderstoodError."""
    return parse_details(
        record.kind, window.payload(record, FRONT_BYTES), record.length - RECORD_BYTES
    )


def parse_details(kind: int, front: bytes, length: int) -> Details:
    """The same of the front of a payload that has `length` bytes. Pure; raises NotUnderstoodError."""
    parse = _PARSERS.get(kind)
    if parse is None:
        return NOTHING
    try:
        return parse(front, length)
    except struct.error as error:
        raise NotUnderstoodError("it is shorter than its kind") from error


def has_right_checksum(window: Window, record: Record, details: Details) -> bool:
    """Whether the data of a row have the checksum that stands before them; true of what has none."""
    if details.row is None or details.size is None:
        return True
    begin = record.at + _PAYLOAD_AT + details.row
    return xor_pieces(_pieces(window, begin, details.size)) == details.checksum


def _pieces(window: Window, begin: int, size: int) -> Iterator[bytes]:
    for at in range(0, size, _PIECE):
        yield window.read(begin + at, min(_PIECE, size - at))


def _empty(_front: bytes, length: int) -> Details:
    _expect_length(length, 0)
    return NOTHING


def _row(front: bytes, length: int) -> Details:
    return _row_at(front, 0, length, None)


def _keyed_row(front: bytes, length: int) -> Details:
    key, at = _key(front)
    return _row_at(front, at, length, key)


def _row_at(front: bytes, at: int, length: int, key: str | None) -> Details:
    tag, size, checksum, record, fields, table = _ROW.unpack_from(front, at)
    begin = at + _ROW.size
    if tag != _ROW_TAG or fields < 0 or begin + size + 8 * fields != length:
        raise NotUnderstoodError("its row is not laid out as rows are")
    return _new(Details, (table, record, key, None, None, size, begin, checksum))


def _sequence(front: bytes, length: int) -> Details:
    _expect_length(length, 24)
    value, table = _SEQUENCE.unpack_from(front)
    return _new(Details, (table, None, None, None, value, None, None, None))


def _old_deletion(front: bytes, length: int) -> Details:
    _expect_length(length, _TABLED.size)
    record, table = _TABLED.unpack_from(front)
    return Details(table, record)


def _truncation(front: bytes, length: int) -> Details:
    _expect_length(length, _TABLED.size)
    return Details(_TABLED.unpack_from(front)[1])


def _deletion(front: bytes, length: int) -> Details:
    key, at = _key(front)
    _expect_length(length, at + _TABLED.size)
    record, table = _TABLED.unpack_from(front, at)
    return _new(Details, (table, record, key, None, None, None, None, None))


def _blob(front: bytes, length: int) -> Details:
    key, at = _key(front)
    field, record, table, size = _BLOB.unpack_from(front, at)
    _expect_length(length, at + _BLOB.size + size)
    return Details(table, record, key, field, size=size)


def _no_blob(front: bytes, length: int) -> Details:
    key, at = _key(front)
    _expect_length(length, at + _BLOB.size - 4)
    field, record, table = _FIELD.unpack_from(front, at)
    return Details(table, record, key, field)


def _expect_length(length: int, wanted: int) -> None:
    if length != wanted:
        raise NotUnderstoodError(f"it has {length} bytes where its kind has {wanted}")


# --- keys -----------------------------------------------------------------------------------------


def _key(front: bytes) -> tuple[str, int]:
    """The primary key as text, and where it ends. Raises NotUnderstoodError, struct.error."""
    count, kind, value = _LONG_KEY.unpack_from(front)
    if count == 1 and kind == 4:  # nearly all of them
        return str(value), _LONG_KEY.size
    if not 0 <= count <= 16:
        raise NotUnderstoodError(f"its key has {count} fields")
    at, parts = _KEY_COUNT.size, []
    for _ in range(count):
        (kind,) = _KEY_KIND.unpack_from(front, at)
        text, at = _key_value(front, at + _KEY_KIND.size, kind)
        parts.append(text)
    return ", ".join(parts), at


def _key_value(front: bytes, at: int, kind: int) -> tuple[str, int]:
    match kind:
        case 3:
            return str(struct.unpack_from("<h", front, at)[0]), at + 2
        case 4:
            return str(struct.unpack_from("<i", front, at)[0]), at + 4
        case 10:
            end = at + 4 + 2 * struct.unpack_from("<I", front, at)[0]
            if end > len(front):
                raise NotUnderstoodError("its key is longer than any real one")
            return front[at + 4 : end].decode("utf-16-le", "replace"), end
        case 13:
            return front[at : at + 16].hex().upper(), at + 16
        case _:
            raise NotUnderstoodError(f"its key is of the unknown kind {kind}")


_PARSERS: dict[int, Callable[[bytes, int], Details]] = {
    1: _row,
    2: _row,
    3: _old_deletion,
    21: _truncation,
    23: _sequence,
    24: _keyed_row,
    25: _keyed_row,
    26: _deletion,
    27: _blob,
    28: _blob,
    29: _no_blob,
    **dict.fromkeys((4, 5, 6, 7, 8, CLOSE_CONTEXT, 20, 30, 31), _empty),
}
