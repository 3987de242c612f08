"""What a log holds is read right, however it was cut, and never guessed."""

import os
import re
import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.logfile import (
    DescriptorReader,
    LogFormat,
    LogUnreadableError,
    begins_with,
    read_log_facts,
)
from tests.engine.logs import (
    BACKUP,
    BLOB,
    CLOSE,
    CREATE,
    DATALINK,
    OPEN,
    OTHER_DATALINK,
    START,
    Bytes,
    changes,
    log,
    record,
    record_ends,
)
from tests.engine.stories import CORPUS

LOGS = sorted((CORPUS / "logs").glob("*.journal"))
TABLE = re.compile(
    r"^\| (log-\d+\.journal) \| (\w+) \| (\d+) \| (\d+) \| \d+ \| (\w+) \| (\w+) \| (.*?) \| (.*?) \|",
    re.MULTILINE,
)
real = pytest.mark.skipif(not LOGS, reason="the corpus of real logs is not beside the project")
READABLE = [file for file in LOGS if file.read_bytes()[:3].upper() == b"GOL"]
LAST = START + timedelta(hours=2)
SMALL = log(
    record(5, OPEN),
    *changes(6, 8),
    record(8, BACKUP, START + timedelta(hours=1)),
    record(9, CREATE, LAST, b"x" * 300),
)


def check_cut(whole: bytes, ends: list[int], cut: int) -> None:
    """A log cut at a byte is whole up to the last record before it."""
    if cut < 24:
        with pytest.raises(LogUnreadableError, match=r"it is empty|too few|cut off"):
            read_log_facts(Bytes(whole[:cut]))
        return

    facts = read_log_facts(Bytes(whole[:cut]))

    assert (facts.size, facts.whole_bytes) == (cut, max(end for end in ends if end <= cut))
    expected = read_log_facts(Bytes(whole[: facts.whole_bytes]))
    assert (facts.last, facts.last_time) == (expected.last, expected.last_time)


@real
def test_real_logs_are_read_as_another_reader_did() -> None:
    readme = (CORPUS / "README.md").read_text("utf-8")
    rows = {row[0]: row[1:] for row in TABLE.findall(readme)}
    assert len(rows) == len(LOGS)

    for file in READABLE:
        kind, size, _, first, last, first_time, last_time = rows[file.name]
        facts = read_log_facts(Bytes(file.read_bytes()))
        assert (facts.format.name.lower(), facts.size) == (kind, int(size))
        assert [str(facts.first), str(facts.last)] == [first, last]
        assert [str(facts.first_time), str(facts.last_time)] == [first_time, last_time]
        assert not facts.is_torn


@real
@pytest.mark.parametrize("file", READABLE, ids=lambda file: file.stem)
def test_going_through_a_real_log_finds_what_its_ends_tell(file: Path) -> None:
    content = file.read_bytes()

    assert read_log_facts(Bytes(content), every_record=True) == read_log_facts(Bytes(content))


@real
@pytest.mark.parametrize("file", READABLE, ids=lambda file: file.stem)
def test_a_real_log_cut_anywhere_counts_up_to_its_last_whole_record(file: Path) -> None:
    content = file.read_bytes()
    ends = record_ends(content)
    # of the two that take minutes: the whole beginning, then around every border and here and there
    near = {end + off for end in ends for off in (-9, -8, -1, 0, 1, 44)} | set(range(4000))
    cuts = range(len(content)) if len(content) < 30_000 else sorted(near)[:6000]

    for cut in cuts:
        if cut <= len(content):
            check_cut(content, ends, cut)


@real
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", READABLE, ids=lambda file: file.stem)
def test_a_real_log_cut_at_every_byte(file: Path) -> None:
    content = file.read_bytes()
    ends = record_ends(content)

    for cut in range(len(content) + 1):
        check_cut(content, ends, cut)


def test_a_log_cut_at_every_byte_counts_up_to_its_last_whole_record() -> None:
    ends = record_ends(SMALL)

    for cut in range(len(SMALL) + 1):
        check_cut(SMALL, ends, cut)


