"""Logs as they are known, and the plan for them: set 5 is restored, its data hold 1000 operations."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.datafile import DataFacts
from engine.logchain import plan_logs
from engine.logfile import LogFacts, LogFormat
from engine.logplan import Candidate, LogMode, LogPlan, LogRequest, Source, Why
from tests.engine.logs import DATALINK

MONDAY = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def at(number: int) -> datetime:
    """Operation 1000 is written when set 5 is saved; ten a minute."""
    return MONDAY + timedelta(seconds=6 * (number - 1000))


def facts(before: int, last: int, **changes: object) -> LogFacts:
    """A log with the operations after `before` up to `last`; its first record only opens the data."""
    plain = LogFacts(
        size=100 * (last - before) + 68,
        whole_bytes=100 * (last - before) + 68,
        format=LogFormat.CURRENT,
        datalink=DATALINK,
        before=before,
        first=before,
        last=last,
        first_time=at(before),
        last_time=at(last),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def old(before: int, last: int, **changes: object) -> LogFacts:
    """The same in the old format, where the first record counts, too."""
    return facts(before, last, format=LogFormat.OLD, first=before + 1, **changes)


EMPTY = LogFacts(24, 24, LogFormat.CURRENT, DATALINK)
REQUEST = LogRequest(LogMode.CURRENT, DataFacts(1000, DATALINK), 5, at(1000), UTC)
SET_ONLY = replace(REQUEST, mode=LogMode.SET)


def plan(*logs: tuple[Source, LogFacts | str], request: LogRequest = REQUEST) -> LogPlan:
    return plan_logs(request, [Candidate(source, known) for source, known in logs])


def places(decided: LogPlan) -> tuple[list[Source], Source | None]:
    """Sources of the earlier logs, and of the one under the log's own name."""
    current = None if decided.current is None else decided.current.source
    return [one.source for one in decided.earlier], current


def why(decided: LogPlan, source: Source) -> Why:
    return next(one.why for one in decided.left_out if one.candidate.source == source)


def said(decided: LogPlan, words: str) -> bool:
    return any(words in line for line in decided.sentences)
