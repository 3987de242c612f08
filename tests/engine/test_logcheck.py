"""A check tells whole, torn and damaged apart, where each damage is, and what can be read behind it."""

import random
import struct
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.logcheck import LogCheck, Lost, check_log
from engine.logfile import LogFormat, LogUnreadableError
from tests.engine.logs import Bytes, log, members_of_archive
from tests.engine.real_shapes import (
    LogMaker,
    blob,
    context_values,
    frame,
    long_key,
    morning,
    row,
    sequence,
)
from tests.engine.stories import CORPUS
from tests.fakes import peak_kib

LOGS = sorted((CORPUS / "logs").glob("*.journal"))
real = pytest.mark.skipif(not LOGS, reason="the corpus of real logs is not beside the project")
MORNING = morning()
WHOLE = MORNING.content()
ENDS = MORNING.ends


def checked(content: bytes) -> LogCheck:
    return check_log(Bytes(content))


def flipped(content: bytes, at: int, mask: int = 0xFF) -> bytes:
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


def is_noticed(check: LogCheck) -> bool:
    return bool(check.is_damaged or check.torn or check.warnings or check.unknown)


@real
@pytest.mark.parametrize("file", LOGS, ids=lambda file: file.stem)
def test_a_real_log_is_good_to_its_last_byte(file: Path) -> None:
    content = file.read_bytes()
    if content.startswith(b"70KB"):
        content = next(iter(members_of_archive(content).values()))

    check = checked(content)

    assert (check.good_bytes, check.torn) == (len(content), 0)
    assert not is_noticed(check)


def test_a_whole_log_is_good() -> None:
    check = checked(WHOLE)

    assert (check.size, check.good_bytes, check.torn) == (len(WHOLE), len(WHOLE), 0)
    assert (check.readable, check.last, check.format) == (20, 51, LogFormat.CURRENT)
    assert not is_noticed(check)


def test_a_log_just_made_is_good() -> None:
    check = checked(log())

    assert (check.good_bytes, check.readable, check.last) == (24, 0, None)
    assert not is_noticed(check)


def test_a_cut_inside_of_any_record_gives_the_exact_good_length() -> None:
    for cut in range(24, len(WHOLE)):
        check = checked(WHOLE[:cut])
        assert check.good_bytes == max(end for end in ENDS if end <= cut)
        assert check.torn == cut - check.good_bytes
        assert not check.is_damaged


def test_damage_in_the_middle_is_told_with_its_place_and_all_else_is_read() -> None:
    for begin, end in pairwise(ENDS[1:-1]):
        check = checked(WHOLE[: begin + 4] + b"\xff" * 36 + WHOLE[begin + 40 :])

        assert check.is_damaged
        assert (check.good_bytes, check.torn, check.readable) == (begin, 0, 19)
        (lost,) = check.lost
        assert (lost.at, lost.end) == (begin, end)
        assert check.last == 51


def test_what_is_lost_is_told_by_numbers() -> None:
    at = ENDS[3]  # the creation of row 42

    (lost,) = checked(flipped(WHOLE, at)).lost

    assert lost == Lost(at, ENDS[4], 41, 42)


def test_two_damages_are_told_one_by_one() -> None:
    content = flipped(flipped(WHOLE, ENDS[3]), ENDS[9])

    check = checked(content)

    assert [one.at for one in check.lost] == [ENDS[3], ENDS[9]]
    assert (check.good_bytes, check.readable) == (ENDS[3], 18)


def test_a_damaged_beginning_loses_what_was_before_the_next_record() -> None:
    check = checked(flipped(WHOLE, 24))

    assert check.lost == (Lost(24, ENDS[1], None, 40),)
    assert check.good_bytes == 24


