"""How a run ended, as what is known and remembered after it. Pure."""

from datetime import datetime

from engine.errors import BusyError, Code, EngineError
from scheduler.after import Change, after_cancel, after_failure, after_success
from scheduler.known import Known, Running
from scheduler.outcomes import Ending, Failed, Postponed, Published
from scheduler.state import LastRun


def error_of(ending: Failed) -> EngineError:
    """The failure, as an error that can be journaled."""
    if ending.code == Code.BUSY:
        return BusyError(ending.text, hint=ending.hint)
    return EngineError(ending.text, hint=ending.hint, code=Code(ending.code))


def instant_of(ending: Ending, running: Running | None, now: datetime) -> datetime:
    """When it ended: a machine may have slept since, and a slot that passed meanwhile is not this run's.

    Its own word counts while it lies between its beginning and now: a clock may have been set.
    """
    began = now if running is None else running.began
    if ending.ended is None or not began <= ending.ended <= now:
        return now
    return ending.ended


def change_after(known: Known, ending: Ending, now: datetime) -> Change:
    """What is known after it."""
    match ending:
        case Published():
            return after_success(known, now)
        case Postponed() | Failed(code=Code.STOPPED):
            return after_cancel(known, now)
        case Failed(code=code):
            return after_failure(known, code, now)


def last_run(ending: Ending, now: datetime) -> LastRun:
    """What is remembered of it."""
    match ending:
        case Published(number=number, code=code, text=text):
            return LastRun(now, code, text, number)
        case Postponed(text):
            return LastRun(now, 0, text, None)
        case Failed(code=code, text=text):
            return LastRun(now, code, text, None)
