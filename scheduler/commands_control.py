"""Commands to the running service, and what they do when none runs: stop, pause, resume, reload."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
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
    PATIENCE,
    ServiceRefusalError,
    ServiceSilentError,
    call,
    control_socket,
    understanding,
)
from scheduler.context import Context, context_of
from scheduler.control import user_words
from scheduler.desk import pause_is_saved
from scheduler.errands import DISK_SECONDS, Errand, SilentDiskError, ask
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
_KILLED = "the backup was stopped by force; the next one removes what it left"
_NOT_BEGUN = "the backup that waited was called off; nothing of it was made"
_NOTHING = "no backup of this database is running"


@dataclass(frozen=True, slots=True)
class _Place:
    """A database, and the context of the service that serves it.

    While its disk does not answer, `layout` is None, and the service is asked by the name that was typed.
    """

    context: Context
    package: Path
    data_file: Path | None
    layout: DatabaseLayout | None

    def ask(
        self, file: Path, what: str, *, patience: float = PATIENCE, **facts: object
    ) -> Iterator[dict[str, Any]]:
        """Ask the service at this socket about it."""
        data_file = None if self.data_file is None else str(self.data_file)
        named = {"package": str(self.package), "data_file": data_file}
        return call(file, what, patience=patience, **named, **facts)

    def answering(self) -> DatabaseLayout:
        """Where its parts are. Raises EngineError while its disk does not answer."""
        if self.layout is None:
            raise EngineError(
                f"{self.package} does not answer, and no service does that could be asked",
                hint="is its disk or network away? mount it, or wait until it is back",
                code=Code.DONE,
            )
        return self.layout


def _place(ctx: click.Context, database: Path, data_file: Path | None) -> _Place:
    """The database that is named; its settings may be broken or gone."""
    context = context_of(ctx, tolerant=True)
    finding = Errand(
        lambda: context.layout(database, data_file, needs_settings=False), context.clock
    )
    try:
        layout = ask(finding, DISK_SECONDS, context.clock)
    except SilentDiskError:
        warn(
            f"{database} does not answer for {DISK_SECONDS:.0f} s; the service is asked all the same"
        )
        package = database.absolute()
        return _Place(context.at_home_of(package), package, data_file, None)
    assert layout is not None  # noqa: S101 - it is found or an error is raised
    return _Place(context.at_home_of(layout.package), layout.package, layout.data_file, layout)


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
    place = _place(ctx, database, data_file)
    told = _stop_in_service(place)
    if told is None or (told == _NOT_BEGUN and place.layout is not None):
        told = _stop_holder(place.answering()) or told
    if as_json:
        is_stopped = told in (_STOPPED, _KILLED, _NOT_BEGUN)
        say_json({"stopped": is_stopped, "text": told or _NOTHING})
    else:
        say(told or _NOTHING)
    return Exit.DONE


def _stop_in_service(place: _Place) -> str | None:
    """What became of the service's run, in words; None when it has none."""
    file = control_socket(place.context.environment)
    if file is None:
        return None
    try:
        rows = place.ask(file, "stop", patience=_SERVICE_PATIENCE_SECONDS)
        with understanding(file):
            return _follow_stop(place.context, rows)
    except ServiceRefusalError as error:
        warn(str(error))
        return None
    except ServiceSilentError as error:
        layout = place.layout
        if layout is None or current_holder(layout.package / "Logs" / DATABASE_LOCK) is None:
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
        case Failed(code=Code.STOPPED, hint=hint):
            return _KILLED if hint else _STOPPED
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
        hint="its disk hangs, most likely: a process that waits for a disk in the kernel cannot be ended by"
        " anybody before the disk answers; it then ends at once, and other databases are backed up meanwhile",
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
    place = _place(ctx, database, data_file)
    end = _read_end(until, place.context)
    _set_pause(place, end)
    if as_json:
        say_json({"paused_until": utc_text(end)})
    else:
        say(f"no automatic backup until {local_text(end, place.context.zone)}; to end it sooner:")
        say(f"backup4d resume '{place.package}'")
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
    was_paused = _set_pause(_place(ctx, database, data_file), None)
    if as_json:
        say_json({"was_paused": was_paused})
    else:
        say("automatic backups go on" if was_paused else "automatic backups were not paused")
    return Exit.DONE


def _set_pause(place: _Place, until: datetime | None) -> bool:
    """Through the service, else in the state it will find; whether there was a pause before."""
    context = place.context
    folder = context.environment.state_folder
    file = control_socket(context.environment)
    if file is not None:
        what = "resume" if until is None else "pause"
        *_, row = place.ask(file, what, until=until and until.isoformat())
        with understanding(file):
            is_saved, was_paused = bool(row["saved"]), bool(row["was_paused"])
        if not is_saved:
            raise _not_saved(folder)
        return was_paused
    layout = place.answering()
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
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
    with understanding(file):
        text, problems = str(row["text"]), bool(row["problems"])
    say(text)
    return Exit.FAILED if problems else Exit.DONE
