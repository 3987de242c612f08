"""Fakes of what the program is handed from outside; tests/engine/test_fakes.py proves them against the real things."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path


class StoryClock:
    """A clock that the story moves; every look at it costs `tick`, so that nothing takes no time."""

    def __init__(
        self, now: datetime | None = None, *, tick: timedelta = timedelta(milliseconds=1)
    ) -> None:
        self.instant = now or datetime(2026, 1, 10, 2, 30, tzinfo=UTC)
        self.tick = tick
        self._elapsed = 0.0

    def now(self) -> datetime:
        self.instant += self.tick
        return self.instant

    def monotonic(self) -> float:
        self._elapsed += self.tick.total_seconds()
        return self._elapsed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.pass_time(timedelta(seconds=seconds))
        return event.is_set()

    def pass_time(self, duration: timedelta) -> None:
        """Let the story go on by so much."""
        self.instant += duration
        self._elapsed += duration.total_seconds()


def peak_kib() -> int:
    """The most memory this process ever had, in KiB; `ru_maxrss` would also count its parent's from before exec."""
    status = Path("/proc/self/status").read_text("ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0])
