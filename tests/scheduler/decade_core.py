"""The functions of the product that the simulation drives; a test hands in a set with a fault."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler.after import (
    Change,
    after_restart,
    after_settings_change,
    after_start,
    after_success,
)
from scheduler.decide import Decision, Run, decide
from scheduler.known import Known
from scheduler.served import _without_served
from settings.model import RetryPolicy, Schedule


def seen_in_sets(known: Known, sets: Sequence[datetime | None]) -> Known:
    """As Served._from_sets after a restart; `sets` are the slots of the published sets, None for a manual one."""
    slots = [slot for slot in sets if slot is not None]
    return _without_served(known, max(slots)) if slots else known


@dataclass(frozen=True, slots=True)
class Core:
    """The product's functions; a test hands in one with a fault."""

    decide: Callable[[Known, datetime], Decision] = decide
    started: Callable[[Known, Run, datetime], Known] = after_start
    succeeded: Callable[[Known, datetime], Change] = after_success
    restarted: Callable[[Known, datetime], Known] = after_restart
    taken_up: Callable[[Known, Schedule, RetryPolicy, ZoneInfo, datetime], Change] = (
        after_settings_change
    )
    seen_in_sets: Callable[[Known, Sequence[datetime | None]], Known] = seen_in_sets
