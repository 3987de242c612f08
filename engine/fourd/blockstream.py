"""A stream cut into blocks as 4D cuts it, packed on all cores, a bounded number at a time, in order.

So many blocks at a time are a run: what is packed, written and, in a set, read again together.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import local
from types import TracebackType
from typing import Self

from blake3 import blake3

from engine.errors import DamagedError
from engine.fourd.codec import BlockCodec, make_codec
from engine.fourd.container import (
    ARCHIVE_HEAD,
    BLOCK_HEAD_BYTES,
    LARGEST,
    BlockHead,
    Bytes,
    md5_of,
    parse_block_head,
    render_block_head,
)

_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Packing:
    """How blocks are packed: by so many threads, `at_once` of them as a run; without `packs` they are stored as they are."""

    workers: int
    make: Callable[[], BlockCodec] = make_codec
    at_once: int = _AT_ONCE
    packs: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """Some blocks as they are stored; they hold `raw` bytes with this BLAKE3."""

    raw: int
    digest: bytes
    stored: bytes


# those of a thread go with it: one that lived as long as the program would outlive the engine it runs in
_own = local()


def _codec(make: Callable[[], BlockCodec]) -> BlockCodec:
    """That of this thread, made when it first needs one."""
    codec: BlockCodec | None = getattr(_own, "codec", None)
    if codec is None:
        codec = _own.codec = make()
    return codec


class BlockStream:
    """Takes the bytes of a stream; `take` gets its runs in order, in the thread that puts.

    Used as a context, so that threads end whatever happens. `position` counts the bytes that were put.
    """

    def __init__(self, take: Callable[[Run], None], packing: Packing) -> None:
        self.position = 0
        self._take = take
        self._packing = packing
        self._pool = ThreadPoolExecutor(packing.workers, thread_name_prefix="pack")
        self._waiting: deque[Future[Run]] = deque()
        self._full = bytearray()
        self._at_once = packing.at_once * LARGEST

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for future in self._waiting:
            future.cancel()
        wait(self._waiting)
        self._pool.shutdown()

    def put(self, piece: Bytes) -> None:
        """The next bytes. Raises what `take` raises."""
        self.position += len(piece)
        rest = memoryview(piece)
        while len(self._full) + len(rest) >= self._at_once:
            part = rest[: self._at_once - len(self._full)]
            self._full += part
            rest = rest[len(part) :]
            self._submit()
        self._full += rest

    def finish(self) -> None:
        """No more bytes will come. Raises what `take` raises."""
        if self._full:
            self._submit()
        while self._waiting:
            self._take(self._waiting.popleft().result())

    def _submit(self) -> None:
        content, self._full = self._full, bytearray()
        self._waiting.append(self._pool.submit(self._packed, content))
        if len(self._waiting) > self._packing.workers + 1:
            self._take(self._waiting.popleft().result())

    def _packed(self, content: bytearray) -> Run:
        view = memoryview(content)
        plain = [view[at : at + LARGEST] for at in range(0, len(content), LARGEST)]
        encoded: list[Bytes] = list(plain)
        if self._packing.packs:
            encoded = list(_codec(self._packing.make).encode(plain))
        parts: list[Bytes] = []
        for block, stored in zip(plain, encoded, strict=True):
            parts += (render_block_head(stored, block), stored)
        return Run(len(content), blake3(view).digest(), b"".join(parts))


def largest_run(at_once: int) -> int:
    """The most bytes that a run of so many blocks takes."""
    return at_once * (BLOCK_HEAD_BYTES + LARGEST)


def unpack_run(
    stored: Bytes, raw: int, *, compared: bool, codec: BlockCodec | None = None
) -> bytes:
    """The `raw` bytes that a run holds; none: the beginning of an archive. Without a `codec`, this thread gets one.

    Without `compared`, who asks has a digest of them; only what is stored is compared then. Raises DamagedError.
    """
    view = memoryview(stored)
    if not raw:
        if compared and view != ARCHIVE_HEAD:
            raise DamagedError("an archive of 4D begins otherwise")
        return b""
    blocks = list(_blocks(view))
    if sum(head.plain for head, _ in blocks) != raw:
        raise DamagedError(f"its blocks do not hold {raw} bytes")
    packed = [payload for head, payload in blocks if head.stored != head.plain]
    unpacked = iter((codec or _codec(make_codec)).decode(packed))
    content: list[Bytes] = []
    for number, (head, payload) in enumerate(blocks, 1):
        plain = payload if head.stored == head.plain else next(unpacked)
        if plain is None or len(plain) != head.plain:
            raise DamagedError(f"block {number} of it cannot be unpacked")
        if compared and head.plain_md5 != (head.stored_md5 if plain is payload else md5_of(plain)):
            raise DamagedError(f"the content of block {number} of it is not what was written")
        content.append(plain)
    return b"".join(content)


def _blocks(view: memoryview) -> "list[tuple[BlockHead, memoryview]]":
    found: list[tuple[BlockHead, memoryview]] = []
    at = 0
    while at < len(view):
        place = f"block {len(found) + 1} of it"
        if len(view) - at < BLOCK_HEAD_BYTES:
            raise DamagedError(f"{place} is cut off")
        head = parse_block_head(view[at : at + BLOCK_HEAD_BYTES])
        start = at + BLOCK_HEAD_BYTES
        at = start + head.stored
        if not head.is_plausible or at > len(view):
            raise DamagedError(f"the head of {place} is damaged")
        payload = view[start:at]
        if md5_of(payload) != head.stored_md5:
            raise DamagedError(f"{place} is not what was written")
        found.append((head, payload))
    return found
