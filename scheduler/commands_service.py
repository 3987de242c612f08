"""Commands about the service: run it, and ask how the databases do."""

import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from engine.errors import EngineError, Exit
from engine.history import utc_text
from engine.lock import holding
from engine.progress import Progress
from scheduler.caller import (
    ServiceSilentError,
    ServiceStrangeError,
    call,
    control_socket,
    understanding,
)
from scheduler.context import Context, context_of
from scheduler.control import SOCKET_NAME
from scheduler.errands import DISK_SECONDS, Errand, SilentDiskError, ask
from scheduler.instance import SERVICE_LOCK
from scheduler.logs import log_to_stderr
from scheduler.notify import Notifier
from scheduler.options import JSON, PathAsTyped
from scheduler.proof_status import proof_lines, proof_row
from scheduler.screen import (
    describe_progress,
    duration_words,
    say,
    say_json,
    size_words,
    time_words,
)
from scheduler.served import Served
from scheduler.service import Service
from scheduler.service_source import ServiceSource, with_last_good
from scheduler.service_state import ServiceState, service_state
from scheduler.shipping_status import shipping_lines, shipping_row, shipping_trouble, with_held
from scheduler.status import (
    Status,
    database_status,
    silent_status,
)
from settings.paths import PathMap
from settings.service_model import ServedDatabase

_DATABASES = click.argument("databases", nargs=-1, type=PathAsTyped())

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 5.0


@click.command()
@_DATABASES
@click.pass_context
def run(ctx: click.Context, databases: tuple[Path, ...]) -> int:
    """Serve DATABASES, else those of the service file, until SIGTERM.

    Runs in the foreground; systemd starts it. On SIGTERM a backup that is on is stopped within 60 seconds,
    undone, and tried again after the next start.
    """
    context = with_last_good(context_of(ctx, tolerant=True)) or context_of(ctx)
    log_to_stderr(journald=context.environment.journald)
    served = context.served(databases)
    if not served:
        raise click.UsageError(
            "no database to serve: name some on the command line, or list them in "
            f"{context.service.file or context.environment.service_file}"
        )
    folder = context.environment.state_folder
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    control_file = (context.environment.runtime_folder / SOCKET_NAME).absolute()
    since = context.clock.now().isoformat(timespec="seconds")
    with holding(folder / SERVICE_LOCK, "the service", since) as lock:
        words = {"doing": "the service", "pid": os.getpid(), "since": since}
        with suppress(OSError):  # no room for it: callers look at the usual place
            lock.introduce({**words, "socket": str(control_file)})
        source = ServiceSource(context, databases)
        notifier = Notifier(context.environment.notify_socket)
        service = Service(
            (Served(entry, source.host) for entry in served), source, context.clock, notifier
        )
        signal.signal(signal.SIGTERM, lambda *_: service.ask_stop())
        signal.signal(signal.SIGINT, lambda *_: service.ask_stop())
        signal.signal(signal.SIGHUP, lambda *_: service.ask_look())
        _log.info("serving %d database(s), zone %s", len(served), context.zone.key)
        service.run(control_file)
    _log.info("stopped")
    return Exit.DONE


@click.command()
@_DATABASES
@JSON
@click.pass_context
def status(ctx: click.Context, databases: tuple[Path, ...], *, as_json: bool) -> int:
    """Say how DATABASES do, else those of the service file: last backup, last good set, what comes next.

    Exit code 1 when any of them needs a person.
    """
    context = _as_in_force(context_of(ctx, tolerant=True))
    served = [(entry.package, entry.data_file) for entry in context.service.databases]
    if databases:
        served = [(database, None) for database in databases]
    if not served and context.problem is None:
        raise click.UsageError("no database named, and the service file lists none")
    service, holder = service_state(context.environment)
    statuses = [_status_in_time(context, package, data) for package, data in served]
    told = _told_by_service(context, statuses)
    statuses = [_with_trouble(status, told) for status in statuses]
    if as_json:
        now = context.clock.now()
        state = {"state": service.value, **holder, "problem": told.problem, "silent": told.silent}
        rows = [
            {**_status_row(status, now), "run": told.runs.get(status.package)}
            for status in statuses
        ]
        say_json({"service": state, "databases": rows})
    else:
        _say_service(service, holder, context)
        _say_told(told, service)
        for one in statuses:
            _say_status(one, context, told.runs.get(one.package))
    is_trouble = told.problem or told.silent or any(one.trouble for one in statuses)
    return Exit.FAILED if is_trouble else Exit.DONE


