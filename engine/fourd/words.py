"""What is said of an archive: troubles with their places, and the report beside what was extracted. Pure."""

from collections.abc import Iterator, Sequence

from engine.fourd.listing import Entry
from engine.fourd.trouble import Cost, Part, Trouble
from engine.salvagereport import shown

_MOST_PARTS = 20


def trouble_lines(trouble: Trouble, entries: Sequence[Entry]) -> Iterator[str]:
    """What is wrong and where; then a line for each file that it costs something."""
    yield f"{_where(trouble)}: {trouble.text} ({trouble.cost.value})"
    for part in trouble.parts[:_MOST_PARTS]:
        yield f"  {_verb(trouble.cost)}: {part_words(part, entries)}"
    if len(trouble.parts) > _MOST_PARTS:
        yield f"  and {len(trouble.parts) - _MOST_PARTS} more files"


def part_words(part: Part, entries: Sequence[Entry]) -> str:
    """`Data/data.4DD, bytes 0 to 32768 of 131584`."""
    entry = entries[part.index]
    return f"{name_of(entry)}, bytes {part.start} to {part.end} of {entry.size}"


def name_of(entry: Entry) -> str:
    """The path, on one line whatever is in it."""
    return shown(entry.path.encode("utf-8", "surrogatepass"))


def _where(trouble: Trouble) -> str:
    if trouble.end == trouble.offset:
        return f"at byte {trouble.offset} of the archive"
    block = "" if trouble.block is None else f"block {trouble.block}, "
    return f"{block}bytes {trouble.offset} to {trouble.end} of the archive"


def _verb(cost: Cost) -> str:
    return {Cost.DOUBT: "not proved", Cost.NOT_KNOWN: "cannot be read"}.get(cost, "lost")
