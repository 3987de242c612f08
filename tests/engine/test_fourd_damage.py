"""Damage in an archive of 4D: named with its place and its cost, and nothing wrong comes out unmarked."""

import errno
import random

import pytest

from engine.errors import DamagedError, EngineError
from engine.fourd.archive import verify_stored
from engine.fourd.blockwalk import BlockWalk, Window
from engine.fourd.container import BlockHead, Gap, RawBlock
from engine.fourd.listing import BODY_TAIL, Entry, body_head, render_list
from engine.fourd.placing import Survey, survey
from engine.fourd.reading import ListLostError, Outcome, Reading
from engine.fourd.trouble import Cost, Part
from tests.engine.fourd_stories import (
    DATA,
    FILES,
    WAY,
    Collected,
    archive,
    blocks,
    content,
    flipped,
    read,
    stream,
    wrapped,
)
from tests.engine.logs import Bytes

GOOD = archive()
BLOCKS = blocks(GOOD)
# where the content of the data file begins in the stream
START = 17 + sum(32 + 2 * len(text) for text in FILES) + 12


def costs(outcome: Outcome) -> set[Cost]:
    return {one.cost for one in outcome.troubles}


def part_of_data(block: int) -> Part:
    return Part(0, max(0, block * 32768 - START), min(150_000, (block + 1) * 32768 - START))