def test_numbers_times_and_the_backup_mark() -> None:
    end = START + timedelta(hours=1, milliseconds=345)

    facts = read_log_facts(Bytes(log(record(5, OPEN), *changes(6, 7), record(7, BACKUP, end))))

    assert (facts.before, facts.first, facts.last) == (5, 5, 7)
    assert (facts.first_time, facts.last_time) == (START, end)
    assert (facts.format, facts.datalink) == (LogFormat.CURRENT, DATALINK)
    assert facts.ends_with_backup


def test_a_first_record_that_is_a_change_counts_itself() -> None:
    assert read_log_facts(Bytes(log(*changes(6, 7)))).before == 5


def test_in_the_old_format_every_record_counts() -> None:
    facts = read_log_facts(Bytes(log(record(1, OPEN), record(2, CLOSE), tag=b"GOL4")))

    assert (facts.before, facts.first, facts.last) == (0, 1, 2)
    assert facts.format is LogFormat.OLD


def test_a_log_just_made_holds_nothing() -> None:
    facts = read_log_facts(Bytes(log()))

    assert (facts.whole_bytes, facts.before, facts.first, facts.last) == (24, None, None, None)
    assert not facts.is_torn


def test_a_log_inside_a_row_that_was_cut_is_not_taken_for_the_log_itself() -> None:
    inner = log(*changes(7, 9))
    whole = log(*changes(5, 6), record(7, BLOB, START, inner + b"tail"))
    cut = whole[: whole.index(inner) + len(inner) - 3]

    facts = read_log_facts(Bytes(cut))

    assert (facts.last, facts.whole_bytes) == (6, record_ends(whole)[2])


def trailer(length: int) -> bytes:
    return struct.pack("<I4s", length, b"D4BD")


@pytest.mark.parametrize(
    "tail",
    [
        trailer(0xFFFFFFF0),
        trailer(len(SMALL) + 8),
        trailer(8),
        # leads back to a record that is good but ends before this
        trailer(len(SMALL) - record_ends(SMALL)[2] + 8),
        # a whole record, with a number that this log never had
        b"d4bd" + bytes(60) + record(4, CREATE),
        # a whole record behind one that is none
        b"d4bd" + bytes(60) + record(10, CREATE),
        # a whole record that does not follow
        record(12, CREATE),
    ],
)
def test_a_tail_that_looks_like_the_end_of_a_record_is_not_counted(tail: bytes) -> None:
    facts = read_log_facts(Bytes(SMALL + tail))

    assert (facts.whole_bytes, facts.last) == (len(SMALL), 9)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (SMALL[:23], "cut off"),
        (b"70KB" + SMALL[4:], "archive of 4D"),
        (b"GOx4" + SMALL[4:], "may be encrypted"),
        (SMALL[:4] + b"XXXX" + SMALL[8:], "may be encrypted"),
        (os.urandom(500), "cannot be read by this program"),
    ],
)
def test_an_unknown_header_cannot_be_read_and_is_not_called_damaged(
    content: bytes, why: str
) -> None:
    with pytest.raises(LogUnreadableError, match=why) as caught:
        read_log_facts(Bytes(content))

    assert "damaged" not in str(caught.value)


def test_a_whole_log_is_read_at_its_ends_only() -> None:
    reader = Bytes(log(*changes(1, 200_000)))

    read_log_facts(reader)

    assert len(reader.reads) <= 8
    assert sum(reader.reads) < 1_100_000 < reader.size


def test_a_torn_log_is_gone_through_in_small_pieces() -> None:
    reader = Bytes(log(*changes(1, 60_000), record(60_001, BLOB, START, bytes(3_000_000)))[:-1])

    facts = read_log_facts(reader)

    assert facts.last == 60_000
    assert max(reader.reads) <= 1024 * 1024
    assert sum(reader.reads) < 2 * reader.size


def test_damage_in_the_middle_is_found_when_every_record_is_asked_for() -> None:
    ends = record_ends(SMALL)
    damaged = SMALL[: ends[2] + 2] + b"\xff" + SMALL[ends[2] + 3 :]

    assert read_log_facts(Bytes(damaged), every_record=True).whole_bytes == ends[2]


def test_a_number_that_does_not_follow_ends_what_counts() -> None:
    content = log(*changes(1, 3), *changes(7, 8))

    assert read_log_facts(Bytes(content), every_record=True).last == 3


