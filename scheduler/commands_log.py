"""The commands `log info`, `log list` and `log check`: 4D's transaction log, read without 4D. Nothing is written to it."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from engine.datalook import Seen, Unusable, examine, look_at
from engine.errors import DamagedError, Exit, MissingSetError, SourceError
from engine.logactivity import read_activity
from engine.logcheck import LogCheck, check_log
from engine.logfile import Stamp, begins_with, read_log_facts
from engine.loglist import Listing, Wanted
from engine.logpayload import NAMES
from engine.logsequel import Belongs, Following, judge_belonging, judge_sequel
from engine.logsource import OpenLog, open_log, tables_for
from engine.logtables import Tables
from engine.manifest import MANIFEST
from engine.openfiles import processes_using
from engine.progress import Progress, Report
from engine.setlog import data_member, opened_file
from scheduler.bare_sets import has_application, sets_hint
from scheduler.context import Context, context_of
from scheduler.log_chain_words import (
    belonging_lines,
    data_json,
    fits,
    sequel_json,
    sequel_lines,
)
from scheduler.log_words import (
    JsonWriter,
    LineWriter,
    activity_json,
    activity_lines,
    check_json,
    check_lines,
    facts_rows,
)
from scheduler.options import JSON, PathAsTyped, read_moment
from scheduler.screen import progress_shown, say_json, say_lines, warn
from settings.errors import SettingsNotFoundError
from settings.layout import DatabaseLayout

_ENDINGS = (".journal", ".4bl")
_MOST_NAMED = 5
_FILE = click.argument("file", metavar="FILE", type=PathAsTyped())
_STRUCTURE = click.option(
    "--structure",
    type=PathAsTyped(),
    help="The application's folder or its catalog.4DCatalog, for the names of tables.",
)


@click.group("log")
def log_group() -> None:
    """Look into a transaction log of 4D (.journal): what it holds, who did what, whether it is whole.

    FILE is a log, the folder of an application (its live log), the folder of a set, the archive of a set's log, or
    an archive of 4D that holds a log (.4BL). Nothing is written to it, and 4D may go on working on it. Names of
    users and hosts are personal data.
    """


@dataclass(frozen=True, slots=True)
class _At:
    """An open log with what is known of its tables."""

    context: Context
    log: OpenLog
    tables: Tables


@log_group.command("info")
@_FILE
@_STRUCTURE
@click.option(
    "--all", "every", is_flag=True, help="Every user, task, table and hour, not ten of each."
)
@JSON
@click.pass_context
def log_info(
    ctx: click.Context, file: Path, structure: Path | None, *, every: bool, as_json: bool
) -> int:
    """Say what a log is: its identity, its operations by kind, and who changed what, when."""
    with ExitStack() as stack:
        at = _open(stack, ctx, file, structure)
        report = stack.enter_context(progress_shown(at.context.clock, quiet=as_json))
        activity = read_activity(at.log.reader, _teller(report, at.log, "reading"))
        is_damaged = activity.facts.is_torn and check_log(at.log.reader).is_damaged
        if is_damaged:
            warn(
                f"{file}: damaged; what is counted here ends at byte {activity.facts.whole_bytes}: see backup4d log check"
            )
        code = Exit.DAMAGED if is_damaged else Exit.DONE
        if as_json:
            say_json(activity_json(activity, at.tables))
            return code
        rows = [("log", str(file)), *facts_rows(activity.facts, at.context.zone)]
        rows.append(("records", f"{activity.records}, {activity.changes} of them change data"))
        if activity.not_understood:
            rows.append(("not understood", f"{activity.not_understood} records: see log check"))
        say_lines(f"{name:<15}{words}" for name, words in rows)
        say_lines(activity_lines(activity, at.tables, at.context.zone, every=every))
    return code


@log_group.command("list")
@_FILE
@_STRUCTURE
@click.option("--since", metavar="TIME", help="From this time on: 2026-03-29 or 2026-03-29 02:30.")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option(
    "--user",
    "users",
    metavar="NAME",
    multiple=True,
    help="Of this user: the system's name, NAME@HOST as `info` prints it, or 4D's name. May be repeated.",
)
@click.option(
    "--table",
    "tables",
    metavar="NAME",
    multiple=True,
    help="On this table: its name, or its UUID. May be repeated.",
)
@click.option(
    "--operation",
    "operations",
    metavar="KIND",
    multiple=True,
    help="Of this kind: its name (delete-record), its first word (create), or its number (24). May be repeated.",
)
@click.option(
    "--context",
    "number",
    metavar="NUMBER",
    type=int,
    help="Of the process with this number, the contextID of the JSON.",
)
@JSON
@click.pass_context
def log_list(
    ctx: click.Context,
    /,
    *,
    file: Path,
    structure: Path | None,
    as_json: bool,
    **words: Any,  # noqa: ANN401 - click's
) -> int:
    """List the operations of a log: all of them, or those of a user, on a table, of a kind, from a time.

    Different options narrow it down together; one that is repeated asks for any of its values. The JSON has the shape of 4D's own LOG FILE TO JSON, without the values of fields.
    """
    with ExitStack() as stack:
        at = _open(stack, ctx, file, structure)
        listing = Listing(at.log.reader, _wanted(at, **words))
        writer = JsonWriter(at.tables) if as_json else LineWriter(at.tables, at.context.zone)
        say_lines(writer.lines(listing))
        if listing.read and not listing.given:
            warn(
                f"{file}: no operation is as asked; `backup4d log info` shows users, tables and kinds"
            )
        if listing.is_whole:
            return Exit.DONE
        check = check_log(at.log.reader)
        name = str(file)
        warn(f"{name}: listed up to byte {listing.end} of {listing.size}; see backup4d log check")
        return Exit.DAMAGED if check.is_damaged else Exit.DONE


@log_group.command("check")
@_FILE
@click.option(
    "--follows",
    metavar="LOG",
    type=PathAsTyped(),
    help="An earlier log: is nothing missing between its end and this one?",
)
@click.option(
    "--data",
    metavar="FILE",
    type=PathAsTyped(),
    help="A data file, or the folder of an application or of a set: is this its log, what would 4D integrate?",
)
@JSON
@click.pass_context
def log_check(
    ctx: click.Context, file: Path, follows: Path | None, data: Path | None, *, as_json: bool
) -> int:
    """Read a log to its last byte: is it whole, where is it damaged, what can be read behind the damage.

    Exit codes: 0 whole, or torn at its end, 1 it does not follow or belong as asked, 5 damaged.
    """
    with ExitStack() as stack:
        at = _open(stack, ctx, file, None, names=False)
        report = stack.enter_context(progress_shown(at.context.clock, quiet=as_json))
        check = check_log(at.log.reader, _teller(report, at.log, "checking"))
        following = None if follows is None else _follow(at.log, _log_at(at.context, follows))
        seen = None if data is None else _seen(at.context, data)
        belongs = None
        if seen is not None:
            facts = read_log_facts(at.log.reader)
            belongs = judge_belonging(seen.last, seen.datalink, facts)
    found = _Found(check, following, belongs, seen)
    if as_json:
        say_json(_found_json(found))
    else:
        say_lines(_found_lines(found, file, follows, data, at.context))
    return _exit_of(found)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a check found; None is what was not asked."""

    check: LogCheck
    following: Following | None
    belongs: Belongs | None
    seen: Seen | None


