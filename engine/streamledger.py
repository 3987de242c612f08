"""What the ledger beside a shipped log says: how many of its bytes were there, with their digests, and why it ended.

One line a fact, each with a digest of its own: a crash tears the last line at most, and what is torn counts for nothing.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.errors import EngineError

VERSION = 1
_MARK_CHARACTERS = 16


class LedgerError(EngineError):
    """A ledger that cannot be gone by."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Of which log the piece is: `head` are its first 24 bytes. `machine` is as engine.machine says it."""

    number: int
    data_file: str
    log: str
    machine: str
    began: datetime
    head: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """The bytes from `start` to `end` have this digest; `last` is the operation they end with, None while there is none.

    Entries with one `start` are the same stretch as it grew: the last one stands for all.
    """

    start: int
    end: int
    digest: str
    last: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Closing:
    """Nothing follows in this piece; `after_set` was the highest set number in the backup folder then."""

    why: str
    after_set: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything up to the first line that is torn; `good_bytes` is how long that is."""

    beginning: Beginning
    entries: tuple[Entry, ...]
    closing: Closing | None
    good_bytes: int

    @property
    def end(self) -> int:
        """How many bytes of the log were told to be there."""
        return self.entries[-1].end if self.entries else 0

    @property
    def last(self) -> int | None:
        """The operation they end with."""
        return self.entries[-1].last if self.entries else None


def render_line(fact: Beginning | Entry | Closing) -> bytes:
    """One fact as a line."""
    body = json.dumps(_row(fact), ensure_ascii=True).encode("ascii")
    return b"%s %s\n" % (_mark(body), body)


def render_ledger(ledger: Ledger) -> bytes:
    """The whole ledger, of each stretch its last entry only."""
    facts: list[Beginning | Entry | Closing] = [ledger.beginning, *last_of_each(ledger.entries)]
    if ledger.closing is not None:
        facts.append(ledger.closing)
    return b"".join(render_line(fact) for fact in facts)


def last_of_each(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Of each stretch its last entry."""
    return tuple({entry.start: entry for entry in entries}.values())


def parse_ledger(data: bytes) -> Ledger:
    """Read a ledger as far as it is whole. Raises LedgerError when it does not even tell what it belongs to."""
    rows = _rows(data)
    beginning, good_bytes = _beginning(next(rows, None))
    entries: list[Entry] = []
    closing: Closing | None = None
    for row, end in rows:
        try:
            fact = _fact(row)
        except (KeyError, TypeError, ValueError):
            break
        if isinstance(fact, Entry):
            if not _follows(fact, entries):
                break
            entries.append(fact)
        else:
            closing = fact
        good_bytes = end
        if closing is not None:
            break
    return Ledger(beginning, tuple(entries), closing, good_bytes)


def _rows(data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """Each whole line, and where it ends."""
    at = 0
    while (end := data.find(b"\n", at) + 1) > 0:
        mark, _, body = data[at : end - 1].partition(b" ")
        if mark != _mark(body):
            return
        try:
            row = json.loads(body)
        except ValueError:
            return
        if not isinstance(row, dict):
            return
        yield row, end
        at = end


def _beginning(found: tuple[dict[str, Any], int] | None) -> tuple[Beginning, int]:
    if found is None:
        raise LedgerError("its first line is torn or damaged")
    row, end = found
    version = row.get("version")
    if isinstance(version, int) and version > VERSION:
        raise LedgerError(f"it was written by a newer backup4d (version {version})")
    try:
        return (
            Beginning(
                int(row["piece"]),
                str(row["data_file"]),
                str(row["log"]),
                str(row["machine"]),
                _instant(row["began"]),
                bytes.fromhex(row["head"]),
            ),
            end,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError("its first line does not say which log it belongs to") from error


def _fact(row: dict[str, Any]) -> Entry | Closing:
    at = _instant(row["at"])
    if "closed" in row:
        return Closing(str(row["closed"]), int(row["after_set"]), at)
    last = row["last"]
    return Entry(
        int(row["from"]),
        int(row["to"]),
        str(row["sha256"]),
        None if last is None else int(last),
        at,
    )


def _follows(entry: Entry, before: list[Entry]) -> bool:
    """Whether it carries on without a gap: the same stretch longer, or the next one."""
    if not before:
        return entry.start == 0 < entry.end
    return entry.end > before[-1].end and entry.start in (before[-1].start, before[-1].end)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without a zone")
    return instant


def _row(fact: Beginning | Entry | Closing) -> dict[str, Any]:
    match fact:
        case Beginning():
            return {
                "version": VERSION,
                "piece": fact.number,
                "data_file": fact.data_file,
                "log": fact.log,
                "machine": fact.machine,
                "began": fact.began.isoformat(),
                "head": fact.head.hex(),
            }
        case Entry():
            return {
                "from": fact.start,
                "to": fact.end,
                "sha256": fact.digest,
                "last": fact.last,
                "at": fact.at.isoformat(timespec="milliseconds"),
            }
        case Closing():
            return {"closed": fact.why, "after_set": fact.after_set, "at": fact.at.isoformat()}


def _mark(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_MARK_CHARACTERS].encode("ascii")
