"""Where logs do not fit, cannot be read or contradict each other, a restore says so and promises nothing."""

from dataclasses import replace

import pytest

from engine.datafile import DataFacts
from engine.logchain import plan_logs
from engine.logfile import LogFacts, LogUnreadableError
from engine.logplan import LIVE, Candidate, Fit, LogRequest, Why
from tests.engine.log_stories import (
    DAY,
    EMPTY,
    MONDAY,
    REQUEST,
    SET_ONLY,
    at,
    facts,
    old,
    places,
    plan,
    said,
    why,
)
from tests.engine.logs import DATALINK, OTHER_DATALINK


def test_data_ahead_of_every_log_have_the_wrong_logs() -> None:
    decided = plan((LIVE, facts(0, 900)), (6, facts(0, 800)))

    assert (places(decided), decided.fit) == (([], None), Fit.NONE)
    assert why(decided, LIVE) is Why.BEHIND_DATA
    assert said(decided, "ends at operation 900, the data are further on; it is the wrong log")


def test_data_ahead_of_the_log_saved_with_them_keep_it_with_a_warning() -> None:
    decided = plan((5, facts(0, 990)), request=SET_ONLY)

    assert (places(decided), decided.fit) == (([], 5), Fit.DATA_AHEAD)
    assert (decided.operations, decided.unbroken) == (None, False)
    assert said(decided, "the data are at operation 1000, ahead of their log, which ends at 990")


def test_a_log_made_anew_after_the_backup_is_not_placed() -> None:
    anew = facts(0, 1200, first_time=MONDAY + DAY, last_time=MONDAY + 2 * DAY)

    decided = plan((5, facts(0, 1000)), (LIVE, anew))

    assert (places(decided), decided.unbroken) == (([], 5), False)
    assert why(decided, LIVE) is Why.RECREATED
    assert said(decided, "made anew after this backup and counts from 0 again")


def test_a_branch_that_is_known_to_differ_from_the_set_s_log_is_not_placed() -> None:
    branch = Candidate(LIVE, facts(0, 1300), continues_set_log=False)

    decided = plan_logs(REQUEST, [branch, Candidate(5, facts(0, 1000))])

    assert (places(decided), decided.unbroken) == (([], 5), False)
    assert why(decided, LIVE) is Why.FORK
    assert said(decided, "as after a restore of an older set")


def test_a_shorter_copy_is_not_called_a_branch() -> None:
    cut = Candidate(LIVE, facts(0, 950), continues_set_log=False)

    decided = plan_logs(REQUEST, [cut, Candidate(5, facts(0, 1000))])

    assert why(decided, LIVE) is Why.SHORTER


def test_a_renewed_log_is_no_branch_of_the_set_s_log() -> None:
    renewed = Candidate(LIVE, facts(1000, 1300), continues_set_log=False)

    decided = plan_logs(REQUEST, [Candidate(5, facts(0, 1000)), renewed])

    assert places(decided) == ([], LIVE)


def test_of_two_branches_the_one_worked_on_last_is_placed_and_the_other_named() -> None:
    # somebody went back to set 5 after set 7 had been made: fewer bytes, fewer operations, later times
    live = facts(0, 1150, last_time=MONDAY + 5 * DAY)

    decided = plan((5, facts(0, 1000)), (7, facts(0, 1200)), (LIVE, live))

    assert places(decided) == ([], LIVE)
    assert why(decided, 7) is Why.FORK
    assert said(decided, "the log in set 7 is not placed")


def test_a_live_log_that_contradicts_the_set_s_own_is_not_placed() -> None:
    live = facts(0, 950, last_time=MONDAY + 5 * DAY)

    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, live))

    assert (places(decided), decided.unbroken) == (([], 6), False)
    assert why(decided, LIVE) is Why.FORK


def test_a_live_log_that_lost_its_end_gives_way_to_a_longer_copy() -> None:
    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, facts(0, 1050)))

    assert (places(decided), decided.unbroken) == (([], 6), False)
    assert why(decided, LIVE) is Why.SHORTER
    assert said(decided, "it ends at operation 1050, before a copy of it in a set")


