"""The checker of the long stories sees what it is for: evidence with one thing wrong in it is not passed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.scheduler.accounts import (
    CAUGHT_UP,
    FAILED,
    JOINED,
    MISSED,
    SERVED,
    Books,
    Made,
    Said,
    account_for,
    entries,
)
from tests.scheduler.wallclock import Move

HOUR = timedelta(hours=1)
EIGHT = datetime(2026, 3, 10, 8, tzinfo=UTC)
SLOTS = [EIGHT + number * HOUR for number in range(9)]
JOURNAL = """\
*** Full Backup
Creating archive : /b/data[0001]/data[0001].tar.zst
Scheduled 2026-03-10 08:00:00
Starting 2026-03-10 08:00:01
Ending 2026-03-10 08:00:02

*** Full Backup aborted
Error reported : 1409 the run that started then died
Scheduled : 2026-03-10 09:00:00
Starting : 2026-03-10 09:00:01
Ending : 2026-03-10 09:00:02

*** Scheduled backup missed
Missed : 3 scheduled backup(s), the first at 2026-03-10 10:00:00
Now : one backup catches up
Starting : 2026-03-10 12:20:00
Ending : 2026-03-10 12:20:00

*** Full Backup
Creating archive : /b/data[0002]/data[0002].tar.zst
Scheduled 2026-03-10 10:00:00
Starting 2026-03-10 12:20:01
Ending 2026-03-10 13:20:02

*** Scheduled backup missed
Missed : 2 scheduled backups, from 2026-03-10 14:00:00 to 2026-03-10 15:00:00
Reason : error 1401
Starting : 2026-03-10 15:00:10
Ending : 2026-03-10 15:00:10

*** Scheduled backup missed
Missed : the backup of 2026-03-10 16:00:00
Reason : error 1401
Starting : 2026-03-10 16:00:10
Ending : 2026-03-10 16:00:10

"""
SECOND = timedelta(seconds=1)
TWENTY = timedelta(hours=4, minutes=20)
FIRST = Made(1, EIGHT, complete=True, started=EIGHT + SECOND, ended=EIGHT + 2 * SECOND)
LONG = Made(2, SLOTS[2], complete=True, started=EIGHT + TWENTY, ended=EIGHT + TWENTY + HOUR)
BOOKS = Books((FIRST, LONG), tuple(entries(JOURNAL)))


def test_every_kind_of_answer_is_found() -> None:
    account = account_for(SLOTS, BOOKS)

    assert account.faults == ()
    assert [sorted(found) for found in account.answers.values()] == [
        [SERVED],
        [FAILED],
        [CAUGHT_UP, SERVED],
        [CAUGHT_UP],
        [CAUGHT_UP],
        [JOINED],
        [MISSED],
        [MISSED],
        [MISSED],
    ]


def without(books: Books, entry: int) -> Books:
    return replace(books, said=books.said[:entry] + books.said[entry + 1 :])


def with_made(*made: Made) -> Callable[[Books], Books]:
    return lambda books: replace(books, made=made)


def reworded(entry: int, old: str, new: str) -> Callable[[Books], Books]:
    def change(books: Books) -> Books:
        said = books.said[entry]
        lines = tuple(line.replace(old, new) for line in said.lines)
        assert lines != said.lines
        changed = Said(said.title, lines)
        return replace(books, said=(*books.said[:entry], changed, *books.said[entry + 1 :]))

    return change


WRONG: dict[str, tuple[Callable[[Books], Books], str]] = {
    "a set is gone": (with_made(LONG), "2026-03-10 08:00:00+00:00: no set, and no word"),
    "a slot has two sets": (
        with_made(FIRST, LONG, replace(FIRST, number=3)),
        "08:00:00+00:00: 2 complete sets",
    ),
    "a set is for no slot": (
        with_made(FIRST, LONG, replace(FIRST, number=3, scheduled=EIGHT + SECOND)),
        "set 3 is for 2026-03-10 08:00:01+00:00, which was not due",
    ),
    "a set is for nobody": (
        with_made(FIRST, LONG, replace(FIRST, number=3, scheduled=None)),
        "set 3 is for None, which was not due",
    ),
    "a set is partial": (with_made(replace(FIRST, complete=False), LONG), "set 1 is not complete"),
    "a set is not journaled": (lambda books: without(books, 3), "tells of 1 backups, 2 sets"),
    "a dead run is not journaled": (lambda books: without(books, 1), "09:00:00+00:00: no set"),
    "a catch-up is not journaled": (lambda books: without(books, 2), "11:00:00+00:00: no set"),
    "a miss is not journaled": (lambda books: without(books, 5), "16:00:00+00:00: no set"),
    "a catch-up counts too many": (
        reworded(2, "Missed : 3", "Missed : 4"),
        "the journal counts 4 missed",
    ),
    "misses are counted wrong": (
        reworded(4, "Missed : 2", "Missed : 3"),
        "the journal counts 3 missed",
    ),
    "the run ended before the slot it should have answered": (
        with_made(FIRST, replace(LONG, ended=LONG.started + SECOND)),
        "13:00:00+00:00: no set",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_thing_is_a_fault(name: str) -> None:
    change, fault = WRONG[name]

    faults = account_for(SLOTS, change(BOOKS)).faults

    assert any(fault in one for one in faults), faults


def test_a_run_answers_for_the_next_slot_only() -> None:
    long = replace(FIRST, ended=EIGHT + 2 * HOUR)

    faults = account_for(SLOTS[:3], Books((long,), BOOKS.said[:1])).faults

    assert faults == (f"{SLOTS[2]}: no set, and no word in the journal",)


def test_a_run_whose_end_is_seen_after_a_jump_answers_for_the_slot_jumped_over() -> None:
    books = Books((FIRST,), BOOKS.said[:1])
    jump = Move(FIRST.ended, FIRST.ended + HOUR)

    assert account_for(SLOTS[:2], books, [jump]).faults == ()
    assert account_for(SLOTS[:2], books).faults != ()


def test_a_slot_on_time_is_answered_by_the_catch_up_it_comes_with() -> None:
    said = BOOKS.said[2]
    on_time = [line.replace("12:20:00", "13:00:30") for line in said.lines]

    account = account_for(
        SLOTS[2:6], Books((LONG,), (Said(said.title, tuple(on_time)), BOOKS.said[3]))
    )

    assert account.faults == ()
    assert account.answers[SLOTS[5]] == {CAUGHT_UP}
