"""Of several logs that could go under the log's own name the right one goes there, and the rest is told why not."""

from dataclasses import replace

import pytest

from engine.logchain import plan_logs
from engine.logplan import LIVE, Candidate, Fit, Gap, LeftOut, LogPlan, Why
from tests.engine.log_stories import (
    EMPTY,
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

UNREAD = "it cannot be read"
OWN = Candidate(5, UNREAD)
GROWN = Candidate(LIVE, UNREAD, continues_set_log=True)


def planned(*candidates: Candidate) -> LogPlan:
    """The plan without its report."""
    return replace(plan_logs(REQUEST, candidates), sentences=())


def test_a_live_log_that_nobody_can_read_and_that_begins_with_the_set_s_own_is_that_log() -> None:
    assert planned(OWN, GROWN) == LogPlan(
        current=GROWN,
        earlier=(),
        fit=Fit.UNKNOWN,
        unbroken=False,
        gaps=(),
        operations=None,
        left_out=(LeftOut(OWN, Why.NOTHING_NEW),),
    )


def test_what_is_left_beside_such_a_live_log_keeps_its_reason() -> None:
    unread, behind = Candidate(6, UNREAD), Candidate(7, facts(1100, 1200))

    decided = planned(OWN, unread, GROWN, behind)

    assert (decided.current, decided.fit) == (GROWN, Fit.UNKNOWN)
    assert decided.gaps == (Gap(1001, 1100, REQUEST.saved_at, at(1100)),)
    assert decided.left_out == (
        LeftOut(OWN, Why.NOTHING_NEW),
        LeftOut(unread, Why.UNREADABLE),
        LeftOut(behind, Why.BEHIND_GAP),
    )


@pytest.mark.parametrize("continues", [False, None])
def test_an_unread_live_log_that_does_not_begin_so_is_not_placed(continues: bool | None) -> None:
    other = Candidate(LIVE, UNREAD, continues_set_log=continues)

    decided = planned(other, OWN)

    assert (decided.current, decided.fit) == (OWN, Fit.UNKNOWN)
    assert decided.left_out == (LeftOut(other, Why.UNREADABLE),)


def test_only_the_live_log_is_one_that_grew() -> None:
    copy = Candidate(6, UNREAD, continues_set_log=True)

    assert planned(copy, OWN).current is OWN


def test_a_log_that_can_be_read_is_judged_by_what_it_says() -> None:
    live = Candidate(LIVE, facts(0, 995), continues_set_log=True)

    decided = planned(live, Candidate(5, facts(0, 990)))

    assert (decided.current, decided.fit) == (live, Fit.DATA_AHEAD)


def test_without_a_log_to_place_nothing_is_promised() -> None:
    decided = plan((LIVE, facts(0, 900)))

    assert (decided.current, decided.fit, decided.unbroken) == (None, Fit.NONE, False)
    assert (decided.earlier, decided.operations, decided.gaps) == ((), None, ())


def test_an_unread_log_of_the_set_is_no_copy_of_one_that_ends_before_the_data() -> None:
    decided = plan((6, facts(0, 990)), (5, UNREAD))

    assert (places(decided), decided.fit) == (([], 5), Fit.UNKNOWN)
    assert why(decided, 6) is Why.BEHIND_DATA


def test_the_log_of_the_set_is_no_copy_of_another_one() -> None:
    decided = plan((6, facts(10, 980)), (5, facts(0, 990)))

    assert (places(decided), decided.fit) == (([], 5), Fit.DATA_AHEAD)


def test_the_log_that_holds_the_data_comes_before_an_idle_one_behind_it() -> None:
    for logs in ([6, 7], [7, 6]):
        known = {6: facts(0, 1000), 7: facts(1000, 1000)}
        decided = plan(*((number, known[number]) for number in logs))

        assert (places(decided), why(decided, 7)) == (([], 6), Why.NOTHING_NEW)


def test_an_idle_log_at_the_end_of_the_chain_has_nothing_new() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1100)), (7, facts(1100, 1100)))

    assert (places(decided), decided.unbroken) == (([], LIVE), True)
    assert (why(decided, 7), decided.gaps) == (Why.NOTHING_NEW, ())


def test_a_log_that_begins_within_the_chain_and_ends_with_it_overlaps() -> None:
    decided = plan((5, facts(0, 1100)), (6, facts(1050, 1100)))

    assert (places(decided), why(decided, 6)) == (([], 5), Why.NUMBERS_OVERLAP)
    assert not decided.unbroken


def test_of_successors_that_reach_as_far_the_live_one_is_placed() -> None:
    copy, live = facts(1000, 1100), facts(1000, 1100, first_time=at(1010))

    assert places(plan((9, copy), (LIVE, live))) == ([], LIVE)
    assert places(plan((LIVE, live), (9, copy))) == ([], LIVE)


def test_an_empty_live_log_does_not_take_the_place_of_one_that_is_known() -> None:
    decided = plan((5, facts(0, 990)), (LIVE, EMPTY))

    assert (places(decided), decided.fit) == (([], 5), Fit.DATA_AHEAD)


def test_a_log_of_the_old_format_that_ends_before_its_data_may_be_right() -> None:
    decided = plan((5, old(0, 900)), request=SET_ONLY)

    assert (places(decided), decided.fit) == (([], 5), Fit.DATA_AHEAD)
    assert said(decided, "a log of this old format counts in another way than its data")
    assert not said(decided, "only 4D can say more")