def test_a_damaged_block_costs_its_bytes_and_no_others() -> None:
    at, stored = BLOCKS[2]

    outcome, taken = read(flipped(GOOD, at + 48 + stored // 2))

    (trouble,) = outcome.troubles
    assert (trouble.offset, trouble.end, trouble.block) == (at, at + 48 + stored, 2)
    assert (trouble.cost, trouble.parts) == (Cost.LOST, [part_of_data(2)])
    assert taken.lost[0] == [(part_of_data(2).start, part_of_data(2).end)]
    assert taken.right_where_kept(FILES)


@pytest.mark.parametrize("place", [0, 3, 8, 9, 12, 13, 15, 17, 33], ids=str)
@pytest.mark.parametrize("number", [0, 1, 3, 6])
def test_damage_in_the_head_of_a_block_costs_nothing(number: int, place: int) -> None:
    outcome, taken = read(flipped(GOOD, BLOCKS[number][0] + place))

    assert not outcome.is_whole
    assert costs(outcome) <= {Cost.NONE, Cost.DOUBT}
    assert taken.by_text == FILES
    # only the MD5 of the content itself leaves a doubt
    assert bool(taken.doubted) == (place == 17)


def test_a_block_whose_content_has_another_md5_is_doubted_not_thrown_away() -> None:
    outcome, taken = read(flipped(GOOD, BLOCKS[2][0] + 20))

    assert [one.parts for one in outcome.troubles] == [[part_of_data(2)]]
    assert taken.doubted == {0}
    assert taken.by_text == FILES


@pytest.mark.parametrize("number", [1, 3, 5, 6])
def test_a_block_that_is_lost_with_its_head_leaves_the_rest_in_place(number: int) -> None:
    at, stored = BLOCKS[number]
    data = GOOD[:at] + bytes(48 + stored) + GOOD[at + 48 + stored :]

    outcome, taken = read(data)

    assert costs(outcome) == {Cost.LOST}
    assert taken.right_where_kept(FILES)
    assert sum(end - start for spans in taken.lost for start, end in spans) <= 32768


def test_two_places_far_apart_are_both_placed() -> None:
    data = bytearray(GOOD)
    for number in (1, 4):
        data[BLOCKS[number][0] : BLOCKS[number][0] + 60] = bytes(60)

    outcome, taken = read(bytes(data))

    assert len(outcome.troubles) == 2
    assert taken.right_where_kept(FILES)
    # what lies between two gaps is placed by counting alone
    assert "placed by counting" in outcome.troubles[0].text
    assert taken.doubted == {0}
    assert sum(end - start for spans in taken.lost for start, end in spans) <= 2 * 32768


def test_an_archive_inside_an_archive_is_never_taken_for_the_outer_one() -> None:
    """Stored as it is, an older .4BK holds good blocks of its own, in which a search for the next block could end."""
    some = random.Random(11)
    inner = archive({DATA: content(400_000, 9)})
    files = {"./a::": some.randbytes(50_000), "./old.4BK::": inner, "./b::": content(300_000, 10)}
    plain = b"".join(render_list([Entry(text, len(body)) for text, body in files.items()]))
    plain += b"".join(body_head(len(body)) + body + BODY_TAIL for body in files.values())
    outer = wrapped(plain)
    places = [at for at, _ in blocks(outer)]
    for first in range(1, len(places) - 1):
        for count in (1, 2, 3):
            data = bytearray(outer)
            for at in places[first : first + count]:
                data[at : at + 48] = bytes(48)

            outcome, taken = read(bytes(data))

            assert not outcome.is_whole
            assert taken.right_where_kept(files)


def test_blocks_that_are_not_full_cannot_be_counted() -> None:
    full, short = (
        RawBlock(0, BlockHead(b"pmoC", 1, 9, size, b"", b""), b"", is_last=False)
        for size in (32768, 10_000)
    )
    gap = Gap(0, 60_000, is_last=False)

    assert survey([gap, full, full]) == Survey((gap,), (2,))
    assert survey([gap, full, short]) is None


def test_a_search_among_false_beginnings_ends() -> None:
    """An archive made of nothing but them would be compared for days."""
    at = BLOCKS[2][0]
    false = GOOD[at : at + 8] + (32768).to_bytes(4, "little") * 2 + bytes(32)
    data = GOOD[:at] + false * 2000 + GOOD[at:]

    found = list(BlockWalk(Window(Bytes(data)), search_bytes=0))

    assert found[-1].offset == at
    assert found[-1].end == len(data)


def test_a_whole_block_too_many_is_seen() -> None:
    rest = 3 * 32768 - 17 - (32 + 2 * len(DATA)) - 24
    data = archive({DATA: content(rest, 4)})
    at, stored = blocks(data)[1]

    outcome, taken = read(data + data[at : at + 48 + stored])

    assert "something was appended" in outcome.troubles[0].text
    assert taken.by_text == {DATA: content(rest, 4)}


def test_neighbours_are_told_as_one() -> None:
    places = [at + 100 for at, _ in BLOCKS[1:4]]

    outcome, _ = read(flipped(GOOD, *places))

    (trouble,) = outcome.troubles
    assert (trouble.offset, trouble.end) == (BLOCKS[1][0], BLOCKS[4][0])


@pytest.mark.parametrize("number", [0])
def test_a_lost_list_is_told(number: int) -> None:
    with pytest.raises(ListLostError, match="list of files"):
        read(flipped(GOOD, BLOCKS[number][0] + 70))


def test_every_kind_of_cut_is_seen_and_what_is_there_comes_out() -> None:
    ends = {at + delta for at, _ in BLOCKS for delta in (-1, 0, 1, 47, 48, 60)}
    for end in sorted(end for end in ends if BLOCKS[1][0] <= end < len(GOOD)):
        outcome, taken = read(GOOD[:end])

        assert Cost.LOST in costs(outcome)
        assert taken.right_where_kept(FILES)
        assert len(taken.ended) == len(FILES)


@pytest.mark.parametrize(
    "more", [b"x", bytes(100), bytes(5000), GOOD[BLOCKS[2][0] : BLOCKS[3][0]], GOOD]
)
@pytest.mark.parametrize("files", [FILES, {"./a::": b"all in one block"}], ids=["many", "one"])
def test_what_is_appended_is_told_and_costs_nothing(files: dict[str, bytes], more: bytes) -> None:
    good = archive(files)

    outcome, taken = read(good + more)
    quick = verify_stored(Bytes(good + more), WAY)

    for troubles in (outcome.troubles, quick.troubles):
        (trouble,) = troubles
        assert (trouble.offset, trouble.end, trouble.cost) == (
            len(good),
            len(good + more),
            Cost.NONE,
        )
        assert "appended" in trouble.text
    assert taken.by_text == files
    assert not taken.doubted


def test_a_block_that_is_there_twice_is_never_called_appended() -> None:
    at, end = BLOCKS[2][0], BLOCKS[3][0]
    data = GOOD[:end] + GOOD[at:end] + GOOD[end:]

    outcome, taken = read(data)
    quick = verify_stored(Bytes(data), WAY)

    assert Cost.DOUBT in costs(outcome)
    assert 0 in taken.doubted
    assert [one.cost for one in quick.troubles] == [Cost.DOUBT]
    assert "a block is there twice" in quick.troubles[0].text


def test_a_block_that_is_not_full_is_told_where_the_content_goes_on() -> None:
    plain = stream(GOOD)
    data = wrapped(plain[:32768])
    for piece in (plain[32768:60_000], plain[60_000:]):
        data += wrapped(piece)[20:]

    outcome, taken = read(data)
    quick = verify_stored(Bytes(data), WAY)

    assert [one.text for one in outcome.troubles] == [
        "it is not full (27232 bytes), and not the last one"
    ]
    assert [one.text for one in quick.troubles] == [one.text for one in outcome.troubles]
    assert taken.by_text == FILES


def test_exchanged_blocks_are_seen_where_they_hold_a_border() -> None:
    one, other = (GOOD[at : at + 48 + stored] for at, stored in (BLOCKS[2], BLOCKS[4]))
    between = GOOD[BLOCKS[3][0] : BLOCKS[4][0]]
    data = GOOD[: BLOCKS[2][0]] + other + between + one + GOOD[BLOCKS[5][0] :]

    outcome, taken = read(data)

    assert not outcome.is_ordered
    assert not outcome.is_whole
    assert 0 in taken.doubted


def test_full_blocks_inside_one_file_can_be_exchanged_unseen() -> None:
    """A limit of the format: no block says which one it is. docs/4d-archives.md says so."""
    (a, b, c) = (at for at, _ in BLOCKS[1:4])
    data = GOOD[:a] + GOOD[b:c] + GOOD[a:b] + GOOD[c:]

    outcome, taken = read(data)

    assert outcome.is_whole
    assert taken.by_text != FILES


class BadDisk(Bytes):
    """A disk that cannot read some bytes."""

    def __init__(self, data: bytes, bad: int) -> None:
        super().__init__(data)
        self._bad = bad

    def read(self, offset: int, count: int) -> bytes:
        if offset <= self._bad < offset + count:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(offset, count)


def test_a_page_that_the_disk_cannot_read_costs_its_block_only() -> None:
    taken = Collected()

    outcome = Reading(BadDisk(GOOD, BLOCKS[3][0] + 5000), taken, WAY).run()

    assert any("cannot read 1 page" in one.text for one in outcome.troubles)
    assert taken.right_where_kept(FILES)
    assert sum(end - start for spans in taken.lost for start, end in spans) <= 2 * 32768


def check_change(changed: bytes) -> str:
    """One changed archive: noticed, and nothing wrong comes out unmarked. How it was noticed."""
    try:
        outcome, taken = read(changed)
    except DamagedError:
        return "list"
    assert taken.right_where_kept(FILES)
    if outcome.is_whole:
        assert outcome.notes, "a change that nobody notices"
        return "note"
    return max(one.cost.name for one in outcome.troubles)


def test_a_change_of_any_part_is_noticed() -> None:
    places = {*range(68), *range(len(GOOD) - 20, len(GOOD))}
    for at, stored in BLOCKS:
        places |= {at + part for part in (0, 4, 8, 10, 12, 14, 16, 31, 32, 47, 48, 52, 47 + stored)}

    kinds = {check_change(flipped(GOOD, at)) for at in sorted(places) if at < len(GOOD)}

    assert kinds == {"list", "note", "NONE", "DOUBT", "LOST"}


def test_random_zeroed_stretches_never_let_wrong_bytes_out() -> None:
    some = random.Random(7)
    for _ in range(60):
        data = bytearray(GOOD)
        for _ in range(some.randrange(1, 4)):
            at = some.randrange(BLOCKS[1][0], len(data))
            data[at : at + 4096] = bytes(len(data[at : at + 4096]))

        check_change(bytes(data))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_change_of_any_byte_is_noticed() -> None:
    small = {DATA: content(40_000, 5), "./a.txt::": b"text"}
    data = archive(small)
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            changed = bytearray(data)
            changed[at] ^= bit
            try:
                outcome, taken = read(bytes(changed))
            except EngineError:
                continue
            assert not outcome.is_whole or outcome.notes
            assert taken.right_where_kept(small)
