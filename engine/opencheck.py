"""Whether 4D can open a data file: what a look at it proves, what is only a doubt, what is worth knowing. Pure.

Only what cannot come from normal use is damage: a restore brings back older data, and must never answer a doubt.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import Enum
from pathlib import Path

from engine.datalook import Seen, Trouble, Unusable
from engine.journal import local_time
from engine.logfile import LogFacts
from engine.logsequel import Belonging, Belongs, judge_belonging

_ENOUGH_PLACES = 8
_ONE_A_DAY = timedelta(hours=24)
_MOST_BEGUN = 3


class State(Enum):
    """What becomes of the data file."""

    GOOD = "good"
    DAMAGED = "damaged"
    NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Known:
    """A data file as it was: at the last good look, or in a set; `source` says which, in words.

    `mount` is the mount point it lay below, None when nobody noted it; `has_log`: there was a log beside it.
    """

    seen: Seen
    source: str
    has_log: bool
    mount: Path | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`damage` is proof, `doubts` are not, `notes` are what 4D will do. `seen` is None when there is nothing to see."""

    state: State
    seen: Seen | None
    damage: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge_data(found: Seen | Unusable, known: Known | None) -> Verdict:
    """What a look at the data file proves, by what is known of it."""
    if isinstance(found, Unusable):
        return _judge_unusable(found, known)
    damage: list[str] = []
    if known is None:
        doubts = [_cut(found)] if found.is_cut else []
        return Verdict(State.GOOD, found, (), tuple(doubts))
    # cut, and longer than ever before, it may only lack room that 4D was about to take
    if found.is_cut and not known.seen.is_cut and found.size < known.seen.size:
        damage.append(f"{_cut(found)}; {known.source} it had {known.seen.size} bytes")
    # a compacted file is smaller and lies in other places: then zeros say nothing
    is_grown = found.size >= known.seen.size
    if is_grown and len(found.emptied) >= max(_ENOUGH_PLACES, len(known.seen.places)):
        damage.append(
            f"all {len(found.emptied)} places that were looked at hold zeros now, "
            f"{known.source} there was something in each"
        )
    if damage:
        return Verdict(State.DAMAGED, found, tuple(damage))
    return Verdict(State.GOOD, found, (), tuple(_doubts(found, known)))


def judge_set_data(found: Seen | Unusable, *, is_header_known: bool) -> str | None:
    """Why the data file in a set is none to restore from, None when it is one.

    A backup saves what is there, a damaged file too. Where no header was ever known, as of encrypted data,
    an unknown one says nothing.
    """
    if isinstance(found, Seen):
        return _cut(found) if found.is_cut else None
    if found.trouble is Trouble.UNKNOWN and not is_header_known:
        return None
    return found.text


def with_log(
    verdict: Verdict,
    log: Path,
    facts: LogFacts | str | None,
    *,
    has_log: bool,
    integrates: bool,
    waiting: Path | None = None,
) -> Verdict:
    """The verdict with what the log says; `facts` is a text when it cannot be read, None when it is not there.

    `waiting` is a folder in which a restore has laid logs that come before it.
    """
    if verdict.state is not State.GOOD:
        return verdict
    doubts, notes = _log_words(verdict.seen, log, facts, has_log=has_log, integrates=integrates)
    if waiting is not None and _begins_behind(verdict.seen, facts):
        doubts = [_integrate_first(log, waiting)]
    return replace(verdict, doubts=(*verdict.doubts, *doubts), notes=(*verdict.notes, *notes))


def why_not_again(
    restored_at: datetime | None, begun: int, now: datetime, zone: tzinfo, *, is_confirmed: bool
) -> str | None:
    """Why there is no further automatic restore without a person; None when there may be one.

    `is_confirmed`: a good look came after the last one. A clock that was set back counts as no time passed.
    """
    if begun >= _MOST_BEGUN:
        return f"{begun} automatic restores were begun and none of them was finished"
    if restored_at is None:
        return None
    when = local_time(restored_at, zone)
    if not is_confirmed:
        return f"it was restored automatically at {when}, and was never found good since"
    if now - restored_at < _ONE_A_DAY:
        return f"it was restored automatically at {when} already, less than 24 hours ago"
    return None