def test_a_damaged_number_is_damage_of_one_record_alone() -> None:
    check = checked(flipped(WHOLE, ENDS[3] + 4))

    (place,) = check.damage
    assert (place.at, place.after) == (ENDS[3], 41)
    assert "it should have the number 42" in place.text
    assert (check.readable, check.lost, check.good_bytes) == (20, (), ENDS[3])


def test_operations_that_are_cut_out_are_missed() -> None:
    check = checked(WHOLE[: ENDS[2]] + WHOLE[ENDS[4] :])

    (place,) = check.damage
    assert place.at == ENDS[2]
    assert "it should have the number 41" in place.text
    assert (check.readable, check.last) == (18, 51)


def test_a_row_whose_data_changed_is_named() -> None:
    at = ENDS[3] + 36 + 10 + 48

    check = checked(flipped(WHOLE, at))

    (place,) = check.damage
    assert place.text == "record 42 (Create record): the data of its row do not have their checksum"
    assert (check.good_bytes, check.readable) == (len(WHOLE), 20)


def test_a_payload_of_another_shape_is_named() -> None:
    made = LogMaker().add(24, long_key(1) + row(b"fine")).add(24, b"rubbish, not a row").add(8)

    (place,) = checked(made.content()).damage

    assert "what it carries is not understood" in place.text


def test_a_context_that_is_not_understood_is_named() -> None:
    (place,) = checked(flipped(WHOLE, ENDS[1] + 36)).damage

    assert place.text == "record 40 (Create context): the names in its context are not understood"


def test_a_time_that_goes_back_is_a_warning_and_no_damage() -> None:
    made = LogMaker().add(7).add(8, seconds=-7200).add(7).add(8, seconds=9000)

    check = checked(made.content())

    assert not check.is_damaged
    assert [place.at for place in check.warnings] == [made.ends[1], made.ends[2]]


def test_a_time_that_cannot_be_is_damage() -> None:
    (place,) = checked(flipped(WHOLE, ENDS[-2] + 33, 0x1F)).damage

    assert "its time is none that can be" in place.text


def test_kinds_never_met_are_counted_by_their_number() -> None:
    made = LogMaker().add(7).add(99).add(99, b"abc").add(1000).add(8)

    check = checked(made.content())

    assert check.unknown == {99: 2, 1000: 1}
    assert not check.is_damaged


def test_a_log_inside_of_a_blob_is_not_taken_for_the_log_itself() -> None:
    inner = LogMaker(number=900)
    for _ in range(20):
        inner.add(23, sequence(1))
    made = LogMaker().add(7).add(27, blob(long_key(1), inner.content())).add(23, sequence(1)).add(8)

    check = checked(flipped(made.content(), made.ends[1]))

    (lost,) = check.lost
    assert (lost.at, lost.end) == (made.ends[1], made.ends[2])
    assert (check.readable, check.last) == (3, 2)


def test_an_unknown_header_is_refused_and_not_called_damaged() -> None:
    with pytest.raises(LogUnreadableError) as caught:
        checked(b"GOx4" + WHOLE[4:])

    assert "damaged" not in str(caught.value)


# --- every byte


def region_of(payload_kind: int, offset: int, length: int) -> str:
    """Which part of a record a byte is of."""
    if 20 <= offset < 28:
        return "context"
    if 28 <= offset < 36:
        return "time"
    if offset < 36 or offset >= length - 8:
        return "frame"
    return f"payload of {payload_kind}"


def sweep(content: bytes, ends: list[int], places: list[int], mask: int) -> dict[str, list[int]]:
    """Of each part of a record: how many changed bytes were noticed, and how many were not."""
    found: dict[str, list[int]] = {}
    for at in places:
        begin = max(end for end in ends if end <= at)
        length = next(end for end in ends if end > at) - begin
        kind = struct.unpack_from("<I", content, begin + 16)[0]
        seen = is_noticed(checked(flipped(content, at, mask)))
        counts = found.setdefault(region_of(kind, at - begin, length), [0, 0])
        counts[0 if seen else 1] += 1
    return found


