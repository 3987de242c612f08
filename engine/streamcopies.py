"""Shipped logs for a restore: the pieces beside a set, each as far as its ledger vouches for every byte.

What a ledger promises and its piece does not hold is said: nothing that was told as shipped is left out in silence.
"""

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.files import open_regular
from engine.logfile import ByteReader
from engine.logplan import Shipped
from engine.streamfolder import piece_numbers, stream_folders, without_ledger
from engine.streamledger import Ledger
from engine.streampiece import data_name, ledger_name, read_ledger, sound_entries


@dataclass(frozen=True, slots=True)
class PieceReader:
    """A piece up to its last byte that is certain."""

    descriptor: int
    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at an offset. Raises OSError."""
        return os.pread(self.descriptor, min(count, max(0, self.size - offset)), offset)


@dataclass(frozen=True, slots=True)
class ShippedLog:
    """A piece, with a reader or why there is none; `damage` is why less can be read than was shipped, None when all can.

    `promised` is the last operation that was shipped by its ledger, 0 when there was none, None when nobody knows.
    """

    source: Shipped
    reader: ByteReader | str
    damage: str | None = None
    promised: int | None = None


def shipped_logs(
    destination: Path, base: str, data_file: Path, stack: ExitStack
) -> Iterator[ShippedLog]:
    """Every shipped log of a data file; all of it is compared with its ledger."""
    try:
        folders = stream_folders(destination, base, data_file)
    except OSError:
        return
    for folder in folders:
        try:
            numbers, lost = piece_numbers(folder), without_ledger(folder)
        except OSError as error:
            yield _unread(Shipped(folder, 0), f"{folder} cannot be read: {error.strerror}")
            continue
        for number in numbers:
            yield _compared(Shipped(folder, number), stack)
        for number in lost:
            yield _unread(Shipped(folder, number), _lost_ledger(folder, number))


def _unread(source: Shipped, why: str, promised: int | None = None) -> ShippedLog:
    return ShippedLog(source, why, why, promised)


def _lost_ledger(folder: Path, number: int) -> str:
    return (
        f"its ledger {ledger_name(number)} is gone, and nothing else proves what is in it;"
        f" {_shows(folder / data_name(number))}"
    )


def _shows(file: Path) -> str:
    return f"`backup4d log check {shlex.quote(str(file))}` shows what is readable of it"


def _compared(source: Shipped, stack: ExitStack) -> ShippedLog:
    try:
        ledger = read_ledger(source.folder, source.piece)
    except EngineError as error:
        return _unread(source, str(error))
    except OSError as error:
        return _unread(source, f"its ledger cannot be read: {error.strerror}")
    file, promised = source.folder / data_name(source.piece), ledger.last or 0
    try:
        descriptor = stack.enter_context(open_regular(file, links=False)).fileno()
        size = os.fstat(descriptor).st_size
        sound = sound_entries(descriptor, ledger.entries, size, all_of_them=True)
    except EngineError as error:
        return _unread(source, f"{error}; {_promise(ledger)}", promised)
    except OSError as error:
        why = f"it cannot be read: {error.strerror}; {_promise(ledger)}"
        return _unread(source, why, promised)
    if len(sound) == len(ledger.entries):
        return ShippedLog(source, PieceReader(descriptor, ledger.end))
    good = sound[-1].end if sound else 0
    damage = _damage(file, ledger, good, ledger.entries[len(sound)].end, size)
    reader = PieceReader(descriptor, good) if good else damage
    return ShippedLog(source, reader, damage, promised)


def _damage(file: Path, ledger: Ledger, good: int, bad: int, size: int) -> str:
    """`bad` is the end of the first stretch that is not what was shipped."""
    if bad > size:
        what = f"it ends at byte {size}, {ledger.end} were shipped"
    else:
        what = f"bytes {good} to {bad} do not have the digest in its ledger"
    return f"it is damaged behind byte {good}: {what}; {_promise(ledger)}; {_shows(file)}"


def _promise(ledger: Ledger) -> str:
    if ledger.last is None:
        return "by its ledger no operation was shipped in it"
    return f"by its ledger operation {ledger.last} was shipped"
