"""APScheduler as the timer, and nothing more: it calls back at instants; what is due is decided elsewhere.

Run in UTC, without a job store, with jobs executed in the scheduler's own thread. A clock set back leaves
its next run in the future: `renew` re-arms it, and the service calls that when the heartbeat is overdue.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

HEARTBEAT = timedelta(seconds=25)

_OPTIONS = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}


class _Heartbeat(BaseTrigger):  # type: ignore[misc]  # the library ships no types
    """Every heartbeat counted from now: the library's own lists each one that a leap of the clock passed over.

    Measured with a clock that leapt a year: 70 MiB and 17 s for a million heartbeats nobody wanted.
    """

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + HEARTBEAT


class Timer:
    """Calls `callback` on every heartbeat and at the instant last asked for."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._scheduler = self._start()

    def wake_at(self, instant: datetime | None) -> None:
        """Call back at this instant as well; None takes the wish back."""
        job = self._scheduler.get_job("due")
        if job is not None and job.next_run_time == instant:
            return  # asked for on every heartbeat; arming it again would wake the timer's thread twice
        if instant is None:
            if job is not None:
                self._scheduler.remove_job("due")
            return
        self._scheduler.add_job(
            self._callback, "date", run_date=instant, id="due", replace_existing=True
        )

    def renew(self) -> None:
        """Start afresh, after a jump of the clock or the death of the thread."""
        self.stop()
        self._scheduler = self._start()

    def stop(self) -> None:
        """No more calls."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _start(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            timezone="UTC", executors={"default": DebugExecutor()}, job_defaults=_OPTIONS
        )
        scheduler.add_job(self._callback, _Heartbeat(), id="heartbeat")
        scheduler.start()
        return scheduler