def test_a_kind_never_met_is_passed_over() -> None:
    content = log(*changes(1, 2), record(2, 99), record(3, 98), *changes(4, 5))

    assert read_log_facts(Bytes(content), every_record=True).last == 5


def test_a_time_that_cannot_be_is_not_known() -> None:
    content = bytearray(log(*changes(1, 1)))
    content[24 + 33] = 13

    facts = read_log_facts(Bytes(bytes(content)))

    assert (facts.last, facts.last_time) == (1, None)


def test_what_4d_appends_meanwhile_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "data.journal"
    file.write_bytes(SMALL)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        reader = DescriptorReader(descriptor)
        with file.open("ab") as writer:
            writer.write(b"".join(changes(10, 12)))

        facts = read_log_facts(reader)
        beyond = reader.read(len(SMALL) - 4, 100)
    finally:
        os.close(descriptor)

    assert (facts.size, facts.last) == (len(SMALL), 9)
    assert beyond == SMALL[-4:]


def test_a_log_that_becomes_shorter_while_it_is_read_counts_as_far_as_it_was_there(
    tmp_path: Path,
) -> None:
    file = tmp_path / "data.journal"
    file.write_bytes(SMALL)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        reader = DescriptorReader(descriptor)
        os.truncate(file, record_ends(SMALL)[2] + 5)

        facts = read_log_facts(reader)
    finally:
        os.close(descriptor)

    assert (facts.whole_bytes, facts.last) == (record_ends(SMALL)[2], 6)


def test_a_longer_copy_begins_with_the_shorter_one() -> None:
    earlier = read_log_facts(Bytes(SMALL))

    assert begins_with(Bytes(SMALL + b"".join(changes(10, 20))), earlier)
    assert begins_with(Bytes(SMALL), earlier)


@pytest.mark.parametrize(
    "content",
    [
        SMALL[:-1],
        log(*changes(1, 30)),
        log(record(5, OPEN), *changes(6, 9), *changes(10, 20)),
        SMALL[:8] + OTHER_DATALINK + SMALL[24:],
        b"GOL4" + SMALL[4:],
        # the first was written at another time, or the last has another number; all else is the same
        log(record(5, OPEN, START - timedelta(days=1))) + SMALL[68:],
        SMALL[:8]
        + SMALL[8:].replace(
            record(9, CREATE, LAST, b"x" * 300), record(8, CREATE, LAST, b"x" * 300)
        ),
        # the same lengths and numbers, written at another time
        SMALL[: record_ends(SMALL)[-2]] + record(9, CREATE, START + timedelta(hours=3), b"x" * 300),
    ],
)
def test_a_fork_does_not_begin_with_the_other_log(content: bytes) -> None:
    assert not begins_with(Bytes(content), read_log_facts(Bytes(SMALL)))


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_after_a_good_header_give_facts(tail: bytes, every: bool) -> None:
    content = SMALL + tail

    facts = read_log_facts(Bytes(content), every_record=every)

    assert facts.whole_bytes >= len(SMALL)
    assert facts.first_time == datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


@settings(deadline=None)
@given(st.integers(24, len(SMALL) - 1), st.integers(1, 255))
def test_a_flipped_byte_costs_nothing_before_it(at: int, flip: int) -> None:
    content = bytearray(SMALL)
    content[at] ^= flip

    facts = read_log_facts(Bytes(bytes(content)), every_record=True)

    ends = record_ends(SMALL)
    assert facts.whole_bytes in ends
    assert facts.whole_bytes >= max(end for end in ends if end <= at)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_damage_in_the_frame_of_a_record_is_always_found(flip: int) -> None:
    ends = record_ends(SMALL)

    for begin, end in pairwise(ends):
        # tag, number (of the first record nothing says what it was), length; length and tag again
        number = range(begin + 4, begin + 12) if begin > 24 else ()
        for at in (
            *range(begin, begin + 4),
            *number,
            *range(begin + 12, begin + 16),
            *range(end - 8, end),
        ):
            content = bytearray(SMALL)
            content[at] ^= flip

            assert read_log_facts(Bytes(bytes(content)), every_record=True).whole_bytes == begin
