"""Blocks looked at and unpacked on all cores, in order, a bounded number at a time."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from engine.fourd.codec import BlockCodec, make_codec
from engine.fourd.container import (
    BLOCK_TAG,
    KIND,
    LARGEST,
    Block,
    Bytes,
    Condition,
    Gap,
    RawBlock,
    md5_of,
)


class Unpacker:
    """Judges and unpacks blocks; `make` gives the codec of each thread. Without `decodes`, stored bytes are compared only."""

    def __init__(
        self,
        workers: int,
        *,
        decodes: bool = True,
        make: Callable[[], BlockCodec] = make_codec,
        at_once: int = 32,
    ) -> None:
        self._at_once = at_once
        self._workers = workers
        self._decodes = decodes
        self._make = make
        self._own = threading.local()

    def run(self, found: Iterable[RawBlock | Gap]) -> Generator[Block | Gap, None, None]:
        """Every block and gap in order. Whoever may stop early closes it."""
        waiting: deque[Future[list[Block | Gap]]] = deque()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="unpack") as pool:
            try:
                for some in batched(found, self._at_once):
                    waiting.append(pool.submit(self._judge, some))
                    if len(waiting) > self._workers + 1:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
                wait(waiting)

    def _judge(self, some: list[RawBlock | Gap]) -> list[Block | Gap]:
        packed = [one for one in some if isinstance(one, RawBlock) and self._is_packed(one)]
        plain = dict(
            zip(map(id, packed), self._codec().decode([one.stored for one in packed]), strict=True)
        )
        return [
            self._judged(one, plain.get(id(one))) if isinstance(one, RawBlock) else one
            for one in some
        ]

    def _is_packed(self, raw: RawBlock) -> bool:
        return self._decodes and raw.is_read and raw.head.stored_md5 != raw.head.plain_md5

    def _judged(self, raw: RawBlock, unpacked: bytes | None) -> Block:
        if not raw.is_read:
            return Block(raw.offset, raw.end, Condition.NOT_READ, b"", _length(raw))
        return judge(raw, unpacked) if self._decodes else judge_stored(raw)

    def _codec(self) -> BlockCodec:
        codec: BlockCodec | None = getattr(self._own, "codec", None)
        if codec is None:
            codec = self._own.codec = self._make()
        return codec


def judge(raw: RawBlock, unpacked: Bytes | None) -> Block:
    """What is known of a block that unpacks to this, None when it cannot be unpacked."""
    head = raw.head
    stored_is_right = md5_of(raw.stored) == head.stored_md5
    plain: Bytes | None = unpacked
    if unpacked is None or (head.stored == head.plain and md5_of(unpacked) != head.plain_md5):
        # not packed: 4D does so where packing would not make it smaller
        is_plain = len(raw.stored) == head.plain or head.stored_md5 == head.plain_md5
        plain = raw.stored if is_plain else None
    if plain is not None and md5_of(plain) == head.plain_md5:
        flaws = _flaws(raw, plain, stored_is_right=stored_is_right)
        condition = Condition.PROVED if flaws else Condition.WHOLE
        is_short = not raw.is_last and len(plain) != LARGEST
        return Block(raw.offset, raw.end, condition, plain, len(plain), flaws, _note(raw), is_short)
    if not stored_is_right:
        why = "its stored bytes are not what was written"
        return Block(raw.offset, raw.end, Condition.LOST, b"", _length(raw), why)
    if plain is None or len(plain) != head.plain:
        why = f"its stored bytes are right, but compression kind {head.kind} is not known to this program"
        if head.kind == KIND:
            why = (
                "its stored bytes are right, but packed in a way that is not known to this program"
            )
        return Block(raw.offset, raw.end, Condition.NOT_KNOWN, b"", _length(raw), why)
    why = "its stored bytes are right, but the MD5 of its content is another one"
    return Block(raw.offset, raw.end, Condition.DOUBTFUL, plain, len(plain), why)


def judge_stored(raw: RawBlock) -> Block:
    """The same without unpacking: the content stays unread."""
    if md5_of(raw.stored) != raw.head.stored_md5:
        why = "its stored bytes are not what was written"
        return Block(raw.offset, raw.end, Condition.LOST, b"", _length(raw), why)
    length = min(raw.head.plain, LARGEST)
    flaws = _flaws(raw, None, stored_is_right=True)
    condition = Condition.PROVED if flaws else Condition.WHOLE
    is_short = not raw.is_last and length != LARGEST
    return Block(raw.offset, raw.end, condition, b"", length, flaws, _note(raw), is_short)


def _flaws(raw: RawBlock, plain: Bytes | None, *, stored_is_right: bool) -> str:
    """What is wrong around a content that is proved."""
    head = raw.head
    flaws: list[str] = []
    if not stored_is_right:
        flaws.append("the MD5 of its stored bytes is another one")
    if head.tag != BLOCK_TAG:
        flaws.append(f"its tag is {bytes(head.tag)!r}")
    if not raw.is_framed:
        flaws.append(f"its head says {head.stored} stored bytes, it has {len(raw.stored)}")
    if plain is not None and head.plain != len(plain):
        flaws.append(f"its head says {head.plain} bytes of content, it has {len(plain)}")
    return "; ".join(flaws)


def _note(raw: RawBlock) -> str:
    if raw.head.kind == KIND:
        return ""
    return f"its field at byte 4 is {raw.head.kind}, in every archive known to this program it is {KIND}"


def _length(raw: RawBlock) -> int:
    """All blocks but the last hold as much as a block can."""
    return min(raw.head.plain, LARGEST) if raw.is_last else LARGEST


def batched(
    found: Iterable[RawBlock | Gap], count: int
) -> Generator[list[RawBlock | Gap], None, None]:
    """So many at a time, the last time what is left."""
    batch: list[RawBlock | Gap] = []
    for one in found:
        batch.append(one)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch
