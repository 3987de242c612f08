"""Commands about the service: run it, and ask how the databases do."""

import logging
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from engine.errors import Exit
from engine.history import utc_text
from engine.host import Clock
from engine.lock import holding
from scheduler.context import Context, context_of
from scheduler.control import SOCKET_NAME
from scheduler.logs import log_to_stderr
from scheduler.notify import Notifier
from scheduler.screen import duration_words, say, say_json, size_words, time_words
from scheduler.served import Served
from scheduler.service import Service
from scheduler.service_source import ServiceSource
from scheduler.status import (
    SERVICE_LOCK,
    ServiceState,
    Status,
    database_status,
    service_state,
)

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
_DATABASES = click.argument("databases", nargs=-1, type=click.Path(path_type=Path))

_log = logging.getLogger(__name__)


@click.command()
@_DATABASES
@click.pass_context
def run(ctx: click.Context, databases: tuple[Path, ...]) -> int:
    """Serve DATABASES, else those of the service file, until SIGTERM.

    Runs in the foreground; systemd starts it. On SIGTERM a backup that is on is stopped within 60 seconds,
    undone, and tried again after the next start.
    """
    context = context_of(ctx)
    log_to_stderr(journald=context.environment.journald)
    served = context.served(databases)
    if not served:
        raise click.UsageError(
            "no database to serve: name some on the command line, or list them in "
            f"{context.service.file or context.environment.service_file}"
        )
    folder = context.environment.state_folder
    folder.mkdir(parents=True, exist_ok=True)
    control_file = context.environment.runtime_folder / SOCKET_NAME
    since = context.clock.now().isoformat(timespec="seconds")
    with holding(folder / SERVICE_LOCK, "the service", since) as lock:
        words = {"doing": "the service", "pid": os.getpid(), "since": since}
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
@_JSON
@click.pass_context
def status(ctx: click.Context, databases: tuple[Path, ...], *, as_json: bool) -> int:
    """Say how DATABASES do, else those of the service file: last backup, last good set, what comes next.

    Exit code 1 when any of them needs a person.
    """
    context = context_of(ctx)
    served = [(entry.package, entry.data_file) for entry in context.service.databases]
    if databases:
        served = [(database, None) for database in databases]
    if not served:
        raise click.UsageError("no database named, and the service file lists none")
    service, holder = service_state(context.environment)
    statuses = [database_status(context, package, data) for package, data in served]
    if as_json:
        now = context.clock.now()
        say_json(
            {
                "service": {"state": service.value, **holder},
                "databases": [_status_row(status, now) for status in statuses],
            }
        )
    else:
        _say_service(service, holder)
        for one in statuses:
            _say_status(one, context, context.clock)
    return Exit.FAILED if any(one.trouble for one in statuses) else Exit.DONE


def _say_service(service: ServiceState, holder: dict[str, Any]) -> None:
    match service:
        case ServiceState.RUNNING:
            since = holder.get("since", "?")
            say(f"service       running, process {holder.get('pid', '?')}, since {since}")
        case ServiceState.STOPPED:
            say("service       not running")
        case ServiceState.HIDDEN:
            say("service       not known: this user may not look into the service's state folder")


def _say_status(status: Status, context: Context, clock: Clock) -> None:
    now, zone = clock.now(), context.zone
    say()
    say(status.package)
    if status.running is not None:
        doing, since = status.running.get("doing", "an operation"), status.running.get("since")
        say(f"  running     {doing} since {since}")
    if status.last is None:
        say("  last backup none yet")
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
    for text in status.trouble:
        say(f"  TROUBLE     {text}")


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
        "next": None if status.next_slot is None else utc_text(status.next_slot),
        "plan": status.plan,
        "sets": status.sets,
        "destination": status.destination,
        "free_bytes": status.free,
        "trouble": list(status.trouble),
    }
