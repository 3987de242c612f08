"""What a restore says of the logs, in plain words: where they are, what is missing, what 4D will do. Pure."""

from datetime import datetime
from itertools import pairwise

from engine.journal import local_time
from engine.logfile import LogFacts, LogFormat
from engine.logplan import (
    LIVE,
    Candidate,
    Fit,
    Gap,
    LeftOut,
    LogMode,
    LogPlan,
    LogRequest,
    Shipped,
    Why,
)
from engine.logsequel import OLD_FORMAT_SLACK

EARLIER_FOLDER = "Logs to integrate"
_WHY = {
    Why.UNREADABLE: "{it} is not placed: {detail}",
    Why.OTHER_DATA_FILE: "{it} is not placed: it belongs to another data file",
    Why.OTHER_FORMAT: "{it} is not placed: it has another log format than the rest, so its numbers"
    " cannot be compared",
    Why.RECREATED: "{it} is not placed: the log was made anew after this backup and counts from"
    " {start} again; what happened before that is not in it",
    Why.FORK: "{it} is not placed: it begins like the log of these data and then goes on with other"
    " operations, as after a restore of an older set",
    Why.SHORTER: "{it} is not placed: it ends at operation {last}, before a copy of it in a set; its"
    " end was lost, or an older copy was put in its place",
    Why.BEHIND_DATA: "{it} is not placed: it ends at operation {last}, the data are further on; it is"
    " the wrong log for them",
    Why.BEHIND_GAP: "{it} is not placed: it goes on from operation {start}, and operations before"
    " that are missing",
    Why.NUMBERS_OVERLAP: "{it} is not placed: it has operations with the same numbers as another log;"
    " the numbers cannot tell which are those of these data",
    Why.EMPTY: "{it} is not placed: it is empty, 4D had just renewed it; whether operations before"
    " that are missing cannot be seen",
    Why.NO_POSITION: "{it} is not placed: which operations the data hold is not known",
}
_GROWN = (
    "the live log cannot be read by this program, but it begins byte for byte with the log that was saved with"
    " these data; 4D only ever appends to a log, so it is that log with all that was done since"
)


def render_log_plan(plan: LogPlan, request: LogRequest) -> tuple[str, ...]:
    """The report on a plan, most important first: each line one sentence without a full stop."""
    if plan.current is None and not plan.left_out:
        return ("no log was saved with this set and none is at hand", *_opening(plan, request))
    lines = [*_placed(plan, request), *_continuity(plan, request), *_lost(plan, request)]
    lines += _damaged(plan)
    lines += _opening(plan, request)
    lines += [_unused(one) for one in plan.left_out if one.why in _WHY]
    if request.mode is LogMode.SET and plan.left_out:
        lines.append("operations after this backup are not brought back, as asked for")
    return tuple(lines)


def _name(candidate: Candidate) -> str:
    if candidate.source is LIVE:
        return "the live log"
    if isinstance(candidate.source, Shipped):
        return (
            f"the shipped log {candidate.source.folder.name}/{candidate.source.piece:04d}.journal"
        )
    return f"the log in set {candidate.source}"


def _unused(left: LeftOut) -> str:
    facts = left.candidate.known
    return _WHY[left.why].format(
        it=_name(left.candidate),
        detail=left.candidate.facts,
        start=None if facts is None else facts.before,
        last=None if facts is None else facts.last,
    )


# --- where they are


def _placed(plan: LogPlan, request: LogRequest) -> list[str]:
    if plan.current is None:
        return ["no log is placed: none of those at hand fits these data"]
    lines = [f"{_name(plan.current)} is placed under the log's own name{_reach(plan, request)}"]
    if plan.current.known is None and plan.current.source is LIVE:
        lines.append(_GROWN)
    if plan.earlier:
        names = ", then ".join(_name(one) for one in plan.earlier)
        lines.append(f"in the folder {EARLIER_FOLDER}, to be integrated before it: {names}")
    pieces = ((one, one.known) for one in (*plan.earlier, plan.current))
    return lines + [
        _torn(one, facts) for one, facts in pieces if facts is not None and facts.is_torn
    ]


def _reach(plan: LogPlan, request: LogRequest) -> str:
    facts = _current_facts(plan)
    if facts is None or facts.last is None:
        return ""
    return f"; it ends at operation {facts.last}, {_when(facts.last_time, request)}"


def _torn(candidate: Candidate, facts: LogFacts) -> str:
    return (
        f"{_name(candidate)} is whole for its first {facts.whole_bytes} bytes; the last"
        f" {facts.size - facts.whole_bytes} are no whole record and count for nothing"
    )


def _current_facts(plan: LogPlan) -> LogFacts | None:
    return None if plan.current is None else plan.current.known


def _when(time: datetime | None, request: LogRequest) -> str:
    return "time not known" if time is None else local_time(time, request.zone)


# --- what is missing


def _continuity(plan: LogPlan, request: LogRequest) -> list[str]:
    lines = [_gap(gap, request) for gap in plan.gaps]
    if plan.unbroken and plan.operations:
        lines.append("the chain is unbroken: no operation is missing between the data and its end")
    elif not plan.gaps and plan.fit is not Fit.NONE and not plan.unbroken:
        lines.append("whether the chain is unbroken is not known, for the reasons below")
    if request.mode is LogMode.CURRENT and not _has_live(plan):
        lines.append(
            "the live log is not at hand; what was done after the newest copy is in no log here"
        )
    if not _times_follow(plan):
        lines.append(
            "the numbers follow one another but the times do not: a clock was set back, or one of these"
            " logs is not of these data"
        )
    return lines


