"""Looking into sets without unpacking them: diff, and the tree that `show --tree` prints."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import click

from engine.compare import (
    Change,
    Comparison,
    Difference,
    Source,
    compare_members,
    without_unknown,
)
from engine.errors import EngineError, Exit, SourceError
from engine.livefiles import LiveFiles
from engine.manifest import SetFacts, iterate_members, read_set_facts
from engine.member import Attributes, Kind, Member
from engine.progress import Report
from engine.treeview import Branch, tree_of
from scheduler.context import Context, choose_set, context_of
from scheduler.screen import progress_shown, say, say_json, say_lines, size_words, warn

_LIVE = "live"
# as with diff(1), whose 1 says that there are differences
_TROUBLE = Exit.USAGE
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNS = {
    Difference.ADDED: "+",
    Difference.REMOVED: "-",
    Difference.TYPE: "~",
    Difference.CONTENT: "~",
    Difference.ATTRIBUTES: ".",
}


@dataclass(frozen=True, slots=True)
class _Pair:
    """What is compared: a set with another one, or with the live files when `after` is None.

    `destination` is where the sets of the live application are.
    """

    before: Path
    after: Path | None
    destination: Path


@dataclass(frozen=True, slots=True)
class _Result:
    pair: _Pair
    numbers: tuple[int, int | None]
    comparison: Comparison
    unknown: tuple[tuple[bytes, str], ...]
    by_time: bool


@click.command()
@click.argument("target", metavar="DATABASE|SET", type=click.Path(path_type=Path))
@click.argument("other", metavar="[SET|live]", required=False, type=click.Path(path_type=Path))
@click.option("--set", "number", type=int, help="The set of DATABASE; the newest by default.")
@click.option("--with", "second", type=int, help="Compare with this set, not with the live files.")
@click.option("--data-file", type=click.Path(path_type=Path), help="The data file, of several.")
@click.option(
    "--content", is_flag=True, help="Live files: read all, also where size and time agree."
)
@click.option(
    "--all", "every", is_flag=True, help="Name what differs in mode, owner or time alone."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def diff(ctx: click.Context, /, *, content: bool, every: bool, as_json: bool, **words: Any) -> int:  # noqa: ANN401 - click's
    """Say what changed between two sets, or since a set: the live files against it.

    Of DATABASE the newest set or the one with --set against the live files, or against the set that
    --with names; of the folder of a SET against another SET or against `live`, which is what is meant when
    nothing is named. Nothing is unpacked and nothing is changed.

    Exit codes: 0 no difference, 1 differences, 2 wrong use or something could not be read, 5 damaged.
    """
    with _trouble_told_apart():
        context = context_of(ctx)
        pair = _choose_pair(context, **words)
        with progress_shown(context.clock, quiet=as_json) as report:
            result = _compare(pair, report, every_content=content)
    if as_json:
        say_json(_rows(result, every=every))
    else:
        _say_result(result, context.zone, every=every)
    if result.unknown:
        return _TROUBLE
    return Exit.FAILED if result.comparison.differs else Exit.DONE


@contextmanager
def _trouble_told_apart() -> Iterator[None]:
    """A failure never has the exit code that means differences."""
    try:
        yield
    except EngineError as error:
        if error.exit_code is Exit.FAILED:
            error.exit_code = _TROUBLE
        raise
    except OSError as error:
        trouble = SourceError(f"{error.filename or 'a file'}: {error.strerror or error}", code=0)
        trouble.exit_code = _TROUBLE
        raise trouble from error


def _choose_pair(
    context: Context,
    *,
    target: Path,
    other: Path | None,
    number: int | None,
    second: int | None,
    data_file: Path | None,
) -> _Pair:
    """Which two are meant. Raises click.UsageError, EngineError, SettingsError."""
    if other is not None and second is not None:
        raise click.UsageError("name the other set or give its number with --with, not both")
    named = None if other is None or str(other) == _LIVE else other.absolute()
    if (target / "manifest.json").is_file():
        if number is not None or second is not None:
            raise click.UsageError("--set and --with are numbers of a DATABASE; this is a SET")
        folder = target.absolute()
        return _Pair(folder, named, folder.parent)
    if second is not None and number is None:
        raise click.UsageError("--with needs --set: from which set to which")
    layout = context.layout(target, data_file)
    inventory = context.inventory(layout)
    first = choose_set(inventory, number).folder
    if second is not None:
        named = choose_set(inventory, second).folder
    return _Pair(first, named, context.destination(layout))


def _compare(pair: _Pair, report: Report, *, every_content: bool) -> _Result:
    facts = read_set_facts(pair.before)
    if pair.after is None:
        return _compare_live(pair, facts, report, every_content=every_content)
    other = read_set_facts(pair.after)
    if facts.data_file != other.data_file:
        warn(f"these are sets of different databases: {facts.data_file} and {other.data_file}")
    comparison = compare_members(_members_of(pair.before), _members_of(pair.after))
    return _Result(pair, (facts.number, other.number), comparison, (), by_time=False)


def _compare_live(pair: _Pair, facts: SetFacts, report: Report, *, every_content: bool) -> _Result:
    if not Path(facts.package).is_dir():
        raise SourceError(
            f"the application of this set is not on this machine: there is no folder {facts.package}",
            hint="name another set to compare with: backup4d diff SET SET",
            code=0,
        )
    live = LiveFiles(facts, pair.destination, report, every_content=every_content)
    found = compare_members(_members_of(pair.before), live.members, live.same_content)
    comparison = without_unknown(found, (path for path, _ in live.unknown))
    unknown = tuple(sorted(set(live.unknown)))
    return _Result(pair, (facts.number, None), comparison, unknown, by_time=not every_content)


def _members_of(folder: Path) -> Source:
    return lambda: iterate_members(folder)


# --- in words -------------------------------------------------------------------------------------


def name_words(name: bytes) -> str:
    """A name as it can be shown: what is not UTF-8 or would move the cursor as escapes."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def say_tree(members: Iterable[Member]) -> None:
    """The members as an indented tree."""
    say_lines(_branch_words(branch) for branch in tree_of(members))


