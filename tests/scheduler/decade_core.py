"""The functions of the product that the simulation drives; a test hands in a set with a fault."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler.after import (
    Change,
    after_restart,
    after_sets_seen,
    after_settings_change,
    after_start,
    after_success,
)
from scheduler.decide import Decision, Run, decide
from scheduler.known import Known
from settings.model import RetryPolicy, Schedule


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
    seen_in_sets: Callable[[Known, frozenset[datetime], datetime], Known] = after_sets_seen
