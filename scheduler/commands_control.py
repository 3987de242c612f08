"""Commands to the running service, and what they do when none runs: stop, pause, resume, reload."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from engine.errors import BusyError, Code, EngineError, Exit, RefusedError
from engine.history import utc_text
from engine.host import ask_process_to_stop
from engine.host import pause as let_pass
from engine.lock import DATABASE_LOCK, current_holder, holder_process, holding, read_memory
from scheduler.caller import (
    ServiceRefusalError,
    ServiceSilentError,
    call,
    call_about,
    call_once,
    control_socket,
)
from scheduler.context import Context, context_of
from scheduler.control import user_words
from scheduler.desk import pause_is_saved
from scheduler.instance import SERVICE_LOCK
from scheduler.known import LONGEST_PAUSE
from scheduler.moments import local_text
from scheduler.options import DATA_FILE, DATABASE, JSON, read_moment
from scheduler.outcomes import Ending, Failed, Published, ending_from_json
from scheduler.recall import Host
from scheduler.screen import say, say_json, warn
from scheduler.served import Served
from settings.layout import DatabaseLayout
from settings.service_model import ServedDatabase

_LOOKS_A_SECOND, _STOP_PATIENCE_SECONDS = 5, 120
_SERVICE_PATIENCE_SECONDS = 10.0
_STOPPED = "the backup was stopped; nothing half-made remains"
_NOT_BEGUN = "the backup that waited was called off; nothing of it was made"
_NOTHING = "no backup of this database is running"


def _place(
    ctx: click.Context, database: Path, data_file: Path | None
) -> tuple[Context, DatabaseLayout]:
    """The database, and the context of the service that serves it; its settings may be broken or gone."""
    context = context_of(ctx, tolerant=True)
    layout = context.layout(database, data_file, needs_settings=False)
    return context.at_home_of(layout.package), layout


# --- stop -----------------------------------------------------------------------------------------


@click.command()
@DATABASE
@DATA_FILE
@JSON
@click.pass_context
def stop(ctx: click.Context, database: Path, data_file: Path | None, *, as_json: bool) -> int:
    """Stop the backup of DATABASE that is on or waits: 4D's Stop button (error 1406).

    Whoever started it. Nothing half-made remains, the slot is not tried again, the schedule goes on.
    """
    context, layout = _place(ctx, database, data_file)
    told = _stop_in_service(context, layout)
    if told is None or told == _NOT_BEGUN:
        told = _stop_holder(layout) or told
    if as_json:
        say_json({"stopped": told in (_STOPPED, _NOT_BEGUN), "text": told or _NOTHING})
    else:
        say(told or _NOTHING)
    return Exit.DONE


def _stop_in_service(context: Context, layout: DatabaseLayout) -> str | None:
    """What became of the service's run, in words; None when it has none."""
    file = control_socket(context.environment)
    if file is None:
        return None
    try:
        return _follow_stop(
            context, call_about(file, "stop", layout, patience=_SERVICE_PATIENCE_SECONDS)
        )
    except ServiceRefusalError as error:
        warn(str(error))
        return None
    except ServiceSilentError as error:
        if current_holder(layout.package / "Logs" / DATABASE_LOCK) is None:
            raise  # whether a backup waits there is not known
        warn(f"the service was not asked: {error}")
        return None


def _follow_stop(context: Context, rows: Iterator[dict[str, Any]]) -> str | None:
    began = context.clock.monotonic()
    waited = False
    for row in rows:
        if row.get("running") is False:
            return None
        waited = bool(row.get("waited", waited))
        if "ending" in row:
            return _NOT_BEGUN if waited else _ending_words(ending_from_json(row))
        if context.clock.monotonic() - began > _STOP_PATIENCE_SECONDS:
            raise _not_ended()
    return None


def _ending_words(ending: Ending) -> str:
    match ending:
        case Failed(code=Code.STOPPED):
            return _STOPPED
        case Failed(text=text):
            return f"the backup had failed before it could be stopped: {text}"
        case Published(number=number):
            return f"too late: set {number} was published before the backup could be stopped"
        case _:
            return "the backup had ended before it could be stopped"


def _stop_holder(layout: DatabaseLayout) -> str | None:
    """A backup that no service started: its own process is asked. None when there is none."""
    lock = layout.package / "Logs" / DATABASE_LOCK
    holder = current_holder(lock)
    if holder is None:
        return None
    process = holder_process(lock)
    if process is None:
        raise BusyError(
            f"{holder.get('doing', 'an operation')} is running, but not by a process this user can see",
            hint="it may run on another machine that shares the folder, or as another user",
        )
    before = read_memory(lock).get("number")
    ask_process_to_stop(process)
    _await_end(lock)
    after = read_memory(lock).get("number")
    if after != before:
        return f"too late: set {after} was published before the backup could be stopped"
    return _STOPPED


