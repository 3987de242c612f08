"""Where the streams of a database lie in a backup folder, which pieces there are, and which of them go.

A stream has a folder of its own for each copy of an application on each machine, so that two never write to one.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.anchor import anchored
from engine.errors import EngineError
from engine.files import fsync_folder
from engine.sets import Inventory, database_tag, number_in, take_inventory
from engine.streamledger import Ledger, LedgerError
from engine.streampiece import data_name, ledger_name, read_ledger
from engine.streamsight import needed_pieces

_WORD = ".log-stream-"
_DATA = re.compile(r"(\d{4,9})\.journal")
_LEDGER = re.compile(r"(\d{4,9})\.ledger")
_TAG = re.compile(r"[0-9a-f]{8}\.[0-9a-f]{8}")
STREAM_LOCK = ".backup4d.lock"
_GONE = ".gone-"


@dataclass(frozen=True, slots=True)
class KeptSets:
    """What a stream must know of the sets: their numbers, the highest ever given, how much the newest took.

    `in_doubt` says that there are some which cannot be read, or no complete one.
    """

    numbers: tuple[int, ...]
    highest: int
    newest_bytes: int
    in_doubt: bool


def stream_name(base: str, tag: str) -> str:
    """`data.log-stream-1a2b3c4d.5e6f7a8b`; the tag is that of engine.staging.own_tag."""
    return f"{base}{_WORD}{tag}"


def is_stream_name(name: str) -> bool:
    """Whether it is the name of a stream's folder, of whatever database."""
    base, word, tag = name.rpartition(_WORD)
    return bool(base and word) and _TAG.fullmatch(tag) is not None


def stream_folders(destination: Path, base: str, data_file: Path) -> list[Path]:
    """Every stream of this data file, also those that other machines made. Raises OSError."""
    beginning = f"{base}{_WORD}{database_tag(data_file)}."
    return sorted(
        entry
        for entry in destination.iterdir()
        if entry.name.startswith(beginning)
        and is_stream_name(entry.name)
        and not entry.is_symlink()
    )


def piece_numbers(stream: Path) -> list[int]:
    """The pieces of a stream, in their order. Raises OSError."""
    found = (_LEDGER.fullmatch(entry.name) for entry in stream.iterdir())
    return sorted(int(one[1]) for one in found if one is not None)


def without_ledger(stream: Path) -> list[int]:
    """The pieces of which bytes are there, and no ledger tells what they are. Raises OSError.

    One without a byte is of a service that died before it told of anything.
    """
    told = set(piece_numbers(stream))
    found = ((entry, _DATA.fullmatch(entry.name)) for entry in stream.iterdir())
    numbers = (int(one[1]) for entry, one in found if one is not None and entry.lstat().st_size)
    return sorted(number for number in numbers if number not in told)


def ledgers(stream: Path) -> Iterator[tuple[int, Ledger | str]]:
    """Each piece with its ledger, or why it cannot be read. Raises OSError."""
    for number in piece_numbers(stream):
        try:
            yield number, read_ledger(stream, number)
        except LedgerError as error:
            yield number, str(error)


def look_at_sets(destination: Path, base: str, data_file: Path) -> KeptSets:
    """What the sets of this data file are. Raises OSError."""
    found: Inventory = take_inventory(destination, base, data_file)
    numbers = [stored.number for stored in found.sets]
    numbers += [number for name, _ in found.unreadable if (number := number_in(name, base))]
    has_complete = any(stored.facts.complete for stored in found.sets)
    newest = found.sets[-1].facts.archive_bytes if found.sets else 0
    return KeptSets(tuple(sorted(numbers)), found.highest, newest, not has_complete)


def remove_unneeded(stream: Path, kept: KeptSets) -> list[str]:
    """Remove the closed pieces that no kept set leads into; the names gone. Raises OSError."""
    known = dict(ledgers(stream))
    closed = {
        number: ledger.closing.after_set
        for number, ledger in known.items()
        if isinstance(ledger, Ledger) and ledger.closing is not None
    }
    needed = needed_pieces(closed, kept.numbers, in_doubt=kept.in_doubt)
    gone = sorted(closed.keys() - needed)
    for number in gone:
        # the data under a hidden name first: what is left after a crash is known as ours to remove
        with suppress(FileNotFoundError):
            (stream / data_name(number)).rename(stream / f"{_GONE}{data_name(number)}")
        (stream / ledger_name(number)).unlink()
    if gone:
        fsync_folder(stream)
    for entry in [one for one in stream.iterdir() if one.name.startswith(_GONE)]:
        entry.unlink()
    return [data_name(number) for number in gone]


def remove_unneeded_of_others(
    destination: Path, own: str, base: str, data_file: Path, kept: KeptSets
) -> list[str]:
    """The same for what other machines, or other copies, have left here. Raises OSError."""
    gone: list[str] = []
    for folder in stream_folders(destination, base, data_file):
        if folder.name == own:
            continue
        with suppress(EngineError), anchored(folder, of=None) as held:
            gone += [f"{folder.name}/{name}" for name in remove_unneeded(held, kept)]
    return gone
