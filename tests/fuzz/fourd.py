"""Targets: archives of 4D, as they are; what is inside, in blocks that are right; and their compression."""

import io
import shutil
from functools import cache
from pathlib import Path

from engine.errors import EngineError
from engine.fourd.archive import read_list, verify_stored
from engine.fourd.codec import PlainCodec, make_codec
from engine.fourd.extract import Wish, extract_archive
from engine.fourd.listing import Listing
from engine.fourd.onefile import copy_one
from engine.fourd.reading import Reading
from engine.fourd.rescue import rescue_archive
from tests.engine.fourd_stories import (
    FILES,
    WAY,
    archive,
    content,
    stream,
    wrapped,
)
from tests.engine.logs import Bytes
from tests.engine.stories import CORPUS
from tests.fuzz.target import Target, scratch

_SMALL = {
    "./Data/data.4DD::DataFile": content(3000, 1),
    "./a/b.txt::": b"text",
    "./empty::": b"",
    "./last.4DIndx::C:\\x\\": content(500, 2),
}
_DECODERS = (PlainCodec(), make_codec())


def read_archive(data: bytes) -> None:
    """Refused or read; what is called whole has a list that says what came out; nothing outside the folder."""
    _look(data)
    taken = _Counted()
    try:
        outcome = Reading(Bytes(data), taken, WAY).run()
    except EngineError as error:
        _extract(data, str(error))
        return
    assert taken.ended == len(outcome.listing.entries)
    assert taken.there + taken.lost == sum(one.size for one in outcome.listing.entries)
    if outcome.is_whole:
        assert not taken.doubts
        assert not taken.lost
        assert verify_stored(Bytes(data), WAY).is_whole
    _extract(data, "")


class _Counted:
    """Counts what comes out; sizes may be giant."""

    def __init__(self) -> None:
        self.there = self.lost = self.ended = self.doubts = 0

    def listed(self, listing: Listing) -> None: ...

    def doubt(self, index: int) -> None:
        self.doubts += 1

    def begin(self, index: int) -> None:
        assert index == self.ended

    def take(self, index: int, offset: int, piece: memoryview) -> None:
        self.there += len(piece)

    def miss(self, index: int, offset: int, count: int) -> None:
        self.lost += count

    def end(self, index: int) -> None:
        self.ended += 1


def read_inner(data: bytes) -> None:
    """The same with every block right: only what is inside is hostile."""
    read_archive(wrapped(data))


def unpack_block(data: bytes) -> None:
    """Both decoders say the same of any bytes, and what is packed comes back."""
    data = data[:32768]
    one, other = (codec.decode([bytes(4) + data[4:]]) for codec in _DECODERS)
    assert one == other
    packed, again = (codec.encode([data])[0] for codec in _DECODERS)
    assert packed == again
    if len(packed) < len(data):
        assert _DECODERS[1].decode([packed]) == [data]


def _look(data: bytes) -> None:
    for act in (
        lambda: read_list(Bytes(data), WAY),
        lambda: verify_stored(Bytes(data), WAY),
        lambda: copy_one(Bytes(data), "Data/data.4DD", io.BytesIO(), WAY),
    ):
        try:
            act()
        except EngineError:
            continue


def _extract(data: bytes, why: str) -> None:
    place = scratch("4bk")
    inner = place / "inner"
    shutil.rmtree(inner, ignore_errors=True)
    inner.mkdir()
    try:
        if why:
            rescue_archive(Bytes(data), inner / "new", why, WAY)
        else:
            extract_archive(Bytes(data), inner / "new", Wish(), WAY)
    except EngineError:
        pass
    assert {one.name for one in inner.iterdir()} <= {"new"}
    assert {one.name for one in place.iterdir()} == {"inner"}


@cache
def _archives() -> list[bytes]:
    real = sorted((CORPUS / "archives").glob("*.4BL"))
    return [archive(_SMALL), wrapped(stream(archive(_SMALL)), 1000), *map(Path.read_bytes, real)]


def _streams() -> list[bytes]:
    return [stream(one) for one in _archives()] + [stream(archive({"./x::": b"", "./y::": b"z"}))]


def _packed() -> list[bytes]:
    return PlainCodec().encode([content(2000, seed) for seed in range(5)] + [*FILES.values()][2:4])


_WORDS = (b"70KB", b"pmoC", b"KBPF", b"TSIL", b"elif", b"tadF", b"zerF", b":\0:\0", b".\0.\0/\0")

TARGETS = (
    Target("4bk", read_archive, _archives, _WORDS),
    Target("4bk-inside", read_inner, _streams, _WORDS),
    Target("4bk-block", unpack_block, _packed, (bytes(4), b"\xff\xff", b"\x0f\0")),
)
