"""The child process of one run, drill or scrub: a request on standard input, progress and the ending on standard output.

It ends by itself when the service that started it dies, so that no run goes on unwatched.
"""

import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from engine.backup import run_backup
from engine.errors import Code, EngineError, Exit
from engine.host import Clock, HostClock, let_signals_in
from engine.progress import Progress
from engine.records import Recorder
from engine.report import Times, partial_reason
from engine.results import Outcome
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from scheduler.chore import run_chore
from scheduler.outcomes import Ending, Failed, Postponed, Published, ending_to_json
from scheduler.proof import chore_ending_to_json
from scheduler.runner_request import HELD, request_from_json
from settings.errors import SettingsError
from settings.locate import locate_database

_REPORT_SECONDS = 1.0
_HUNG = "stopped by the service, because it made no progress any more"
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def main() -> None:
    """Run the request and exit with its code."""
    _die_with_parent()
    request = json.load(sys.stdin)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    stop = StopRequest()
    signal.signal(
        signal.SIGTERM, lambda *_: stop.ask("stopped because the service was told to stop")
    )
    signal.signal(signal.SIGINT, lambda *_: stop.ask())
    signal.signal(signal.SIGUSR1, lambda *_: stop.ask(_HUNG, Code.BACKUP_FAILED))
    signal.signal(signal.SIGHUP, lambda *_: stop.ask("stopped because its service died"))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    let_signals_in(HELD)
    clock = ReadClock()
    speaker = Speaker(clock)
    if "chore" in request:
        around = Surroundings(speaker.clock, stop, speaker.report)
        _leave(chore_ending_to_json(run_chore(request, around)), Exit.DONE)
    ending = run_request(request, speaker, stop)
    # as the journal says it: a machine may fall asleep between the two
    ending = replace(ending, ended=clock.read or clock.now())
    _leave(ending_to_json(ending), ending.exit_code if isinstance(ending, Failed) else Exit.DONE)


def _leave(row: dict[str, Any], code: int) -> NoReturn:
    _say(row)
    # everything is closed and flushed; whatever might hang in taking the interpreter down is left alone
    os._exit(code)


def run_request(row: dict[str, Any], speaker: "Speaker", stop: StopRequest) -> Ending:
    """Make the backup the request asks for, and say how it ended."""
    try:
        layout = locate_database(
            Path(row["package"]), Path(row["data_file"]), needs_settings=row["last_good"] is None
        )
        request = request_from_json(row, layout)
        outcome = run_backup(request, Surroundings(speaker.clock, stop, speaker.report))
    except EngineError as error:
        return Failed(error.code, error.exit_code, str(error), error.hint)
    except SettingsError as error:
        return _not_found(row, str(error), speaker.clock.now())
    return ending_of(outcome)


def _not_found(row: dict[str, Any], why: str, now: datetime) -> Failed:
    """The database is not where it was: told in the journal when there still is a place for it."""
    package, zone = Path(row["package"]), ZoneInfo(row["zone"])
    error = EngineError(why, hint=f"run: backup4d settings show '{package}'")
    Recorder(package, str(package), zone).failed("backup", error, Times(None, now, now, zone))
    return Failed(error.code, Exit.REFUSED, why, error.hint)


def ending_of(outcome: Outcome) -> Ending:
    """An outcome of the engine in the words of the pipe."""
    if outcome.facts is None:
        return Postponed(outcome.text)
    code, text = 0, f"set {outcome.facts.number} is complete"
    if not outcome.facts.complete:
        code, text, _ = partial_reason(outcome.facts)
    return Published(
        outcome.facts.number,
        str(outcome.folder),
        int(code),
        text,
        outcome.warnings,
        outcome.removed,
    )


class ReadClock(HostClock):
    """The machine's clock, and what it said last: when the last thing happened that is told of."""

    def __init__(self) -> None:
        self.read: datetime | None = None

    def now(self) -> datetime:
        """The present instant, in UTC."""
        self.read = super().now()
        return self.read


class Speaker:
    """Progress on the pipe, at most once a second; a reader that went away harms nothing."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._last = clock.monotonic() - _REPORT_SECONDS
        self._phase = ""

    def report(self, progress: Progress) -> None:
        """Say how far the run is."""
        now = self.clock.monotonic()
        if progress.phase == self._phase and now - self._last < _REPORT_SECONDS:
            return
        self._last, self._phase = now, progress.phase
        _say({"progress": [progress.phase, progress.done, progress.total]})


def _say(row: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGHUP, 0, 0, 0)
    if os.getppid() == 1:  # it died before the wish was made
        sys.exit(Exit.FAILED)


if __name__ == "__main__":
    main()
