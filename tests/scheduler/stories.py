"""What the stories about decisions are told with: local times in Paris, a nightly backup, short names."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.after import (
    after_failure,
    after_start,
    after_success,
)
from scheduler.decide import (
    ClockDamage,
    Decision,
    Halted,
    Missed,
    PauseOver,
    Run,
    Wait,
    decide,
)
from scheduler.known import Known, watch
from scheduler.slots import Slot
from settings.model import (
    Daily,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Schedule,
)

PARIS = ZoneInfo("Europe/Paris")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHTLY = Daily(1, time(2, 30))
ONCE = RetryOnce(MINUTE)
UP_TO_3 = RetryUpTo(MINUTE, 3)
LATER = Daily(1, time(4))


def at(wall: str) -> datetime:
    """An instant by its local time in Paris, in January 2026 when only a day is given."""
    text = wall if wall[4] == "-" else f"2026-01-{wall}"
    return datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(UTC)


def known_at(since: str, schedule: Schedule = NIGHTLY, retry: RetryPolicy = ONCE) -> Known:
    return watch(schedule, retry, PARIS, at(since))


def started(known: Known, now: str) -> Known:
    """The decision at `now` is to run, and the run began."""
    decision = decide(known, at(now))
    assert isinstance(decision, Run), decision
    return after_start(known, decision, at(now))


def served(known: Known, now: str) -> Known:
    return after_success(started(known, now), at(now) + MINUTE).known


def failed(known: Known, now: str, code: int = 1407) -> Known:
    """The run decided at `now` began and failed at once."""
    return after_failure(started(known, now), code, at(now)).known


def brief(decision: Decision) -> str:
    """A decision without its reason, in local time."""

    def local(instant: datetime | None) -> str:
        return f"{instant.astimezone(PARIS):%m-%d %H:%M}" if instant else "-"

    match decision:
        case Run(slot, _, attempt, missed, _):
            return f"run {local(slot.at)} attempt {attempt} missed {missed}"
        case Wait(until, _, _):
            return f"wait {local(until)}"
        case Halted(_, coming):
            return f"halted, next {local(coming.at if coming else None)}"
        case Missed(slots, _):
            return f"missed {slots.count} from {local(slots.first.at)} to {local(slots.last.at)}"
        case ClockDamage():
            return "clock damage"
        case PauseOver():
            return "pause over"


def halted() -> Known:
    return failed(known_at("10 12:00", retry=RetryUpTo(MINUTE, 1)), "11 02:30")


def decide_slot(known: Known, now: str) -> Slot:
    decision = decide(known, at(now))
    assert isinstance(decision, Run)
    return decision.slot
