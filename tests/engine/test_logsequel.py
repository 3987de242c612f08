"""Whether one log follows another and belongs to a data file: gaps, forks and wrong ones are told, and nothing else."""

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.datafile import read_data_facts
from engine.logfile import LogFormat, begins_with, read_log_facts
from engine.logsequel import (
    Belonging,
    Following,
    Sequel,
    judge_belonging,
    judge_sequel,
)
from tests.engine.log_stories import EMPTY, at, facts, old
from tests.engine.logs import DATALINK, OTHER_DATALINK, Bytes, members_of_archive
from tests.engine.stories import CORPUS

ARCHIVES = CORPUS / "archives"
real = pytest.mark.skipif(not ARCHIVES.is_dir(), reason="the corpus is not beside the project")
ENDED = facts(0, 100, ends_with_backup=True)


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (ENDED, facts(100, 200), Following(Sequel.FOLLOWS)),
        (facts(0, 100), facts(100, 200), Following(Sequel.FOLLOWS, weak=True)),
        (old(0, 28), old(28, 40), Following(Sequel.FOLLOWS)),
        (ENDED, facts(130, 200), Following(Sequel.GAP, (101, 130))),
        (ENDED, facts(101, 200), Following(Sequel.GAP, (101, 101))),
        (ENDED, facts(100, 200, datalink=OTHER_DATALINK), Following(Sequel.OTHER_DATA_FILE)),
        (ENDED, old(100, 200), Following(Sequel.OTHER_FORMAT)),
        (ENDED, EMPTY, Following(Sequel.EMPTY)),
        (EMPTY, ENDED, Following(Sequel.EMPTY)),
        (facts(0, 100), facts(0, 100), Following(Sequel.SAME)),
        (facts(0, 100), facts(0, 150), Following(Sequel.GROWN)),
        (facts(0, 100), facts(0, 60), Following(Sequel.SHORTER)),
        (
            ENDED,
            facts(0, 40, first_time=at(150), last_time=at(190)),
            Following(Sequel.RECREATED),
        ),
        (ENDED, facts(90, 200, first_time=at(150)), Following(Sequel.OVERLAPS)),
        (facts(100, 200), ENDED, Following(Sequel.OVERLAPS, goes_back=True)),
    ],
)
def test_what_a_later_log_is_to_an_earlier_one(
    earlier: object, later: object, expected: Following
) -> None:
    assert judge_sequel(earlier, later) == expected  # type: ignore[arg-type]


def test_two_that_begin_alike_and_go_on_otherwise_are_a_fork() -> None:
    one = facts(0, 100)
    other = replace(one, last_time=at(101))

    assert judge_sequel(one, other).sequel is Sequel.FORK
    assert judge_sequel(one, facts(0, 150), begins_so=False).sequel is Sequel.FORK
    assert judge_sequel(one, facts(0, 150), begins_so=True).sequel is Sequel.GROWN


def test_times_that_go_back_are_told_beside_the_numbers() -> None:
    later = facts(100, 200, first_time=at(100) - timedelta(hours=2))

    found = judge_sequel(ENDED, later)

    assert (found.sequel, found.goes_back, found.is_unbroken) == (Sequel.FOLLOWS, True, True)


@pytest.mark.parametrize("sequel", list(Sequel))
def test_only_what_lacks_nothing_is_unbroken(sequel: Sequel) -> None:
    unbroken = {Sequel.SAME, Sequel.GROWN, Sequel.FOLLOWS}

    assert Following(sequel).is_unbroken is (sequel in unbroken)


@pytest.mark.parametrize(
    ("last", "expected", "operations"),
    [
        (100, Belonging.UP_TO_DATE, 0),
        (99, Belonging.LOG_AHEAD, 1),
        (50, Belonging.LOG_AHEAD, 50),
        (49, Belonging.BEFORE_LOG, 50),
        (101, Belonging.DATA_AHEAD, 0),
    ],
)
def test_the_number_in_the_data_tells_where_the_log_is(
    last: int, expected: Belonging, operations: int
) -> None:
    found = judge_belonging(last, DATALINK, facts(50, 100))

    assert (found.belonging, found.operations, found.by_number) == (expected, operations, False)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (98, Belonging.UP_TO_DATE),
        (102, Belonging.UP_TO_DATE),
        (97, Belonging.LOG_AHEAD),
        (103, Belonging.DATA_AHEAD),
        (48, Belonging.LOG_AHEAD),
        (47, Belonging.BEFORE_LOG),
    ],
)
def test_data_of_the_old_format_may_be_two_records_off(last: int, expected: Belonging) -> None:
    assert judge_belonging(last, DATALINK, old(50, 100)).belonging is expected


def test_another_id_is_another_data_file_whatever_the_numbers() -> None:
    found = judge_belonging(100, OTHER_DATALINK, facts(50, 100))

    assert found.belonging is Belonging.OTHER_DATA_FILE


@pytest.mark.parametrize("datalink", [None, bytes(16)])
def test_without_an_id_only_the_numbers_speak(datalink: bytes | None) -> None:
    found = judge_belonging(100, datalink, facts(50, 100))

    assert (found.belonging, found.by_number) == (Belonging.UP_TO_DATE, True)


def test_an_empty_log_tells_nothing() -> None:
    assert judge_belonging(100, DATALINK, EMPTY).belonging is Belonging.EMPTY


@real
def test_a_real_log_that_grew_is_the_same_log() -> None:
    earlier = Bytes((CORPUS / "logs" / "log-027.journal").read_bytes())
    later = Bytes((CORPUS / "logs" / "log-028.journal").read_bytes())
    before = read_log_facts(earlier)

    found = judge_sequel(before, read_log_facts(later), begins_so=begins_with(later, before))

    assert found == Following(Sequel.GROWN)


@real
def test_a_real_renewal_and_its_data_meet() -> None:
    archived = members_of_archive((ARCHIVES / "archive-003 Sample[0000].4BL").read_bytes())
    saved = members_of_archive((ARCHIVES / "archive-003 Sample[0001].4BK").read_bytes())
    log = read_log_facts(Bytes(next(iter(archived.values()))))
    data = read_data_facts(Bytes(saved["./Importer Sample.4DD"]))

    found = judge_belonging(data.last, data.datalink, log)

    assert log.format is LogFormat.OLD
    assert found.belonging is not Belonging.OTHER_DATA_FILE
