"""What is said of a data file before 4D opens it, whole sentence by sentence, and what the verdict carries."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.datalook import Trouble, Unusable
from engine.logfile import LogFacts, LogFormat
from engine.opencheck import (
    Known,
    State,
    Verdict,
    judge_data,
    judge_set_data,
    why_not_again,
    with_log,
)
from tests.engine.logs import DATALINK
from tests.engine.opening_stories import SIZE, USED, seen

KNOWN = Known(seen(), "in set 7", has_log=True)
NO_HEADER = Unusable(Trouble.UNKNOWN, "it does not begin as a data file does")
LOG = Path("/srv/data.journal")
NOW = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
PLACES = seen().places


# --- the data file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [KNOWN, None])
@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        (Trouble.MISSING, State.DAMAGED),
        (Trouble.ZEROS, State.DAMAGED),
        (Trouble.AWAY, State.NOT_KNOWN),
        (Trouble.NO_ACCESS, State.NOT_KNOWN),
    ],
)
def test_what_is_not_usable_is_told_in_the_words_of_the_look(
    trouble: Trouble, state: State, known: Known | None
) -> None:
    found = Unusable(trouble, "it is so")

    assert judge_data(found, known) == Verdict(state, None, ("it is so",), (), ())


def test_an_unknown_header_that_was_known_before_is_told_with_when() -> None:
    said = "it does not begin as a data file does; in set 7 it did"

    assert judge_data(NO_HEADER, KNOWN) == Verdict(State.DAMAGED, None, (said,), (), ())


def test_an_unknown_header_that_was_never_known_is_a_doubt() -> None:
    said = "it does not begin as a data file does; that is no damage when the data is encrypted"

    assert judge_data(NO_HEADER, None) == Verdict(State.GOOD, None, (), (said,), ())


def test_nothing_is_said_of_a_file_that_is_as_it_was() -> None:
    assert judge_data(seen(), KNOWN) == Verdict(State.GOOD, seen(), (), (), ())
    assert judge_data(seen(), None) == Verdict(State.GOOD, seen(), (), (), ())


def test_a_cut_file_that_nobody_knew_is_a_doubt() -> None:
    found = seen(size=1000)
    said = "it ends at byte 1000, its header says that 230400 bytes are in use"

    assert judge_data(found, None) == Verdict(State.GOOD, found, (), (said,), ())


def test_a_cut_file_that_was_longer_is_damage() -> None:
    found = seen(size=1000)
    said = (
        "it ends at byte 1000, its header says that 230400 bytes are in use; "
        "in set 7 it had 262144 bytes"
    )

    assert judge_data(found, KNOWN) == Verdict(State.DAMAGED, found, (said,), (), ())


@pytest.mark.parametrize("size", [SIZE, SIZE + 1])
def test_a_file_as_long_as_it_ever_was_is_not_cut_off(size: int) -> None:
    found = seen(size=size, used=2 * SIZE)
    said = f"it ends at byte {size}, its header says that 524288 bytes are in use"

    assert judge_data(found, KNOWN) == Verdict(State.GOOD, found, (), (said,), ())


def test_zeros_in_all_places_are_damage_and_counted() -> None:
    found = seen(emptied=PLACES)
    said = "all 12 places that were looked at hold zeros now, in set 7 there was something in each"

    assert judge_data(found, KNOWN) == Verdict(State.DAMAGED, found, (said,), (), ())


@pytest.mark.parametrize(("count", "state"), [(7, State.GOOD), (8, State.DAMAGED)])
def test_fewer_than_eight_places_prove_nothing(count: int, state: State) -> None:
    known = Known(seen(places=PLACES[:count]), "in set 7", has_log=True)

    assert judge_data(seen(emptied=PLACES[:count]), known).state is state


def test_zeros_in_a_file_one_byte_shorter_prove_nothing() -> None:
    found = seen(size=SIZE - 1, emptied=PLACES)
    said = "it has 262143 bytes, in set 7 it had 262144: compacting does that"

    assert judge_data(found, KNOWN) == Verdict(State.GOOD, found, (), (said,), ())


def test_a_file_that_grew_and_ends_early_is_damaged_by_its_zeros_alone() -> None:
    found = seen(size=SIZE + 1, used=2 * SIZE, emptied=PLACES)

    assert judge_data(found, KNOWN).damage == (
        "all 12 places that were looked at hold zeros now, in set 7 there was something in each",
    )


ANOTHER = "it is not the same data file: in set 7 it had another id"


@pytest.mark.parametrize(
    ("changed", "doubts"),
    [
        ({"identity": bytes(16)}, [ANOTHER]),
        ({"datalink": bytes(16)}, [ANOTHER]),
        ({"datalink": None}, []),
        ({"identity": bytes(16), "last": 3}, [ANOTHER]),
        (
            {"last": 3},
            [
                (
                    "it is at operation 3, in set 7 it was at 10: "
                    "an older copy, or its log was made anew"
                )
            ],
        ),
        ({"last": 11}, []),
        (
            {"size": USED, "emptied": PLACES},
            ["it has 230400 bytes, in set 7 it had 262144: compacting does that"],
        ),
        (
            {"emptied": PLACES[:2]},
            [
                (
                    "2 of 12 places hold zeros now, in set 7 there was something: "
                    "removed records do that"
                )
            ],
        ),
        (
            {"used": 2 * SIZE, "last": 3, "emptied": PLACES[:1]},
            [
                "it ends at byte 262144, its header says that 524288 bytes are in use",
                (
                    "it is at operation 3, in set 7 it was at 10: "
                    "an older copy, or its log was made anew"
                ),
                (
                    "1 of 12 places hold zeros now, in set 7 there was something: "
                    "removed records do that"
                ),
            ],
        ),
    ],
)
def test_doubts_are_told_with_what_was_known(changed: dict[str, Any], doubts: list[str]) -> None:
    found = seen(**changed)

    assert judge_data(found, KNOWN) == Verdict(State.GOOD, found, (), tuple(doubts), ())


def test_data_that_did_not_name_their_log_before_are_the_same_data() -> None:
    before = Known(seen(datalink=None), "in set 7", has_log=True)

    assert judge_data(seen(), before).doubts == ()


def test_the_data_file_in_a_set_is_told_in_the_same_words() -> None:
    cut = "it ends at byte 1000, its header says that 230400 bytes are in use"

    assert judge_set_data(seen(size=1000), is_header_known=False) == cut
    assert judge_set_data(NO_HEADER, is_header_known=True) == NO_HEADER.text
    assert judge_set_data(Unusable(Trouble.EMPTY, "it is empty"), is_header_known=True) == (
        "it is empty"
    )


# --- the log ----------------------------------------------------------------------------------------


def log_at(
    last: int | None, kind: LogFormat = LogFormat.CURRENT, link: bytes = DATALINK
) -> LogFacts:
    return LogFacts(1000, 1000, kind, link, before=0, first=1, last=last)


def told(
    facts: LogFacts | str | None, *, last: int = 10, has_log: bool = True, integrates: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Doubts and notes about a log and data that are otherwise as they were."""
    data = judge_data(seen(last=last), Known(seen(last=last), "in set 7", has_log))
    verdict = with_log(data, LOG, facts, has_log=has_log, integrates=integrates)

    assert (verdict.state, verdict.seen, verdict.damage) == (State.GOOD, seen(last=last), ())
    return verdict.doubts, verdict.notes


