"""At a restore every log goes where 4D can use it, and what is missing is said."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.datafile import DataFacts
from engine.logchain import plan_logs
from engine.logfile import read_log_facts
from engine.logplan import LIVE, Candidate, Fit, Gap, LogMode, LogRequest, Why
from tests.engine.log_stories import REQUEST, SET_ONLY, at, facts, old, places, plan, said, why
from tests.engine.logs import DATALINK, OTHER_DATALINK, Bytes
from tests.engine.stories import CORPUS


def test_the_live_log_that_began_before_the_backup_brings_everything() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1300)))

    assert places(decided) == ([], LIVE)
    assert (decided.fit, decided.operations, decided.unbroken) == (Fit.INTEGRATES, 300, True)
    assert said(decided, "4D integrates 300 operations by itself")
    assert said(decided, "the live log is placed under the log's own name")
    assert said(decided, "unbroken")
    assert not said(decided, "not at hand")


def test_only_the_set_s_own_log_is_placed_when_the_past_is_wanted() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1300)), request=SET_ONLY)

    assert places(decided) == ([], 5)
    assert (decided.fit, decided.operations, decided.unbroken) == (Fit.UP_TO_DATE, 0, True)
    assert said(decided, "nothing to integrate")
    assert said(decided, "operations after this backup are not brought back, as asked for")


def test_operations_of_the_set_s_own_log_that_the_data_lack_are_integrated() -> None:
    data = replace(SET_ONLY, data=DataFacts(994, DATALINK))

    decided = plan((5, facts(0, 1000)), request=data)

    assert (places(decided), decided.operations) == (([], 5), 6)


def test_without_a_live_log_the_copy_of_the_newest_set_is_placed() -> None:
    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (7, facts(0, 1200)))

    assert places(decided) == ([], 7)
    assert (decided.operations, decided.unbroken) == (200, True)
    assert said(decided, "the live log is not at hand")


def test_of_equal_logs_the_live_one_is_placed() -> None:
    decided = plan((6, facts(0, 1100)), (LIVE, facts(0, 1100)), (5, facts(0, 1000)))

    assert places(decided) == ([], LIVE)


def test_a_log_renewed_right_at_the_backup_is_enough() -> None:
    decided = plan((5, facts(0, 1000, ends_with_backup=True)), (LIVE, facts(1000, 1200)))

    assert places(decided) == ([], LIVE)
    assert (decided.operations, decided.unbroken) == (200, True)


def test_a_log_renewed_at_the_backup_and_only_opened_since_is_the_one_to_go_on_with() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(1000, 1000)))

    assert (places(decided), decided.unbroken) == (([], LIVE), True)


def test_a_log_renewed_since_needs_the_one_before_first() -> None:
    decided = plan(
        (5, facts(0, 1000)),
        (6, facts(0, 1100)),
        (7, facts(1100, 1250)),
        (8, facts(1100, 1280)),
        (LIVE, facts(1280, 1300)),
    )

    assert places(decided) == ([6, 8], LIVE)
    assert (decided.operations, decided.unbroken, decided.gaps) == (300, True, ())
    assert said(decided, "integrated in this order")
    assert said(decided, "the log in set 6, then the log in set 8")
    assert said(decided, "page Restore): 280 operations")
    assert said(decided, "4D integrates 20 operations by itself")


def test_the_border_of_a_real_renewal_that_wrote_no_operation_fits() -> None:
    # the one met in the current format: 78, then 78
    decided = plan(
        (5, facts(0, 78, first_time=at(0), last_time=at(900))),
        (LIVE, facts(78, 598)),
        request=replace(REQUEST, data=DataFacts(70, DATALINK)),
    )

    assert (places(decided), decided.operations) == (([5], LIVE), 528)


def test_operations_in_no_log_are_named_and_what_lies_behind_them_is_not_placed() -> None:
    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, facts(1130, 1300)))

    assert places(decided) == ([], 6)
    assert decided.gaps == (Gap(1101, 1130, at(1100), at(1130)),)
    assert (decided.unbroken, decided.operations) == (False, 100)
    assert why(decided, LIVE) is Why.BEHIND_GAP
    assert said(decided, "operations 1101 to 1130 are in no log at hand")
    assert not said(decided, "the chain is unbroken")
    assert said(decided, "(between 2026-03-02 02:40:00 and 2026-03-02 02:43:00)")


def test_every_gap_is_named() -> None:
    decided = plan(
        (5, facts(0, 1000)),
        (6, facts(1001, 1100)),
        (7, facts(1150, 1200)),
        (LIVE, facts(1250, 1300)),
    )

    spans = [(gap.first, gap.last) for gap in decided.gaps]
    assert (places(decided), spans) == (([], 5), [(1001, 1001), (1101, 1150), (1201, 1250)])
    assert said(decided, "operation 1001 is in no log at hand")


def test_a_log_of_another_data_file_is_not_placed() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1300, datalink=OTHER_DATALINK)))

    assert (places(decided), decided.unbroken) == (([], 5), False)
    assert why(decided, LIVE) is Why.OTHER_DATA_FILE
    assert said(decided, "the live log is not placed: it belongs to another data file")


def test_the_set_s_own_log_is_not_placed_either_when_it_belongs_to_other_data() -> None:
    decided = plan((5, facts(0, 1000, datalink=OTHER_DATALINK)))

    assert (places(decided), decided.fit) == (([], None), Fit.NONE)
    assert said(decided, "no log is placed")


def test_data_that_do_not_name_their_log_are_paired_by_the_set_s_own() -> None:
    request = replace(REQUEST, data=DataFacts(1000, None))

    decided = plan(
        (5, facts(0, 1000)), (LIVE, facts(0, 1300, datalink=OTHER_DATALINK)), request=request
    )

    assert places(decided) == ([], 5)


def test_an_id_of_zeros_is_no_id() -> None:
    request = replace(REQUEST, data=DataFacts(1000, bytes(16)))

    assert places(plan((LIVE, facts(0, 1300)), request=request)) == ([], LIVE)


def test_in_the_old_format_the_next_log_starts_one_later() -> None:
    request = replace(REQUEST, data=DataFacts(26, DATALINK))

    decided = plan((5, old(0, 28)), (LIVE, old(28, 40)), request=request)

    assert (places(decided), decided.operations) == (([5], LIVE), 14)


def test_in_the_old_format_one_or_two_records_ahead_are_most_likely_nothing() -> None:
    request = replace(SET_ONLY, data=DataFacts(26, DATALINK))

    decided = plan((5, old(0, 28)), request=request)

    assert said(decided, "most likely no changes")


def test_numbers_of_two_formats_are_not_compared() -> None:
    decided = plan((5, old(0, 1000)), (LIVE, facts(1000, 1300)))

    assert (places(decided), why(decided, LIVE)) == (([], 5), Why.OTHER_FORMAT)


def test_what_4d_asks_and_how_strict_it_is_comes_from_the_settings() -> None:
    request = replace(REQUEST, automatic_integration=False, strictness="auto")

    decided = plan((LIVE, facts(0, 1001)), request=request)

    assert said(
        decided, "4D asks whether to integrate 1 operation (AutomaticLogIntegration is off)"
    )
    assert said(decided, "integration repairs")
    assert said(plan((LIVE, facts(0, 1001))), "integration is strict")


# --- real ones


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside the project")
def test_a_real_log_that_was_made_anew_is_recognised() -> None:
    readable = read_log_facts(Bytes((CORPUS / "logs" / "log-001.journal").read_bytes()))
    saved_at = datetime(2020, 6, 3, 12, tzinfo=UTC)  # the archive's data file is of that day
    request = LogRequest(LogMode.CURRENT, DataFacts(613, readable.datalink), 1, saved_at, UTC)

    decided = plan_logs(request, [Candidate(LIVE, readable)])

    assert (places(decided), why(decided, LIVE)) == (([], None), Why.RECREATED)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside the project")
def test_a_real_log_and_a_later_copy_of_it_are_one_log() -> None:
    early, late = (
        read_log_facts(Bytes((CORPUS / "logs" / f"log-{number}.journal").read_bytes()))
        for number in ("027", "028")
    )
    assert early.last is not None
    assert early.last_time is not None
    data = DataFacts(early.last, early.datalink)

    decided = plan_logs(
        LogRequest(LogMode.CURRENT, data, 1, early.last_time, UTC),
        [Candidate(1, early), Candidate(LIVE, late)],
    )

    assert (places(decided), decided.operations, decided.unbroken) == (([], LIVE), 2, True)