def _branch_words(branch: Branch) -> str:
    words = f"{branch.size:>16,}  {'  ' * branch.depth}{name_words(branch.name)}"
    match branch.kind:
        case Kind.FOLDER:
            words += f"/  ({branch.files:,} {'file' if branch.files == 1 else 'files'})"
        case Kind.SYMLINK:
            words += f" -> {name_words(branch.link or b'')}"
        case Kind.HARDLINK:
            words += f" = {name_words(branch.link or b'')}"
        case Kind.FILE:
            pass
    return words if branch.role is None else f"{words}  [{branch.role.value}]"


def _say_result(result: _Result, zone: tzinfo, *, every: bool) -> None:
    say_lines(
        f"{_SIGNS[change.difference]} {_member_name(change)}{_why(change, zone)}"
        for change in result.comparison.changes
        if every or change.difference is not Difference.ATTRIBUTES
    )
    for path, why in result.unknown:
        warn(f"? {name_words(path)}: could not be looked at: {why}")
    say(_summary(result, every=every))
    if result.by_time:
        say(
            "files whose size and time are equal count as unchanged; --content compares every file's content"
        )


def _member_name(change: Change) -> str:
    member = change.after or change.before
    is_folder = member is not None and member.kind is Kind.FOLDER
    return name_words(change.path) + ("/" if is_folder else "")


def _why(change: Change, zone: tzinfo) -> str:
    """What stands behind the name of a change, in brackets."""
    before, after = change.before, change.after
    if before is None or after is None:
        member = after or before
        is_file = member is not None and member.kind is Kind.FILE
        return f" ({size_words(member.size)})" if member is not None and is_file else ""
    match change.difference:
        case Difference.TYPE:
            return f" ({_kind_words(before)} -> {_kind_words(after)})"
        case Difference.ATTRIBUTES:
            return f" ({'; '.join(_attribute_words(before.attributes, after.attributes, zone))})"
        case _ if before.kind is not Kind.FILE:
            return f" (link to {name_words(before.link or b'')} -> {name_words(after.link or b'')})"
        case _:
            return f" ({_sizes(before.size, after.size)})"


