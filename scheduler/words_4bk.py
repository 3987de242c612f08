"""What the commands `4bk` say, in words and as JSON."""

from collections import Counter
from pathlib import Path
from typing import Any

from engine.errors import EngineError, Exit
from engine.fourd.archive import QuickOutcome
from engine.fourd.extract import REPORT
from engine.fourd.extracted import Extracted, Extraction, Fate
from engine.fourd.listing import Entry, Listing
from engine.fourd.reading import Outcome
from engine.fourd.rescue import Rescued, found_words
from engine.fourd.trouble import Part, Trouble
from engine.fourd.words import name_of, trouble_lines
from engine.salvagereport import shown
from scheduler.screen import count_words, say, say_json, say_lines, size_words, warn

_MOST_SHOWN = 50


def say_listing(path: Path, size: int, listing: Listing) -> None:
    """Every file with its size and role; what 4D wrote after `::` when it is more than that."""
    say_lines(_entry_words(one) for one in listing.entries)
    content = sum(one.size for one in listing.entries)
    say(
        f"{path}: {count_words(len(listing.entries), 'file')}, {size_words(content)} in {size_words(size)}"
    )
    for note in listing.notes:
        warn(f"known: {note}")


def _entry_words(entry: Entry) -> str:
    about = f"  <- {shown(_bytes(entry.tag))}" if entry.origin.value == "attachment" else ""
    return f"{entry.size:>16,}  {entry.origin.value:<10}  {name_of(entry)}{about}"


def say_outcome(path: Path, outcome: Outcome | QuickOutcome) -> None:
    """One line when all is well; else what is wrong, where, and what it costs."""
    entries = [] if outcome.listing is None else outcome.listing.entries
    is_quick = isinstance(outcome, QuickOutcome)
    how = "stored bytes compared" if is_quick else "every byte compared"
    blocks = count_words(outcome.blocks, "block")
    if outcome.is_whole:
        say(f"{path}: whole, {count_words(len(entries), 'file')} in {blocks}, {how}")
    else:
        say(f"{path}: DAMAGED, {blocks} read")
        _say_troubles(outcome.troubles, outcome.more_troubles, entries)
    for note in outcome.notes:
        warn(f"unusual: {note}")


def _say_troubles(troubles: tuple[Trouble, ...], more: int, entries: list[Entry]) -> None:
    for trouble in troubles[:_MOST_SHOWN]:
        say_lines(f"  {line}" for line in trouble_lines(trouble, entries))
    more += len(troubles[_MOST_SHOWN:])
    if more:
        say(f"  and {more} more places; --json has them")


def say_extraction(path: Path, extraction: Extraction) -> None:
    """Where it is, and what of it is not whole."""
    outcome, entries = extraction.outcome, extraction.outcome.listing.entries
    content = sum(entries[one.index].size - one.lost for one in extraction.files)
    say(f"{extraction.target}: {count_words(len(extraction.files), 'file')}, {size_words(content)}")
    for one in extraction.files:
        if one.fate is Fate.WHOLE and one.place != _bytes(entries[one.index].path):
            say(f"  {name_of(entries[one.index])} is in {shown(one.place)}")
    for note in outcome.notes:
        warn(f"unusual: {note}")
    if extraction.is_whole:
        say("every byte of them was compared with the checksums of the archive")
        return
    say(f"{path} is DAMAGED:")
    _say_troubles(outcome.troubles, outcome.more_troubles, entries)
    kinds = Counter(one.fate for one in extraction.files)
    say(", ".join(f"{kinds[fate]} {fate.value}" for fate in Fate))
    say(f"what is not whole is named in {extraction.target / REPORT}")


def say_rescued(rescued: Rescued, path: Path, *, as_json: bool) -> int:
    """What was found of an archive without its list."""
    if as_json:
        rows = [{"place": o.name, "size": o.size, "there": o.bytes_there} for o in rescued.files]
        why, target = rescued.why, str(rescued.target)
        say_json({"file": str(path), "whole": False, "why": why, "target": target, "found": rows})
        return Exit.DAMAGED
    say(f"{path} is DAMAGED: {rescued.why}")
    say(
        f"{rescued.target}: {count_words(len(rescued.files), 'file')} without a name, in the order of the archive"
    )
    say_lines(f"  {found_words(one)}" for one in rescued.files[:_MOST_SHOWN])
    say(f"all are named in {rescued.target / REPORT}")
    return Exit.DAMAGED


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")


# --- JSON


def error_row(path: Path, error: EngineError) -> dict[str, Any]:
    """A file that could not be looked at."""
    return {
        "file": str(path),
        "error": str(error),
        "hint": error.hint,
        "exit": int(error.exit_code),
    }


def listing_row(path: Path, size: int, listing: Listing) -> dict[str, Any]:
    """The list of one archive."""
    return {
        "file": str(path),
        "bytes": size,
        "files": [_entry_row(one) for one in listing.entries],
        "notes": list(listing.notes),
    }


def _entry_row(entry: Entry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "size": entry.size,
        "role": entry.origin.value,
        "tag": entry.tag,
    }


def outcome_row(path: Path, outcome: Outcome | QuickOutcome) -> dict[str, Any]:
    """What verification found."""
    entries = [] if outcome.listing is None else outcome.listing.entries
    return {
        "file": str(path),
        "whole": outcome.is_whole,
        "quick": isinstance(outcome, QuickOutcome),
        "blocks": outcome.blocks,
        "files": len(entries),
        "troubles": [_trouble_row(one, entries) for one in outcome.troubles],
        "more_troubles": outcome.more_troubles,
        "notes": list(outcome.notes),
    }


def _trouble_row(trouble: Trouble, entries: list[Entry]) -> dict[str, Any]:
    return {
        "block": trouble.block,
        "start": trouble.offset,
        "end": trouble.end,
        "cost": trouble.cost.name.lower(),
        "text": trouble.text,
        "parts": [_part_row(one, entries) for one in trouble.parts],
    }


def _part_row(part: Part, entries: list[Entry]) -> dict[str, Any]:
    return {"path": entries[part.index].path, "start": part.start, "end": part.end}


def extraction_row(path: Path, extraction: Extraction) -> dict[str, Any]:
    """What was extracted, file by file."""
    entries = extraction.outcome.listing.entries
    row = outcome_row(path, extraction.outcome)
    row["target"] = str(extraction.target)
    row["files"] = [_extracted_row(one, entries[one.index]) for one in extraction.files]
    return row


def _extracted_row(one: Extracted, entry: Entry) -> dict[str, Any]:
    place = one.place.decode("utf-8", "backslashreplace") if one.place else None
    return {**_entry_row(entry), "place": place, "fate": one.fate.value, "lost": one.lost}
