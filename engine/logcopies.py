"""Which of the logs at hand may be placed at all, and the best copy of each. Pure.

A log is known by its first record: 4D only ever appends to it, so of several copies the longest holds the
others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.datafile import DataFacts
from engine.logfile import LogFacts
from engine.logplan import LIVE, Candidate, LeftOut, LogMode, LogRequest, Source, Why
from engine.logsequel import NO_DATALINK, beginning, is_same_log

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Log:
    """A log with operations `before` + 1 to `last`, as far as it is whole."""

    candidate: Candidate
    facts: LogFacts
    before: int
    last: int

    @property
    def source(self) -> Source:
        return self.candidate.source


def as_log(candidate: Candidate) -> Log | None:
    facts = candidate.known
    if facts is None or facts.before is None or facts.last is None:
        return None
    return Log(candidate, facts, facts.before, facts.last)


def left_out(
    candidate: Candidate, own: Candidate | None, request: LogRequest, others: Sequence[Candidate]
) -> LeftOut | None:
    why = _why_not(candidate, own, request, others)
    return None if why is None else LeftOut(candidate, why)


def _why_not(
    candidate: Candidate, own: Candidate | None, request: LogRequest, others: Sequence[Candidate]
) -> Why | None:
    facts = candidate.known
    if request.mode is LogMode.SET and candidate.source != request.set_number:
        return Why.NOT_ASKED
    if facts is None:
        return Why.UNREADABLE
    if facts.first is None:
        return _why_foreign(facts, own, request, others) or Why.EMPTY
    return _why_foreign(facts, own, request, others) or _why_no_sequel(
        candidate, facts, own, request
    )


def _why_foreign(
    facts: LogFacts, own: Candidate | None, request: LogRequest, others: Sequence[Candidate]
) -> Why | None:
    datalink = request.data.datalink if isinstance(request.data, DataFacts) else None
    ranked = _ranked(own, others)
    if datalink in {None, NO_DATALINK}:
        datalink = ranked[0].datalink
    if facts.datalink != datalink:
        return Why.OTHER_DATA_FILE
    counting = next(one.format for one in ranked if one.datalink == datalink)
    return None if facts.format is counting else Why.OTHER_FORMAT


def _why_no_sequel(
    candidate: Candidate, facts: LogFacts, own: Candidate | None, request: LogRequest
) -> Why | None:
    own_facts = None if own is None else own.known
    if own_facts is not None and is_same_log(facts, own_facts):
        is_cut = facts.whole_bytes < own_facts.whole_bytes
        return Why.FORK if candidate.continues_set_log is False and not is_cut else None
    return Why.RECREATED if _is_recreated(facts, request) else None


def _ranked(own: Candidate | None, others: Sequence[Candidate]) -> list[LogFacts]:
    """The logs that can be read, best witness first: the set's own, the live one, then those of the next sets."""
    ranked = sorted(others, key=lambda one: (one is not own, number_of(one)))
    return [one.known for one in ranked if one.known is not None]


def _is_recreated(facts: LogFacts, request: LogRequest) -> bool:
    """Whether a log that began after the backup counts from before the backup's last operation again.

    Met in three real databases, after the log had been switched off and on: 613, then 0.
    """
    if request.reached is None or facts.before is None or facts.first_time is None:
        return False
    return facts.before < request.reached and facts.first_time > request.saved_at


def merge_copies(logs: Sequence[Log], own: Log | None) -> tuple[list[Log], list[LeftOut]]:
    """Of each log the best copy, and why the others are left out."""
    groups: dict[tuple[object, ...], list[Log]] = {}
    for log in logs:
        groups.setdefault(beginning(log.facts), []).append(log)
    best: list[Log] = []
    left: list[LeftOut] = []
    for group in groups.values():
        # what contradicts the log that was saved with the data cannot carry these data on
        sound = [one for one in group if own not in group or _agree(one, own)]
        chosen = max(sound, key=lambda one: rank(one, own))
        best.append(chosen)
        left += [
            LeftOut(one.candidate, _why_copy(one, chosen)) for one in group if one is not chosen
        ]
    return best, left


def rank(log: Log, own: Log | None) -> tuple[object, ...]:
    time = log.facts.last_time or _LONG_AGO
    return (time, log.facts.whole_bytes, log.source is LIVE, log is own, number_of(log.candidate))


def number_of(candidate: Candidate) -> int:
    """The number of its set, 0 for the live log and a shipped one."""
    return candidate.source if isinstance(candidate.source, int) else 0


def _why_copy(copy: Log, chosen: Log) -> Why:
    if not _agree(copy, chosen):
        return Why.FORK
    shorter = copy.facts.whole_bytes < chosen.facts.whole_bytes
    return Why.SHORTER if copy.source is LIVE and shorter else Why.NOTHING_NEW


def _agree(one: Log, other: Log | None) -> bool:
    """Whether one can be the beginning of the other, as far as lengths, numbers and times tell."""
    if other is None:
        return True
    short, long = sorted((one, other), key=lambda log: log.facts.whole_bytes)
    early, late = (log.facts.last_time or _LONG_AGO for log in (short, long))
    if short.facts.whole_bytes == long.facts.whole_bytes:
        return (short.last, early) == (long.last, late)
    return short.last <= long.last and early <= late
