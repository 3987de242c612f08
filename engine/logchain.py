"""Which log goes where at a restore: the pieces that carry the data on, in order, and what is missing. Pure.

Where the number at a log's end is the one that another starts from, 4D has renewed the log in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.logcopies import Log, as_log, left_out, merge_copies, number_of, rank
from engine.logplan import (
    LIVE,
    Candidate,
    Fit,
    Gap,
    LeftOut,
    LogPlan,
    LogRequest,
    Why,
)
from engine.logsequel import is_same_log
from engine.logwords import render_log_plan

# what says that there may be later operations which no log that is placed holds
_HINTS = frozenset(Why) - {Why.NOTHING_NEW, Why.NOT_ASKED}


@dataclass(frozen=True, slots=True)
class _Chain:
    """The pieces in order; `rivals` when another log could as well have been the one the data were saved with."""

    pieces: tuple[Log, ...] = ()
    rivals: bool = False


def plan_logs(request: LogRequest, candidates: Iterable[Candidate]) -> LogPlan:
    """Decide where the logs go that are at hand for a set: its own, those of later sets, the live one.

    A log of another data file is never placed. What cannot be told is left to a person, with a sentence.
    """
    candidates = tuple(candidates)
    own = next((one for one in candidates if one.source == request.set_number), None)
    own_log = None if own is None else as_log(own)
    left = [left_out(one, own, request, candidates) for one in candidates]
    refused = tuple(one for one in left if one is not None)
    fitting = [one for one, why in zip(candidates, left, strict=True) if why is None]
    logs, copies = merge_copies([log for log in map(as_log, fitting) if log is not None], own_log)
    position = _position(request, own_log)
    chain = _Chain() if position is None else _build_chain(logs, position, own_log)
    unused = _explain_unused(logs, chain, position)
    plan = _settle(request, chain, (*refused, *copies, *unused), own)
    damaged = [one for one in candidates if one.damage is not None]
    if damaged:
        plan = _with_losses(plan, damaged, position)
    return replace(plan, sentences=render_log_plan(plan, request))


def _with_losses(plan: LogPlan, damaged: Sequence[Candidate], position: int | None) -> LogPlan:
    """The same, with what was shipped and is in no log that is placed."""
    current = plan.current
    reached = position if current is None or current.known is None else current.known.last
    promised = max((one.promised for one in damaged if one.promised is not None), default=0)
    is_short = promised > (reached or 0)
    # a live log is the latest there is; without it, nobody knows what was in a piece that has lost its ledger
    has_live = current is not None and current.source is LIVE
    is_unknown = not has_live and any(one.promised is None for one in damaged)
    return replace(
        plan,
        unbroken=False,
        lacks_shipped=is_short or is_unknown,
        lost_to=promised if is_short else None,
    )


def _position(request: LogRequest, own: Log | None) -> int | None:
    """The number the data have reached; when they do not say, everything in the set's own log is wanted."""
    if request.reached is not None:
        return request.reached
    return None if own is None else own.before


def _build_chain(logs: Sequence[Log], position: int, own: Log | None) -> _Chain:
    homes = [one for one in logs if _is_home(one, position, own)]
    mine = [one for one in homes if own is not None and is_same_log(one.facts, own.facts)]
    home = max(mine or homes, key=lambda one: rank(one, own), default=None)
    pieces: list[Log] = []
    if home is not None and home.last > position:
        pieces.append(home)
    while (after := _next(logs, pieces[-1].last if pieces else position)) is not None:
        pieces.append(after)
    if not pieces:
        idle = [one for one in logs if one is home or one.before == one.last == position]
        pieces = sorted(idle, key=lambda one: (one.source is LIVE, one is home, _reach(one)))[-1:]
    return _Chain(tuple(pieces), rivals=len(homes) > 1 and not mine)


def _is_home(log: Log, position: int, own: Log | None) -> bool:
    """Whether a log is one the data can have been saved with."""
    if own is not None and is_same_log(log.facts, own.facts):
        return log.before <= position <= log.last
    return log.before < position <= log.last


def _next(logs: Sequence[Log], end: int) -> Log | None:
    following = [one for one in logs if one.before == end < one.last]
    return max(following, key=_reach, default=None)


def _reach(log: Log) -> tuple[int, bool, int]:
    return log.last, log.source is LIVE, number_of(log.candidate)


def _explain_unused(
    logs: Sequence[Log], chain: _Chain, position: int | None
) -> tuple[LeftOut, ...]:
    unused = [one for one in logs if one not in chain.pieces]
    return tuple(LeftOut(one.candidate, _why_unused(one, chain, position)) for one in unused)


def _why_unused(log: Log, chain: _Chain, position: int | None) -> Why:
    if position is None:
        return Why.NO_POSITION
    if not chain.pieces:
        return Why.BEHIND_DATA if log.last < position else Why.BEHIND_GAP
    end = chain.pieces[-1].last
    if log.before > end:
        return Why.BEHIND_GAP
    if log.last <= position or log.before == log.last == end:
        return Why.NOTHING_NEW
    return Why.NUMBERS_OVERLAP


