"""An archive of 4D whose list is lost: all content that can be told apart comes back, without names."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.fourd.borders import Borders
from engine.fourd.container import Bytes as Piece
from engine.fourd.listing import BODY_TAIL, body_head
from engine.fourd.rescue import REPORT, Rescued, rescue_archive
from tests.engine.fourd_stories import FILES, WAY, archive, blocks, content, flipped, read
from tests.engine.logs import Bytes

GOOD = archive()
BLOCKS = blocks(GOOD)
BODIES = list(FILES.values())


def rescued(data: bytes, target: Path) -> Rescued:
    with pytest.raises(EngineError) as error:
        read(data)
    return rescue_archive(Bytes(data), target, str(error.value), WAY)


def test_with_the_first_block_lost_all_later_files_come_back(tmp_path: Path) -> None:
    found = rescued(flipped(GOOD, BLOCKS[0][0] + 60), tmp_path / "new")

    names = [one.name for one in found.files]
    assert names[0] == "fragment 0001.incomplete"
    assert BODIES[0].endswith((tmp_path / "new" / names[0]).read_bytes())
    assert [(tmp_path / "new" / name).read_bytes() for name in names[1:]] == BODIES[1:]
    assert names[1:] == ["file 0002", "file 0003", "file 0004", "file 0005"]
    assert "list of files" in (tmp_path / "new" / REPORT).read_text()


def test_further_damage_costs_its_file_only(tmp_path: Path) -> None:
    data = flipped(GOOD, BLOCKS[0][0] + 60, BLOCKS[5][0] + 100)

    found = rescued(data, tmp_path / "new")

    names = [one.name for one in found.files]
    assert names[1:] == ["file 0002", "file 0003", "file 0004.incomplete", "file 0005"]
    assert len((tmp_path / "new" / names[3]).read_bytes()) == len(BODIES[3])


def test_a_missing_first_block_is_no_reason_to_lose_the_rest(tmp_path: Path) -> None:
    data = GOOD[:20] + GOOD[BLOCKS[1][0] :]

    found = rescued(data, tmp_path / "new")

    assert (tmp_path / "new" / found.files[-1].name).read_bytes() == BODIES[-1]


class Kept:
    """What is found, in memory."""

    def __init__(self) -> None:
        self.files: list[tuple[int | None, bytes, bool]] = []
        self._now: tuple[int | None, bytearray] | None = None

    def start(self, size: int | None) -> None:
        assert self._now is None
        self._now = (size, bytearray())

    def add(self, piece: Piece) -> None:
        assert self._now is not None
        self._now[1].extend(piece)

    def skip(self, count: int) -> None:
        assert self._now is not None
        self._now[1].extend(bytes(count))

    def stop(self, *, is_complete: bool) -> None:
        assert self._now is not None
        self.files.append((self._now[0], bytes(self._now[1]), is_complete))
        self._now = None


bodies = st.lists(st.binary(max_size=60) | st.sampled_from([b"", BODY_TAIL, b"tadF"]), min_size=1)


@given(before=st.binary(max_size=40), given_bodies=bodies, step=st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_files_are_told_apart_however_they_arrive(
    before: bytes, given_bodies: list[bytes], step: int
) -> None:
    stream = before + BODY_TAIL
    stream += b"".join(body_head(len(one)) + one + BODY_TAIL for one in given_bodies)
    kept = Kept()
    borders = Borders(kept)

    for at in range(0, len(stream), step):
        borders.take(stream[at : at + step])
    borders.finish()

    files = [one for one in kept.files if one[0] is not None]
    assert files == [(len(one), one, True) for one in given_bodies]
    assert [one[1] for one in kept.files if one[0] is None] == ([before] if before else [])


@given(data=st.binary(max_size=300), cut=st.integers(0, 300), lost=st.none() | st.integers(1, 200))
@settings(max_examples=200, deadline=None)
def test_anything_at_all_ends_well(data: bytes, cut: int, lost: int | None) -> None:
    kept = Kept()
    borders = Borders(kept)

    borders.take(BODY_TAIL + b"tadF" + data[:cut])
    borders.miss(lost)
    borders.take(data[cut:])
    borders.finish()

    assert all(size is None or size >= 0 for size, _, _ in kept.files)


def test_a_size_that_no_file_can_have_is_no_border() -> None:
    kept = Kept()
    borders = Borders(kept)

    borders.take(BODY_TAIL + struct.pack("<4sQ", b"tadF", 1 << 63) + content(100))
    borders.finish()

    assert [size for size, _, _ in kept.files] == [None]
