"""The shipping of logs, seen from the service: begun where it is asked for, told of when it is held, ended with the service.

Nothing here asks a disk: each log has a thread of its own, which says how it does.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from engine.host import Clock
from scheduler.errands import SILENT_SECONDS
from scheduler.served import Served
from scheduler.shipper import Errand, Report, Shipper

_log = logging.getLogger(__name__)
# a hold is told of when it lasts: so many seconds, or so many times the lag that was asked for
HELD_SECONDS, HELD_LAGS = 30.0, 10.0
_STOP_SECONDS = 10.0


class Shipping:
    """All shippers of one service; lives in the service's own thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shippers: dict[Served, Shipper] = {}
        self._told: dict[Served, str] = {}
        self._left: list[Shipper] = []

    def look(self, databases: Iterable[Served], now: datetime) -> None:
        """Begin and end what service file and settings ask for, and tell what is to be told."""
        databases = list(databases)
        wanted = {one: errand for one in databases if (errand := _errand(one)) is not None}
        for database, shipper in list(self._shippers.items()):
            if wanted.get(database) != shipper.errand:
                self._end(database)
        for database, errand in wanted.items():
            if database not in self._shippers:
                self._begin(database, errand)
        for database, shipper in self._shippers.items():
            self._tell(database, shipper, now)
        self._left = [one for one in self._left if not one.is_over(0)]

    def stop(self) -> None:
        """The service ends; one that hangs is left to its disk."""
        for database in list(self._shippers):
            self._end(database)
        end = self._clock.monotonic() + _STOP_SECONDS
        for shipper in self._left:
            shipper.is_over(end - self._clock.monotonic())

    def row(self, database: Served) -> dict[str, Any] | None:
        """How the shipping of one does, for those who ask; None when it is not asked for."""
        shipper = self._shippers.get(database)
        if shipper is None:
            return None
        report, now = shipper.report, self._clock.monotonic()
        held = _held(report, now)
        since = report.held_since if report.held_since is not None else report.looking_since
        seconds = None if held is None or since is None else round(now - since)
        behind = None if report.behind_since is None else round(now - report.behind_since, 1)
        return {"held": held, "seconds": seconds, "behind_seconds": behind}

    def _begin(self, database: Served, errand: Errand) -> None:
        try:
            self._shippers[database] = Shipper(errand, self._clock)
        except (OSError, RuntimeError) as error:
            _log.error("%s: its log cannot be shipped: %s", database.name, error)
            return
        _log.info("%s: its log is shipped to %s", database.name, errand.destination)

    def _end(self, database: Served) -> None:
        shipper = self._shippers.pop(database)
        self._told.pop(database, None)
        shipper.stop()
        self._left.append(shipper)

    def _tell(self, database: Served, shipper: Shipper, now: datetime) -> None:
        while shipper.events:
            database.tell_shipping((shipper.events.popleft(),), now)
        report, mono = shipper.report, self._clock.monotonic()
        held, before = _held(report, mono), self._told.get(database)
        if held is None:
            if before is not None and report.looking_since is None:
                del self._told[database]
                database.tell_shipping(("Shipped again : the log is followed as before",), now)
            return
        lag = shipper.errand.lag.total_seconds()
        since = report.held_since if report.held_since is not None else report.looking_since
        is_long = since is not None and mono - since > max(HELD_SECONDS, HELD_LAGS * lag)
        if is_long and before is None:
            self._told[database] = held
            database.tell_shipping(
                (
                    f"Held : {held}",
                    "Until it goes on, new operations are in the application's log alone",
                ),
                now,
            )


def _errand(database: Served) -> Errand | None:
    """None when it is not asked for, or not known where things are."""
    wanted, layout, destination = database.entry.shipping, database.layout, database.destination()
    if wanted is None or layout is None or destination is None or database.known is None:
        return None
    return Errand(layout, destination, wanted.lag)


def _held(report: Report, now: float) -> str | None:
    """Why nothing is shipped, None when all is well."""
    if report.held is not None:
        return report.held
    if report.looking_since is not None and now - report.looking_since > SILENT_SECONDS:
        return "a disk does not answer"
    return None
