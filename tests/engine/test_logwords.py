"""The whole report on the logs of a restore, sentence by sentence, for each thing that can be said."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from engine.logchain import plan_logs
from engine.logfile import LogFacts
from engine.logplan import LIVE, Candidate, LogRequest, Source
from tests.engine.log_stories import (
    DAY,
    EMPTY,
    MONDAY,
    REQUEST,
    SET_ONLY,
    at,
    facts,
    old,
    plan,
)
from tests.engine.logs import OTHER_DATALINK

UNREAD = "it cannot be read"
UNBROKEN = "the chain is unbroken: no operation is missing between the data and its end"
NOT_KNOWN = "whether the chain is unbroken is not known, for the reasons below"
NO_LIVE = "the live log is not at hand; what was done after the newest copy is in no log here"
NOTHING = "when 4D opens the data there is nothing to integrate"
NO_LOG = "4D integrates nothing, and with `Use log` on it does not open data without a log"
STRICT = "integration is strict: 4D stops at the first operation that does not fit the data"
REPAIRS = "integration repairs: 4D passes over what does not fit the data and notes it in Logs"
NOT_ASKED = "operations after this backup are not brought back, as asked for"
ASKING = replace(REQUEST, automatic_integration=False, strictness="auto")
BY_HAND = (
    "before 4D opens the data, the logs in Logs to integrate must be integrated in this order"
    " (Maintenance and Security Center, page Restore): "
)
AHEAD = (
    "the data are at operation 1000, ahead of their log, which ends at 990;"
    " 4D will find nothing to integrate and may refuse the log"
)
Logs = tuple[tuple[Source, LogFacts | str], ...]


def placed(name: str, end: int, time: str) -> str:
    return f"{name} is placed under the log's own name; it ends at operation {end}, {time}"


def by_itself(count: str) -> str:
    how = f"4D integrates {count} by itself (AutomaticLogIntegration is on)"
    return f"when it opens the data, {how}"


def asked(count: str) -> str:
    how = f"4D asks whether to integrate {count} (AutomaticLogIntegration is off): answer yes"
    return f"when it opens the data, {how}"


def broken(what: str, since: str, until: str) -> str:
    return (
        f"the chain is broken: {what} in no log at hand (between {since} and {until});"
        " an archived log of 4D's own (.4BL or .journal) may hold them"
    )


def unknown(why: str) -> str:
    return f"what 4D will integrate when it opens the data is not known: {why}"


SET_5, SET_6 = "the log in set 5", "the log in set 6"
LIVE_LOG = "the live log"
WHOLE: Logs = ((5, facts(0, 1000)), (LIVE, facts(0, 1300)))
ONE_MORE: Logs = ((5, facts(0, 1000)), (LIVE, facts(0, 1001)))
UNREADABLE: Logs = ((5, UNREAD), (LIVE, UNREAD))


def test_the_live_log_brings_everything() -> None:
    assert plan(*WHOLE).sentences == (
        placed(LIVE_LOG, 1300, "2026-03-02 03:00:00"),
        UNBROKEN,
        by_itself("300 operations"),
        STRICT,
    )


def test_times_are_those_of_the_host_s_clock() -> None:
    request = replace(REQUEST, zone=ZoneInfo("Asia/Tokyo"))

    assert plan(*WHOLE, request=request).sentences[0] == (
        placed(LIVE_LOG, 1300, "2026-03-02 12:00:00")
    )


def test_one_operation_is_one() -> None:
    assert plan(*ONE_MORE).sentences[2] == by_itself("1 operation")


@pytest.mark.parametrize(("logs", "count"), [(WHOLE, "300 operations"), (ONE_MORE, "1 operation")])
def test_4d_that_asks_is_to_be_answered(logs: Logs, count: str) -> None:
    assert plan(*logs, request=ASKING).sentences[2:] == (asked(count), REPAIRS)


def test_logs_to_be_integrated_before_are_named_in_order() -> None:
    decided = plan(
        (5, facts(0, 1000)),
        (6, facts(0, 1100)),
        (7, facts(1100, 1280)),
        (LIVE, facts(1280, 1301)),
    )

    assert decided.sentences == (
        placed(LIVE_LOG, 1301, "2026-03-02 03:00:06"),
        (
            "in the folder Logs to integrate, to be integrated before it:"
            " the log in set 6, then the log in set 7"
        ),
        UNBROKEN,
        BY_HAND + "280 operations",
        by_itself("21 operations"),
        STRICT,
    )


def test_times_that_do_not_follow_are_told() -> None:
    decided = plan((5, facts(0, 1100)), (LIVE, facts(1100, 1200, first_time=at(1050))))

    assert decided.sentences == (
        placed(LIVE_LOG, 1200, "2026-03-02 02:50:00"),
        "in the folder Logs to integrate, to be integrated before it: the log in set 5",
        UNBROKEN,
        (
            "the numbers follow one another but the times do not: a clock was set back, or one of"
            " these logs is not of these data"
        ),
        BY_HAND + "100 operations",
        by_itself("100 operations"),
        STRICT,
    )


@pytest.mark.parametrize(
    ("end", "beginning"), [(at(1100), at(1100)), (None, at(1000)), (at(1200), None)]
)
def test_times_that_meet_or_are_not_known_are_not_complained_of(
    end: object, beginning: object
) -> None:
    decided = plan(
        (5, facts(0, 1100, last_time=end)), (LIVE, facts(1100, 1200, first_time=beginning))
    )

    assert not any("clock" in line for line in decided.sentences)


def test_a_gap_is_told_with_its_numbers_and_times() -> None:
    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, facts(1130, 1300)))

    assert decided.sentences == (
        placed(SET_6, 1100, "2026-03-02 02:40:00"),
        broken("operations 1101 to 1130 are", "2026-03-02 02:40:00", "2026-03-02 02:43:00"),
        by_itself("100 operations"),
        STRICT,
        (
            "the live log is not placed: it goes on from operation 1130, and operations before that"
            " are missing"
        ),
    )


def test_a_gap_of_one_is_told_as_one_and_a_time_nobody_knows_as_such() -> None:
    decided = plan((5, facts(0, 1000, last_time=None)), (LIVE, facts(1001, 1300)))

    assert decided.sentences == (
        placed(SET_5, 1000, "time not known"),
        broken("operation 1001 is", "time not known", "2026-03-02 02:30:06"),
        NOTHING,
        (
            "the live log is not placed: it goes on from operation 1001, and operations before that"
            " are missing"
        ),
    )


def test_a_torn_log_is_told_by_its_bytes() -> None:
    decided = plan((5, facts(0, 1000)), (LIVE, facts(0, 1300, size=500_000)))

    assert decided.sentences[1] == (
        "the live log is whole for its first 130068 bytes; the last 369932 are no whole record"
        " and count for nothing"
    )


def test_without_any_log_there_is_nothing_to_place() -> None:
    said = ("no log was saved with this set and none is at hand", NO_LOG)

    assert plan().sentences == plan(request=SET_ONLY).sentences == said


def test_logs_that_do_not_fit_are_told_with_the_reason() -> None:
    assert plan((LIVE, facts(0, 900))).sentences == (
        "no log is placed: none of those at hand fits these data",
        NO_LOG,
        (
            "the live log is not placed: it ends at operation 900, the data are further on; it is"
            " the wrong log for them"
        ),
    )


def test_logs_that_cannot_be_read_are_told_so() -> None:
    assert plan(*UNREADABLE).sentences == (
        "the log in set 5 is placed under the log's own name",
        NOT_KNOWN,
        unknown(UNREAD),
        "the live log is not placed: it cannot be read",
    )
    assert plan(*UNREADABLE, request=SET_ONLY).sentences == (
        "the log in set 5 is placed under the log's own name",
        NOT_KNOWN,
        unknown("its log was saved with it and belongs to it, but it cannot be read"),
        NOT_ASKED,
    )


def test_a_live_log_that_is_placed_unread_is_told_with_the_proof() -> None:
    grown = Candidate(LIVE, UNREAD, continues_set_log=True)

    assert plan_logs(REQUEST, [Candidate(5, UNREAD), grown]).sentences == (
        "the live log is placed under the log's own name",
        (
            "the live log cannot be read by this program, but it begins byte for byte with the log"
            " that was saved with these data; 4D only ever appends to a log, so it is that log with"
            " all that was done since"
        ),
        NOT_KNOWN,
        unknown(UNREAD),
    )


def test_data_ahead_of_their_log_are_told() -> None:
    assert plan((5, facts(0, 990))).sentences == (
        placed(SET_5, 990, "2026-03-02 02:29:00"),
        NOT_KNOWN,
        NO_LIVE,
        AHEAD,
        "it is the log that was saved with these data; only 4D can say more",
    )
    assert plan((5, old(0, 990))).sentences[3:] == (
        AHEAD,
        "a log of this old format counts in another way than its data: it may be right",
    )


@pytest.mark.parametrize(("end", "is_slack"), [(1001, True), (1002, True), (1003, False)])
def test_in_the_old_format_two_records_are_most_likely_nothing(end: int, is_slack: bool) -> None:
    slack = "a log of this old format counts every record: these are most likely no changes"
    said = plan((5, old(0, end))).sentences

    count = "1 operation" if end == 1001 else f"{end - 1000} operations"
    assert said[1:5] == (UNBROKEN, NO_LIVE, by_itself(count), STRICT)
    assert said[5:] == ((slack,) if is_slack else ())


def test_data_that_cannot_be_read_are_told() -> None:
    request: LogRequest = replace(REQUEST, data="the header of the data file is not known")

    assert plan(*WHOLE, request=request).sentences == (
        placed(LIVE_LOG, 1300, "2026-03-02 03:00:00"),
        NOT_KNOWN,
        unknown("the header of the data file is not known"),
    )
    assert plan(*WHOLE[1:], request=request).sentences[2:] == (
        "the live log is not placed: which operations the data hold is not known",
    )


def test_what_lies_behind_the_backup_is_not_missed_when_it_is_not_asked_for() -> None:
    assert plan(*WHOLE, request=SET_ONLY).sentences == (
        placed(SET_5, 1000, "2026-03-02 02:30:00"),
        NOTHING,
        NOT_ASKED,
    )
    assert plan((5, facts(1010, 1020)), request=SET_ONLY).sentences == (
        placed(SET_5, 1020, "2026-03-02 02:32:00"),
        broken("operations 1001 to 1010 are", "2026-03-02 02:30:00", "2026-03-02 02:31:00"),
        unknown("the numbers of data and log do not meet"),
    )


REASONS: list[tuple[LogFacts, str]] = [
    (facts(0, 1300, datalink=OTHER_DATALINK), "it belongs to another data file"),
    (
        old(1000, 1100),
        "it has another log format than the rest, so its numbers cannot be compared",
    ),
    (
        facts(3, 1200, first_time=MONDAY + DAY, last_time=MONDAY + 2 * DAY),
        (
            "the log was made anew after this backup and counts from 3 again; what happened before"
            " that is not in it"
        ),
    ),
    (
        facts(0, 950, last_time=MONDAY + 5 * DAY),
        (
            "it begins like the log of these data and then goes on with other operations, as after a"
            " restore of an older set"
        ),
    ),
    (
        facts(0, 1050),
        (
            "it ends at operation 1050, before a copy of it in a set; its end was lost, or an older"
            " copy was put in its place"
        ),
    ),
    (
        facts(950, 1400, first_time=at(940)),
        (
            "it has operations with the same numbers as another log; the numbers cannot tell which"
            " are those of these data"
        ),
    ),
    (
        EMPTY,
        (
            "it is empty, 4D had just renewed it; whether operations before that are missing cannot"
            " be seen"
        ),
    ),
]


@pytest.mark.parametrize(("live", "why"), REASONS)
def test_why_a_log_is_not_placed_is_told(live: LogFacts, why: str) -> None:
    decided = plan((5, facts(0, 1000)), (6, facts(0, 1100)), (LIVE, live))

    assert decided.sentences == (
        placed(SET_6, 1100, "2026-03-02 02:40:00"),
        NOT_KNOWN,
        by_itself("100 operations"),
        STRICT,
        f"the live log is not placed: {why}",
    )
