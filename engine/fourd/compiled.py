"""LZRW3-A at the speed of machine code: lzrw3a.wat in the WebAssembly engine wasmtime, which needs no compiler.

The optional extra `4d` installs it; without it, lzrw3a.py does the same (codec.py). Threads unpack at the same
time: the engine works outside Python's lock. What a hostile archive makes of the decoder stays in its own memory.
"""

import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import wasmtime

from engine.fourd.container import LARGEST, Bytes

MOST_JOBS = 32
_JOB = struct.Struct("<4I")
_RESULT = struct.Struct("<i")
_JOBS_AT = 16448
_FIRST = 65536
_MEMORY = 40 << 16  # as lzrw3a.wat says
_ROOM = LARGEST + 256  # with the slack that the decoder may write into


@cache
def _compiled() -> tuple[wasmtime.Engine, wasmtime.Module]:
    config = wasmtime.Config()
    # measured: checks in the code cost nothing here, and so no signal handler of this process is touched and no
    # 4 GiB of addresses are taken for each thread
    config.signals_based_traps = False
    config.memory_reservation = _MEMORY
    config.memory_reservation_for_growth = 0
    config.memory_guard_size = 0
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module.from_file(engine, Path(__file__).with_name("lzrw3a.wat"))


class CompiledCodec:
    """Packs and unpacks blocks, for one thread. Raises wasmtime.WasmtimeError where it may not work."""

    name = "compiled"

    def __init__(self) -> None:
        engine, module = _compiled()
        self._store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        decode, encode, memory = exports["decode"], exports["encode"], exports["memory"]
        # lzrw3a.wat says so
        assert isinstance(decode, wasmtime.Func)  # noqa: S101
        assert isinstance(encode, wasmtime.Func)  # noqa: S101
        assert isinstance(memory, wasmtime.Memory)  # noqa: S101
        self._decode, self._encode = decode, encode
        # the memory never grows, so that it stays where it is
        self._memory = memoryview(memory.get_buffer_ptr(self._store)).cast("B")

    def decode(self, blocks: Sequence[Bytes]) -> list[bytes | None]:
        """The plain bytes of each, None for what is no such stream."""
        return [one for some in _in_turns(blocks) for one in self._run(self._decode, some)]

    def encode(self, blocks: Sequence[Bytes]) -> list[bytes]:
        """The stored bytes of each: packed when that is smaller."""
        packed: list[bytes] = []
        for some in _in_turns(blocks):
            results = self._run(self._encode, some)
            packed += [
                bytes(plain) if one is None or len(one) == len(plain) else one
                for one, plain in zip(results, some, strict=True)
            ]
        return packed

    def _run(self, function: wasmtime.Func, blocks: Sequence[Bytes]) -> list[bytes | None]:
        source, target = _FIRST, _FIRST + MOST_JOBS * _ROOM
        for number, block in enumerate(blocks):
            if len(block) > LARGEST:
                raise ValueError(f"a block of {len(block)} bytes")
            at = source + number * _ROOM
            self._memory[at : at + len(block)] = block
            job = (at, len(block), target + number * _ROOM, LARGEST)
            _JOB.pack_into(self._memory, _JOBS_AT + number * _JOB.size, *job)
        function(self._store, len(blocks))
        return [self._result(number, target + number * _ROOM) for number in range(len(blocks))]

    def _result(self, number: int, at: int) -> bytes | None:
        (count,) = _RESULT.unpack_from(self._memory, _JOBS_AT + number * _JOB.size + 12)
        return None if count < 0 else bytes(self._memory[at : at + count])


def _in_turns(blocks: Sequence[Bytes]) -> list[Sequence[Bytes]]:
    return [blocks[at : at + MOST_JOBS] for at in range(0, len(blocks), MOST_JOBS)]
