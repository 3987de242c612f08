"""What `status` says of a log that is shipped: how far it is behind, and whether a person must see to it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from engine.history import utc_text
from engine.streamlag import StreamLag, stream_lag
from scheduler.screen import duration_words, size_words, time_words
from scheduler.shipping import HELD_LAGS, HELD_SECONDS
from settings.layout import DatabaseLayout
from settings.service_model import LogShipping


@dataclass(frozen=True, slots=True)
class ShippingStatus:
    """`wanted` is what was asked for; `held` is what the running service says, None when all is well for it.

    `is_served`: one runs and answered. `held_seconds` is since when.
    """

    wanted: LogShipping
    lag: StreamLag
    is_served: bool = False
    held: str | None = None
    held_seconds: float = 0.0

    @property
    def limit(self) -> float:
        """From how many seconds on a person must know."""
        return max(HELD_SECONDS, HELD_LAGS * self.wanted.lag.total_seconds())


def shipping_status(
    wanted: LogShipping | None, layout: DatabaseLayout, destination: Path | None, now: datetime
) -> ShippingStatus | None:
    """None when no shipping is asked for, or nobody knows where to."""
    if wanted is None or destination is None:
        return None
    return ShippingStatus(wanted, stream_lag(layout, destination, now))


def with_held(status: ShippingStatus | None, row: dict[str, Any] | None) -> ShippingStatus | None:
    """The same, with what the running service says of it."""
    if status is None or row is None:
        return status
    held, seconds = row.get("held"), row.get("seconds")
    return replace(
        status,
        is_served=True,
        held=None if held is None else str(held),
        held_seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        lag=_since_it_was_seen(status, row),
    )


def _since_it_was_seen(status: ShippingStatus, row: dict[str, Any]) -> StreamLag:
    """A record may bear any date: what it says to be old counts from when the service first saw it."""
    behind = status.lag.behind
    if behind is None or behind.seconds is None or "behind_seconds" not in row:
        return status.lag
    if behind.seconds <= status.limit:
        return status.lag
    seen = row["behind_seconds"]
    seconds = min(behind.seconds, float(seen)) if isinstance(seen, int | float) else 0.0
    return replace(status.lag, behind=replace(behind, seconds=seconds))


def shipping_trouble(status: ShippingStatus | None) -> list[str]:
    """What a person must see to."""
    return [] if status is None else [*_not_shipped(status), *map(_lost_ledger, status.lag.lost)]


def _lost_ledger(file: Path) -> str:
    return (
        f"the shipped log {file} has lost its ledger: nothing proves what is in it, and a restore does not use it;"
        f" `backup4d log check '{file}'` shows what is readable; when a backup was made since, remove it"
    )


def _not_shipped(status: ShippingStatus) -> list[str]:
    behind, problem = status.lag.behind, _lasting_problem(status)
    seconds = 0.0 if behind is None else behind.seconds or 0.0
    if problem is None and seconds <= status.limit:
        return []
    words = "the log is not shipped"
    if behind is not None and behind.bytes:
        what = _operations(behind.operations) if behind.operations else size_words(behind.bytes)
        age = duration_words(timedelta(seconds=seconds))
        words += f": {what}, the oldest {age} old, in the application's log alone"
    return [words if problem is None else f"{words}: {problem}"]


def _lasting_problem(status: ShippingStatus) -> str | None:
    """A log that is just being renewed is no trouble while a service looks after it."""
    if not status.is_served:
        return status.lag.problem
    return status.held if status.held_seconds > status.limit else None


def shipping_lines(status: ShippingStatus | None, zone: tzinfo) -> list[tuple[str, str]]:
    """The line of `status`, with its label."""
    if status is None:
        return []
    lag = status.lag
    if lag.at is None:
        return [("log shipped", "nothing yet")]
    place = "no operation yet" if lag.last is None else f"up to operation {lag.last}"
    words = f"{place}, {time_words(lag.at, zone)}, {size_words(lag.bytes)}"
    if lag.behind is not None:
        words += f"; {_behind_words(status)}"
    return [("log shipped", words)]


def _behind_words(status: ShippingStatus) -> str:
    behind = status.lag.behind
    if behind is None or not behind.bytes:
        return "nothing is behind"
    age = "" if behind.seconds is None else f", the oldest {_age_words(behind.seconds)} old"
    return f"{_operations(behind.operations)} behind ({size_words(behind.bytes)}{age})"


def _age_words(seconds: float) -> str:
    return duration_words(timedelta(seconds=round(seconds)))


def _operations(count: int) -> str:
    return "1 operation" if count == 1 else f"{count} operations"


def shipping_row(status: ShippingStatus | None) -> dict[str, Any]:
    """What `--json` says."""
    if status is None:
        return {"log_shipping": None}
    lag, behind = status.lag, status.lag.behind
    return {
        "log_shipping": {
            "lag_seconds": int(status.wanted.lag.total_seconds()),
            "folder": str(lag.folder),
            "piece": lag.piece,
            "operation": lag.last,
            "bytes": lag.bytes,
            "shipped": None if lag.at is None else utc_text(lag.at),
            "behind": None
            if behind is None
            else {
                "operations": behind.operations,
                "bytes": behind.bytes,
                "seconds": None if behind.seconds is None else round(behind.seconds, 1),
            },
            "problem": status.held or lag.problem,
            "without_ledger": [str(file) for file in lag.lost],
        }
    }
