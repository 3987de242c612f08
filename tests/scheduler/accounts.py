"""The books of one database: what its sets and its Backup journal say became of every slot.

Nothing of the scheduler is asked here: slots come from the test, evidence from the disk.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.manifest import read_set_facts
from tests.engine.stories import App
from tests.scheduler.wallclock import Move

SERVED, CAUGHT_UP, MISSED, FAILED, JOINED = "served", "caught up", "missed", "failed", "joined"
NO_WORD = "no set, and no word in the journal"
_UTC = ZoneInfo("UTC")
_ON_TIME = timedelta(seconds=60)
_MOMENT = timedelta(seconds=5)
_DATE = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
_CATCH_UP = re.compile(rf"Missed : (\d+) scheduled backup\(s\), the first at {_DATE}")
_ONE_MISSED = re.compile(rf"Missed : the backup of {_DATE}")
_MANY_MISSED = re.compile(rf"Missed : (\d+) scheduled backups, from {_DATE} to {_DATE}")
_STARTING = re.compile(rf"Starting :? ?{_DATE}")
_SCHEDULED = re.compile(rf"Scheduled :? ?{_DATE}")


@dataclass(frozen=True, slots=True)
class Made:
    """A set one can see."""

    number: int
    scheduled: datetime | None
    complete: bool
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of the Backup journal."""

    title: str
    lines: tuple[str, ...]

    def found(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The first line that begins like this."""
        return next(filter(None, map(pattern.match, self.lines)), None)

    def told(self) -> str:
        """Title and lines but for the dates every entry has."""
        dates = ("Starting", "Ending", "Scheduled ")
        return "; ".join([self.title, *(line for line in self.lines if not line.startswith(dates))])


@dataclass(frozen=True, slots=True)
class Books:
    """All evidence of one database."""

    made: tuple[Made, ...]
    said: tuple[Said, ...]
    zone: ZoneInfo = _UTC

    def instant(self, text: str) -> datetime:
        """A date of the journal."""
        return datetime.fromisoformat(text).replace(tzinfo=self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Account:
    """How every slot was answered, and what is wrong; no faults is what one wants."""

    answers: dict[datetime, frozenset[str]]
    faults: tuple[str, ...]

    def count(self, answer: str) -> int:
        return sum(answer in answers for answers in self.answers.values())


def read_books(app: App, zone: ZoneInfo | None = None) -> Books:
    """What lies on the disk now."""
    made = []
    for folder in sorted(app.destination.glob("data[[]*[]]")):
        facts = read_set_facts(folder)
        made.append(Made(facts.number, facts.scheduled, facts.complete, facts.started, facts.ended))
    made.sort(key=lambda one: one.number)
    return Books(tuple(made), tuple(entries(app.journal())), zone or _UTC)


def entries(journal: str) -> Iterable[Said]:
    """The entries of a journal's text."""
    for block in journal.split("\n\n"):
        title, *lines = block.strip("\n").split("\n")
        if title:
            assert title.startswith("*** "), f"not an entry: {block!r}"
            yield Said(title.removeprefix("*** "), tuple(lines))


def account_for(slots: Sequence[datetime], books: Books, moves: Sequence[Move] = ()) -> Account:
    """Look for the answer to each of these slots, all that were due, in order; `moves` of the clock."""
    spans = _spans(books)
    faults: list[str] = []
    answers: dict[datetime, frozenset[str]] = {}
    covered: dict[datetime, datetime] = {}  # the slot a run was for: the last slot it answers
    for span in spans:
        covered |= _cover(span, slots, faults)
    for at, slot in enumerate(slots):
        found = {answer for answer, first, last, _, _ in spans if first <= slot <= last}
        found |= _own_answers(slot, books)
        if at and _is_joined(slot, slots[at - 1], books, covered, moves):
            found.add(JOINED)
        answers[slot] = frozenset(found)
        if not found:
            faults.append(f"{slot}: {NO_WORD}")
    return Account(answers, (*faults, *_set_faults(slots, books)))


_Span = tuple[str, datetime, datetime, int, datetime]


def _spans(books: Books) -> list[_Span]:
    """What the entries about missed slots cover: answer, first, last, how many, when it was said."""
    found: list[_Span] = []
    for said in books.said:
        starting = said.found(_STARTING)
        when = books.instant(starting[1]) if starting else datetime.min.replace(tzinfo=UTC)
        if match := said.found(_CATCH_UP):
            found.append((CAUGHT_UP, books.instant(match[2]), when, int(match[1]), when))
        elif match := said.found(_ONE_MISSED):
            first = books.instant(match[1])
            found.append((MISSED, first, first, 1, when))
        elif match := said.found(_MANY_MISSED):
            first, last = books.instant(match[2]), books.instant(match[3])
            found.append((MISSED, first, last, int(match[1]), when))
    return found


def _cover(span: _Span, slots: Sequence[datetime], faults: list[str]) -> dict[datetime, datetime]:
    """Check an entry's count; a catch-up answers the slots it counts, and one more that is on time."""
    answer, first, last, count, when = span
    inside = [slot for slot in slots if first <= slot <= last]
    late = len(inside)
    if answer == CAUGHT_UP and inside and when - inside[-1] < _ON_TIME:
        late -= 1
    if late != count:
        faults.append(f"the journal counts {count} missed from {first} to {last}, not {late}")
    return {first: inside[-1]} if inside and answer == CAUGHT_UP else {}


def _own_answers(slot: datetime, books: Books) -> set[str]:
    found = {SERVED for made in books.made if made.scheduled == slot and made.complete}
    for said in books.said:
        scheduled = said.found(_SCHEDULED)
        is_failed = said.title == "Full Backup aborted"
        if is_failed and scheduled and books.instant(scheduled[1]) == slot:
            found.add(FAILED)
    return found


def _is_joined(
    slot: datetime,
    previous: datetime,
    books: Books,
    covered: dict[datetime, datetime],
    moves: Sequence[Move],
) -> bool:
    """It came due while a run for the slot before it went on, and the run that was on answers for it."""
    for made in books.made:
        if made.scheduled is None or made.scheduled >= slot or not made.complete:
            continue
        last = max(made.scheduled, covered.get(made.scheduled, made.scheduled))
        first_seen, last_seen = _seen(made, moves)
        if last == previous and first_seen <= slot <= last_seen:
            return True
    return False


def _seen(made: Made, moves: Sequence[Move]) -> tuple[datetime, datetime]:
    """When the service saw it begin and end: moments before and after, and the clock can move in between."""
    began, ended = made.started - _MOMENT, made.ended + _MOMENT
    for move in moves:
        if began <= move.after <= made.started + _MOMENT:
            began = min(began, move.before - _MOMENT)
        if made.ended - _MOMENT <= move.before <= ended:
            ended = max(ended, move.after + _MOMENT)
    return began, ended


def _set_faults(slots: Sequence[datetime], books: Books) -> Iterable[str]:
    wanted = Counter(made.scheduled for made in books.made if made.complete)
    for slot, count in wanted.items():
        if count > 1:
            yield f"{slot}: {count} complete sets"
    for made in books.made:
        if made.scheduled not in slots:
            yield f"set {made.number} is for {made.scheduled}, which was not due"
        if not made.complete:
            yield f"set {made.number} is not complete"
    told = sum(said.title == "Full Backup" for said in books.said)
    if told != len(books.made):
        yield f"the journal tells of {told} backups, {len(books.made)} sets are there"
