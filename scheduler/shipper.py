"""The thread that ships the log of one database: looks, waits, looks again. All its disks may hang; it hangs alone."""

import logging
import threading
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from engine.host import Clock
from engine.streamer import HeldError, Stand, Streamer
from scheduler.logwait import LogWait, signature
from settings.layout import DatabaseLayout

_log = logging.getLogger(__name__)

# while nothing grows: a look at the log by time as well, should the kernel not tell; and at all there is
IDLE_SECONDS, _ALL_SECONDS = 30.0, 300.0
_HELD_SECONDS = 15.0
# how often a log on a network disk is looked at while nothing grows
_UNWATCHED_SECONDS = 2.0
_QUIET_LOOKS = 2
_BREATH_SECONDS = 0.5
_QUICK_TRIES = 3


@dataclass(frozen=True, slots=True)
class Errand:
    """What is shipped where; a shipper is for one of these and no other."""

    layout: DatabaseLayout
    destination: Path
    lag: timedelta


@dataclass(frozen=True, slots=True)
class Report:
    """What the thread says of itself: `held` is why nothing is shipped now, None when all is well; monotonic seconds.

    `looking_since` is None while it waits, `held_since` while nothing holds it, `behind_since` while
    it has seen nothing that was not shipped.
    """

    stand: Stand | None = None
    held: str | None = None
    held_since: float | None = None
    looking_since: float | None = None
    behind_since: float | None = None


class Shipper:
    """Ships until it is stopped. What it reports may be read by any thread."""

    def __init__(self, errand: Errand, clock: Clock) -> None:
        self.errand = errand
        self.report = Report()
        self.events: deque[str] = deque(maxlen=200)
        self._clock = clock
        self._is_stopped = False
        self._quiet = self._tries = 0
        self._wait = LogWait()
        self._thread = threading.Thread(target=self._work, name="ship", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; what is on is finished first."""
        self._is_stopped = True
        self._wait.wake()

    def is_over(self, seconds: float) -> bool:
        """Whether it has ended, after so many seconds at most; one that hangs is left to its disk."""
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            return False
        self._wait.close()
        return True

    def _work(self) -> None:
        streamer = Streamer(self.errand.layout, self.errand.destination, self._clock)
        while not self._is_stopped:
            try:
                self._turn(streamer)
            except Exception as error:  # noqa: BLE001 - the boundary of one log: it is told, and tried again
                self._break_off(error)
        streamer.let_go()

    def _break_off(self, error: Exception) -> None:
        held = f"this is a mistake in backup4d, please report it: {error!r}"
        if self.report.held != held:
            _log.exception("%s: %s", self.errand.layout.package, held)
        since = self.report.held_since or self._clock.monotonic()
        behind_since = self.report.behind_since
        self.report = Report(self.report.stand, held, since, behind_since=behind_since)
        self._wait.pause(_HELD_SECONDS)

    def _turn(self, streamer: Streamer) -> None:
        """One look, and the wait after it."""
        log, half = self.errand.layout.log, self.errand.lag.total_seconds() / 2
        before, now = self.report, self._clock.monotonic()
        behind = now if before.behind_since is None else before.behind_since
        self.report = Report(before.stand, before.held, before.held_since, now, behind)
        seen = signature(log)
        try:
            stand = streamer.look()
        except HeldError as error:
            self.events.extend(streamer.take_events())
            since = now if before.held_since is None else before.held_since
            self.report = Report(before.stand, str(error), since, behind_since=behind)
            self._tries += 1
            self._wait.pause(half if self._tries <= _QUICK_TRIES else max(half, _HELD_SECONDS))
            return
        self.events.extend(streamer.take_events())
        self.report = Report(stand, behind_since=behind if stand.more else None)
        self._tries = 0
        if stand.more:
            # a log of many GiB that is shipped for the first time leaves the disks to others in between
            self._wait.pause(_BREATH_SECONDS)
            return
        self._quiet = 0 if stand.grew else self._quiet + 1
        if self._quiet < _QUIET_LOOKS:
            self._wait.pause(half)
            return
        streamer.let_go()
        self._sleep(log, seen)

    def _sleep(self, log: Path, seen: tuple[int, int, int, int] | None) -> None:
        """Until the log changes, or everything is to be looked at again."""
        until = self._clock.monotonic() + _ALL_SECONDS
        half = self.errand.lag.total_seconds() / 2
        while not self._is_stopped and self._clock.monotonic() < until:
            if self._wait.until_changed(
                log, seen, IDLE_SECONDS, unwatched=max(_UNWATCHED_SECONDS, half)
            ):
                self._quiet = 0
                self.report = replace(self.report, behind_since=self._clock.monotonic())
                # the first record of many: they are shipped together
                self._wait.pause(half)
                return
