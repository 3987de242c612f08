"""The outer layer of an archive of 4D: twenty bytes, then blocks back to back, each with its own two MD5s.

All numbers are little-endian. No block says which one it is: their order is protected by nothing (docs/4d-archives.md).
"""

import hashlib
import struct
from dataclasses import dataclass, replace
from enum import Enum

from engine.beginning import kind_words, lost_words
from engine.errors import Code, DamagedError, EngineError
from engine.logfile import ByteReader

_TAG = b"70KB"
ARCHIVE_HEAD = struct.pack("<4s4I", _TAG, 1, 0, 0, 1)
HEAD_BYTES = len(ARCHIVE_HEAD)
BLOCK_TAG = b"pmoC"
KIND = 1
LARGEST = 32768
_BLOCK = struct.Struct("<4sIII16s16s")
BLOCK_HEAD_BYTES = _BLOCK.size
_SEARCHED = 1 << 20
# 32768 bytes in copies of 18: 1821 of 2 bytes, a control word for 16 of them, the flags
SMALLEST_FULL = 1821 * 2 + 114 * 2 + 4

Bytes = bytes | memoryview


class NotKnownError(EngineError):
    """What this program cannot read; nothing says that it is damaged."""

    code = Code.DONE


@dataclass(frozen=True, slots=True)
class BlockHead:
    """What stands before a block; `kind` is 1 in every archive that was seen."""

    tag: bytes
    kind: int
    stored: int
    plain: int
    plain_md5: bytes
    stored_md5: bytes

    @property
    def is_plausible(self) -> bool:
        """Whether a block can have such a head."""
        return self.tag == BLOCK_TAG and 0 < self.stored <= self.plain <= LARGEST


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A block as it lies in the archive. `is_framed`: its head says where it ends, else the next block does.

    One that is not `is_read` is not wanted: nothing but its head was looked at.
    """

    offset: int
    head: BlockHead
    stored: Bytes
    is_last: bool
    is_framed: bool = True
    is_read: bool = True

    @property
    def end(self) -> int:
        length = len(self.stored) if self.is_read else self.head.stored
        return self.offset + BLOCK_HEAD_BYTES + length


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes of the archive in which no block can be told; how many blocks they were is open."""

    offset: int
    end: int
    is_last: bool

    @property
    def fewest(self) -> int:
        """At the end they may be none at all: something was appended."""
        if self.is_last:
            return 0
        return max(1, -(-(self.end - self.offset) // (BLOCK_HEAD_BYTES + LARGEST)))

    @property
    def most(self) -> int:
        return max(self.fewest, (self.end - self.offset) // (BLOCK_HEAD_BYTES + SMALLEST_FULL))


class Condition(Enum):
    """What is known of the content of a block."""

    WHOLE = "whole"
    # the content is proved, what stands around it is damaged
    PROVED = "proved"
    # the stored bytes are right, what they unpack to is not what was promised
    DOUBTFUL = "doubtful"
    LOST = "lost"
    NOT_KNOWN = "not known"
    NOT_READ = "not read"


@dataclass(frozen=True, slots=True)
class Block:
    """A block after it was looked at: `content` is empty when it is lost, `length` what it takes in the stream.

    One that `is_short` is not full, and something follows it: right only where the content ends with it.
    """

    offset: int
    end: int
    condition: Condition
    content: Bytes
    length: int
    why: str = ""
    note: str = ""
    is_short: bool = False


def too_short(block: Block) -> Block:
    """The same block, where it is known that the content goes on behind it."""
    why = f"it is not full ({block.length} bytes), and not the last one"
    condition = Condition.PROVED if block.condition is Condition.WHOLE else block.condition
    return replace(block, condition=condition, why=f"{block.why}; {why}".removeprefix("; "))


def parse_block_head(data: Bytes) -> BlockHead:
    """The head that these 48 bytes are; anything can be in it."""
    return BlockHead(*_BLOCK.unpack(data))


def render_block_head(stored: Bytes, plain: Bytes) -> bytes:
    """The head of a block of our own."""
    of_stored = md5_of(stored)
    of_plain = of_stored if stored is plain else md5_of(plain)
    return _BLOCK.pack(BLOCK_TAG, KIND, len(stored), len(plain), of_plain, of_stored)


def md5_of(data: Bytes) -> bytes:
    """The format's own checksum: it finds accidents, not forgery."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def check_archive_head(reader: ByteReader) -> tuple[str, ...]:
    """What is unusual in the first bytes. Raises NotKnownError when nothing of the format can be seen."""
    head = reader.read(0, HEAD_BYTES)
    if head == ARCHIVE_HEAD:
        if reader.size == HEAD_BYTES:
            raise DamagedError(f"it is cut off: nothing follows its first {HEAD_BYTES} bytes")
        return ()
    if not _has_block_at(reader, HEAD_BYTES):
        if not _has_block_behind(reader):
            _refuse_lost(reader, head)
            raise NotKnownError(_why_not_known(head))
        return ("its beginning is damaged: blocks of an archive of 4D stand further on",)
    note = (
        f"the first {HEAD_BYTES} bytes are {head.hex()}, in every archive known to this program they are"
        f" {ARCHIVE_HEAD.hex()}: changed since, or an archive of another kind (segments, redundancy)"
    )
    return (note,)


def _refuse_lost(reader: ByteReader, head: bytes) -> None:
    """What was an archive, or should have become one, and has nothing in it. Raises DamagedError."""
    if len(head) >= len(_TAG) and ARCHIVE_HEAD.startswith(head):
        raise DamagedError(f"it is cut off: it has {len(head)} bytes, and not even a whole header")
    if words := lost_words(reader.read, reader.size):
        raise DamagedError(words)


def _why_not_known(head: bytes) -> str:
    if head[:4] != _TAG:
        kind = kind_words(head)
        return f"it is no archive of 4D (.4BK, .4BL): {kind or 'it does not begin as one'}"
    if head != ARCHIVE_HEAD:
        return f"its header {head[4:].hex()} is not known to this program (segments, redundancy?)"
    return "after its header stands no block of a kind that is known to this program"


def _has_block_behind(reader: ByteReader) -> bool:
    """Whether a whole block stands in the first MiB: then its beginning was overwritten."""
    start = reader.read(0, _SEARCHED)
    at = start.find(BLOCK_TAG)
    while at >= 0:
        if _has_block_at(reader, at):
            return True
        at = start.find(BLOCK_TAG, at + 1)
    return False


def _has_block_at(reader: ByteReader, offset: int) -> bool:
    head = reader.read(offset, BLOCK_HEAD_BYTES)
    if len(head) < BLOCK_HEAD_BYTES:
        return False
    found = parse_block_head(head)
    stored = reader.read(offset + BLOCK_HEAD_BYTES, found.stored) if found.is_plausible else b""
    return found.is_plausible and md5_of(stored) == found.stored_md5
