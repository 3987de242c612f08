"""What `backup4d log` says: records as lines or as JSON, activity as tables, a check and a chain in sentences."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

from engine.journal import local_time, one_line
from engine.logactivity import Activity, Tally, hour_of, user_words
from engine.logcheck import LogCheck, Lost, Place
from engine.logcontexts import Context
from engine.logfile import LogFacts, LogFormat, Record
from engine.loglist import Entry
from engine.logpayload import Details, operation_name
from engine.logtables import Tables
from scheduler.screen import count_words, size_words, table

_UUID_WIDTH = 32
_MOST_KEPT = 40_000
_MOST_ROWS = 10
_ONE_DAY = 24
_FORMATS = {LogFormat.CURRENT: "current", LogFormat.OLD: "old (up to v13)"}


# --- list -----------------------------------------------------------------------------------------


class LineWriter:
    """Records as lines of fixed columns; what comes again and again is put into words once."""

    def __init__(self, tables: Tables, zone: tzinfo) -> None:
        self._tables = tables
        self._zone = zone
        self._minute: tuple[int, ...] = ()
        self._minute_words = ""
        self._names: dict[bytes, str] = {}
        lengths = (len(name) for name in tables.names.values())
        self._width = min(_UUID_WIDTH, max(lengths, default=_UUID_WIDTH))
        self._context: Context | None = None
        self._who = f"{'':<20}  "

    def lines(self, entries: Iterable[Entry]) -> Iterator[str]:
        """The heading, then a line for each."""
        yield (
            f"{'number':>10}  {'time':<19}  {'operation':<20}  {'table':<{self._width}}  {'record':>8}"
            f"  {'bytes':>8}  {'key':<12}  {'user':<20}  task"
        )
        for entry in entries:
            yield self._line(entry)

    def _line(self, entry: Entry) -> str:
        record, details, context = entry
        if context is not self._context:
            self._context, self._who = context, _who(context)
        front = f"{record.number:>10}  {self._time(record)}  {operation_name(record.kind):<20}"
        if details is None:
            return f"{front}  not understood"
        name = (" " * self._width) if details.table is None else self._name(details.table)
        number = "" if details.record is None else details.record
        size = "" if details.size is None else details.size
        key = details.key or ("" if details.sequence is None else f"={details.sequence}")
        key = key if key.isprintable() else one_line(key)
        return f"{front}  {name}  {number:>8}  {size:>8}  {key:<12}  {self._who}".rstrip()

    def _time(self, record: Record) -> str:
        minute = (record.year, record.month, record.day, record.milliseconds // 60_000)
        if minute != self._minute:
            self._minute = minute
            self._minute_words = _local(record.time, self._zone)[: -len("00")]
        if not self._minute_words:
            return f"{'not known':<19}"
        return f"{self._minute_words}{record.milliseconds // 1000 % 60:02d}"

    def _name(self, uuid: bytes) -> str:
        if uuid not in self._names:
            if len(self._names) > _MOST_KEPT:
                self._names.clear()
            self._names[uuid] = one_line(self._tables.name(uuid)).ljust(self._width)
        return self._names[uuid]


def _who(context: Context | None) -> str:
    task = "" if context is None else one_line(context.task)
    return f"{one_line(user_words(context)):<20}  {task}"


class JsonWriter:
    """Records as 4D's command LOG FILE TO JSON writes them, as far as that is documented and known here.

    The values of fields are left out: their layout is not known well enough. Put together by hand, and what comes
    again and again only once: a log has millions of records.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._told: Context | None = None
        self._day: tuple[int, ...] = ()
        self._day_words = ""
        self._named: dict[bytes, str] = {}

    def lines(self, entries: Iterable[Entry]) -> Iterator[str]:
        """One array, an object on each line."""
        before = "["
        for entry in entries:
            yield f"{before}{self._row(entry)}"
            before = ","
        yield "[]" if before == "[" else "]"

    def _row(self, entry: Entry) -> str:
        record, details, context = entry
        parts = [
            f'{{"operationType": {record.kind}',
            f'"operationName": "{operation_name(record.kind)}"',
            f'"operationNumber": {record.number}',
        ]
        if record.context:
            parts.append(f'"contextID": {abs(record.context)}')
        parts.append(self._time(record))
        if details is not None:
            self._add_details(parts, details)
        # once for each run of records of one context
        if context is not None and context is not self._told:
            parts.append(f'"extraData": {json.dumps(context.plain)}')
        self._told = context
        if details is not None and details.key is not None:
            parts.append(f'"primaryKey": {json.dumps(details.key)}')
        return ", ".join(part for part in parts if part) + "}"

    def _time(self, record: Record) -> str:
        """Empty for a time that is none."""
        day = (record.year, record.month, record.day)
        if day != self._day:
            self._day = day
            self._day_words = "" if record.time is None else "{:04d}-{:02d}-{:02d}".format(*day)
        seconds, milliseconds = divmod(record.milliseconds, 1000)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        if not self._day_words or hours >= _ONE_DAY:
            return ""
        clock = f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
        return f'"timeStamp": "{self._day_words}T{clock}Z"'

    def _add_details(self, parts: list[str], details: Details) -> None:
        if details.size is not None:
            parts.append(f'"dataLen": {details.size}')
        if details.record is not None:
            parts.append(f'"recordNumber": {details.record}')
        if details.sequence is not None:
            parts.append(f'"sequenceNumber": {details.sequence}')
        if details.table is not None:
            parts.append(self._named.get(details.table) or self._name(details.table))

    def _name(self, table: bytes) -> str:
        if len(self._named) > _MOST_KEPT:
            self._named.clear()
        words = f'"tableID": "{table.hex().upper()}"'
        if table in self._tables.names:
            name = json.dumps(self._tables.names[table])
            words += f', "tableName": {name}'
        self._named[table] = words
        return words


