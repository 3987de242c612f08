"""How much recovery data a set gets, and what that repairs, counted slice by slice."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.redundancy import SECTOR, SHARES, SLICES, Strength, guaranteed, promised
from settings.model import Rate

ASKED = [Rate.LOW, Rate.MEDIUM, Rate.HIGH]
PAIRS = list(itertools.product(ASKED, Rate))
SIZES = st.lists(st.integers(0, 40 << 30), min_size=1, max_size=20).filter(any)
SMALL_SIZES = st.lists(st.integers(1, 200_000), min_size=1, max_size=6)


def strength(sizes: list[int], redundancy: Rate, interlacing: Rate) -> Strength:
    found = guaranteed(sizes, redundancy, interlacing)
    assert found is not None
    return found


@given(SIZES, st.sampled_from(PAIRS))
def test_the_percentage_is_repaired_in_one_piece_whatever_the_sizes(
    sizes: list[int], pair: tuple[Rate, Rate]
) -> None:
    found = strength(sizes, *pair)

    assert found.burst_bytes * 100 >= sum(sizes) * promised(*pair)[0]
    assert found.is_repaired([found.burst_bytes])
    assert not found.is_repaired([found.burst_bytes + 1])


@given(SIZES, st.sampled_from(PAIRS))
def test_the_bad_sectors_of_the_table_are_repaired_from_the_size_it_says(
    sizes: list[int], pair: tuple[Rate, Rate]
) -> None:
    _, sectors, least = promised(*pair)
    found = strength(sizes, *pair)

    if sum(sizes) >= least:
        assert found.bad_sectors >= sectors
    else:
        assert found.slice_bytes == SECTOR
        assert found.bad_sectors >= sum(sizes) * SHARES[pair[0]] / 100 / SECTOR + 1


@given(SIZES, st.sampled_from(PAIRS))
def test_slices_are_what_par2_takes_and_no_sector_lies_in_two(
    sizes: list[int], pair: tuple[Rate, Rate]
) -> None:
    found = strength(sizes, *pair)

    assert found.slice_bytes % SECTOR == 0
    assert SECTOR <= found.slice_bytes <= 1 << 30
    assert found.slices == sum(-(-size // found.slice_bytes) for size in sizes)
    assert found.slices <= 32768


def test_slices_of_a_very_large_archive_stay_what_par2_takes() -> None:
    found = strength([900 << 30], Rate.LOW, Rate.NONE)

    assert (found.slice_bytes, found.slices, found.recovery_slices) == (1 << 30, 900, 46)


@given(SMALL_SIZES, st.sampled_from(PAIRS), st.data())
def test_pieces_of_damage_are_counted_at_their_worst_place(
    sizes: list[int], pair: tuple[Rate, Rate], data: st.DataObject
) -> None:
    size = strength(sizes, *pair).slice_bytes
    length = data.draw(st.integers(1, 4 * size))
    worst = max((at + length - 1) // size + 1 for at in (0, 1, size - 1))

    for slices in (worst - 1, worst):
        of_so_many = Strength(sum(sizes), len(sizes), size, 1000, slices)
        assert of_so_many.is_repaired([length]) == (slices == worst)


@pytest.mark.parametrize("interlacing", Rate)
def test_without_redundancy_there_is_none(interlacing: Rate) -> None:
    assert guaranteed([1000], Rate.NONE, interlacing) is None


def test_nothing_is_made_for_nothing() -> None:
    assert guaranteed([], Rate.HIGH, Rate.HIGH) is None
    assert guaranteed([0, 0], Rate.HIGH, Rate.HIGH) is None


def test_a_lost_segment_of_the_percentage_is_repaired() -> None:
    segment = 100 << 20
    found = strength([segment] * 10, Rate.MEDIUM, Rate.NONE)

    assert found.lost_file_bytes >= segment


def test_many_small_segments_are_slices_of_their_own() -> None:
    found = strength([1 << 20] * 20_000, Rate.HIGH, Rate.NONE)

    assert (found.slice_bytes, found.slices, found.recovery_slices) == (1 << 20, 20_000, 4001)


def test_more_files_than_par2_can_protect_are_refused_with_what_to_do() -> None:
    with pytest.raises(EngineError, match="PAR2 cannot protect 32769 files") as told:
        guaranteed([1 << 20] * 32769, Rate.HIGH, Rate.NONE)

    assert "FileSegmentation" in told.value.hint


def test_more_of_either_is_never_less() -> None:
    sizes = [3 << 30, 1 << 20, 40_000, 300]
    for redundancy, interlacing in PAIRS:
        found = strength(sizes, redundancy, interlacing)
        assert found.slices >= SLICES[interlacing]
        for stronger in ASKED[ASKED.index(redundancy) + 1 :]:
            assert strength(sizes, stronger, interlacing).burst_bytes > found.burst_bytes


def test_recovery_files_are_no_larger_than_a_segment_where_that_can_be() -> None:
    found = strength([10 << 20] * 20, Rate.HIGH, Rate.LOW)
    volumes = found.volumes(10 << 20)
    slices = -(-found.recovery_slices // volumes)

    assert 1 < volumes <= 31
    assert slices * (found.slice_bytes + 68) <= 10 << 20
    assert found.volumes(None) == 1
