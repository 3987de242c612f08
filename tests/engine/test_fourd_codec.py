"""LZRW3-A: what is packed comes back, the compiled decoder is the one in Python, and nonsense ends well."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fourd import codec as codecs
from engine.fourd.codec import BlockCodec, PlainCodec, make_codec
from engine.fourd.container import LARGEST, SMALLEST_FULL
from tests.engine.fourd_stories import content

compiled = pytest.importorskip("engine.fourd.compiled", reason="the extra 4d is not installed")
PLAIN, FAST = PlainCodec(), compiled.CompiledCodec()
both = pytest.mark.parametrize("codec", [PLAIN, FAST], ids=["plain", "compiled"])
_INITIAL = b"123456789012345678"


def noise(some: random.Random, size: int) -> bytes:
    return some.randbytes(size)


def few_letters(some: random.Random, size: int) -> bytes:
    return bytes(some.choices(b"ab1", k=size))


def runs(some: random.Random, size: int) -> bytes:
    return content(size, some.randrange(1 << 30))


def initial(some: random.Random, size: int) -> bytes:
    return (_INITIAL * (size // 18 + 1))[some.randrange(3) :][:size]


PLAINS: tuple[Callable[[random.Random, int], bytes], ...] = (noise, few_letters, runs, initial)


def some_plain(some: random.Random) -> bytes:
    size = some.choice((0, 1, 2, 3, 17, 18, 19, 20, some.randrange(400), some.randrange(4000)))
    return some.choice(PLAINS)(some, size)


def some_stream(some: random.Random) -> bytes:
    """A packed block, often broken: flipped, cut, grown, or copies at random from the first byte on."""
    stored = bytearray(PLAIN.encode([some_plain(some)])[0])
    way = some.randrange(6)
    if way == 0:
        return b"\0\0\0\0" + some.randbytes(some.randrange(3000))
    if way == 1:
        return bytes(4) + b"\xff\xff" + some.randbytes(some.randrange(34))
    if way == 2 and stored:
        stored[some.randrange(len(stored))] ^= 1 << some.randrange(8)
    if way == 3:
        del stored[some.randrange(len(stored) + 1) :]
    if way == 4:
        stored += some.randbytes(some.randrange(9))
    return bytes(stored)


def assert_equal_on(count: int, seed: int) -> None:
    some = random.Random(seed)
    for _ in range(count // 20):
        plain = [some_plain(some) for _ in range(20)]
        streams = [some_stream(some) for _ in range(20)]

        assert FAST.encode(plain) == PLAIN.encode(plain)
        assert FAST.decode(streams) == PLAIN.decode(streams)


def test_both_are_equal_on_good_and_broken_streams() -> None:
    assert_equal_on(600, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_are_equal_on_ten_thousand_streams() -> None:
    assert_equal_on(10_000, 2)


@both
@given(plain=st.binary(max_size=300) | st.text("ab1", max_size=900).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_what_is_packed_comes_back(codec: BlockCodec, plain: bytes) -> None:
    (stored,) = codec.encode([plain])

    assert len(stored) <= len(plain)
    if len(stored) < len(plain):
        assert codec.decode([stored]) == [plain]
    else:
        assert stored == plain


@both
def test_full_blocks_come_back(codec: BlockCodec) -> None:
    some = random.Random(3)
    plain = [kind(some, LARGEST) for kind in PLAINS]

    stored = codec.encode(plain)

    assert stored[0] == plain[0]  # noise does not become smaller
    assert codec.decode(stored[1:]) == plain[1:]


@both
def test_no_full_block_is_smaller_than_what_is_counted_on(codec: BlockCodec) -> None:
    (stored,) = codec.encode([bytes(LARGEST)])

    assert SMALLEST_FULL <= len(stored) < SMALLEST_FULL + 60


@both
def test_more_than_a_block_is_refused_without_unpacking_it(codec: BlockCodec) -> None:
    bomb = bytes(4) + (b"\xff\xff" + b"\x0f\x00" * 16) * 4000

    assert codec.decode([bomb[:LARGEST]]) == [None]


@both
@pytest.mark.parametrize(
    "stream", [b"", b"\0\0\0", b"\1\0\0\0a", b"\0\0\0\0\1", b"\0\0\0\0\1\0\5"], ids=bytes.hex
)
def test_what_is_no_stream_is_told(codec: BlockCodec, stream: bytes) -> None:
    assert codec.decode([stream]) == [None]


@both
def test_a_copy_of_what_was_never_met_is_of_the_digits(codec: BlockCodec) -> None:
    assert codec.decode([b"\0\0\0\0\1\0\x0f\0"]) == [_INITIAL]


def test_the_compiled_one_is_taken_where_it_works() -> None:
    assert make_codec().name == "compiled"


def test_one_block_leaves_nothing_behind_for_the_next() -> None:
    some = random.Random(4)
    plain = [runs(some, 5000) for _ in range(70)]
    stored = FAST.encode(plain)

    assert FAST.decode(stored) == plain
    assert [FAST.decode([one])[0] for one in reversed(stored)] == plain[::-1]


@pytest.fixture
def asked_again() -> Iterator[None]:
    """What works here is found out once in a process; in these tests, once more."""
    codecs._compiled.cache_clear()
    yield
    codecs._compiled.cache_clear()


@pytest.mark.usefixtures("asked_again")
def test_without_the_extra_plain_python_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "engine.fourd.compiled", None)

    assert make_codec().name == "plain Python"


def test_where_no_memory_may_be_made_executable_plain_python_is_taken() -> None:
    """As in a service with MemoryDenyWriteExecute; PR_SET_MDWE is 65, since Linux 6.3."""
    code = (
        "import ctypes, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"
        "from engine.fourd.codec import make_codec\n"
        "print(make_codec().name)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )

    if done.returncode == 77:
        pytest.skip("this kernel knows no PR_SET_MDWE")
    assert (done.stdout, done.returncode) == ("plain Python\n", 0), done.stderr
