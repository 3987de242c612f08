"""The table of frames says of each frame what was put in, however it was cut, and finds frames by any byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.frametable import CHECK_BYTES, DIGEST_BYTES, Frame, FrameTable

MOST = 2**63 - 1
SIZES = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=20)


def digest(index: int) -> bytes:
    return bytes([index]) * DIGEST_BYTES


def check(index: int) -> bytes:
    return bytes([200 + index]) * CHECK_BYTES


def table_of(*sizes: tuple[int, int], checked: bool = False) -> FrameTable:
    """A table of frames with these (raw, stored) bytes, each with a digest of its own."""
    table = FrameTable()
    for index, (raw, stored) in enumerate(sizes):
        table.append(raw, stored, digest(index), check=check(index) if checked else b"")
    return table


THREE = ((100, 10), (0, 20), (50, 5))


def test_an_empty_table_holds_nothing() -> None:
    table = FrameTable()

    assert (len(table), table.raw_bytes, table.stored_bytes, table.largest_stored) == (0, 0, 0, 0)
    assert (table.checks, table.has_checks) == (b"", False)
    assert list(table.rows()) == []
    assert list(table.digests()) == []
    assert (table.covering(0, 0), table.stored_up_to(10)) == (range(0), 0)


def test_each_frame_comes_back_whole() -> None:
    table = FrameTable()
    for index, (raw, stored) in enumerate(THREE):
        sum_ = b"" if index == 1 else b"sum%d" % index
        table.append(raw, stored, digest(index), sum_, check=check(index), proved=index == 2)

    assert [table.frame(index) for index in range(len(table))] == [
        Frame(0, 10, 0, 100, digest(0), b"sum0", check(0), proved=False),
        Frame(10, 20, 100, 0, digest(1), b"", check(1), proved=False),
        Frame(30, 5, 100, 50, digest(2), b"sum2", check(2), proved=True),
    ]
    assert list(table.rows()) == [(100, 10, digest(0)), (0, 20, digest(1)), (50, 5, digest(2))]
    assert list(table.digests()) == [digest(0), digest(1), digest(2)]
    assert (table.raw_bytes, table.stored_bytes, table.largest_stored) == (150, 35, 20)


@pytest.mark.parametrize(
    ("raw", "stored", "length"),
    [(-1, 1, DIGEST_BYTES), (0, 0, DIGEST_BYTES), (1, -1, DIGEST_BYTES), (1, 1, 31), (1, 1, 33)],
)
def test_what_cannot_be_a_frame_is_refused(raw: int, stored: int, length: int) -> None:
    table = table_of(*THREE)

    with pytest.raises(ValueError, match=r"^not a frame$"):
        table.append(raw, stored, bytes(length))

    assert (len(table), table.stored_bytes) == (3, 35)


@pytest.mark.parametrize("size", [(MOST, 1), (1, MOST)])
def test_more_than_a_file_can_hold_is_refused(size: tuple[int, int]) -> None:
    full = table_of(size)
    assert max(full.raw_bytes, full.stored_bytes) == MOST

    with pytest.raises(ValueError, match=r"^more bytes than a file can have$"):
        full.append(1, 1, digest(1))

    assert len(full) == 1


# --- cutting --------------------------------------------------------------------------------------


def test_what_is_cut_off_leaves_no_trace() -> None:
    table = FrameTable()
    for index, (raw, stored) in enumerate(THREE):
        table.append(raw, stored, digest(index), b"sum%d" % index, check=check(index), proved=True)

    table.truncate(1)
    table.append(7, 8, digest(9), check=check(9))

    assert len(table) == 2
    assert table.frame(0) == Frame(0, 10, 0, 100, digest(0), b"sum0", check(0), proved=True)
    assert table.frame(1) == Frame(10, 8, 100, 7, digest(9), b"", check(9), proved=False)
    assert table.checks == check(0) + check(9)
    assert (table.raw_bytes, table.stored_bytes) == (107, 18)


def test_cutting_where_the_table_ends_changes_nothing() -> None:
    table = table_of(*THREE, checked=True)

    table.truncate(3)

    assert (len(table), table.stored_bytes, len(table.checks)) == (3, 35, 3 * CHECK_BYTES)


def test_a_tail_begins_an_archive_of_its_own() -> None:
    table = FrameTable()
    for index, (raw, stored) in enumerate(THREE):
        table.append(raw, stored, digest(index), b"sum%d" % index, check=check(index))

    tail = table.tail(1)

    assert [tail.frame(index) for index in range(len(tail))] == [
        Frame(0, 20, 0, 0, digest(1), b"", check(1), proved=False),
        Frame(20, 5, 0, 50, digest(2), b"", check(2), proved=False),
    ]
    assert len(table.tail(3)) == 0
    assert len(table) == 3


@settings(max_examples=40)
@given(SIZES, st.data())
def test_head_and_tail_make_the_whole(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    table = table_of(*sizes, checked=True)
    at = data.draw(st.integers(0, len(sizes)))
    whole, tail = list(table.rows()), table.tail(at)

    table.truncate(at)

    assert [*table.rows(), *tail.rows()] == whole
    assert table.stored_bytes + tail.stored_bytes == sum(stored for _, stored in sizes)
    assert table.checks + tail.checks == b"".join(check(index) for index in range(len(sizes)))


# --- checks ---------------------------------------------------------------------------------------


def test_the_checks_of_all_frames_are_kept_in_order() -> None:
    table = table_of(*THREE, checked=True)

    assert table.has_checks
    assert table.checks == check(0) + check(1) + check(2)


def test_a_frame_of_which_nothing_more_is_known_has_no_check() -> None:
    table = FrameTable()

    table.append(5, 3, digest(0))

    assert table.frame(0) == Frame(0, 3, 0, 5, digest(0), b"", b"", proved=False)


def test_where_one_frame_has_no_check_there_are_none() -> None:
    table = table_of(*THREE, checked=True)
    table.append(1, 1, digest(3))

    assert (table.has_checks, table.checks) == (False, b"")


def test_the_checks_of_a_manifest_are_taken_for_all_frames() -> None:
    assert not table_of(*THREE).has_checks
    table = table_of(*THREE)

    table.adopt_checks(check(5) + check(6) + check(7))

    assert table.has_checks
    assert [table.frame(index).check for index in range(3)] == [check(5), check(6), check(7)]

    table.adopt_checks(check(7) + check(6) + check(5))

    assert table.checks == check(7) + check(6) + check(5)


@pytest.mark.parametrize("length", [0, CHECK_BYTES, 3 * CHECK_BYTES - 1, 3 * CHECK_BYTES + 1])
def test_checks_that_are_not_as_many_as_frames_are_refused(length: int) -> None:
    table = table_of(*THREE, checked=True)

    with pytest.raises(ValueError, match=r"^not as many checks as frames$"):
        table.adopt_checks(bytes(length))

    assert table.checks == check(0) + check(1) + check(2)


def test_what_served_the_check_of_what_was_written_is_given_back() -> None:
    table = FrameTable()
    table.append(100, 10, digest(0), b"sum0", check=check(0), proved=True)

    table.forget_checksums()

    assert table.frame(0) == Frame(0, 10, 0, 100, digest(0), b"", check(0), proved=False)


# --- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (0, 1, range(1)),
        (99, 100, range(1)),
        (99, 101, range(3)),
        (100, 101, range(2, 3)),
        (0, 150, range(3)),
        (149, 150, range(2, 3)),
        (149, 9000, range(2, 3)),
        (5, 5, range(0)),
        (6, 5, range(0)),
    ],
)
def test_the_frames_that_hold_a_piece_of_the_stream(start: int, end: int, frames: range) -> None:
    assert table_of(*THREE).covering(start, end) == frames


@settings(max_examples=60)
@given(SIZES, st.integers(0, 3000), st.integers(1, 3000))
def test_a_piece_of_the_stream_is_found_whole(
    sizes: list[tuple[int, int]], start: int, length: int
) -> None:
    table = table_of(*sizes)
    end = min(start + length, table.raw_bytes)

    found = [table.frame(index) for index in table.covering(start, end)]

    held = {at for frame in found for at in range(frame.start, frame.start + frame.raw)}
    assert held >= set(range(start, end))
    if found:
        assert found[0].start <= start < found[0].start + found[0].raw
        assert found[-1].start < end <= found[-1].start + found[-1].raw


@pytest.mark.parametrize(
    ("offset", "count"), [(0, 0), (9, 0), (10, 1), (29, 1), (30, 2), (34, 2), (35, 3), (9000, 3)]
)
def test_the_frames_before_an_offset_of_the_archive(offset: int, count: int) -> None:
    assert table_of(*THREE).stored_up_to(offset) == count