def _exit_of(found: _Found) -> Exit:
    if found.check.is_damaged:
        return Exit.DAMAGED
    is_broken = found.following is not None and not found.following.is_unbroken
    is_foreign = found.belongs is not None and not fits(found.belongs)
    return Exit.FAILED if is_broken or is_foreign else Exit.DONE


def _found_json(found: _Found) -> dict[str, Any]:
    row = check_json(found.check)
    if found.following is not None:
        row["follows"] = sequel_json(found.following)
    if found.belongs is not None and found.seen is not None:
        row["data"] = data_json(found.belongs, found.seen)
    return row


def _found_lines(
    found: _Found, file: Path, follows: Path | None, data: Path | None, context: Context
) -> list[str]:
    lines = check_lines(found.check, str(file), context.zone)
    if found.following is not None:
        lines += sequel_lines(found.following, str(follows))
    if found.belongs is not None:
        lines += belonging_lines(found.belongs, str(data))
        users = processes_using([data]) if data is not None else ()
        if users:
            lines.append(
                f"note: {', '.join(users)} has the data file open: its number on the disk may be behind"
            )
    return lines


# --- what is meant --------------------------------------------------------------------------------


def _open(
    stack: ExitStack, ctx: click.Context, file: Path, structure: Path | None, *, names: bool = True
) -> _At:
    """Open a log; an application's folder stands for its live log. Raises EngineError, SettingsError, OSError."""
    context = context_of(ctx, tolerant=True)
    log = stack.enter_context(open_log(_log_at(context, file)))
    return _At(context, log, tables_for(log, structure) if names else Tables())