def _lost(plan: LogPlan, request: LogRequest) -> list[str]:
    """What was told as shipped and does not come back."""
    if not plan.lacks_shipped:
        return []
    what = "what was shipped in a log that is named below"
    if plan.lost_to is not None:
        facts = _current_facts(plan)
        reached = request.reached if facts is None else facts.last
        first = plan.lost_to if reached is None else reached + 1
        what = f"operations {first} to {plan.lost_to}, which were shipped,"
        if first == plan.lost_to:
            what = f"operation {first}, which was shipped,"
    return [
        f"{what} cannot be brought back from here; an archived log of 4D's own (.4BL or .journal) may hold it"
    ]


def _damaged(plan: LogPlan) -> list[str]:
    """Shipped logs that hold less than was shipped; one of which nothing is left is told with those not placed."""
    placed = () if plan.current is None else (*plan.earlier, plan.current)
    return [
        f"{_name(one)} counts only as far as its ledger proves it: {one.damage}"
        for one in (*placed, *(left.candidate for left in plan.left_out))
        if one.damage is not None and one.known is not None
    ]


def _gap(gap: Gap, request: LogRequest) -> str:
    what = (
        f"operation {gap.first}"
        if gap.first == gap.last
        else f"operations {gap.first} to {gap.last}"
    )
    verb = "is" if gap.first == gap.last else "are"
    return (
        f"the chain is broken: {what} {verb} in no log at hand"
        f" (between {_when(gap.since, request)} and {_when(gap.until, request)});"
        " an archived log of 4D's own (.4BL or .journal) may hold them"
    )


def _has_live(plan: LogPlan) -> bool:
    placed = () if plan.current is None else (*plan.earlier, plan.current)
    return LIVE in {one.source for one in (*placed, *(left.candidate for left in plan.left_out))}


def _times_follow(plan: LogPlan) -> bool:
    pieces = [*plan.earlier] if plan.current is None else [*plan.earlier, plan.current]
    facts = [one.known for one in pieces if one.known is not None]
    return all(
        earlier.last_time is None
        or later.first_time is None
        or earlier.last_time <= later.first_time
        for earlier, later in pairwise(facts)
    )


# --- what 4D will do


def _opening(plan: LogPlan, request: LogRequest) -> list[str]:
    match plan.fit:
        case Fit.INTEGRATES:
            return _integration(plan, request)
        case Fit.UP_TO_DATE:
            return ["when 4D opens the data there is nothing to integrate"]
        case Fit.UNKNOWN:
            return [_unknown(plan, request)]
        case Fit.DATA_AHEAD:
            return _data_ahead(plan, request)
        case Fit.NONE:
            return [
                "4D integrates nothing, and with `Use log` on it does not open data without a log"
            ]


def _integration(plan: LogPlan, request: LogRequest) -> list[str]:
    lines: list[str] = []
    count = plan.operations or 0
    if plan.earlier:
        by_hand = _brought(plan.earlier[-1], request)
        count -= by_hand
        lines.append(
            f"before 4D opens the data, the logs in {EARLIER_FOLDER} must be integrated in this order"
            f" (Maintenance and Security Center, page Restore): {_operations(by_hand)}"
        )
    if request.automatic_integration:
        how = f"4D integrates {_operations(count)} by itself (AutomaticLogIntegration is on)"
    else:
        how = (
            f"4D asks whether to integrate {_operations(count)}"
            " (AutomaticLogIntegration is off): answer yes"
        )
    lines += [f"when it opens the data, {how}", _strictness(request)]
    if _is_old(plan) and (plan.operations or 0) <= OLD_FORMAT_SLACK:
        lines.append(
            "a log of this old format counts every record: these are most likely no changes"
        )
    return lines


def _brought(candidate: Candidate, request: LogRequest) -> int:
    facts = candidate.known
    last = None if facts is None else facts.last
    return (last or 0) - (request.reached or 0)


def _operations(count: int) -> str:
    return "1 operation" if count == 1 else f"{count} operations"


def _strictness(request: LogRequest) -> str:
    if request.strictness == "strict":
        return "integration is strict: 4D stops at the first operation that does not fit the data"
    return "integration repairs: 4D passes over what does not fit the data and notes it in Logs"


def _is_old(plan: LogPlan) -> bool:
    facts = _current_facts(plan)
    return facts is not None and facts.format is LogFormat.OLD


def _unknown(plan: LogPlan, request: LogRequest) -> str:
    facts = plan.current.facts if plan.current is not None else ""
    if isinstance(facts, str) and request.mode is LogMode.SET:
        reason = f"its log was saved with it and belongs to it, but {facts}"
    elif isinstance(facts, str):
        reason = facts
    elif isinstance(request.data, str):
        reason = request.data
    else:
        reason = "the numbers of data and log do not meet"
    return f"what 4D will integrate when it opens the data is not known: {reason}"


def _data_ahead(plan: LogPlan, request: LogRequest) -> list[str]:
    facts = _current_facts(plan)
    end = None if facts is None else facts.last
    line = (
        f"the data are at operation {request.reached}, ahead of their log, which ends at {end};"
        " 4D will find nothing to integrate and may refuse the log"
    )
    if _is_old(plan):
        return [
            line,
            "a log of this old format counts in another way than its data: it may be right",
        ]
    return [line, "it is the log that was saved with these data; only 4D can say more"]
