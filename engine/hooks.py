"""The administrator's programs around a backup: what they are told, how they are run, what their end means.

They stand for 4D's database methods On Backup Startup and On Backup Shutdown. The guard is in guard.py.
"""

import json
import logging
import os
import pwd
import queue
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.history import utc_text
from engine.host import start_process
from engine.journal import one_line
from engine.keeper import READY
from engine.progress import Progress
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.layout import DatabaseLayout
from settings.service_model import Hook

_log = logging.getLogger(__name__)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MESSAGE_LENGTH = 2000
_LOOKS_PER_SECOND = 10
# what the keeper may need beyond a time limit: twice its grace, its sweep, a slow start of Python
MARGIN_SECONDS = 60.0
_NOT_STARTED = (
    "the program must be there and executable for the user of backup4d; a script begins with #! and the "
    "full path of its interpreter"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a hook is told of its backup; None and empty where it is not known, or not yet.

    `status` is 0 for a complete set, else the error number; `folder` the set that was published.
    """

    layout: DatabaseLayout
    zone: tzinfo
    scheduled: datetime | None
    destination: Path | None = None
    number: int | None = None
    files: tuple[str, ...] = ()
    status: int | None = None
    folder: Path | None = None
    message: str = ""

    def ended(self, status: int, message: str, folder: Path | None = None) -> "Told":
        """The same, with how the backup ended."""
        short = one_line(message)[:_MESSAGE_LENGTH]
        return replace(self, status=status, message=short, folder=folder)


def describe(told: Told, event: str) -> dict[str, Any]:
    """The JSON object on a hook's standard input. Its keys stay what they are."""
    layout, scheduled = told.layout, told.scheduled
    return {
        "event": event,
        "version": 1,
        "database": str(layout.package),
        "data_file": str(layout.data_file),
        "structure": _text(layout.structure),
        "log": str(layout.log),
        "destination": _text(told.destination),
        "set_number": told.number,
        "scheduled": None if scheduled is None else utc_text(scheduled),
        "status": told.status,
        "set_folder": _text(told.folder),
        "message": told.message,
        "files": list(told.files),
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def environment_of(description: dict[str, Any], zone: tzinfo) -> dict[str, str]:
    """The whole environment of a hook: the same whoever started the backup, and what it is told."""
    try:
        entry = pwd.getpwuid(os.geteuid())
        home, user = entry.pw_dir, entry.pw_name
    except KeyError:
        home, user = "/", str(os.geteuid())
    usual = {"PATH": _PATH, "HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
    told = {
        f"BACKUP4D_{key.upper()}": "" if value is None else str(value)
        for key, value in description.items()
        if key not in ("version", "files")
    }
    return {**usual, "TZ": str(zone), **told}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a hook ended: `how` is empty when it ended by itself, else why it was ended or had to be given up.

    `code` is its exit code, negative the signal that killed it, None without one. `held` are the seconds a
    guard was ready, None when it never was.
    """

    how: str
    code: int | None
    held: float | None
    out: str
    err: str

    @property
    def good(self) -> bool:
        """Whether it ended by itself and said yes."""
        return not self.how and self.code == 0

    def words(self, limit: float) -> str:
        """What happened to it, to follow its name in a sentence."""
        last = self.last_line()
        return f"{self._fate(limit)}: {last}" if last else self._fate(limit)

    def last_line(self) -> str:
        """The last line it wrote that says something; standard error counts more."""
        for text in (self.err, self.out):
            said = (line.strip() for line in text.splitlines())
            lines = [line for line in said if line and (line not in READY or self.held is None)]
            if lines:
                return one_line(lines[-1])[:_MESSAGE_LENGTH]
        return ""

    def _fate(self, limit: float) -> str:
        alive = "" if self.code is not None else ", but it cannot be killed"
        match self.how:
            case "not started":
                return "cannot be started"
            case "lost":
                return "was lost: the process that kept it died"
            case "stopped":
                return f"was stopped{alive}"
            case "time limit" | "not ready":
                return f"was ended after its time limit of {limit:g} s{alive}"
            case _ if self.code is not None and self.code < 0:
                return f"was killed by {_signal_name(-self.code)}"
            case _:
                return f"ended with exit code {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_LOST = Ended("lost", None, None, "", "")
# what is no hook around a backup
_NAMES = {"guard": "guard", "drill": "check program"}


class Running:
    """One hook with its keeper, a process of ours that ends it when this one dies."""

    def __init__(self, kind: str, hook: Hook, description: dict[str, Any], zone: tzinfo) -> None:
        self.name = f"{_NAMES.get(kind, f'{kind} hook')} {hook.program}"
        self.limit = hook.time_limit.total_seconds()
        self._looks = 0
        self._phase = self.name.partition(" /")[0]
        order = {
            "command": [str(hook.program), *hook.arguments],
            "environment": environment_of(description, zone),
            "input": json.dumps(description),
            "seconds": self.limit,
            "guard": kind == "guard",
        }
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        try:
            self._process = start_process([sys.executable, "-P", "-m", "engine.keeper"])
        except OSError as error:
            raise EngineError(
                f"the process that keeps {self.name} cannot be started: {error.strerror}",
                hint="the machine may be short of memory or processes",
            ) from error
        assert self._process.stdin is not None  # noqa: S101 - start_process made the pipe
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order).encode("ascii") + b"\n")
            self._process.stdin.flush()
        threading.Thread(target=self._follow, name=self._phase, daemon=True).start()

    def let_go(self) -> None:
        """A guard may end now; any other hook is ended."""
        assert self._process.stdin is not None  # noqa: S101 - start_process made the pipe
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def show(self, around: Surroundings) -> None:
        """Let the watcher see that it is waited for: it has a time limit of its own, and nothing hangs."""
        around.report(Progress(self._phase, self._looks // _LOOKS_PER_SECOND, 0))

    def heard(self, seconds: float, around: Surroundings) -> str | Ended:
        """The next that it says, waited for; a stop ends it meanwhile. What says nothing is given up."""
        for _ in range(int(seconds * _LOOKS_PER_SECOND) + 1):
            self._looks += 1
            if self._looks % _LOOKS_PER_SECOND == 0:
                self.show(around)
            if around.stop.is_asked:
                self.let_go()
            with suppress(queue.Empty):
                return self._read(self._messages.get(timeout=1 / _LOOKS_PER_SECOND))
        return self.give_up()

    def heard_already(self) -> str | Ended | None:
        """What it has said, without waiting."""
        with suppress(queue.Empty):
            return self._read(self._messages.get_nowait())
        return None

    def give_up(self) -> Ended:
        """End the keeper, whose hook then finds its standard input at an end."""
        self._process.kill()
        return _LOST

    def _follow(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - start_process made the pipe
        for line in self._process.stdout:
            self._messages.put(json.loads(line))
        self._process.wait()
        self._process.stdout.close()
        self._messages.put({"said": "lost"})

    def _read(self, message: dict[str, Any]) -> str | Ended:
        match message:
            case {"said": "ended", **facts}:
                ended = Ended(**facts)
                self._log_output(ended)
                return ended
            case {"said": "lost"}:
                return _LOST
            case _:
                return str(message["said"])

    def _log_output(self, ended: Ended) -> None:
        level = logging.INFO if ended.good else logging.WARNING
        _log.info("%s %s", self.name, ended.words(self.limit))
        said = [line for line in (ended.out + "\n" + ended.err).splitlines() if line.strip()]
        for line in said if len(said) > 1 else ():  # a lone line stands in what is told of its end
            _log.log(level, "%s wrote: %s", self.name, one_line(line))


def run_startup(hook: Hook, told: Told, around: Surroundings) -> str:
    """Ask the startup hook for its yes and return a line for the journal.

    Raises EngineError with its exit code when it refuses, 1409 when it cannot be asked; StoppedError.
    """
    ended, name = run_program("startup", hook, describe(told, "startup"), told.zone, around)
    around.stop.check()
    if ended.good:
        return f"Startup hook : {hook.program} [OK]"
    if not ended.how and ended.code is not None and ended.code > 0:
        last = ended.last_line()
        reason = f": {last}" if last else ""
        raise EngineError(
            f"{name} refused the backup (exit code {ended.code}){reason}",
            hint="nothing was written and no old set was removed; the next attempt asks it again",
            code=ended.code,
        )
    words = ended.words(hook.time_limit.total_seconds())
    raise EngineError(f"{name} {words}", hint=hint_for(ended))


def run_shutdown(hook: Hook, told: Told, around: Surroundings) -> str | None:
    """Tell the shutdown hook how the backup ended; return in words what went wrong with the telling."""
    if around.stop.is_asked:
        # it was the backup that was stopped, and of that it must be told
        around = replace(around, stop=StopRequest())
    try:
        ended, name = run_program("shutdown", hook, describe(told, "shutdown"), told.zone, around)
    except EngineError as error:
        return str(error)
    if ended.good:
        return None
    return f"{name} {ended.words(hook.time_limit.total_seconds())}"


def run_program(
    kind: str, hook: Hook, description: dict[str, Any], zone: tzinfo, around: Surroundings
) -> tuple[Ended, str]:
    """Run a program to its end, within its time limit; how it ended, and what it is called. Raises EngineError."""
    running = Running(kind, hook, description, zone)
    try:
        running.show(around)
        heard = running.heard(running.limit + MARGIN_SECONDS, around)
    finally:
        running.let_go()
    return (heard if isinstance(heard, Ended) else running.give_up()), running.name


def hint_for(ended: Ended) -> str:
    """What to do about a hook that could not be asked."""
    match ended.how:
        case "not started":
            return _NOT_STARTED
        case "time limit" | "not ready":
            return "find out what it waits for, or raise its TimeLimit in the service file"
        case _:
            return "see what it wrote in the system's log"
