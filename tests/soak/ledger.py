"""What became of every slot, told by the Backup journal alone: sets come and go with rotation, the journal stays."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tests.scheduler.accounts import (
    CAUGHT_UP,
    FAILED,
    JOINED,
    MISSED,
    NO_WORD,
    SERVED,
    Account,
    Books,
    Made,
    Said,
    account_for,
    entries,
)
from tests.scheduler.wallclock import Move
from tests.soak.world import Home

POSTPONED = "postponed"
ANSWERS = (SERVED, CAUGHT_UP, JOINED, FAILED, POSTPONED, MISSED)
_DATE = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
_LINES = {word: re.compile(rf"{word} ?:? ?{_DATE}") for word in ("Scheduled", "Starting", "Ending")}
_ARCHIVE = re.compile(r"Creating archive : .*/data\[(\d+)\]/")
_MOMENT = timedelta(seconds=5)
_TITLES = ("Full Backup", "Full Backup aborted", "Backup postponed")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One entry about a backup; `number` is None when no set was made."""

    title: str
    scheduled: datetime | None
    began: datetime
    ended: datetime
    number: int | None
    error: int


def attempts_in(said: Sequence[Said]) -> list[Attempt]:
    """The backups a journal tells of, in the order of its entries."""
    return [_attempt(one) for one in said if one.title in _TITLES]


def _attempt(said: Said) -> Attempt:
    dates = {word: said.found(pattern) for word, pattern in _LINES.items()}
    instants = {word: _instant(found[1]) for word, found in dates.items() if found is not None}
    archive = said.found(_ARCHIVE)
    error = next((line for line in said.lines if line.startswith("Error reported : ")), "")
    code = re.search(r"\d+", error)
    return Attempt(
        said.title,
        instants.get("Scheduled"),
        instants["Starting"],
        instants["Ending"],
        int(archive[1]) if archive else None,
        int(code[0]) if code else 0,
    )


def journal_faults(journal: str) -> list[str]:
    """Entries that are torn, or run into one another."""
    faults = []
    if journal and not journal.endswith("\n\n"):
        faults.append(f"the last entry is open: {journal[-200:]!r}")
    if "\0" in journal:
        faults.append("it holds zero bytes")
    for entry in filter(None, journal.split("\n\n")):
        block = entry.strip("\n")
        is_whole = block.startswith("*** ") and "*** " not in block[4:]
        if not is_whole or not all(
            re.search(rf"^{word}", block, re.M) for word in ("Start", "End")
        ):
            faults.append(f"no whole entry: {entry[:300]!r}")
    return faults


def balance(home: Home, slots: Sequence[datetime], moves: Sequence[Move]) -> Account:
    """How each slot was answered; faults are slots without a word, slots served twice, wrong counts."""
    said = list(entries(home.app.journal()))
    attempts = attempts_in(said)
    wanted = set(slots)
    made = [
        # a partial set answers for its slot, too: what it lacks is judged elsewhere
        Made(one.number, one.scheduled, True, one.began, one.ended)
        for one in attempts
        if one.number is not None and one.scheduled in wanted
    ]
    of_slots = [one for one in said if one.title != "Full Backup"]
    of_slots += [Said("Full Backup", ()) for _ in made]
    account = account_for(slots, Books(tuple(made), tuple(of_slots)), moves)
    answers = {
        slot: found | _others(slot, attempts, moves) for slot, found in account.answers.items()
    }
    for slot in _first_in_runs(slots, attempts, moves):
        answers[slot] |= {JOINED}
    told = {str(slot) for slot, found in answers.items() if found}
    faults = [one for one in account.faults if NO_WORD not in one or one.split(": ")[0] not in told]
    return replace(account, answers=answers, faults=(*faults, *_number_faults(attempts)))


def _others(slot: datetime, attempts: Sequence[Attempt], moves: Sequence[Move]) -> frozenset[str]:
    """What a soak has besides: postponed for want of changes, and runs that made no set while it came due."""
    found = set()
    for one in attempts:
        if one.title == "Full Backup" or one.scheduled is None:
            continue
        if one.title == "Backup postponed" and one.scheduled == slot:
            found.add(POSTPONED)
        if one.scheduled < slot and _seen_since(one, moves) <= slot <= _seen_until(one, moves):
            found.add(JOINED)
    return frozenset(found)


def _first_in_runs(
    slots: Sequence[datetime], attempts: Sequence[Attempt], moves: Sequence[Move]
) -> Iterator[datetime]:
    """A run answers for the first slot that comes due while it is on, whatever it was begun for."""
    for one in attempts:
        if one.scheduled is not None and one.scheduled in slots:
            # seen from the service, which may have met slots of a move before it began, and from the run itself
            for began in (_seen_since(one, moves), one.began):
                ended = _seen_until(one, moves)
                inside = [slot for slot in slots if began <= slot <= ended and slot > one.scheduled]
                yield from inside[:1]


def _seen_since(one: Attempt, moves: Sequence[Move]) -> datetime:
    """When the service saw it begin: a moment before its own first word, and the clock can move in between."""
    began = one.began - _MOMENT
    for move in moves:
        if began <= move.after <= one.began + _MOMENT:
            return min(began, move.before - _MOMENT)
    return began


def _number_faults(attempts: Sequence[Attempt]) -> list[str]:
    """No number is given twice, and no slot has two sets."""
    numbers = Counter(one.number for one in attempts if one.number is not None)
    return [
        f"{count} sets have the number {number}" for number, count in numbers.items() if count > 1
    ]


def count(accounts: Sequence[Account], answer: str) -> int:
    return sum(account.count(answer) for account in accounts)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _seen_until(one: Attempt, moves: Sequence[Move]) -> datetime:
    """When the service saw it end: its shutdown hook comes after its last word, and the clock can move meanwhile."""
    ended = one.ended + _MOMENT
    for move in moves:
        if one.ended - _MOMENT <= move.before <= ended:
            return max(ended, move.after + _MOMENT)
    return ended