MEET = ((), ("data and log are at the same operation",))


def behind(data: int, end: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    said = (
        f"the data are at operation {data}, their log /srv/data.journal ends at {end}: "
        "it is an older or another log, 4D may refuse it"
    )
    return (said,), ()


def more(count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    said = f"the log holds {count} operations more than the data: 4D integrates them by itself"
    return (), (said,)


@pytest.mark.parametrize(
    ("end", "kind", "expected"),
    [
        (10, LogFormat.CURRENT, MEET),
        (9, LogFormat.CURRENT, behind(10, 9)),
        (11, LogFormat.CURRENT, more(1)),
        (8, LogFormat.OLD, MEET),
        (12, LogFormat.OLD, MEET),
        (7, LogFormat.OLD, behind(10, 7)),
        (13, LogFormat.OLD, more(3)),
    ],
)
def test_data_and_log_meet_or_it_is_told_by_how_much_they_do_not(
    end: int, kind: LogFormat, expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    assert told(log_at(end, kind)) == expected


def test_4d_that_asks_is_to_be_answered_with_yes() -> None:
    said = "the log holds 5 operations more than the data: 4D asks whether to: answer yes"

    assert told(log_at(15), integrates=False) == ((), (said,))


def test_a_missing_log_is_told_with_what_to_do() -> None:
    said = (
        "the log /srv/data.journal is missing (4D's error 1274): with `Use log` on 4D does not open the data; "
        "bring the log back, or let 4D make a new one and make a backup at once"
    )

    assert told(None) == ((said,), ())
    assert told(None, has_log=False) == ((), ())


def test_a_log_that_cannot_be_used_is_named_with_its_reason() -> None:
    another = "the log /srv/data.journal belongs to another data file: 4D will refuse it"

    assert told("its header is not known") == (("/srv/data.journal: its header is not known",), ())
    assert told(log_at(15, link=bytes(16))) == ((another,), ())


def test_a_log_without_operations_says_nothing() -> None:
    assert told(log_at(None)) == ((), ())


def test_a_log_says_nothing_of_data_that_show_nothing() -> None:
    encrypted = judge_data(NO_HEADER, None)

    assert with_log(encrypted, LOG, log_at(15), has_log=True, integrates=True) == encrypted


def test_what_the_log_says_comes_after_what_the_data_say() -> None:
    data = judge_data(seen(last=3), KNOWN)
    noted = Verdict(State.GOOD, data.seen, (), data.doubts, ("a note",))

    verdict = with_log(noted, LOG, log_at(2), has_log=True, integrates=True)
    later = with_log(verdict, LOG, log_at(3), has_log=True, integrates=True)

    assert verdict.doubts == (*data.doubts, *behind(3, 2)[0])
    assert later.doubts == verdict.doubts
    assert later.notes == ("a note", *MEET[1])


def test_of_damaged_data_the_log_says_nothing() -> None:
    damaged = judge_data(Unusable(Trouble.EMPTY, "it is empty"), KNOWN)

    assert with_log(damaged, LOG, None, has_log=True, integrates=True) is damaged


# --- not again --------------------------------------------------------------------------------------


def test_logs_that_a_restore_laid_aside_come_first() -> None:
    waiting = Path("/srv/Logs to integrate")
    data = judge_data(seen(last=10), None)
    behind_them = LogFacts(1000, 1000, LogFormat.CURRENT, DATALINK, before=20, first=21, last=30)

    gap = with_log(data, LOG, behind_them, has_log=True, integrates=True, waiting=waiting)
    after = with_log(data, LOG, log_at(15), has_log=True, integrates=True, waiting=waiting)

    (first,) = gap.doubts
    assert first == (
        f"the logs in {waiting} come before {LOG}: integrate them first, in the order of their numbers, "
        "in 4D's Maintenance and Security Center (page Restore)"
    )
    assert (after.doubts, after.notes) == more(5)


@pytest.mark.parametrize(
    ("hours", "begun", "is_confirmed", "said"),
    [
        (None, 3, True, "3 automatic restores were begun and none of them was finished"),
        (1, 4, False, "4 automatic restores were begun and none of them was finished"),
        (
            25,
            2,
            False,
            "it was restored automatically at 2026-03-01 02:30:00, and was never found good since",
        ),
        (
            23,
            0,
            True,
            "it was restored automatically at 2026-03-01 04:30:00 already, less than 24 hours ago",
        ),
    ],
)
def test_why_there_is_no_further_restore_is_told_in_local_time(
    hours: int | None, begun: int, is_confirmed: bool, said: str
) -> None:
    restored = None if hours is None else NOW - timedelta(hours=hours)
    berlin = ZoneInfo("Europe/Berlin")

    assert why_not_again(restored, begun, NOW, berlin, is_confirmed=is_confirmed) == said
