"""How far the stream of a database is behind its live log, from what lies on the disks: with and without a service."""

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from engine.errors import EngineError
from engine.livelog import LiveLog, read_facts_behind, read_first_facts
from engine.staging import own_tag
from engine.streamfolder import piece_numbers, stream_name, without_ledger
from engine.streamledger import Ledger
from engine.streampiece import data_name, marks_of, read_ledger
from engine.streamsight import Sight, judge
from settings.layout import DatabaseLayout

_MOST_READS = 64


@dataclass(frozen=True, slots=True)
class Behind:
    """What is in the live log alone: whole operations, bytes, and the age of the oldest in seconds, None without one."""

    operations: int = 0
    bytes: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StreamLag:
    """`piece`, `last` and `at` are what was shipped last, None while nothing is; `problem` why `behind` is not known.

    `at` is when it was durable. `lost` are pieces without a ledger: nothing proves what is in them.
    """

    folder: Path
    piece: int | None = None
    last: int | None = None
    bytes: int = 0
    at: datetime | None = None
    behind: Behind | None = None
    problem: str | None = None
    lost: tuple[Path, ...] = ()


def stream_lag(layout: DatabaseLayout, destination: Path, now: datetime) -> StreamLag:
    """Compare the two; what keeps that from being done is said as a problem."""
    folder = destination / stream_name(
        layout.data_file.stem, own_tag(layout.data_file, layout.package)
    )
    try:
        numbers, lost = piece_numbers(folder), without_ledger(folder)
    except FileNotFoundError:
        return StreamLag(folder, problem="nothing is shipped yet")
    except OSError as error:
        return StreamLag(folder, problem=f"{folder} cannot be read: {error.strerror}")
    known = StreamLag(folder, lost=tuple(folder / data_name(number) for number in lost))
    if not numbers:
        return _with_problem(known, "nothing is shipped yet")
    try:
        ledger = read_ledger(folder, numbers[-1])
        known = _shipped(known, ledger)
        return _compared(known, layout, ledger, now)
    except EngineError as error:
        return _with_problem(known, str(error))
    except OSError as error:
        return _with_problem(known, f"{error.filename or layout.log}: {error.strerror}")


def _shipped(known: StreamLag, ledger: Ledger) -> StreamLag:
    at = ledger.entries[-1].at if ledger.entries else None
    number = ledger.beginning.number
    return replace(known, piece=number, last=ledger.last, bytes=ledger.end, at=at)


def _with_problem(known: StreamLag, problem: str) -> StreamLag:
    return replace(known, problem=problem)


def _compared(
    shipped: StreamLag, layout: DatabaseLayout, ledger: Ledger, now: datetime
) -> StreamLag:
    live = LiveLog(layout.log)
    try:
        live.look()
        if live.now is None:
            return _with_problem(shipped, f"there is no log at {layout.log}")
        marks = marks_of(shipped.folder, ledger)
        facts = read_first_facts(live.now.descriptor)
        sight = judge(marks, live.now.marks(marks), ledger.last, facts)
        if sight is not Sight.SAME:
            return _with_problem(shipped, f"{sight.value}; none of it is shipped yet")
        behind = _behind(live.now.descriptor, ledger, now)
    finally:
        live.let_go()
    return replace(shipped, behind=behind)


def _behind(descriptor: int, ledger: Ledger, now: datetime) -> Behind:
    size, at = os.fstat(descriptor).st_size, ledger.end
    since, last, before = None, ledger.last, None
    for _ in range(_MOST_READS):
        facts = read_facts_behind(descriptor, at, size)
        if facts.first is None:
            break
        since = since or facts.first_time
        before = facts.before if before is None else before
        last, at = facts.last, facts.whole_bytes
    start = ledger.last if ledger.last is not None else before
    operations = 0 if last is None or start is None else last - start
    seconds = None if since is None else max(0.0, (now - since).total_seconds())
    return Behind(operations, size - ledger.end, seconds)