@dataclass(frozen=True, slots=True)
class _Told:
    """What only the running service knows: its runs by package, and what is wrong with the service file.

    `silent` says that one runs and does not come to its answers, None when all do. `disks` are those, by
    package, that do not answer the service; `shipping` is what holds its logs.
    """

    problem: str | None
    silent: str | None
    runs: dict[str, dict[str, Any]]
    disks: dict[str, str]
    shipping: dict[str, dict[str, Any]]


def _status_in_time(context: Context, package: Path, data_file: Path | None) -> Status:
    """A disk that does not answer is trouble of one database, and hides nothing of the others."""
    looking = Errand(lambda: database_status(context, package, data_file), context.clock)
    try:
        found = ask(looking, DISK_SECONDS, context.clock)
    except SilentDiskError:
        words = f"its disks do not answer: asked for {DISK_SECONDS:.0f} s"
        return silent_status(package, words)
    assert found is not None  # noqa: S101 - it is found or an error is raised
    return found


def _as_in_force(context: Context) -> Context:
    """While the service file cannot be used, what the running service still works with."""
    file = None if context.problem is None else control_socket(context.environment)
    if file is None:
        return context
    try:
        *_, row = call(file, "status", patience=_PATIENCE_SECONDS)
        with understanding(file):
            return _with_answer(context, row)
    except EngineError:
        return context


def _with_answer(context: Context, row: dict[str, Any]) -> Context:
    databases = tuple(
        ServedDatabase(Path(one["package"]), one["data_file"] and Path(one["data_file"]))
        for one in row["databases"]
    )
    path_map = PathMap(tuple((str(source), str(target)) for source, target in row["path_map"]))
    service = replace(context.service, databases=databases, path_map=path_map)
    return replace(context, service=service, zone=ZoneInfo(row["zone"]))


def _told_by_service(context: Context, statuses: list[Status]) -> _Told:
    """Asked of every service that serves one of these; one that does not answer leaves out what it knows."""
    problem, silent = context.problem, None
    runs: dict[str, dict[str, Any]] = {}
    disks: dict[str, str] = {}
    shipping: dict[str, dict[str, Any]] = {}
    homes = [context, *(context.at_home_of(Path(one.package)) for one in statuses)]
    for file in dict.fromkeys(control_socket(home.environment) for home in homes):
        if file is None:
            continue
        try:
            *_, row = call(file, "status", patience=_PATIENCE_SECONDS)
            with understanding(file):
                problem = problem or (row["problem"] and str(row["problem"]))
                runs |= _runs_in(row)
                disks |= {
                    one["package"]: str(one["silent"])
                    for one in row["databases"]
                    if one.get("silent")
                }
                shipping |= {
                    one["package"]: dict(one["shipping"])
                    for one in row["databases"]
                    if one.get("shipping")
                }
        except EngineError as error:
            # closed while it starts and ends, and to most users: no trouble
            if isinstance(error, ServiceStrangeError) or (
                isinstance(error, ServiceSilentError) and error.hangs
            ):
                silent = str(error)
    return _Told(problem, silent, runs, disks, shipping)


