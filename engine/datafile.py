"""What a data file (.4DD) says of its log: the last operation it holds, and the id it shares with its log.

The layout was worked out from real files; where it does not hold, nothing is said. Read only.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from engine.beginning import DATA_FILE
from engine.errors import EngineError
from engine.logfile import ByteReader
from engine.namedvalues import MOST_BYTES, Bag, NoValuesError, parse_values
from engine.xorsum import xor_words

_LAST_OPERATION_AT = 100
_HEADER_BYTES = 108
_BLOCK_TAG = b"TADx"
_BLOCK_HEAD = 28  # tag, size, stamp, checksum, then the named values
_SEARCHED_BYTES = (
    1024 * 1024
)  # real files have the block near byte 84 500, rewritten ones a little later


class DataUnreadableError(EngineError):
    """A data file whose header is not known to this program: encrypted, of another format, or damaged."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """`last` is the number of the last operation in the data; `datalink` is None when it was not found.

    `log` is the path of the log that it has, as 4D wrote it; None when it has none, or gets it with the next
    backup (then 4D notes it as `next_filepath`).
    """

    last: int
    datalink: bytes | None = None
    log: str | None = None


def is_of_4d(head: bytes) -> bool:
    """Whether a file begins as the data files of 4D do."""
    return head.startswith(DATA_FILE)


def read_data_facts(reader: ByteReader) -> DataFacts:
    """What the first megabyte of a data file tells. Raises DataUnreadableError for an unknown header.

    Only a file that nobody writes to may be read: a closed one, a snapshot, one in a set.
    """
    head = reader.read(0, min(reader.size, _SEARCHED_BYTES))
    if len(head) < _HEADER_BYTES or not head.startswith(DATA_FILE):
        raise DataUnreadableError("the header of the data file is not known to this program")
    last: int = struct.unpack_from("<q", head, _LAST_OPERATION_AT)[0]
    if last < 0:
        raise DataUnreadableError(f"the data file gives {last} as its last operation")
    blocks = list(_log_blocks(head))
    # a block that was replaced may still lie there whole: with two answers neither can be trusted
    links = {block.link for block in blocks}
    newest = max(blocks, key=lambda block: block.stamp, default=None)
    return DataFacts(
        last,
        links.pop() if len(links) == 1 else None,
        None if newest is None else newest.path,
    )


class _LogBlock(NamedTuple):
    """What a block says of the log, and when it was written."""

    stamp: tuple[int, int, int, int]
    link: bytes
    path: str | None


def _log_blocks(head: bytes) -> Iterator[_LogBlock]:
    at = head.find(_BLOCK_TAG)
    while at >= 0:
        log = _block_values(head, at).first("journal_file")
        link = None if log is None else log.values.get("datalink")
        if log is not None and isinstance(link, bytes):
            milliseconds, day, month, year = struct.unpack_from("<IBBH", head, at + 8)
            path = log.values.get("filepath")
            stamp = (year, month, day, milliseconds)
            yield _LogBlock(stamp, link, path if isinstance(path, str) else None)
        at = head.find(_BLOCK_TAG, at + 1)


def _block_values(head: bytes, at: int) -> Bag:
    """The named values of a block; none when its checksum says that it is none, or no longer whole."""
    if at + _BLOCK_HEAD > len(head):
        return Bag()
    size, checksum = struct.unpack_from("<I8xI", head, at + 4)
    values = head[at + _BLOCK_HEAD : at + _BLOCK_HEAD + min(size, MOST_BYTES)]
    if len(values) != size or xor_words(values) != checksum:
        return Bag()
    try:
        return parse_values(values)
    except NoValuesError:
        return Bag()
