"""What a log tells as a whole: how many operations of which kind, by whom, on what, when. Memory stays bounded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from engine.logcontexts import Context
from engine.logfile import ByteReader, LogFacts, Record, facts_between
from engine.loglist import Entry, Listing
from engine.logpayload import CREATE_CONTEXT

# of a hostile log with a million of anything, the rest is counted together
_MOST = 5000
_OTHERS = ""


@dataclass(slots=True)
class Tally:
    """How many there are of each, the rest together under an empty name."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Count one."""
        if name not in self.counts and len(self.counts) >= _MOST:
            name = _OTHERS
        self.counts[name] = self.counts.get(name, 0) + 1

    def largest_first(self) -> Iterator[tuple[str, int]]:
        """Names and counts."""
        yield from sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))


@dataclass(frozen=True, slots=True)
class Activity:
    """A log from its first record to the last whole one that carries on.

    `kinds` counts all records by type. `users`, `tables` and `hours` count those that change data: tables are
    UUIDs in hex, hours `YYYY-MM-DD HH` in UTC; a user is `user@host`, empty when no context tells.
    `contexts` are those created here, `not_understood` records whose content is not as the layout says.
    """

    facts: LogFacts
    records: int
    changes: int
    kinds: dict[int, int]
    contexts: int
    users: Tally
    tasks: Tally
    tables: Tally
    hours: Tally
    not_understood: int


def read_activity(reader: ByteReader, tell: Callable[[int], None] = lambda _: None) -> Activity:
    """Go through a log; `tell` is told how far, now and then. Raises LogUnreadableError."""
    listing = Listing(reader)
    summing = _Summing()
    for entry in listing:
        summing.add(entry)
        if listing.read % 4096 == 0:
            tell(listing.end)
    return summing.result(listing)


class _Summing:
    """Counts while the log is read."""

    def __init__(self) -> None:
        self._first: Record | None = None
        self._last: Record | None = None
        self._kinds: dict[int, int] = {}
        self._changes = 0
        self._users, self._tasks, self._tables, self._hours = (Tally() for _ in range(4))
        # the same hour and the same context come again and again: their words are made once
        self._hour: tuple[int, ...] = ()
        self._hour_words = ""

    def add(self, entry: Entry) -> None:
        record = entry.record
        self._first = self._first or record
        self._last = record
        if record.kind in self._kinds or len(self._kinds) < _MOST:
            self._kinds[record.kind] = self._kinds.get(record.kind, 0) + 1
        if not record.changes_data:
            return
        self._changes += 1
        self._users.add(user_words(entry.context))
        self._tasks.add("" if entry.context is None else entry.context.task)
        if entry.details is not None and entry.details.table is not None:
            self._tables.add(entry.details.table.hex().upper())
        self._hours.add(self._hour_of(record))

    def _hour_of(self, record: Record) -> str:
        hour = (record.year, record.month, record.day, record.milliseconds // 3_600_000)
        if hour != self._hour:
            self._hour = hour
            self._hour_words = "{:04d}-{:02d}-{:02d} {:02d}".format(*hour)
        return self._hour_words

    def result(self, listing: Listing) -> Activity:
        size, kind, datalink = listing.size, listing.format, listing.datalink
        facts = LogFacts(size, listing.end, kind, datalink)
        if self._first is not None and self._last is not None:
            facts = facts_between(size, kind, datalink, self._first, self._last)
        return Activity(
            facts=facts,
            records=listing.read,
            changes=self._changes,
            kinds=dict(sorted(self._kinds.items())),
            contexts=self._kinds.get(CREATE_CONTEXT, 0),
            users=self._users,
            tasks=self._tasks,
            tables=self._tables,
            hours=self._hours,
            not_understood=listing.not_understood,
        )


def user_words(context: Context | None) -> str:
    """`user@host`; empty when it is not known."""
    return "" if context is None else context.words


def hour_of(words: str) -> datetime:
    """The beginning of such an hour, in UTC."""
    return datetime.strptime(f"{words} +0000", "%Y-%m-%d %H %z")