# --- info -----------------------------------------------------------------------------------------


def facts_rows(facts: LogFacts, zone: tzinfo) -> list[tuple[str, str]]:
    """Identity, format, size, numbers and times."""
    torn = f", whole up to byte {facts.whole_bytes}" if facts.is_torn else ", whole"
    rows = [
        ("identity", facts.datalink.hex().upper()),
        ("format", _FORMATS[facts.format]),
        ("size", f"{size_words(facts.size)} ({facts.size} bytes){torn}"),
    ]
    if facts.first is None:
        return [*rows, ("operations", "none: the log was just made")]
    rows.append(("operations", f"{facts.first} to {facts.last}, going on from {facts.before}"))
    rows.append(("first record", _when(facts.first_time, zone)))
    rows.append(("last record", _when(facts.last_time, zone)))
    if facts.ends_with_backup:
        rows.append(("ends with", "the mark of a backup of 4D's"))
    return rows


def activity_lines(activity: Activity, tables: Tables, zone: tzinfo, *, every: bool) -> list[str]:
    """How many of which kind, and who changed what, when."""
    most = None if every else _MOST_ROWS
    kinds = sorted(activity.kinds.items(), key=lambda one: (-one[1], one[0]))
    lines = _block("operation", "records", [(operation_name(kind), n) for kind, n in kinds], None)
    if not activity.changes:
        return [*lines, "", "nothing in it changes data"]
    lines += _tally("changes by user", activity.users, lambda name: name or "not known", most)
    lines += _tally("changes by task", activity.tasks, lambda name: name or "not known", most)
    lines += _tally("changes by table", activity.tables, lambda name: _table(name, tables), most)
    title, times = _by_time(activity.hours, zone)
    return lines + _block(title, "changes", times, most, newest=True)


def _tally(title: str, tally: Tally, words: Callable[[str], str], most: int | None) -> list[str]:
    return _block(title, "changes", [(words(name), n) for name, n in tally.largest_first()], most)


def _table(name: str, tables: Tables) -> str:
    return tables.name(bytes.fromhex(name)) if name else "others"


def _by_time(hours: Tally, zone: tzinfo) -> tuple[str, list[tuple[str, int]]]:
    """By the hour, or by the day when there are more hours than a day has; local time."""
    counts: dict[str, int] = {}
    is_long = len(hours.counts) > _ONE_DAY
    for name, count in hours.counts.items():
        words = _hour_words(name, zone, is_long=is_long)
        counts[words] = counts.get(words, 0) + count
    return ("changes by day" if is_long else "changes by hour"), sorted(counts.items())


def _hour_words(name: str, zone: tzinfo, *, is_long: bool) -> str:
    try:
        words = _local(hour_of(name), zone)
    except ValueError:
        words = ""
    return (words[:10] if is_long else words[:16]) or "time not known"


def _block(
    title: str, count: str, rows: list[tuple[str, int]], most: int | None, *, newest: bool = False
) -> list[str]:
    shown = rows if most is None else (rows[-most:] if newest else rows[:most])
    lines = table([(title, count), *((one_line(name), f"{n:>7}") for name, n in shown)])
    if len(shown) < len(rows):
        which = "earlier" if newest else "more"
        lines.append(f"and {len(rows) - len(shown)} {which}: --all shows them")
    return ["", *lines]


