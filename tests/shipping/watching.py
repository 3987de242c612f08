"""What was told as shipped while a log was written, when, and whether all of it was true."""

import statistics
import struct
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.streamledger import LedgerError
from engine.streampiece import data_name, ledger_name, read_ledger
from tests.engine.stories import App

_RECORD = struct.Struct("<4sQIIqIBBH")
_EVERY = 0.02


@dataclass(frozen=True, slots=True)
class Told:
    """So many bytes of a piece were told of, at this moment of the clock."""

    piece: int
    end: int
    at: float


class Watcher:
    """Looks at the ledgers all the time, as a person would who believes them."""

    def __init__(self, app: App) -> None:
        self.told: list[Told] = []
        self._app = app
        self._seen: dict[int, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def _work(self) -> None:
        while not self._over.wait(_EVERY):
            for stream in self._app.destination.glob("*.log-stream-*"):
                for ledger in sorted(stream.glob("*.ledger")):
                    self._look(stream, int(ledger.stem))

    def _look(self, stream: Path, number: int) -> None:
        try:
            facts = (stream / ledger_name(number)).stat()
            if self._seen.get(number) == (facts.st_size, facts.st_ino):
                return
            found = read_ledger(stream, number)
        except (OSError, LedgerError):
            return
        self._seen[number] = facts.st_size, facts.st_ino
        if found.end:
            self.told.append(Told(number, found.end, time.time()))


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record of a log ends, its number, when it was written."""

    end: int
    number: int
    at: float


def records(content: bytes) -> list[Record]:
    """The whole records of a log, by the plainest way through it."""
    found, at = [], 24
    while at + _RECORD.size <= len(content):
        _, number, length, _, _, ms, day, month, year = _RECORD.unpack_from(content, at)
        at += length
        midnight = datetime(year, month, day, tzinfo=UTC).timestamp()
        found.append(Record(at, number, midnight + ms / 1000))
    return found


def pieces(app: App) -> dict[int, bytes]:
    """What the ledgers vouch for now."""
    streams = list(app.destination.glob("*.log-stream-*"))
    if not streams:
        return {}
    (stream,) = streams
    numbers = sorted(int(file.stem) for file in stream.glob("*.ledger"))
    return {
        number: (stream / data_name(number)).read_bytes()[: read_ledger(stream, number).end]
        for number in numbers
    }


def lags(content: bytes, told: list[Told]) -> list[float]:
    """How long after each record of one log it was told of, in seconds."""
    found, steps = [], sorted(told, key=lambda one: one.at)
    at = 0
    for record in records(content):
        while at < len(steps) and steps[at].end < record.end:
            at += 1
        if at == len(steps):
            break
        found.append(max(0.0, steps[at].at - record.at))
    return found


def figures(values: list[float]) -> str:
    """Median, 99 of 100, and the longest."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"median {statistics.median(ordered):.2f} s, p99 {p99:.2f} s, max {ordered[-1]:.2f} s"
