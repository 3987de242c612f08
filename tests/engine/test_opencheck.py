"""What is proof of damage, what is a doubt, and when there is no further automatic restore."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.datalook import Seen, Trouble, Unusable
from engine.logfile import LogFacts, LogFormat
from engine.opencheck import Known, State, judge_data, judge_set_data, why_not_again, with_log
from engine.openrecord import Look, Record, load_record, save_record
from tests.engine.logs import DATALINK
from tests.engine.opening_stories import SIZE, seen

NOW = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
KNOWN = Known(seen(), "at the last good look", has_log=True)
LOG = Path("/srv/data.journal")
PROOF = [Trouble.MISSING, Trouble.NO_FILE, Trouble.EMPTY, Trouble.LOST, Trouble.ZEROS]


@pytest.mark.parametrize("trouble", PROOF)
@pytest.mark.parametrize("known", [KNOWN, None])
def test_what_4d_cannot_open_is_damaged(trouble: Trouble, known: Known | None) -> None:
    assert judge_data(Unusable(trouble, "it is so"), known).state is State.DAMAGED


@pytest.mark.parametrize("trouble", [Trouble.AWAY, Trouble.NO_ACCESS])
def test_what_nobody_can_look_at_is_not_known(trouble: Trouble) -> None:
    assert judge_data(Unusable(trouble, "it is so"), KNOWN).state is State.NOT_KNOWN


def test_an_unknown_header_is_damage_only_where_a_good_one_was() -> None:
    found = Unusable(Trouble.UNKNOWN, "it begins otherwise")

    assert judge_data(found, KNOWN).state is State.DAMAGED
    assert judge_data(found, None).state is State.GOOD


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"size": SIZE // 2, "used": SIZE // 2},
        {"size": SIZE + 4096, "used": SIZE + 8192},
        {"size": 2 * SIZE, "used": 2 * SIZE + 128},
        {"last": 0},
        {"identity": bytes(16)},
        {"datalink": bytes(16)},
        {"datalink": None},
        {"emptied": seen().places[1:]},
        {"size": SIZE // 2, "used": SIZE // 2, "emptied": seen().places},
        {"used": None, "size": 10_000},
    ],
)
def test_what_normal_use_can_do_is_never_damage(changed: dict[str, Any]) -> None:
    assert judge_data(seen(**changed), KNOWN).state is State.GOOD


def test_shorter_than_before_and_than_its_header_says_is_cut() -> None:
    verdict = judge_data(seen(size=SIZE // 2), KNOWN)

    assert verdict.state is State.DAMAGED
    assert "its header says that 230400 bytes are in use" in verdict.damage[0]


def test_where_the_header_never_held_to_its_rule_it_proves_nothing() -> None:
    odd = Known(seen(used=SIZE * 4), "in set 1", has_log=True)

    assert judge_data(seen(size=SIZE // 2, used=SIZE * 4), odd).state is State.GOOD


def test_zeros_everywhere_are_damage_but_not_in_a_handful_of_places() -> None:
    few = Known(seen(places=(4096, 8192)), "at the last good look", has_log=True)

    assert judge_data(seen(emptied=KNOWN.seen.places), KNOWN).state is State.DAMAGED
    assert judge_data(seen(emptied=(4096, 8192)), few).state is State.GOOD


@given(
    st.integers(1, 4 * SIZE),
    st.none() | st.integers(1, 3000).map(lambda pieces: pieces * 128),
    st.integers(0, 100),
    st.booleans(),
)
def test_a_file_whose_used_part_is_whole_is_never_restored_over(
    size: int, used: int | None, last: int, is_known: bool
) -> None:
    found = seen(size=size, used=used, last=last)

    verdict = judge_data(found, KNOWN if is_known else None)

    assert found.is_cut or verdict.state is State.GOOD


def test_a_set_holds_damage_only_when_its_data_file_shows_it() -> None:
    unknown = Unusable(Trouble.UNKNOWN, "it begins otherwise")

    assert judge_set_data(seen(), is_header_known=True) is None
    assert judge_set_data(seen(size=1000), is_header_known=True) is not None
    assert judge_set_data(Unusable(Trouble.EMPTY, "it is empty"), is_header_known=False) is not None
    assert judge_set_data(unknown, is_header_known=True) is not None
    assert judge_set_data(unknown, is_header_known=False) is None


# --- the log ----------------------------------------------------------------------------------------


def log_at(
    last: int | None, kind: LogFormat = LogFormat.CURRENT, link: bytes = DATALINK
) -> LogFacts:
    return LogFacts(1000, 1000, kind, link, before=0, first=1, last=last)


@pytest.mark.parametrize(
    ("facts", "doubts", "notes"),
    [
        (log_at(10), 0, "at the same operation"),
        (log_at(15), 0, "5 operations more than the data: 4D integrates them by itself"),
        (log_at(8, LogFormat.OLD), 0, "at the same operation"),
        (log_at(9), 1, ""),
        (log_at(15, link=bytes(16)), 1, ""),
        (log_at(None), 0, ""),
        ("it cannot be read", 1, ""),
        (None, 1, ""),
    ],
)
def test_what_the_log_says_is_told(facts: LogFacts | str | None, doubts: int, notes: str) -> None:
    verdict = with_log(judge_data(seen(), KNOWN), LOG, facts, has_log=True, integrates=True)

    assert verdict.state is State.GOOD
    assert len(verdict.doubts) == doubts
    assert notes in "; ".join(verdict.notes)
    assert bool(notes) == bool(verdict.notes)


def test_a_database_without_a_log_lacks_none() -> None:
    plain = Seen(SIZE, None, 10, None, bytes(16))

    verdict = with_log(judge_data(plain, None), LOG, None, has_log=False, integrates=True)

    assert verdict.doubts == ()


# --- not again --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "begun", "is_confirmed", "may"),
    [
        (None, 0, True, True),
        (None, 2, False, True),
        (None, 3, True, False),
        (1, 0, True, False),
        (23.9, 0, True, False),
        (24, 0, True, True),
        (24, 0, False, False),
        (9999, 0, False, False),
        (-5, 0, True, False),
    ],
)
def test_there_is_one_a_day_and_none_before_a_good_look(
    hours: float | None, begun: int, is_confirmed: bool, may: bool
) -> None:
    restored = None if hours is None else NOW - timedelta(hours=hours)

    why = why_not_again(restored, begun, NOW, UTC, is_confirmed=is_confirmed)

    assert (why is None) == may


# --- the record -------------------------------------------------------------------------------------


def test_what_is_remembered_comes_back(tmp_path: Path) -> None:
    look = Look(NOW, Path("/srv/data.4DD"), seen(), True, Path("/srv"))
    record = Record(look, NOW, True, 2, "a doubt")

    save_record(tmp_path, record)

    assert load_record(tmp_path) == record


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "backup4d-open-check", "version": 9}']
)
def test_a_record_that_cannot_be_used_is_none(tmp_path: Path, text: str) -> None:
    save_record(tmp_path, Record(begun=2))
    next(tmp_path.iterdir()).write_text(text)

    assert load_record(tmp_path) == Record()
