"""What the live log is to the piece that was shipped of it: the same, grown; or another one. Pure.

4D only ever appends to a log, so what was shipped must stand in the live one at the same places. What differs there
was renewed, replaced, set back, or is a copy that went another way; then nothing is appended.
"""

from dataclasses import dataclass
from enum import Enum

from engine.logfile import HEADER_BYTES, LogFacts


class Sight(Enum):
    """What it is, in the words with which a piece is closed."""

    SAME = "the same log"
    RENEWED = "the log was renewed"
    RENEWED_UNSEEN = "the log was renewed, and operations between the two were not seen"
    RESTARTED = "an older log stands in its place, or one that counts anew"
    OTHER = "the log of another data file stands in its place"
    SHORTER = "the log was set back: it is shorter than what was shipped"
    FORKED = "the log begins as before and went another way: a copy, or one that was put back"


@dataclass(frozen=True, slots=True)
class Marks:
    """Pieces of bytes by which a log is known: `head` its beginning, `tail` those that end at `size`.

    Of a live log, `head` and `tail` are what stands at the places of those of the piece; less where it is shorter.
    """

    size: int
    head: bytes
    tail: bytes


def judge(piece: Marks, live: Marks, last: int | None, facts: LogFacts) -> Sight:
    """What a live log is to a piece that ends with operation `last`; `facts` are the live log's own."""
    if live.head[:HEADER_BYTES] != piece.head[:HEADER_BYTES]:
        return Sight.OTHER
    if live.head == piece.head:
        if live.size < piece.size:
            return Sight.SHORTER
        return Sight.SAME if live.tail == piece.tail else Sight.FORKED
    if facts.before is None or last is None:
        is_cut = live.size > HEADER_BYTES and piece.head.startswith(live.head)
        return Sight.SHORTER if is_cut else Sight.RENEWED
    if facts.before < last:
        return Sight.RESTARTED
    return Sight.RENEWED if facts.before == last else Sight.RENEWED_UNSEEN


def needed_pieces(
    closed_after: dict[int, int], kept: tuple[int, ...], *, in_doubt: bool
) -> set[int]:
    """Which closed pieces must stay: those that some kept set may lead into.

    `closed_after` holds, for each, the highest set number there was when it was closed. The next set may have been
    under way then, and may still hold the log that ended; every one after that was begun later. Numbers decide, not
    times: a clock may be wrong. Without a kept set, or `in_doubt`, all stay.
    """
    if not kept or in_doubt:
        return set(closed_after)
    return {piece for piece, number in closed_after.items() if min(kept) <= number + 1}
