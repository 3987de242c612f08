"""Frames of a set's archive of 4D that are damaged, taken apart into their blocks: what is lost is one block, not all of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.codec import digest_of
from engine.errors import DamagedError
from engine.fourd.blockstream import unpack_run
from engine.fourd.codec import BlockCodec, make_codec
from engine.fourd.container import BLOCK_HEAD_BYTES, BLOCK_TAG, LARGEST, parse_block_head
from engine.framereader import open_what_is_there
from engine.frametable import DIGEST_BYTES, Frame, FrameTable
from engine.manifest import ArchiveFacts

_LOST = bytes(DIGEST_BYTES)
# where a block begins in the frame, what it takes there, and its content; None when that is lost
_Block = tuple[int, int, bytes | None]


def without_bad_blocks(folder: Path, facts: ArchiveFacts, bad: frozenset[int]) -> ArchiveFacts:
    """The same archive, with a frame for each block where a frame is damaged; those that are lost stay unreadable."""
    table, codec = FrameTable(), make_codec()
    with open_what_is_there(folder, facts) as archive:
        for index in range(len(facts.frames)):
            frame = facts.frames.frame(index)
            if index not in bad or not frame.raw:
                table.append(frame.raw, frame.stored, frame.digest)
                continue
            try:
                stored = bytes(archive.read(frame.offset, frame.stored))
            except DamagedError:
                table.append(frame.raw, frame.stored, _LOST)
                continue
            _append_blocks(table, frame, list(_blocks(stored, codec)))
    return replace(facts, frames=table)


def _append_blocks(table: FrameTable, frame: Frame, blocks: list[_Block]) -> None:
    full, rest = divmod(frame.raw, LARGEST)
    sizes = [LARGEST] * full + ([rest] if rest else [])
    fits = len(blocks) == len(sizes) and all(
        content is None or len(content) == size
        for (_, _, content), size in zip(blocks, sizes, strict=True)
    )
    if not fits:  # blocks were lost with their heads: nobody knows which ones
        table.append(frame.raw, frame.stored, _LOST)
        return
    for (_, count, content), size in zip(blocks, sizes, strict=True):
        table.append(size, count, _LOST if content is None else digest_of(content))


def _blocks(stored: bytes, codec: BlockCodec) -> Iterator[_Block]:
    """All of them, one after the other; where a head is damaged, a block goes on to the next one that is good."""
    at = 0
    while at < len(stored):
        count, content = _good(stored, at, codec)
        if content is None:
            count = _next_good(stored, at, codec) - at
        yield at, count, content
        at += count


def _good(stored: bytes, at: int, codec: BlockCodec) -> tuple[int, bytes | None]:
    if len(stored) - at < BLOCK_HEAD_BYTES:
        return 0, None
    head = parse_block_head(stored[at : at + BLOCK_HEAD_BYTES])
    if not head.is_plausible:
        return 0, None
    count = BLOCK_HEAD_BYTES + head.stored
    try:
        return count, unpack_run(stored[at : at + count], head.plain, compared=True, codec=codec)
    except DamagedError:
        return 0, None


def _next_good(stored: bytes, at: int, codec: BlockCodec) -> int:
    found = stored.find(BLOCK_TAG, at + 1)
    while found >= 0 and _good(stored, found, codec)[1] is None:
        found = stored.find(BLOCK_TAG, found + 1)
    return len(stored) if found < 0 else found