def test_a_torn_live_log_counts_for_its_whole_beginning() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1300, size=500_000)))

    assert (places(decided), decided.operations) == (([], LIVE), 300)
    assert said(decided, "whole for its first 130068 bytes; the last 369932 are no whole record")


def test_two_logs_with_the_same_numbers_are_left_to_a_person() -> None:
    rival = facts(950, 1400, first_time=at(940))

    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, rival))

    assert (places(decided), decided.unbroken) == (([], 6), False)
    assert why(decided, LIVE) is Why.NUMBERS_OVERLAP


def test_without_the_set_s_own_log_two_that_could_be_it_are_never_called_unbroken() -> None:
    decided = plan((6, facts(0, 1100)), (LIVE, facts(950, 1400, first_time=at(940))))

    assert places(decided) == ([], LIVE)
    assert not decided.unbroken


def test_two_successors_of_one_log_are_told() -> None:
    decided = plan(
        (5, facts(0, 1000)), (6, facts(1000, 1200)), (LIVE, facts(1000, 1250, first_time=at(1300)))
    )

    assert (places(decided), decided.unbroken) == (([], LIVE), False)
    assert why(decided, 6) is Why.NUMBERS_OVERLAP


def test_times_that_do_not_follow_are_told() -> None:
    decided = plan((5, facts(0, 1100)), (LIVE, facts(1100, 1200, first_time=at(1050))))

    assert (places(decided), decided.unbroken) == (([5], LIVE), True)
    assert said(decided, "the times do not: a clock was set back")


def test_a_log_that_cannot_be_read_is_not_called_damaged_and_the_set_s_own_is_placed() -> None:
    reason = str(
        LogUnreadableError("the log cannot be read by this program: its header is not known")
    )

    decided = plan((5, reason), (LIVE, reason))

    assert (places(decided), decided.fit) == (([], 5), Fit.UNKNOWN)
    assert (decided.operations, decided.unbroken) == (None, False)
    assert why(decided, LIVE) is Why.UNREADABLE
    assert not said(decided, "damaged")
    assert said(decided, "what 4D will integrate when it opens the data is not known")


def test_an_unreadable_live_log_breaks_the_promise_but_not_the_plan() -> None:
    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, "it cannot be read"))

    assert (places(decided), decided.operations, decided.unbroken) == (([], 6), 100, False)


def test_data_that_cannot_be_read_get_what_carries_on_their_own_log() -> None:
    request = replace(REQUEST, data="the header of the data file is not known")

    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1300)), request=request)

    assert (places(decided), decided.fit) == (([], LIVE), Fit.UNKNOWN)
    assert (decided.operations, decided.unbroken) == (None, False)


def test_data_that_cannot_be_read_and_have_no_log_get_none() -> None:
    request = replace(REQUEST, data="the header of the data file is not known")

    decided = plan((LIVE, facts(0, 1300)), request=request)

    assert (places(decided), decided.fit) == (([], None), Fit.NONE)


def test_a_log_just_renewed_hides_whether_operations_are_missing() -> None:
    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, EMPTY))

    assert (places(decided), decided.unbroken) == (([], 6), False)
    assert said(decided, "it is empty, 4D had just renewed it")


def test_a_log_that_was_empty_at_the_backup_and_still_is_has_nothing_to_bring() -> None:
    decided = plan((5, EMPTY), (LIVE, EMPTY))

    assert (places(decided), decided.fit) == (([], LIVE), Fit.UP_TO_DATE)
    assert (decided.operations, decided.unbroken) == (0, True)


def test_a_log_that_was_empty_at_the_backup_and_grew_brings_everything() -> None:
    decided = plan((5, EMPTY), (LIVE, facts(1000, 1200)))

    assert (places(decided), decided.operations, decided.unbroken) == (([], LIVE), 200, True)


def test_an_empty_live_log_alone_proves_nothing() -> None:
    decided = plan((LIVE, EMPTY))

    assert (places(decided), decided.fit, decided.unbroken) == (([], LIVE), Fit.UNKNOWN, False)


@pytest.mark.parametrize("request_", [REQUEST, SET_ONLY])
def test_without_any_log_it_is_said(request_: LogRequest) -> None:
    decided = plan(request=request_)

    assert (places(decided), decided.fit) == (([], None), Fit.NONE)
    assert said(decided, "no log was saved with this set")