def _await_end(lock: Path) -> None:
    for _ in range(_STOP_PATIENCE_SECONDS * _LOOKS_A_SECOND):
        if current_holder(lock) is None:
            return
        let_pass(1 / _LOOKS_A_SECOND)
    raise _not_ended()


def _not_ended() -> EngineError:
    return EngineError(
        f"the backup was told to stop and has not ended within {_STOP_PATIENCE_SECONDS} s",
        hint="its disk may hang; see `backup4d status`",
        code=Code.DONE,
    )


# --- pause and resume -----------------------------------------------------------------------------


@click.command("pause")
@DATABASE
@DATA_FILE
@click.option(
    "--until",
    required=True,
    metavar="TIME",
    help="When automatic backups go on by themselves, as 2026-11-30 18:00; at most 31 days ahead.",
)
@JSON
@click.pass_context
def pause_backups(
    ctx: click.Context, database: Path, data_file: Path | None, until: str, *, as_json: bool
) -> int:
    """Make no automatic backup of DATABASE until a time; slots that pass are journaled as missed.

    It always ends by itself. A backup by hand still works, and a backup that is on goes on.
    """
    context, layout = _place(ctx, database, data_file)
    end = _read_end(until, context)
    _set_pause(context, layout, end)
    if as_json:
        say_json({"paused_until": utc_text(end)})
    else:
        say(f"no automatic backup until {local_text(end, context.zone)}; to end it sooner:")
        say(f"backup4d resume '{layout.package}'")
    return Exit.DONE


def _read_end(text: str, context: Context) -> datetime:
    end = read_moment(text, context.zone)
    now = context.clock.now()
    if not now < end <= now + LONGEST_PAUSE:
        raise click.UsageError(
            f"--until must lie in the future, and {LONGEST_PAUSE.days} days ahead at most: backups that"
            " are switched off for longer are forgotten"
        )
    return end


@click.command()
@DATABASE
@DATA_FILE
@JSON
@click.pass_context
def resume(ctx: click.Context, database: Path, data_file: Path | None, *, as_json: bool) -> int:
    """Let automatic backups of DATABASE go on after `pause`."""
    context, layout = _place(ctx, database, data_file)
    was_paused = _set_pause(context, layout, None)
    if as_json:
        say_json({"was_paused": was_paused})
    else:
        say("automatic backups go on" if was_paused else "automatic backups were not paused")
    return Exit.DONE


def _set_pause(context: Context, layout: DatabaseLayout, until: datetime | None) -> bool:
    """Through the service, else in the state it will find; whether there was a pause before."""
    folder = context.environment.state_folder
    file = control_socket(context.environment)
    if file is not None:
        what = "resume" if until is None else "pause"
        row = call_once(file, what, layout, until=until and until.isoformat())
        if not row["saved"]:
            raise _not_saved(folder)
        return bool(row["was_paused"])
    folder.mkdir(parents=True, exist_ok=True)
    now = context.clock.now()
    with holding(folder / SERVICE_LOCK, "pausing backups"):
        host = Host(folder, context.zone, context.service.path_map)
        served = Served(ServedDatabase(layout.package, layout.data_file), host)
        served.refresh(now)
        if served.known is None:
            raise RefusedError(served.problem or f"nothing is known of {layout.package}")
        was_paused = served.known.paused_until is not None
        if until is not None or was_paused:
            served.pause(until, user_words(os.getuid()), now)
            if not pause_is_saved(folder, layout, until):
                raise _not_saved(folder)
        return was_paused


def _not_saved(folder: Path) -> EngineError:
    return EngineError(
        f"this could not be saved in {folder}, and would be forgotten with the next restart",
        hint="is its disk full or read-only? then try again",
        code=Code.DONE,
    )


# --- reload ---------------------------------------------------------------------------------------


@click.command()
@click.pass_context
def reload(ctx: click.Context) -> int:
    """Make the running service look at its service file and all settings now.

    It does so by itself within 30 seconds of an edit; this says at once what came of it. Exit code 1 when
    anything was refused, or no service runs.
    """
    context = context_of(ctx, tolerant=True)  # the service says what is wrong with its file
    file = control_socket(context.environment)
    if file is None:
        raise EngineError(
            "no service runs with this state folder",
            hint="start it: systemctl start backup4d. It reads everything when it starts",
        )
    *_, row = call(file, "reload")
    say(str(row["text"]))
    return Exit.FAILED if row["problems"] else Exit.DONE
