"""Whatever the logs of a database went through: what a plan promises holds."""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datafile import DataFacts
from engine.logchain import plan_logs
from engine.logfile import LogFacts
from engine.logplan import LIVE, Candidate, LogMode, LogPlan, LogRequest, Source
from tests.engine.log_stories import REQUEST, at, facts
from tests.engine.logs import DATALINK, OTHER_DATALINK


@dataclass(frozen=True)
class Story:
    """A database's logs: its operations grow, now and then 4D renews the log, now and then a set copies it."""

    request: LogRequest
    logs: tuple[Candidate, ...]
    live: LogFacts


@st.composite
def stories(draw: st.DrawFn) -> Story:
    # each step: how many operations, then whether 4D renews the log, a set is made, or neither
    steps = draw(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("rsn")), max_size=12))
    begin = number = draw(st.integers(0, 3))
    copies: list[tuple[int, LogFacts]] = []
    for count, event in [(1, "s"), *steps]:
        number += count
        if event == "r":
            begin = number
        elif event == "s":
            copies.append((number, facts(begin, number)))
    restored = draw(st.integers(0, len(copies) - 1))
    behind = draw(st.integers(0, min(2, copies[restored][0] - (copies[restored][1].before or 0))))
    kept = [
        index for index in range(restored, len(copies)) if index == restored or draw(st.booleans())
    ]
    live = facts(begin, number)
    logs = [Candidate(index + 1, copies[index][1]) for index in kept]
    if draw(st.booleans()):
        logs.append(Candidate(LIVE, live))
    data = DataFacts(copies[restored][0] - behind, draw(st.sampled_from([DATALINK, None])))
    saved_at = at(copies[restored][0])
    request = replace(REQUEST, data=data, set_number=restored + 1, saved_at=saved_at)
    return Story(request, tuple(draw(st.permutations(logs))), live)


def pieces(plan: LogPlan) -> list[LogFacts]:
    placed = [*plan.earlier] if plan.current is None else [*plan.earlier, plan.current]
    return [one.known for one in placed if one.known is not None]


def operations(logs: list[LogFacts]) -> set[int]:
    return {n for log in logs for n in range((log.before or 0) + 1, (log.last or 0) + 1)}


def check_promise(plan: LogPlan, request: LogRequest) -> None:
    """From the data's last operation to the end of the plan there is every number, and no piece too many."""
    placed = pieces(plan)
    end = placed[-1].last
    assert end is not None
    assert request.reached is not None
    assert placed[0].before is not None
    assert placed[0].before <= request.reached
    assert all(a.last == b.before for a, b in pairwise(placed))
    assert operations(placed) >= set(range(request.reached + 1, end + 1))
    assert plan.operations == end - request.reached
    assert plan.gaps == ()


@settings(deadline=None)
@given(stories())
def test_an_unbroken_plan_brings_every_operation_exactly_once(story: Story) -> None:
    plan = plan_logs(story.request, story.logs)

    if plan.unbroken:
        check_promise(plan, story.request)
        if any(one.source is LIVE for one in story.logs):
            assert pieces(plan)[-1].last == story.live.last


@settings(deadline=None)
@given(stories())
def test_what_is_missing_is_named_to_the_number(story: Story) -> None:
    plan = plan_logs(story.request, story.logs)

    logs = [one.known for one in story.logs if one.known is not None]
    held = operations(logs)
    reached = story.request.reached
    assert reached is not None
    # a log that was only opened still says which number had been reached
    newest = max(log.last for log in logs if log.last is not None)
    missing = set(range(reached + 1, newest + 1)) - held
    named = {n for gap in plan.gaps for n in range(gap.first, gap.last + 1)}
    assert named == missing
    if not missing:
        assert pieces(plan)[-1].last == max(newest, reached)


@settings(deadline=None)
@given(stories())
def test_the_order_in_which_logs_are_found_changes_nothing(story: Story) -> None:
    plan = plan_logs(story.request, story.logs)

    other = plan_logs(story.request, tuple(reversed(story.logs)))

    assert (other.current, other.earlier, other.unbroken) == (
        plan.current,
        plan.earlier,
        plan.unbroken,
    )


@settings(deadline=None)
@given(stories())
def test_only_the_set_s_own_log_is_placed_when_the_past_is_wanted(story: Story) -> None:
    request = replace(story.request, mode=LogMode.SET)

    plan = plan_logs(request, story.logs)

    assert plan.earlier == ()
    assert plan.current is not None
    assert plan.current.source == request.set_number
    assert plan.unbroken


_ODD_LOGS = st.builds(
    lambda before, count, link, start, torn: facts(
        before,
        before + count,
        datalink=link,
        first_time=at(start),
        last_time=at(start) + timedelta(seconds=count),
        size=100 * count + 68 + torn,
    ),
    st.integers(0, 12),
    st.integers(0, 12),
    st.sampled_from([DATALINK, DATALINK, OTHER_DATALINK, bytes(16)]),
    st.integers(0, 12),
    st.sampled_from([0, 0, 50]),
)
_ODD_CANDIDATES = st.lists(
    st.tuples(
        st.sampled_from([LIVE, 1, 2, 3, 4]),
        st.one_of(_ODD_LOGS, st.just("cannot be read")),
        st.sampled_from([None, None, True, False]),
    ),
    unique_by=lambda one: str(one[0]),
    max_size=5,
)
_ODD_DATA = st.one_of(
    st.builds(DataFacts, st.integers(0, 14), st.sampled_from([DATALINK, None])),
    st.just("not known"),
)


@settings(max_examples=1000, deadline=None)
@given(_ODD_CANDIDATES, _ODD_DATA, st.sampled_from(LogMode), st.integers(0, 14))
def test_whatever_is_at_hand_no_promise_is_broken(
    logs: list[tuple[Source, LogFacts | str, bool | None]],
    data: DataFacts | str,
    mode: LogMode,
    saved: int,
) -> None:
    request = replace(REQUEST, data=data, mode=mode, set_number=2, saved_at=at(saved))
    candidates = [Candidate(*one) for one in logs]

    plan = plan_logs(request, candidates)

    if isinstance(data, DataFacts) and data.datalink is not None:
        assert all(log.datalink == data.datalink for log in pieces(plan))
    assert len({log.datalink for log in pieces(plan)}) <= 1
    placed = [*plan.earlier] if plan.current is None else [*plan.earlier, plan.current]
    assert {*placed, *(one.candidate for one in plan.left_out)} == set(candidates)
    assert len(placed) + len(plan.left_out) == len(candidates)
    assert plan.sentences
    if plan.unbroken:
        check_promise(plan, request)