def _log_at(context: Context, path: Path) -> Path:
    """What was named, or the live log of the application that was. Raises EngineError, SettingsError."""
    layout = _application(context, path)
    return path if layout is None else layout.log


def _application(context: Context, path: Path) -> DatabaseLayout | None:
    """The application whose folder was named; None for a file and for a set. Raises EngineError, SettingsError."""
    if not path.is_dir() or (path / MANIFEST).is_file():
        return None
    layout = context.layout(path, None, needs_settings=False)
    if has_application(path) or layout.data_file.exists() or layout.log.exists():
        return layout
    logs = sorted(one.name for one in path.iterdir() if one.suffix.lower() in _ENDINGS)
    hint = "name a log, or the folder of an application or of a set"
    if logs:
        more = f" and {len(logs) - _MOST_NAMED} more" if len(logs) > _MOST_NAMED else ""
        hint = f"name one of its logs: {', '.join(logs[:_MOST_NAMED])}{more}"
    error = SettingsNotFoundError("there is no application and no set", [path])
    error.hint = sets_hint(path) or hint
    raise error


def _teller(report: Report, log: OpenLog, phase: str) -> Any:  # noqa: ANN401 - a function
    size = log.reader.size
    return lambda done: report(Progress(phase, done, size))


def _follow(log: OpenLog, earlier: Path) -> Following:
    with open_log(earlier) as other:
        if check_log(other.reader).is_damaged:
            raise DamagedError(
                f"{earlier} is damaged: nobody can say whether this log carries it on",
                code=0,
                hint=f"see what of it is good: backup4d log check '{earlier}'",
            )
        before = read_log_facts(other.reader)
    after = read_log_facts(log.reader)
    return judge_sequel(before, after, begins_so=begins_with(log.reader, before))


def _seen(context: Context, data: Path) -> Seen:
    """What a data file says: alone, of an application, in a set. Raises SourceError, MissingSetError, DamagedError."""
    layout = _application(context, data)
    if layout is not None:
        data = layout.data_file
    found = _in_set(data) if (data / MANIFEST).is_file() else look_at(data)
    if isinstance(found, Unusable):
        raise SourceError(f"{data}: {found.text}", code=0)
    return found


def _in_set(folder: Path) -> Seen | Unusable:
    member = data_member(folder)
    if member is not None:
        with opened_file(folder, member) as reader:
            if reader is not None:
                return examine(reader)
    raise MissingSetError(f"{folder} holds no data file", code=0)


def _wanted(
    at: _At,
    *,
    since: str | None,
    until: str | None,
    number: int | None,
    **names: tuple[str, ...],
) -> Wanted:
    users, tables, operations = names["users"], names["tables"], names["operations"]
    return Wanted(
        since=_stamp(since, at.context),
        until=_stamp(until, at.context),
        kinds=frozenset().union(*map(_kinds, operations)) if operations else None,
        tables=frozenset().union(*(_tables(name, at.tables) for name in tables))
        if tables
        else None,
        users=frozenset(name.casefold() for name in users) if users else None,
        context=None if number is None else abs(number),
    )


def _stamp(text: str | None, context: Context) -> Stamp | None:
    return None if text is None else Stamp.of(read_moment(text, context.zone))


def _kinds(words: str) -> frozenset[int]:
    """The types that are meant: by number, by name, or by the first word of names. Raises UsageError."""
    if words.isdecimal():
        return frozenset({int(words)})
    wanted = words.casefold().replace(" ", "-")
    names = {kind: name.casefold().replace(" ", "-") for kind, name in NAMES.items()}
    found = {kind for kind, name in names.items() if name == wanted or name.split("-")[0] == wanted}
    if not found:
        known = ", ".join(sorted(set(names.values())))
        raise click.UsageError(
            f"{words!r} is no kind of operation; write a type number, or one of {known}"
        )
    return frozenset(found)


def _tables(name: str, tables: Tables) -> frozenset[bytes]:
    found = tables.find(name)
    if not found:
        known = (
            ", ".join(sorted(tables.names.values())[:20])
            or "none: name the application with --structure"
        )
        raise click.UsageError(f"there is no table {name!r} in the structure; known are {known}")
    return found
