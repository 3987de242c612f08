"""What is found wrong with an archive, where it lies, and what of which file it costs."""

from dataclasses import dataclass, field
from enum import Enum

from engine.fourd.container import Block, Condition, Gap

_MOST = 1000


class Cost(Enum):
    """What a trouble means for content. NONE: all content is proved all the same."""

    NONE = "nothing is lost"
    DOUBT = "content is not proved"
    LOST = "content is lost"
    NOT_KNOWN = "content cannot be read by this program"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one file, by its number in the list."""

    index: int
    start: int
    end: int


@dataclass(slots=True)
class Trouble:
    """`offset` to `end` are bytes of the archive, `block` is the number of the first one, None when not known.

    `parts` are what of which files it costs; there may be more than are kept.
    """

    offset: int
    end: int
    cost: Cost
    text: str
    block: int | None = None
    parts: list[Part] = field(default_factory=list)

    def add(self, index: int, start: int, end: int) -> None:
        """What it costs, neighbours as one."""
        last = self.parts[-1] if self.parts else None
        if last is not None and last.index == index and last.end == start:
            self.parts[-1] = Part(index, last.start, end)
        elif len(self.parts) < _MOST:
            self.parts.append(Part(index, start, end))


class Troubles:
    """All of one archive, in order; of the same kind side by side as one, and not more than anybody reads."""

    def __init__(self) -> None:
        self.found: list[Trouble] = []
        self.more = 0
        self._overflow = Trouble(0, 0, Cost.LOST, "")

    def of_block(self, block: Block, number: int | None) -> Trouble:
        """The trouble that a block makes."""
        cost = {
            Condition.PROVED: Cost.NONE,
            Condition.DOUBTFUL: Cost.DOUBT,
            Condition.NOT_KNOWN: Cost.NOT_KNOWN,
        }.get(block.condition, Cost.LOST)
        return self.add(block.offset, block.end, cost, block.why, number)

    def of_gap(self, gap: Gap, number: int | None) -> Trouble:
        """The trouble that a gap is."""
        text = "no block can be told here, the heads are damaged"
        if gap.is_last:
            text = "what stands at the end is no whole block: the archive is cut off, or its end was overwritten"
        return self.add(gap.offset, gap.end, Cost.LOST, text, number)

    def appended(self, offset: int, end: int) -> Trouble:
        """What stands behind the end of the archive."""
        text = "they stand behind its end: something was appended to it"
        return self.add(offset, end, Cost.NONE, text)

    def lengths(self, at: int, text: str) -> Trouble:
        """One that has no place of its own."""
        return self.add(at, at, Cost.LOST, text)

    def add(
        self, offset: int, end: int, cost: Cost, text: str, number: int | None = None
    ) -> Trouble:
        """A new one, or the one before it, grown."""
        last = self.found[-1] if self.found else None
        if last is not None and (last.end, last.cost, last.text) == (offset, cost, text):
            last.end = end
            return last
        if len(self.found) >= _MOST:
            self.more += 1
            self._overflow.parts.clear()
            return self._overflow
        trouble = Trouble(offset, end, cost, text, number)
        self.found.append(trouble)
        return trouble