def _settle(
    request: LogRequest, chain: _Chain, left: tuple[LeftOut, ...], own: Candidate | None
) -> LogPlan:
    gaps = _gaps(request, chain, left)
    pieces = [one.candidate for one in chain.pieces]
    if not pieces:
        return _fall_back(left, gaps, own)
    fit, operations = Fit.UNKNOWN, None
    if request.reached is not None:
        operations = chain.pieces[-1].last - request.reached
        fit = Fit.INTEGRATES if operations else Fit.UP_TO_DATE
    return LogPlan(
        current=pieces[-1],
        earlier=tuple(pieces[:-1]),
        fit=fit,
        unbroken=operations is not None and not gaps and not _is_doubtful(chain, left),
        gaps=gaps,
        operations=operations,
        left_out=left,
    )


def _is_doubtful(chain: _Chain, left: tuple[LeftOut, ...]) -> bool:
    """Whether something hints at operations that were wanted and are in no log of the chain."""
    reasons = {one.why for one in left}
    if chain.rivals or Why.NUMBERS_OVERLAP in reasons:
        return True
    reaches_live = any(one.source is LIVE for one in chain.pieces)
    return not reaches_live and bool(reasons & _HINTS)


def _gaps(request: LogRequest, chain: _Chain, left: tuple[LeftOut, ...]) -> tuple[Gap, ...]:
    """What is missing between the chain and the logs behind it."""
    behind = [as_log(one.candidate) for one in left if one.why is Why.BEHIND_GAP]
    end = chain.pieces[-1].last if chain.pieces else None
    since = chain.pieces[-1].facts.last_time if chain.pieces else None
    if end is None and request.reached is not None:
        end, since = request.reached, request.saved_at
    gaps: list[Gap] = []
    for log in sorted((one for one in behind if one is not None), key=lambda one: one.before):
        if end is not None and log.before > end:
            gaps.append(Gap(end + 1, log.before, since, log.facts.first_time))
        if end is None or log.last > end:
            end, since = log.last, log.facts.last_time
    return tuple(gaps)


def _fall_back(left: tuple[LeftOut, ...], gaps: tuple[Gap, ...], own: Candidate | None) -> LogPlan:
    """No log carries the data on: the one saved with them belongs to them all the same, also unread."""
    grown = next((one for one in left if _is_grown(one)), None)
    if grown is not None:
        rest = tuple(_of_grown(one, own) for one in left if one is not grown)
        return LogPlan(
            grown.candidate,
            (),
            Fit.UNKNOWN,
            unbroken=False,
            gaps=gaps,
            operations=None,
            left_out=rest,
        )
    mine = None if own is None else _own_entry(left, own)
    empty = next(
        (one for one in left if one.candidate.source is LIVE and one.why is Why.EMPTY), None
    )
    own_is_empty = mine is not None and mine.why is Why.EMPTY
    chosen = empty if empty is not None and (mine is None or own_is_empty) else mine
    fits = {
        Why.BEHIND_DATA: Fit.DATA_AHEAD,
        Why.UNREADABLE: Fit.UNKNOWN,
        Why.BEHIND_GAP: Fit.UNKNOWN,
        Why.EMPTY: Fit.UP_TO_DATE if own_is_empty else Fit.UNKNOWN,
    }
    if chosen is None or chosen.why not in fits:
        return LogPlan(
            None, (), Fit.NONE, unbroken=False, gaps=gaps, operations=None, left_out=left
        )
    rest = tuple(one for one in left if one is not chosen)
    fit = fits[chosen.why]
    unbroken = fit is Fit.UP_TO_DATE and not {one.why for one in rest} & _HINTS - {Why.EMPTY}
    operations = 0 if fit is Fit.UP_TO_DATE else None
    return LogPlan(chosen.candidate, (), fit, unbroken, gaps, operations, rest)


def _is_grown(left: LeftOut) -> bool:
    """Whether it is the live log that cannot be read, and begins byte for byte with the one in the set.

    4D only ever appends to a log, so it is that log with all that came later.
    """
    is_unread_live = left.candidate.source is LIVE and left.why is Why.UNREADABLE
    return is_unread_live and left.candidate.continues_set_log is True


def _of_grown(left: LeftOut, own: Candidate | None) -> LeftOut:
    """The copy in the set is the beginning of the live log."""
    return LeftOut(left.candidate, Why.NOTHING_NEW) if left.candidate is own else left


def _own_entry(left: tuple[LeftOut, ...], own: Candidate) -> LeftOut | None:
    """The best copy of the set's own log, else that log itself."""
    copies = (one for one in left if one.why in {Why.BEHIND_DATA, Why.BEHIND_GAP})
    best = next((one for one in copies if _is_copy(one.candidate, own)), None)
    return best or next((one for one in left if one.candidate is own), None)


def _is_copy(one: Candidate, other: Candidate) -> bool:
    return one.known is not None and other.known is not None and is_same_log(one.known, other.known)
