"""Looking into sets without restoring them: diff, and the tree that `show --tree` prints."""

from collections.abc import Iterator
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
from engine.manifest import SetFacts, iterate_members, read_manifest
from engine.member import Kind, Member
from scheduler.context import Context, choose_set, context_of
from scheduler.screen import name_words, progress_shown, say, say_json, size_words, time_words, warn

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
@click.option("--content", is_flag=True, help="Live files: read all, also where size and time agree.")
@click.option("--all", "every", is_flag=True, help="Name what differs in mode, owner or time alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def diff(ctx: click.Context, *, content: bool, every: bool, as_json: bool, **words: Any) -> int:  # noqa: ANN401 - click's
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


def _compare(pair: _Pair, report: Any, *, every_content: bool) -> _Result:  # noqa: ANN401
    facts = read_manifest(pair.before).facts
    if pair.after is None:
        return _compare_live(pair, facts, report, every_content=every_content)
    other = read_manifest(pair.after).facts
    if facts.data_file != other.data_file:
        warn(f"these are sets of different databases: {facts.data_file} and {other.data_file}")
    comparison = compare_members(_members_of(pair.before), _members_of(pair.after))
    return _Result(pair, (facts.number, other.number), comparison, (), by_time=False)