@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80])
def test_a_changed_byte_of_the_frame_is_always_noticed(mask: int) -> None:
    found = sweep(WHOLE, ENDS, list(range(24, len(WHOLE))), mask)

    noticed, missed = found["frame"]
    # of two kinds that carry the same, one can become the other: 24 and 25, 7 and 5, 30 and 31 ...
    kinds = [end + 16 for end in ENDS[:-1]]
    blind = sum(not is_noticed(checked(flipped(WHOLE, at, mask))) for at in kinds)
    assert noticed > 500
    assert missed == blind


def test_a_changed_header_is_refused_but_for_the_datalink() -> None:
    for at in range(8):
        with pytest.raises(LogUnreadableError):
            checked(flipped(WHOLE, at))
    for at in range(8, 24):
        assert checked(flipped(WHOLE, at)).datalink != checked(WHOLE).datalink


# --- hostile


def bounded(content: bytes) -> LogCheck:
    """Checked, in a second or so and little memory."""
    began, had = time.perf_counter(), peak_kib()
    check = checked(content)
    assert time.perf_counter() - began < 20
    assert peak_kib() - had < 200 << 10
    return check


def test_lengths_of_four_gigabytes_cost_nothing() -> None:
    for length in (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0, 43):
        head = struct.pack("<4sQII", b"d4bd", 1, length, 24) + bytes(16)
        check = bounded(log(head * 20_000))
        assert (check.readable, check.good_bytes) == (0, 24)


def test_an_ocean_of_tags_is_given_up() -> None:
    check = bounded(log(b"d4bd" * 2_000_000))

    assert check.given_up
    assert check.torn == 8_000_000


def test_tags_that_each_lead_far_away_are_given_up() -> None:
    head = struct.pack("<4sQII", b"d4bd", 1, 1_000_000, 24) + bytes(8)

    check = bounded(log(b"x", head * 200_000))

    assert check.given_up


def test_two_hundred_thousand_tiny_records_are_read() -> None:
    one = frame(5, 31, MORNING.time)

    check = bounded(log(one * 200_000))

    assert (check.readable, check.torn) == (200_000, 0)


def test_damage_everywhere_is_told_a_hundred_times_and_counted() -> None:
    made = LogMaker()
    for _ in range(3000):
        made.add(24, b"no row").add(8)
    content = bytearray(made.content())
    for begin in made.ends[1:-1:6]:
        content[begin] ^= 1

    check = bounded(bytes(content))

    assert len(check.lost) == 100
    assert len(check.damage) == 100
    assert check.more > 500


def test_named_values_that_count_to_four_billions_cost_nothing() -> None:
    hostile = b"GABV" + struct.pack("<IBII", 1, 2, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(60_000)
    made = LogMaker()
    for number in range(500):
        made.add(22, hostile, context=number + 1)

    assert bounded(made.content()).readable == 500


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 30))
def test_whatever_is_changed_the_parts_of_the_file_add_up(seed: int) -> None:
    some = random.Random(seed)
    content = bytearray(WHOLE)
    for _ in range(some.randint(1, 6)):
        at = some.randrange(24, len(content))
        match some.randrange(3):
            case 0:
                content[at] ^= 1 << some.randrange(8)
            case 1:
                del content[at : at + some.randrange(200)]
            case _:
                content[at:at] = some.choice([b"d4bd", bytes(9), WHOLE[24:200]])
        if len(content) <= 24:
            return

    check = checked(bytes(content))

    assert 24 <= check.good_bytes <= len(content)
    assert check.good_bytes == len(content) - check.torn or check.is_damaged
    assert all(lost.at < lost.end <= len(content) for lost in check.lost)
    assert check.torn >= 0


def test_a_context_costs_no_check_its_time() -> None:
    made = LogMaker().add(22, context_values(), context=1).add(16, context=1)

    assert not is_noticed(checked(made.content()))
