"""What the service itself tells about one database: entries in its Backup journal and lines in the log."""

import logging
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

from engine.errors import Code, EngineError
from engine.files import make_folder
from engine.journal import Entry
from engine.records import Recorder
from engine.report import Times, aborted_entry, simple_entry
from scheduler.decide import Missed, Run
from scheduler.known import Halt, Running, Serving

_log = logging.getLogger(__name__)


class Teller:
    """Writes entries of one database; a journal that cannot be written is told of in the log.

    `do` is handed the writing, and does it now or when the disk answers.
    """

    def __init__(
        self, name: str, package: Path, zone: tzinfo, do: Callable[[Callable[[], None]], None]
    ) -> None:
        self._name = name
        self._do = do
        self._package = package
        self._zone = zone

    def settings(self, lines: tuple[str, ...], now: datetime) -> None:
        """Something about the settings, the clock or the service changed."""
        self._journal("Settings", lines, now)

    def aborted(self, error: EngineError, running: Running | None, now: datetime) -> None:
        """An attempt ended before the engine could journal it."""
        began = now if running is None else running.began
        scheduled = running.slot.at if isinstance(running, Serving) else None
        self._append(aborted_entry(error, Times(scheduled, began, now, self._zone)))

    def catch_up(self, run: Run, now: datetime) -> None:
        """A run begins that answers for missed slots."""
        lines = (
            f"Missed : {run.missed} scheduled backup(s), the first at {self._local(run.slot.at)}",
            "Now : one backup catches up",
        )
        self._journal("Scheduled backup missed", lines, now)

    def missed(self, missed: Missed, now: datetime) -> None:
        """Slots that nobody serves."""
        slots = missed.slots
        span = f"the backup of {self._local(slots.first.at)}"
        if slots.count > 1:
            first, last = self._local(slots.first.at), self._local(slots.last.at)
            span = f"{slots.count} scheduled backups, from {first} to {last}"
        lines = (f"Missed : {span}", f"Reason : {missed.reason}")
        _log.warning("%s: %s; %s", self._name, *lines)
        self._journal("Scheduled backup missed", lines, now)

    def halt(self, halt: Halt, now: datetime) -> None:
        """Error 1401."""
        error = EngineError(
            f"all {halt.attempts} attempts failed; automatic backups are halted",
            code=Code.ATTEMPTS_USED_UP,
            hint="mend what the last error says, then start a backup by hand, change the settings, or "
            "restart the service",
        )
        _log.error("%s: %s; %s", self._name, error, error.hint)
        self._journal("Scheduled backups halted", (), now, error)

    def pause(self, until: datetime | None, who: str, now: datetime) -> None:
        """A person wants no automatic backups for a while, or wants them again."""
        what = "automatic backups go on"
        if until is not None:
            what = f"no automatic backup until {self._local(until)}"
        _log.warning("%s: %s, asked for by %s", self._name, what, who)
        title = "Scheduled backups resumed" if until is None else "Scheduled backups paused"
        self._journal(title, (f"Asked for by : {who}", f"Now : {what}"), now)

    def pause_over(self, reason: str, now: datetime) -> None:
        """A pause ended by itself."""
        _log.info("%s: %s", self._name, reason)
        self._journal("Scheduled backups resumed", (f"Reason : {reason}",), now)

    def slow(self, what: str, now: datetime) -> None:
        """A run takes too long, or does nothing any more."""
        _log.error("%s: %s", self._name, what)
        self._journal("Backup is slow", (f"Reason : {what}",), now)

    def silent(self, place: str, since: datetime, now: datetime) -> None:
        """A disk does not answer."""
        lines = (
            f"Storage : {place} does not answer since {self._local(since)}",
            "Now : no backup begins before it answers",
        )
        self._journal("Storage does not answer", lines, now)

    def answers_again(self, place: str, since: datetime, now: datetime) -> None:
        """It does again."""
        lines = (f"Storage : {place} did not answer since {self._local(since)}",)
        _log.warning("%s: storage answers again; %s", self._name, *lines)
        self._journal("Storage answers again", lines, now)

    def shipping(self, lines: tuple[str, ...], now: datetime) -> None:
        """Its log is not shipped any more, or again, or is another one."""
        _log.warning("%s: log shipping: %s", self._name, "; ".join(lines))
        self._journal("Log shipping", lines, now)

    def chore(self, title: str, error: EngineError, began: datetime, now: datetime) -> None:
        """A drill or scrub died before it could journal anything."""
        times = Times(None, began, now, self._zone)
        self._append(simple_entry(title, ("Result : failed",), times, error))

    def _local(self, instant: datetime) -> str:
        return f"{instant.astimezone(self._zone):%Y-%m-%d %H:%M:%S}"

    def _journal(
        self, title: str, lines: tuple[str, ...], now: datetime, error: EngineError | None = None
    ) -> None:
        self._append(simple_entry(title, lines, Times(None, now, now, self._zone), error))

    def _append(self, entry: Entry) -> None:
        self._do(lambda: self._write(entry))

    def _write(self, entry: Entry) -> None:
        recorder = Recorder(self._package, self._name, self._zone)
        try:
            # the first entry of a database may come before its first backup
            make_folder(self._package / "Logs", like=self._package)
            recorder.journal(entry)
        except OSError as cause:
            _log.error(
                "%s: the Backup journal could not be written: %s", self._name, cause.strerror
            )