def _runs_in(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {one["package"]: one["run"] for one in row["databases"] if one["run"] is not None}
    if not all(isinstance(run, dict) for run in found.values()):
        raise TypeError("a run that is none")
    return found


def _with_trouble(status: Status, told: _Told) -> Status:
    run = told.runs.get(status.package) or {}
    words = (told.disks.get(status.package), run.get("trouble"))
    shipping = with_held(status.shipping, told.shipping.get(status.package))
    trouble = (*(str(one) for one in words if one), *shipping_trouble(shipping))
    return replace(status, trouble=(*status.trouble, *trouble), shipping=shipping)


def _say_told(told: _Told, service: ServiceState) -> None:
    if told.problem is not None:
        stays = ", the last good one stays" if service is ServiceState.RUNNING else ""
        say(f"TROUBLE       service file refused{stays}: {told.problem}")
    if told.silent is not None:
        say(f"TROUBLE       {told.silent}; it may hang on a disk or a network")


def _say_service(service: ServiceState, holder: dict[str, Any], context: Context) -> None:
    match service:
        case ServiceState.RUNNING:
            since = _since_words(holder, context)
            say(f"service       running, process {holder.get('pid', '?')}{since}")
        case ServiceState.STOPPED:
            say("service       not running")
        case ServiceState.HIDDEN:
            say("service       not known: this user may not look into the service's state folder")


def _say_status(status: Status, context: Context, run: dict[str, Any] | None) -> None:
    now, zone = context.clock.now(), context.zone
    say()
    say(status.package)
    _say_run(status, run, context)
    if status.last is None:
        say(f"  last backup {'none yet' if status.destination else 'not known'}")
    else:
        result = "ok" if status.last.code == 0 else f"error {status.last.code}"
        say(f"  last backup {time_words(status.last.ended, zone)}, {result}: {status.last.text}")
    if status.free is None:
        say("  last good   not known: the backup folder cannot be looked at now")
    elif status.last_good is None:
        say("  last good   none: there is nothing to restore")
    else:
        facts = status.last_good.facts
        age = duration_words(now - facts.ended)
        say(
            f"  last good   set {facts.number}, {time_words(facts.ended, zone)}, {age} ago, "
            f"{size_words(facts.content_bytes)}"
        )
    say(f"  next        {status.plan}")
    free = "" if status.free is None else f", {size_words(status.free)} free"
    if status.destination:
        say(f"  sets        {status.sets} in {status.destination}{free}")
    for label, words in (*proof_lines(status.proof, zone), *shipping_lines(status.shipping, zone)):
        say(f"  {label:<11} {words}")
    for text in status.trouble:
        say(f"  TROUBLE     {text}")


def _since_words(holder: dict[str, Any], context: Context) -> str:
    """`, since 2026-11-21 02:30:00`; nothing when the holder did not say, or something else."""
    try:
        return f", since {time_words(datetime.fromisoformat(holder['since']), context.zone)}"
    except (KeyError, TypeError, ValueError):
        return ""


def _say_run(status: Status, run: dict[str, Any] | None, context: Context) -> None:
    if status.running is not None:
        since = _since_words(status.running, context)
        say(f"  running     {status.running.get('doing', 'an operation')}{since}{_run_words(run)}")
    elif run is not None:
        say(f"  waiting     {run['phase']}")


def _run_words(run: dict[str, Any] | None) -> str:
    if run is None or run["seconds"] is None:
        return ""
    progress = Progress(run["phase"], run["done"], run["total"])
    return f" ({describe_progress(progress, run['seconds'])})"


def _status_row(status: Status, now: datetime) -> dict[str, Any]:
    good = status.last_good
    return {
        "database": status.package,
        "running": status.running,
        "last": None
        if status.last is None
        else {
            "ended": utc_text(status.last.ended),
            "code": status.last.code,
            "text": status.last.text,
        },
        "last_good": None
        if good is None
        else {
            "number": good.number,
            "folder": str(good.folder),
            "ended": utc_text(good.facts.ended),
            "age_seconds": round((now - good.facts.ended).total_seconds()),
        },
        "paused_until": None if status.paused_until is None else utc_text(status.paused_until),
        "next": None if status.next_slot is None else utc_text(status.next_slot),
        "plan": status.plan,
        "sets": status.sets,
        "destination": status.destination,
        "free_bytes": status.free,
        **proof_row(status.proof),
        **shipping_row(status.shipping),
        "trouble": list(status.trouble),
    }