def activity_json(activity: Activity, tables: Tables) -> dict[str, Any]:
    """The same for programs; hours are UTC."""
    facts = activity.facts
    return {
        **facts_json(facts),
        "records": activity.records,
        "changes": activity.changes,
        "contexts": activity.contexts,
        "notUnderstood": activity.not_understood,
        "operations": [
            {"operationType": kind, "operationName": operation_name(kind), "records": count}
            for kind, count in activity.kinds.items()
        ],
        "users": dict(activity.users.largest_first()),
        "tasks": dict(activity.tasks.largest_first()),
        "tables": [
            {"tableID": name, "tableName": _table(name, tables), "changes": count}
            for name, count in activity.tables.largest_first()
        ],
        "hours": dict(sorted(activity.hours.counts.items())),
    }


def facts_json(facts: LogFacts) -> dict[str, Any]:
    """Identity, format, size, numbers and times for programs."""
    return {
        "datalink": facts.datalink.hex().upper(),
        "format": facts.format.name.lower(),
        "size": facts.size,
        "wholeBytes": facts.whole_bytes,
        "before": facts.before,
        "first": facts.first,
        "last": facts.last,
        "firstTime": _instant(facts.first_time),
        "lastTime": _instant(facts.last_time),
        "endsWithBackup": facts.ends_with_backup,
    }


# --- check ----------------------------------------------------------------------------------------


def check_lines(check: LogCheck, name: str, zone: tzinfo) -> list[str]:
    """The verdict, then each thing that was found."""
    records = count_words(check.readable, "record")
    if check.is_damaged:
        head = f"DAMAGED: {name}: good up to byte {check.good_bytes}; {records} can be read in all"
    elif check.torn:
        head = f"TORN: {name}: good up to byte {check.good_bytes}, {records}"
    else:
        head = f"GOOD: {name}: {records}, read to the last byte ({check.size})"
    lines = [head]
    if check.last is not None:
        lines.append(f"last: operation {check.last}, {_when(check.last_time, zone)}")
    lines += [f"lost: {_lost(lost)}" for lost in check.lost]
    if check.torn:
        lines.append(
            f"torn: the last {check.torn} bytes are no whole record: what was being written when it ended, or is"
            " being written now"
        )
    lines += [f"damage: {_place(place)}" for place in check.damage]
    lines += [f"warning: {_place(place)}" for place in check.warnings]
    if check.more:
        lines.append(f"and {check.more} more of these")
    lines += [
        f"note: {count_words(count, 'record')} of type {kind}, which this program does not know"
        for kind, count in check.unknown.items()
    ]
    if check.given_up:
        lines.append(
            "note: the search behind the damage was given up: too much there looks like records"
        )
    return lines


def _lost(lost: Lost) -> str:
    after = -1 if lost.after is None else lost.after
    count = lost.before - after
    if lost.after is None:
        which = f"what was before operation {lost.before + 1}"
    elif count < 1:
        which = "no operation, only notes"
    elif count == 1:
        which = f"operation {lost.before}"
    else:
        which = f"operations {after + 1} to {lost.before}"
    behind = "the beginning" if lost.after is None else f"operation {lost.after}"
    return f"bytes {lost.at} to {lost.end - 1}, behind {behind}, are no records: {which}"


def _place(place: Place) -> str:
    after = "" if place.after is None else f", behind operation {place.after}"
    return f"byte {place.at}{after}: {place.text}"


def check_json(check: LogCheck) -> dict[str, Any]:
    """The same for programs."""
    places = {"damage": check.damage, "warnings": check.warnings}
    return {
        "datalink": check.datalink.hex().upper(),
        "format": check.format.name.lower(),
        "size": check.size,
        "goodBytes": check.good_bytes,
        "torn": check.torn,
        "damaged": check.is_damaged,
        "records": check.readable,
        "last": check.last,
        "lastTime": _instant(check.last_time),
        "lost": [
            {"at": one.at, "end": one.end, "after": one.after, "before": one.before}
            for one in check.lost
        ],
        **{
            name: [{"at": one.at, "after": one.after, "text": one.text} for one in found]
            for name, found in places.items()
        },
        "more": check.more,
        "unknown": [{"operationType": kind, "records": n} for kind, n in check.unknown.items()],
        "gaveUp": check.given_up,
    }


def _when(instant: datetime | None, zone: tzinfo) -> str:
    return _local(instant, zone) or "at a time that is not known"


def _local(instant: datetime | None, zone: tzinfo) -> str:
    """Empty for a time that no zone has."""
    try:
        return "" if instant is None else local_time(instant, zone)
    except (ValueError, OverflowError):
        return ""


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat(timespec="milliseconds")
