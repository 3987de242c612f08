"""Where blocks belong after a gap, in which nobody knows how many there were.

The list says how long the stream is, so how many blocks there must be; those that are there can be counted.
Blocks whose place does not follow from that are given to no file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.fourd.container import LARGEST, Gap, RawBlock

_MOST_GAPS = 10_000


@dataclass(frozen=True, slots=True)
class Survey:
    """The rest of an archive from its first gap on: gaps, and how many blocks follow each."""

    gaps: tuple[Gap, ...]
    runs: tuple[int, ...]

    @property
    def is_cut(self) -> bool:
        """Whether it ends in a gap."""
        return self.gaps[-1].is_last


def survey(found: Iterable[RawBlock | Gap]) -> Survey | None:
    """Count what follows; it begins with a gap. None when there is too much of it to make sense."""
    gaps: list[Gap] = []
    runs: list[int] = []
    for one in found:
        if isinstance(one, Gap):
            gaps.append(one)
            runs.append(0)
            if len(gaps) > _MOST_GAPS:
                return None
        elif one.head.plain != LARGEST and not one.is_last:
            return None  # not full: nothing can be told by the number of blocks
        else:
            runs[-1] += 1
    return Survey(tuple(gaps), tuple(runs))


def place_runs(before: int, found: Survey, total: int) -> list[int | None]:
    """The number of the first block after each gap; None where it does not follow.

    `before` blocks precede the first gap; `total` is the length of the stream in bytes.
    """
    gaps, runs = found.gaps, found.runs
    missing = -(-total // LARGEST) - before - sum(runs)
    inner = gaps[:-1] if found.is_cut else gaps
    fewest = sum(gap.fewest for gap in inner)
    if missing < fewest:
        return [None] * len(gaps)
    counts = _counts(inner, missing, fewest, is_cut=found.is_cut)
    places = _from_the_front(before, counts, runs)
    if not found.is_cut and places[-1] is None:
        # the last run ends where the stream ends
        places[-1] = before + sum(runs) + missing - runs[-1]
    if found.is_cut:
        places = [*places[: len(inner)], None]
    return places


def _counts(
    gaps: Sequence[Gap], missing: int, fewest: int, *, is_cut: bool
) -> Sequence[int | None]:
    """How many blocks each gap was."""
    if all(gap.fewest == gap.most for gap in gaps):
        return [gap.fewest for gap in gaps]
    if is_cut:
        # the cut end may be any number of them, too
        return [gap.fewest if gap.fewest == gap.most else None for gap in gaps]
    if missing == fewest:
        return [gap.fewest for gap in gaps]
    if len(gaps) == 1:
        return [missing if missing <= gaps[0].most else None]
    return [gap.fewest if gap.fewest == gap.most else None for gap in gaps]


def _from_the_front(
    before: int, counts: Sequence[int | None], runs: Sequence[int]
) -> list[int | None]:
    places: list[int | None] = []
    at: int | None = before
    for count, run in zip(counts, runs, strict=False):
        at = None if at is None or count is None else at + count
        places.append(at)
        at = None if at is None else at + run
    return places
