"""A look at a data file: quick, of samples, and sure of what it says."""

import errno
import os
import struct
import time
from pathlib import Path

import pytest

from engine.datalook import Seen, Trouble, Unusable, absent_volume, examine, look_at, mount_of
from tests.engine.logs import DATALINK, Bytes, members_of_archive
from tests.engine.opening_stories import IDENTITY, SIZE, USED, real_data
from tests.engine.stories import CORPUS

ARCHIVES = sorted((CORPUS / "archives").glob("*.4BK"))


class Failing(Bytes):
    """A disk that fails behind an offset, so many times."""

    def __init__(self, content: bytes, behind: int, number: int) -> None:
        super().__init__(content)
        self._behind = behind
        self._number = number

    def read(self, offset: int, count: int) -> bytes:
        if offset + count > self._behind:
            raise OSError(self._number, os.strerror(self._number))
        return super().read(offset, count)


@pytest.mark.skipif(not ARCHIVES, reason="the corpus of real archives is not there")
def test_real_data_files_end_behind_what_their_headers_call_used() -> None:
    for file in ARCHIVES:
        members = members_of_archive(file.read_bytes())
        for name, content in members.items():
            if not name.lower().endswith((".4dd", ".4db")):
                continue
            found = examine(Bytes(content), ())

            assert isinstance(found, Seen)
            assert found.used is not None
            assert len(content.rstrip(b"\0")) <= found.used <= len(content)
            assert found.places
            cut = examine(Bytes(content[: found.used - 1]), ())
            assert isinstance(cut, Seen)
            assert cut.is_cut


def test_what_a_good_file_says_is_read() -> None:
    found = examine(Bytes(real_data(42)), ())

    assert isinstance(found, Seen)
    assert (found.size, found.used, found.last) == (SIZE, USED, 42)
    assert (found.datalink, found.identity) == (DATALINK, IDENTITY)
    assert len(found.places) == 24


def test_places_that_hold_nothing_any_more_are_told() -> None:
    content = bytearray(real_data())
    content[100_000:140_000] = bytes(40_000)

    found = examine(Bytes(bytes(content)), (50_176, 110_080))

    assert isinstance(found, Seen)
    assert found.emptied == (110_080,)


def test_a_used_part_that_is_no_multiple_of_4ds_pieces_is_not_believed() -> None:
    content = bytearray(real_data())
    struct.pack_into("<q", content, 40, SIZE * 2 + 1)

    found = examine(Bytes(bytes(content)), ())

    assert isinstance(found, Seen)
    assert found.used is None


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"", Trouble.EMPTY),
        (bytes(100_000), Trouble.ZEROS),
        (bytes(5), Trouble.ZEROS),
        (b"\2\x44\1\x44", Trouble.UNKNOWN),
        (b"%PDF" + real_data()[4:], Trouble.UNKNOWN),
    ],
)
def test_what_is_no_data_file_is_told_apart(content: bytes, trouble: Trouble) -> None:
    found = examine(Bytes(content), ())

    assert isinstance(found, Unusable)
    assert found.trouble is trouble


@pytest.mark.parametrize("behind", [0, 4096, 200_000])
def test_a_disk_that_lost_something_is_damage(behind: int) -> None:
    found = examine(Failing(real_data(), behind, errno.EIO), ())

    assert isinstance(found, Unusable)
    assert found.trouble is Trouble.LOST


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EACCES])
def test_a_server_that_does_not_answer_is_none(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        examine(Failing(real_data(), 0, number), ())


def test_special_files_neither_hang_nor_pass(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for place in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        found = look_at(place)

        assert isinstance(found, Unusable)
        assert found.trouble is Trouble.NO_FILE


def test_a_terabyte_is_looked_at_in_well_under_a_second(tmp_path: Path) -> None:
    file = tmp_path / "data.4DD"
    content = bytearray(real_data())
    struct.pack_into("<q", content, 40, (1 << 40) - 4096)
    file.write_bytes(content)
    with file.open("r+b") as stream:
        stream.truncate(1 << 40)

    began = time.monotonic()
    found = look_at(file)

    assert isinstance(found, Seen)
    assert time.monotonic() - began < 0.5


def test_a_volume_known_to_hold_it_is_missed(tmp_path: Path) -> None:
    file = tmp_path / "data.4DD"

    assert absent_volume(file, tmp_path) == tmp_path
    assert absent_volume(file, mount_of(file)) is None
    assert absent_volume(file, Path("/elsewhere")) is None