def test_new_data_without_operations_take_the_live_log() -> None:
    request = replace(REQUEST, data=DataFacts(0, DATALINK))
    opened = facts(0, 0, first_time=at(990), last_time=at(999))

    decided = plan((5, opened), (LIVE, replace(opened, size=112, whole_bytes=112)), request=request)

    assert (places(decided), decided.fit, decided.unbroken) == (([], LIVE), Fit.UP_TO_DATE, True)


def test_the_format_is_that_of_the_logs_of_these_data() -> None:
    foreign = replace(old(0, 1000), datalink=OTHER_DATALINK)

    assert places(plan((5, foreign), (LIVE, facts(0, 1300)))) == ([], LIVE)


@pytest.mark.parametrize(
    "other",
    [
        facts(0, 1100, last_time=at(1090)),  # as long, but it ended earlier
        facts(0, 1090, size=110_068, whole_bytes=110_068),  # as long, with fewer operations
        facts(0, 1110, size=109_068, whole_bytes=109_068, last_time=at(1099)),  # shorter with more
    ],
)
def test_copies_that_cannot_both_be_right_are_told(other: LogFacts) -> None:
    decided = plan((5, facts(0, 1000)), (6, other), (LIVE, facts(0, 1100)))

    assert places(decided) == ([], LIVE)
    assert why(decided, 6) is Why.FORK


def test_a_rival_that_ends_where_the_data_end_is_a_rival_all_the_same() -> None:
    decided = plan((6, facts(0, 1000)), (LIVE, facts(950, 1400, first_time=at(940))))

    assert (places(decided), decided.unbroken) == (([], LIVE), False)


def test_a_log_that_starts_where_the_data_end_is_no_rival_of_the_one_before() -> None:
    decided = plan((6, facts(0, 1000)), (LIVE, facts(1000, 1000)))

    assert (places(decided), decided.unbroken) == (([], LIVE), True)


def test_the_log_saved_with_the_data_comes_before_another_with_the_same_numbers() -> None:
    decided = plan((5, facts(1000, 1100)), (LIVE, facts(1000, 1300, first_time=at(1200))))

    assert (places(decided), decided.unbroken) == (([], 5), False)


def test_a_log_behind_a_gap_after_the_live_one_breaks_the_promise() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1300)), (7, facts(1350, 1400)))

    assert (places(decided), decided.unbroken) == (([], LIVE), False)
    assert [(gap.first, gap.last) for gap in decided.gaps] == [(1301, 1350)]


def test_data_ahead_keep_the_longest_copy_of_their_log() -> None:
    decided = plan((5, facts(0, 990)), (LIVE, facts(0, 995)))

    assert (places(decided), decided.fit) == (([], LIVE), Fit.DATA_AHEAD)


def test_a_set_s_own_log_that_begins_after_its_data_is_placed_and_the_gap_named() -> None:
    decided = plan((5, facts(1010, 1020)), request=SET_ONLY)

    assert (places(decided), decided.fit, decided.unbroken) == (([], 5), Fit.UNKNOWN, False)
    assert [(gap.first, gap.last) for gap in decided.gaps] == [(1001, 1010)]
    assert said(decided, "the numbers of data and log do not meet")


def test_an_unreadable_log_of_the_set_comes_before_an_empty_live_one() -> None:
    assert places(plan((5, "it cannot be read"), (LIVE, EMPTY))) == ([], 5)


def test_of_successors_that_reach_as_far_the_newest_set_s_is_placed_in_any_order() -> None:
    logs = [(6, facts(1000, 1100)), (7, facts(1000, 1100, first_time=at(1010)))]

    assert places(plan(*logs)) == places(plan(*reversed(logs))) == ([], 7)


def test_behind_a_gap_only_what_no_log_holds_is_named() -> None:
    decided = plan(
        (5, facts(0, 1000)),
        (6, facts(1150, 1300)),
        (7, facts(1160, 1200)),
        (8, facts(1300, 1350)),
        (LIVE, facts(1400, 1450)),
    )

    assert [(gap.first, gap.last) for gap in decided.gaps] == [(1001, 1150), (1351, 1400)]
