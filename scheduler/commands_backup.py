"""The command `backup`: a set now, made by this process or by the running service."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from engine.backup import run_backup
from engine.errors import EngineError, Exit
from engine.manifest import read_manifest
from engine.progress import Progress, Report
from engine.report import partial_reason
from engine.request import Request
from engine.results import Outcome
from engine.sets import StoredSet
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from scheduler.caller import call_about, control_socket, understanding
from scheduler.commands_sets import set_row, stop_on_signals
from scheduler.context import Context, context_of
from scheduler.options import DATA_FILE, DATABASE, JSON
from scheduler.outcomes import Failed, Published, ending_from_json
from scheduler.screen import duration_words, progress_shown, say, say_json, size_words, warn
from settings.layout import DatabaseLayout


@click.command()
@DATABASE
@DATA_FILE
@click.option(
    "--accept-destination",
    is_flag=True,
    help="The backup folder is right, though it lies on another file system than the last time, or holds sets"
    " of the same path that another machine made.",
)
@click.option(
    "--via-service",
    is_flag=True,
    help="Let the running service make it, as its user and within its limits.",
)
@JSON
@click.pass_context
def backup(
    ctx: click.Context,
    database: Path,
    data_file: Path | None,
    *,
    accept_destination: bool,
    via_service: bool,
    as_json: bool,
) -> int:
    """Make a set of DATABASE now, whatever the schedule says.

    Ctrl-C is 4D's Stop button: nothing half-made remains. With --via-service and no service running, the
    set is made all the same.
    """
    context = context_of(ctx)
    layout = context.layout(database, data_file)
    context = context.at_home_of(layout.package)
    file = control_socket(context.environment) if via_service else None
    with progress_shown(context.clock, quiet=as_json) as report:
        around = Surroundings(context.clock, stop_on_signals(), report)
        if file is not None:
            outcome = _ask_service(file, layout, around, accept_destination=accept_destination)
        else:
            outcome = _make(context, layout, around, accept_destination=accept_destination)
    facts = outcome.facts
    assert facts is not None  # noqa: S101 - only scheduled backups are postponed
    if as_json:
        say_json({**set_row(StoredSet(Path(str(outcome.folder)), facts)), **_outcome_row(outcome)})
    else:
        _say_outcome(outcome)
    return Exit.DONE if facts.complete else Exit.PARTIAL


def _make(
    context: Context, layout: DatabaseLayout, around: Surroundings, *, accept_destination: bool
) -> Outcome:
    request = Request(
        layout,
        context.service.path_map,
        context.zone,
        None,
        accept_destination=accept_destination,
        hooks=context.hooks(layout),
        limits=context.service.limits,
        archives=context.entry(layout).archives,
    )
    return run_backup(request, around)


# --- by the service -------------------------------------------------------------------------------


def _ask_service(
    file: Path, layout: DatabaseLayout, around: Surroundings, *, accept_destination: bool
) -> Outcome:
    rows = call_about(file, "backup", layout, accept_destination=accept_destination)
    with understanding(file):
        last = _follow(rows, around.report, around.stop, lambda: _ask_stop(file, layout))
        ending = ending_from_json(last)
    match ending:
        case Published(folder=folder, text=text, warnings=warnings, removed=removed):
            facts = read_manifest(Path(folder)).facts
            return Outcome(Path(folder), facts, text, removed, warnings)
        case Failed(code=code, exit_code=exit_code, text=text, hint=hint):
            error = EngineError(text, hint=hint, code=code)
            error.exit_code = Exit(exit_code) if exit_code in list(Exit) else Exit.FAILED
            raise error
        case other:
            raise EngineError(f"the service answered what was not asked: {other}")


def _ask_stop(file: Path, layout: DatabaseLayout) -> None:
    """Press the service's Stop button; what becomes of it, the backup's own answers tell."""
    for row in call_about(file, "stop", layout):
        if "alive" not in row:  # who hangs up before it was taken is not obeyed
            return


def _follow(
    rows: Iterator[dict[str, Any]],
    report: Report,
    stop: StopRequest,
    ask_stop: Callable[[], object],
) -> dict[str, Any]:
    """Show what the service tells until it has said its last word."""
    is_stopping = False
    for row in rows:
        if row.get("last"):
            return row
        if "phase" in row:
            report(Progress(str(row["phase"]), int(row["done"]), int(row["total"])))
        if stop.is_asked and not is_stopping:
            is_stopping = True
            ask_stop()
    raise EngineError("the service ended before the backup did")


# --- telling --------------------------------------------------------------------------------------


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {"removed": list(outcome.removed), "warnings": list(outcome.warnings)}


def _say_outcome(outcome: Outcome) -> None:
    facts = outcome.facts
    assert facts is not None  # noqa: S101 - see `backup`
    kind = "complete" if facts.complete else "PARTIAL"
    checked = "read back from the disk and equal" if facts.checked else "not checked"
    took = duration_words(facts.ended - facts.started)
    say(f"set {facts.number} is {kind}: {outcome.folder}")
    say(
        f"{facts.members} files and folders, {size_words(facts.content_bytes)} in "
        f"{size_words(facts.archive_bytes)}, {took}, {checked}"
    )
    if not facts.complete:
        _, why, hint = partial_reason(facts)
        warn(why)
        for path in facts.missing:
            warn(f"  not found: {path}")
        warn(f"what to do: {hint}")
    for path, why in facts.skipped:
        warn(f"  not saved: {path}: {why}")
    for name in outcome.removed:
        say(f"removed by rotation: {name}")
    for text in outcome.warnings:
        warn(f"warning: {text}")
