"""The records of a log one by one, those that are asked for, with who did it to what. Read only, memory flat."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from engine.logcontexts import Context, Contexts
from engine.logfile import HEADER_BYTES, ByteReader, Record, Stamp, Window, read_header, records
from engine.logpayload import NOTHING, RECORD_BYTES, Details, NotUnderstoodError, read_details


class Entry(NamedTuple):
    """One record. `details` is None when what it carries is not understood; `context` when it is not known."""

    record: Record
    details: Details | None
    context: Context | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records; None asks for all. `since` is the first instant, `until` the first one no longer wanted.

    `users` are folded names, of the system, with or without their host, or of 4D.
    """

    since: Stamp | None = None
    until: Stamp | None = None
    kinds: frozenset[int] | None = None
    tables: frozenset[bytes] | None = None
    users: frozenset[str] | None = None
    context: int | None = None

    def by_head(self, record: Record) -> bool:
        """Whether a record may be wanted, by what its head says."""
        if self.kinds is not None and record.kind not in self.kinds:
            return False
        if self.context is not None and abs(record.context) != self.context:
            return False
        if self.since is not None and record.stamp < self.since:
            return False
        return self.until is None or record.stamp < self.until

    def by_user(self, context: Context | None) -> bool:
        """Whether it is one of the users'."""
        if self.users is None:
            return True
        return context is not None and not self.users.isdisjoint(
            name.casefold() for name in (context.user, context.alias, context.words)
        )

    def by_table(self, details: Details | None) -> bool:
        """Whether it is about one of the tables."""
        return self.tables is None or (details is not None and details.table in self.tables)


ALL = Wanted()


class Listing:
    """Goes through a log once. Afterwards `end` is where its whole records end, `read` how many they were, `given` those as asked."""

    def __init__(self, reader: ByteReader, wanted: Wanted = ALL) -> None:
        """Raises LogUnreadableError."""
        self.format, self.datalink = read_header(reader)
        self.size = reader.size
        self.end = HEADER_BYTES
        self.read = self.given = self.not_understood = 0
        self.contexts = Contexts()
        self.window = Window(reader)
        self._wanted = wanted

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing behind the last record that was read."""
        return self.end == self.size

    def __iter__(self) -> Iterator[Entry]:
        window, wanted, context_of = self.window, self._wanted, self.contexts.of
        takes_all = wanted == ALL
        for record in records(window, self.format):
            self.read += 1
            self.end = record.at + record.length
            context = context_of(window, record) if record.context else None
            if not takes_all and not (wanted.by_head(record) and wanted.by_user(context)):
                continue
            details = self._details(record)
            if takes_all or wanted.by_table(details):
                self.given += 1
                yield Entry(record, details, context)

    def _details(self, record: Record) -> Details | None:
        if record.length == RECORD_BYTES:
            return NOTHING
        try:
            return read_details(self.window, record)
        except NotUnderstoodError:
            self.not_understood += 1
            return None