# --- the data file


def _judge_unusable(found: Unusable, known: Known | None) -> Verdict:
    match found.trouble:
        case Trouble.AWAY | Trouble.NO_ACCESS:
            return Verdict(State.NOT_KNOWN, None, (found.text,))
        case Trouble.UNKNOWN if known is None:
            doubt = f"{found.text}; that is no damage when the data is encrypted"
            return Verdict(State.GOOD, None, (), (doubt,))
        case Trouble.UNKNOWN:
            assert known is not None  # noqa: S101 - the case before
            return Verdict(State.DAMAGED, None, (f"{found.text}; {known.source} it did",))
        case _:
            return Verdict(State.DAMAGED, None, (found.text,))


def _cut(seen: Seen) -> str:
    return f"it ends at byte {seen.size}, its header says that {seen.used} bytes are in use"


def _doubts(found: Seen, known: Known) -> list[str]:
    before, doubts = known.seen, list[str]()
    if found.is_cut:
        doubts.append(_cut(found))
    if found.identity != before.identity or _differ(found.datalink, before.datalink):
        doubts.append(f"it is not the same data file: {known.source} it had another id")
    elif found.last < before.last:
        doubts.append(
            f"it is at operation {found.last}, {known.source} it was at {before.last}: "
            "an older copy, or its log was made anew"
        )
    if found.size < before.size:
        doubts.append(
            f"it has {found.size} bytes, {known.source} it had {before.size}: compacting does that"
        )
    elif found.emptied:
        doubts.append(
            f"{len(found.emptied)} of {len(before.places)} places hold zeros now, "
            f"{known.source} there was something: removed records do that"
        )
    return doubts


def _differ(one: bytes | None, other: bytes | None) -> bool:
    return one is not None and other is not None and one != other


# --- the log


def _log_words(
    seen: Seen | None,
    log: Path,
    facts: LogFacts | str | None,
    *,
    has_log: bool,
    integrates: bool,
) -> tuple[list[str], list[str]]:
    """Doubts and notes."""
    if facts is None:
        return ([missing_log_words(log)] if has_log else []), []
    if isinstance(facts, str):
        return [f"{log}: {facts}"], []
    if seen is None or facts.last is None:
        return [], []
    return _fit_words(judge_belonging(seen.last, seen.datalink, facts), log, integrates=integrates)


def missing_log_words(log: Path) -> str:
    """4D's error 1274, and what it means."""
    return (
        f"the log {log} is missing (4D's error 1274): with `Use log` on 4D does not open the data; "
        "bring the log back, or let 4D make a new one and make a backup at once"
    )


def _begins_behind(seen: Seen | None, facts: LogFacts | str | None) -> bool:
    """Whether operations are missing between data and log."""
    if seen is None or not isinstance(facts, LogFacts) or facts.last is None:
        return False
    return judge_belonging(seen.last, seen.datalink, facts).belonging is Belonging.BEFORE_LOG


def _integrate_first(log: Path, waiting: Path) -> str:
    return (
        f"the logs in {waiting} come before {log}: integrate them first, in the order of their numbers, "
        "in 4D's Maintenance and Security Center (page Restore)"
    )


def _fit_words(fit: Belongs, log: Path, *, integrates: bool) -> tuple[list[str], list[str]]:
    """Doubts and notes."""
    match fit.belonging:
        case Belonging.OTHER_DATA_FILE:
            return [f"the log {log} belongs to another data file: 4D will refuse it"], []
        case Belonging.DATA_AHEAD:
            ahead = (
                f"the data are at operation {fit.data}, their log {log} ends at {fit.log}: "
                "it is an older or another log, 4D may refuse it"
            )
            return [ahead], []
        case Belonging.BEFORE_LOG:
            gap = (
                f"the data are at operation {fit.data}, their log {log} begins behind that: "
                "operations are missing between the two, 4D may refuse it"
            )
            return [gap], []
        case Belonging.LOG_AHEAD:
            how = "integrates them by itself" if integrates else "asks whether to: answer yes"
            more = f"the log holds {fit.operations} operations more than the data: 4D {how}"
            return [], [more]
        case _:
            return [], ["data and log are at the same operation"]
