"""Which LZRW3-A there is on this machine: the compiled one, else the one in plain Python; both give the same."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Protocol

from engine.fourd.container import LARGEST, Bytes
from engine.fourd.lzrw3a import NotThatStreamError, decode, encode


class BlockCodec(Protocol):
    """Blocks of at most 32768 bytes; an object is for one thread."""

    @property
    def name(self) -> str: ...

    def decode(self, blocks: Sequence[Bytes]) -> list[bytes | None]:
        """The plain bytes of each, None for what is no such stream."""
        ...

    def encode(self, blocks: Sequence[Bytes]) -> list[bytes]:
        """The stored bytes of each: packed when that is smaller, else as they are."""
        ...


class PlainCodec:
    """The same in plain Python."""

    name = "plain Python"

    def decode(self, blocks: Sequence[Bytes]) -> list[bytes | None]:
        return [_decoded(bytes(block)) for block in blocks]

    def encode(self, blocks: Sequence[Bytes]) -> list[bytes]:
        return [encode(bytes(block)) for block in blocks]


def is_compiled() -> bool:
    """Whether the fast one works here."""
    return _compiled() is not None


def make_codec() -> BlockCodec:
    """The fastest one that works here."""
    kind = _compiled()
    return PlainCodec() if kind is None else kind()


@cache
def _compiled() -> type[BlockCodec] | None:
    """None without the extra `4d`, and where no memory may be made executable (a service's sandbox)."""
    try:
        kind: type[BlockCodec] = import_module("engine.fourd.compiled").CompiledCodec
        kind()
    except Exception:  # noqa: BLE001 - whatever keeps it from working: the other one is always there
        return None
    return kind


def _decoded(block: bytes) -> bytes | None:
    try:
        return decode(block, LARGEST)
    except NotThatStreamError:
        return None