def _kind_words(member: Member) -> str:
    if member.kind is Kind.SYMLINK:
        return f"link to {name_words(member.link or b'')}"
    name: str = member.kind.value
    return name


def _sizes(before: int, after: int) -> str:
    if before == after:
        return f"{size_words(after)}, other content"
    if size_words(before) == size_words(after):
        return f"{before:,} -> {after:,} bytes"
    return f"{size_words(before)} -> {size_words(after)}"


def _attribute_words(before: Attributes, after: Attributes, zone: tzinfo) -> list[str]:
    words = []
    if before.mode != after.mode:
        words.append(f"mode {before.mode:04o} -> {after.mode:04o}")
    if (before.uid, before.gid) != (after.uid, after.gid):
        words.append(f"owner {before.uid}:{before.gid} -> {after.uid}:{after.gid}")
    if before.mtime_ns != after.mtime_ns:
        words.append(
            f"time {_instant_words(before.mtime_ns, zone)} -> {_instant_words(after.mtime_ns, zone)}"
        )
    return words


def _instant_words(mtime_ns: int, zone: tzinfo) -> str:
    """A file's time to the millisecond; one that no calendar holds as seconds since 1970."""
    try:
        instant = (_EPOCH + timedelta(microseconds=mtime_ns // 1000)).astimezone(zone)
    except OverflowError:
        return f"{mtime_ns / 1e9:.3f}"
    return instant.isoformat(" ", "milliseconds")[:23]


def _summary(result: _Result, *, every: bool) -> str:
    comparison, (before, after) = result.comparison, result.numbers
    other = "the live files" if after is None else f"set {after}"
    changed = comparison.count(Difference.CONTENT) + comparison.count(Difference.TYPE)
    attributes = comparison.count(Difference.ATTRIBUTES)
    added, removed = comparison.count(Difference.ADDED), comparison.count(Difference.REMOVED)
    words = "no difference"
    if comparison.differs:
        words = f"{added:,} added, {removed:,} removed, {changed:,} changed"
    if attributes:
        shown = "" if every else " (--all names them)"
        verb = "differs" if attributes == 1 else "differ"
        words += f", {attributes:,} {verb} only in mode, owner or time{shown}"
    if result.unknown:
        words += f", {len(result.unknown):,} could not be looked at"
    return f"from set {before} to {other}: {words}; {comparison.same:,} the same"


# --- for programs ---------------------------------------------------------------------------------


def _rows(result: _Result, *, every: bool) -> dict[str, Any]:
    comparison, (before, after) = result.comparison, result.numbers
    return {
        "from": {"number": before, "folder": str(result.pair.before)},
        "to": "live"
        if result.pair.after is None
        else {"number": after, "folder": str(result.pair.after)},
        **{difference.value: comparison.count(difference) for difference in Difference},
        "same": comparison.same,
        "every_content": not result.by_time,
        "unknown": [{"path": name_words(path), "why": why} for path, why in result.unknown],
        "changes": [
            {
                "path": name_words(change.path),
                "difference": change.difference.value,
                "before": _member_row(change.before),
                "after": _member_row(change.after),
            }
            for change in comparison.changes
            if every or change.difference is not Difference.ATTRIBUTES
        ],
    }


def _member_row(member: Member | None) -> dict[str, Any] | None:
    if member is None:
        return None
    attributes = member.attributes
    return {
        "type": member.kind.value,
        "size": member.size,
        "link": None if member.link is None else name_words(member.link),
        "mode": f"{attributes.mode:04o}",
        "uid": attributes.uid,
        "gid": attributes.gid,
        "mtime_ns": attributes.mtime_ns,
    }
