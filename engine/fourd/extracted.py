"""What came of an archive: which file is where, which is whole, and the report beside those that are not. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engine.fourd.reading import Outcome
from engine.fourd.words import name_of, trouble_lines
from engine.salvagereport import shown

_LEGEND = (
    "whole       every byte is proved by the checksums of the archive",
    "unproved    the bytes that the archive holds, but not proved; called *.unproved",
    "incomplete  parts are lost; they are zeros in the file, which is called *.incomplete",
    "not made    all of it is lost",
)


class Fate(Enum):
    """What became of a file."""

    WHOLE = "whole"
    INCOMPLETE = "incomplete"
    UNPROVED = "unproved"
    NOT_MADE = "not made"


@dataclass(frozen=True, slots=True)
class Extracted:
    """One file: its number in the list, where it is below the folder, and how many of its bytes are lost."""

    index: int
    place: bytes
    fate: Fate
    lost: int


@dataclass(frozen=True, slots=True)
class Extraction:
    """What came of an archive. `files` are those that were wanted, in the order of the list."""

    target: Path
    outcome: Outcome
    files: tuple[Extracted, ...]

    @property
    def is_whole(self) -> bool:
        return self.outcome.is_whole and all(one.fate is Fate.WHOLE for one in self.files)


def report_lines(extraction: Extraction) -> Iterator[str]:
    """The whole report: what is wrong with the archive, then every file."""
    outcome, entries = extraction.outcome, extraction.outcome.listing.entries
    yield "What was extracted from a damaged archive of 4D"
    yield ""
    yield from _LEGEND
    yield ""
    for trouble in outcome.troubles:
        yield from trouble_lines(trouble, entries)
    if outcome.more_troubles:
        yield f"and {outcome.more_troubles} more damaged places"
    for note in outcome.notes:
        yield f"known: {note}"
    yield ""
    for one in extraction.files:
        name = name_of(entries[one.index])
        place = "" if not one.place or shown(one.place) == name else f" -> {shown(one.place)}"
        lost = f" ({one.lost} of {entries[one.index].size} bytes are lost)" if one.lost else ""
        yield f"{one.fate.value:<10}  {name}{place}{lost}"
