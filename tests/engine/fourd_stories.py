"""Archives like those of 4D, made by hand from random and repetitive content, and what is read of them."""

import io
import random
import struct
from dataclasses import dataclass, field

from engine.fourd.blockstream import Packing
from engine.fourd.codec import PlainCodec
from engine.fourd.container import ARCHIVE_HEAD, BLOCK_HEAD_BYTES, HEAD_BYTES, render_block_head
from engine.fourd.listing import Entry, Listing
from engine.fourd.reading import Outcome, Reading, Way
from engine.fourd.writer import ArchiveWriter
from engine.stop import StopRequest
from tests.engine.logs import Bytes

WAY = Way(1, StopRequest())
PLAIN = Way(1, StopRequest(), make=PlainCodec)
DATA = "./Data/data.4DD::DataFile"


def content(size: int, seed: int = 1) -> bytes:
    """Half noise, half repetition: blocks that are packed, and each another."""
    some = random.Random(seed)
    parts = bytearray()
    while len(parts) < size:
        parts += some.randbytes(some.randrange(1, 40))
        parts += bytes([some.randrange(256)]) * some.randrange(1, 60)
    return bytes(parts[:size])


FILES = {
    DATA: content(150_000, 1),
    "./Data/Settings/settings.4DSettings::": b"<settings/>",
    "./empty.txt::": b"",
    "./Project/Sources/catalog.4DCatalog::": content(70_000, 2),
    "./Ümläut/ファイル.4dm::": content(900, 3),
}


def archive(files: dict[str, bytes] | None = None) -> bytes:
    """An archive with these files, made by the product's own writer."""
    given = FILES if files is None else files
    out = io.BytesIO()
    entries = [Entry(text, len(body)) for text, body in given.items()]
    with ArchiveWriter(out, entries, Packing(1)) as writer:
        for body in given.values():
            writer.write(body)
        writer.finish()
    return out.getvalue()


def stream(data: bytes) -> bytes:
    """All plain bytes of an archive joined: blocks by their heads alone."""
    joined = b""
    for offset, stored in blocks(data):
        body = data[offset + BLOCK_HEAD_BYTES : offset + BLOCK_HEAD_BYTES + stored]
        plain = struct.unpack_from("<I", data, offset + 12)[0]
        joined += body if stored == plain else PlainCodec().decode([body])[0] or b""
    return joined


def wrapped(plain: bytes, size: int = 32768) -> bytes:
    """An archive around any stream, its blocks stored as they are."""
    parts = [ARCHIVE_HEAD]
    for at in range(0, len(plain), size):
        block = plain[at : at + size]
        parts += (render_block_head(block, block), block)
    return b"".join(parts)


def blocks(data: bytes) -> list[tuple[int, int]]:
    """Where each block begins, and how many bytes it stores."""
    found, at = [], HEAD_BYTES
    while at < len(data):
        stored = struct.unpack_from("<I", data, at + 8)[0]
        found.append((at, stored))
        at += BLOCK_HEAD_BYTES + stored
    return found


def flipped(data: bytes, *places: int) -> bytes:
    changed = bytearray(data)
    for at in places:
        changed[at] ^= 0x10
    return bytes(changed)


@dataclass
class Collected:
    """All that came out: the bytes of each file, what was lost and what was doubted of it."""

    entries: list[Entry] = field(default_factory=list)
    files: list[bytearray] = field(default_factory=list)
    lost: list[list[tuple[int, int]]] = field(default_factory=list)
    doubted: set[int] = field(default_factory=set)
    ended: list[int] = field(default_factory=list)

    def listed(self, listing: Listing) -> None:
        self.entries = listing.entries
        self.files = [bytearray() for _ in listing.entries]
        self.lost = [[] for _ in listing.entries]

    def doubt(self, index: int) -> None:
        self.doubted.add(index)

    def begin(self, index: int) -> None: ...

    def take(self, index: int, offset: int, piece: memoryview) -> None:
        assert offset == len(self.files[index])
        self.files[index] += piece

    def miss(self, index: int, offset: int, count: int) -> None:
        assert offset == len(self.files[index])
        self.files[index] += bytes(count)
        self.lost[index].append((offset, offset + count))

    def end(self, index: int) -> None:
        self.ended.append(index)

    @property
    def by_text(self) -> dict[str, bytes]:
        return {e.text: bytes(b) for e, b in zip(self.entries, self.files, strict=True)}

    def right_where_kept(self, wanted: dict[str, bytes]) -> bool:
        """Whether every byte that is not lost or doubted is the one that was packed."""
        for index, (entry, body) in enumerate(zip(self.entries, self.files, strict=True)):
            good = wanted.get(entry.text)
            if index in self.doubted:
                continue
            if good is None or len(good) != len(body):
                return False
            patched = bytearray(body)
            for start, end in self.lost[index]:
                patched[start:end] = good[start:end]
            if patched != good:
                return False
        return True


def read(data: bytes, way: Way = WAY) -> tuple[Outcome, Collected]:
    """Read an archive in memory. Raises what the product raises."""
    taken = Collected()
    return Reading(Bytes(data), taken, way).run(), taken
