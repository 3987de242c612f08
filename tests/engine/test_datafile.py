"""A data file says how far it is and which log is its own, or nothing."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datafile import DataUnreadableError, read_data_facts
from engine.logfile import read_log_facts
from tests.engine.logs import (
    DATALINK,
    OTHER_DATALINK,
    Bytes,
    data_file,
    link_block,
    members_of_archive,
)
from tests.engine.stories import CORPUS

ARCHIVES = sorted((CORPUS / "archives").glob("*.4BK"))
BLOCK = link_block(DATALINK)
# what a look at the bytes gives
LINKS = {
    "archive-001 data[0001].4BK": (0, "e63b0f85a2f34a55bfc73cdde7b03c08"),
    "archive-002 data[0002].4BK": (0, "0eb4612e9a2c4c2fa4ef8a6607283a3b"),
    "archive-003 Sample[0001].4BK": (937, "ddec2821f5bb418691e39ffec7d406e8"),
    "archive-004 Tasks[0001].4BK": (613, "e6450e3c093a473087e381cd5bb87715"),
}
real = pytest.mark.skipif(not ARCHIVES, reason="the corpus of real archives is not there")


@real
def test_real_data_files_tell_their_number_and_their_log() -> None:
    for file in ARCHIVES:
        members = members_of_archive(file.read_bytes())
        data = next(content for name, content in members.items() if name.endswith(".4DD"))

        facts = read_data_facts(Bytes(data))

        assert facts.datalink is not None
        assert (facts.last, facts.datalink.hex()) == LINKS[file.name]


@real
def test_a_real_log_and_its_real_data_file_share_the_id() -> None:
    archived = CORPUS / "archives" / "archive-003 Sample[0000].4BL"
    log = next(iter(members_of_archive(archived.read_bytes()).values()))

    facts = read_log_facts(Bytes(log))

    assert facts.datalink.hex() == LINKS["archive-003 Sample[0001].4BK"][1]
    assert facts.ends_with_backup


def test_number_and_id_are_read() -> None:
    facts = read_data_facts(Bytes(data_file(42, [BLOCK])))

    assert (facts.last, facts.datalink) == (42, DATALINK)


def test_an_old_block_that_was_partly_overwritten_is_passed_over() -> None:
    old = bytearray(link_block(OTHER_DATALINK))
    old[-9] ^= 1

    assert read_data_facts(Bytes(data_file(1, [bytes(old), BLOCK]))).datalink == DATALINK


def test_an_index_of_names_is_passed_over() -> None:
    index = struct.pack("<BIii", 1, 2, 0, 1)

    facts = read_data_facts(Bytes(data_file(1, [link_block(DATALINK, index=index)])))

    assert facts.datalink == DATALINK


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [BLOCK, link_block(OTHER_DATALINK)],
        [BLOCK[:-20]],
        [link_block(DATALINK, too_long=1)],
    ],
)
def test_without_one_clear_answer_there_is_no_id(blocks: list[bytes]) -> None:
    assert read_data_facts(Bytes(data_file(1, blocks))).datalink is None


@pytest.mark.parametrize(
    "content", [b"", data_file(1)[:107], b"\x01" + data_file(1)[1:], data_file(-1)]
)
def test_an_unknown_header_is_refused(content: bytes) -> None:
    with pytest.raises(DataUnreadableError):
        read_data_facts(Bytes(content))


def test_only_the_first_megabyte_is_read() -> None:
    reader = Bytes(data_file(1, [BLOCK], size=8 * 1024 * 1024))

    read_data_facts(reader)

    assert sum(reader.reads) == 1024 * 1024


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, len(BLOCK)))
def test_a_strange_block_is_no_answer(noise: bytes, at: int) -> None:
    values = bytearray(BLOCK[28:])
    values[at : at + len(noise)] = noise
    checksum = 0
    for (word,) in struct.iter_unpack("<I", values[: len(values) // 4 * 4]):
        checksum ^= word
    block = b"TADx" + struct.pack("<I8xI8x", len(values), checksum) + values

    facts = read_data_facts(Bytes(data_file(3, [block])))

    assert facts.last == 3
    assert facts.datalink is None or len(facts.datalink) == 16
