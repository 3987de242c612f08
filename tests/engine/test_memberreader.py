"""Logs and data files are looked at inside a set without unpacking it, and as they were saved."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.datafile import read_data_facts
from engine.errors import DamagedError
from engine.framereader import open_archive
from engine.logfile import DescriptorReader, begins_with, read_log_facts
from engine.manifest import iterate_members, read_manifest
from engine.member import Role
from engine.memberreader import MemberReader
from tests.engine.logs import DATALINK, OPEN, Bytes, changes, data_file, link_block, log, record
from tests.engine.stories import COMPRESSION, FRAME, make_app

LOG = log(record(0, OPEN), *changes(1, 3 * FRAME // 1000, os.urandom(950)))
DATA = data_file(2000, [link_block(DATALINK)], size=2 * FRAME + 777)


@contextmanager
def reading(folder: Path, suffix: bytes) -> Iterator[MemberReader]:
    """A member of a set, opened."""
    manifest = read_manifest(folder)
    member = next(one for one in iterate_members(folder) if one.path.endswith(suffix))
    role = "log" if member.role is Role.LOG else "main"
    facts = next(one for one in manifest.archives if one.role == role)
    with open_archive(folder, facts) as archive:
        yield MemberReader(archive, member)


@pytest.fixture(scope="module", params=["Fast", "None"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of an application whose log fills several frames and whose data file has a hole."""
    app = make_app(tmp_path_factory.mktemp("app"), {COMPRESSION: request.param}, data=b"")
    with app.data_file.open("wb") as stream:
        stream.write(DATA[:FRAME])
        stream.seek(len(DATA) - 500)
        stream.write(DATA[-500:])
    app.log.write_bytes(LOG)
    return app.backup_set()


def test_the_log_in_a_set_says_what_the_live_one_says(folder: Path) -> None:
    with reading(folder, b".journal") as reader:
        assert read_log_facts(reader) == read_log_facts(Bytes(LOG))
        assert read_log_facts(reader, every_record=True) == read_log_facts(Bytes(LOG))


def test_the_data_file_in_a_set_says_which_log_is_its_own(folder: Path) -> None:
    with reading(folder, b".4DD") as reader:
        facts = read_data_facts(reader)

    assert (facts.last, facts.datalink) == (2000, DATALINK)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(LOG) + 10), st.sampled_from([0, 1, 44, 5000, FRAME, 2 * FRAME])
        ),
        max_size=8,
    )
)
def test_any_piece_is_what_was_saved(folder: Path, pieces: list[tuple[int, int]]) -> None:
    with reading(folder, b".journal") as log_reader, reading(folder, b".4DD") as data_reader:
        for offset, count in pieces:
            assert log_reader.read(offset, count) == LOG[offset : offset + count]
            assert data_reader.read(offset, count) == DATA[offset : offset + count]


def test_a_damaged_frame_is_never_taken_for_a_log(folder: Path) -> None:
    file = next(path for path in folder.iterdir() if ".journal" in path.name)
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])

        with reading(folder, b".journal") as reader, pytest.raises(DamagedError):
            read_log_facts(reader)
    finally:
        file.write_bytes(whole)


def test_a_live_log_that_went_another_way_than_the_copy_in_the_set_is_known(
    folder: Path, tmp_path: Path
) -> None:
    number = 3 * FRAME // 1000
    grown, other = tmp_path / "grown", tmp_path / "other"
    grown.write_bytes(LOG + b"".join(changes(number + 1, number + 9)))
    # somebody restored an older set; since then as many operations were written, at other times
    other.write_bytes(
        log(
            record(0, OPEN),
            *changes(1, number - 500, os.urandom(950)),
            *changes(number - 499, number + 9),
        )
    )

    with reading(folder, b".journal") as reader:
        saved = read_log_facts(reader)

    for file, continues in ((grown, True), (other, False)):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            assert begins_with(DescriptorReader(descriptor), saved) is continues
        finally:
            os.close(descriptor)
