"""Every record of a log is listed with who did it, on what; filters take what they name and nothing else."""

import re
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from engine.logactivity import hour_of, read_activity, user_words
from engine.logfile import LogUnreadableError, Stamp, changes_after, read_log_facts
from engine.loglist import ALL, Entry, Listing, Wanted
from tests.engine.logs import START, Bytes, log, members_of_archive
from tests.engine.real_shapes import (
    OTHER_TABLE,
    TABLE,
    LogMaker,
    context_values,
    long_key,
    morning,
    row,
    sequence,
)
from tests.engine.stories import CORPUS

LOGS = sorted((CORPUS / "logs").glob("*.journal"))
ROW = re.compile(
    r"^\| (log-\d+\.journal) \| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\w+) \| (\w+) \| (.*?) \| (.*?) \|",
    re.MULTILINE,
)
real = pytest.mark.skipif(not LOGS, reason="the corpus of real logs is not beside the project")


def listed(content: bytes, wanted: Wanted = ALL) -> list[Entry]:
    return list(Listing(Bytes(content), wanted))


def numbers(content: bytes, **wanted: object) -> list[tuple[int, int]]:
    """Number and type of each that is wanted."""
    found = listed(content, Wanted(**wanted))  # type: ignore[arg-type]
    return [(one.record.number, one.record.kind) for one in found]


@real
def test_all_real_logs_are_read_to_the_last_byte_with_the_numbers_another_reader_found() -> None:
    told = ROW.findall((CORPUS / "README.md").read_text("utf-8"))
    found = []
    for file in LOGS:
        content = file.read_bytes()
        if content.startswith(b"70KB"):
            content = next(iter(members_of_archive(content).values()))
        activity = read_activity(Bytes(content))
        facts = activity.facts
        assert facts.whole_bytes == len(content)
        assert facts == read_log_facts(Bytes(content))
        assert activity.not_understood == 0
        times = (str(facts.first_time), str(facts.last_time))
        counts = (activity.records, activity.changes, facts.first, facts.last)
        kind = facts.format.name.lower()
        found.append((file.name, kind, str(len(content)), *map(str, counts), *times))

    assert len(found) == 28
    assert found == told


@real
def test_every_context_of_a_real_log_is_known_but_one_of_an_earlier_log() -> None:
    file = CORPUS / "logs" / "log-028.journal"

    nameless = [one for one in listed(file.read_bytes()) if one.record.context and not one.context]

    assert [one.record.kind for one in nameless] == [16]


def test_each_record_is_told_with_its_context_and_what_it_is_about() -> None:
    made = morning()

    found = listed(made.content())

    assert [one.record.end for one in found] == made.ends[1:]
    changed = found[9]
    assert (changed.record.number, changed.record.kind) == (46, 25)
    assert changed.record.time == START + timedelta(seconds=968)
    assert changed.details is not None
    assert (changed.details.table, changed.details.record, changed.details.key) == (TABLE, 6, "7")
    assert changed.context is not None
    assert (changed.context.user, changed.context.host) == ("bert", "desk-8")
    assert (changed.context.task, changed.context.alias) == ("P_2", "bert of 4D")
    assert changed.context.version == "1806"
    assert changed.context.plain["task_id"] == 5


def test_a_beta_says_so() -> None:
    values = context_values().replace(b"\x06\x18\x01\xf0", b"\x00\x21\x01\xb0")

    (only,) = listed(LogMaker().add(22, values, context=4).content())

    assert only.context is not None
    assert only.context.version == "2100 beta"


def test_a_record_inside_of_a_transaction_is_of_its_context() -> None:
    found = [one for one in listed(morning().content()) if one.record.context == -12]

    assert found
    assert {user_words(one.context) for one in found} == {"bert@desk-8"}


def test_a_closed_context_is_told_with_its_closing_and_not_after_it() -> None:
    made = LogMaker().add(22, context_values(), context=3).add(16, context=3)
    made.add(23, sequence(1), context=3)

    closing, after = listed(made.content())[1:]

    assert user_words(closing.context) == "anna@desk-7"
    assert after.context is None
    assert user_words(after.context) == ""


def test_a_context_that_is_not_understood_has_no_names() -> None:
    made = LogMaker().add(22, b"GABV" + b"\1" * 30, context=3).add(23, sequence(1), context=3)
    listing = Listing(Bytes(made.content()))

    found = list(listing)

    assert [user_words(one.context) for one in found] == ["", ""]
    assert listing.contexts.unreadable == 1


def test_what_is_not_understood_is_listed_and_counted() -> None:
    listing = Listing(Bytes(LogMaker().add(24, b"nothing real").add(8).content()))

    assert [one.details is None for one in listing] == [True, False]
    assert listing.not_understood == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"kinds": frozenset({24})}, [(42, 24), (45, 24)]),
        ({"tables": frozenset({OTHER_TABLE})}, [(45, 24), (50, 21)]),
        ({"users": frozenset({"anna"})}, [(40, 22), (41, 23), (42, 24), (43, 27), (51, 16)]),
        ({"users": frozenset({"anna of 4d"}), "kinds": frozenset({16})}, [(51, 16)]),
        ({"users": frozenset({"nobody"})}, []),
        ({"context": 12, "kinds": frozenset({30, 26})}, [(44, 30), (49, 26), (51, 30)]),
        ({"since": Stamp.of(START + timedelta(minutes=30))}, [(51, 20), (51, 8)]),
        ({"until": Stamp.of(START + timedelta(seconds=2))}, [(40, 7)]),
    ],
)
def test_a_filter_takes_what_it_names(
    wanted: dict[str, object], expected: list[tuple[int, int]]
) -> None:
    assert numbers(morning().content(), **wanted) == expected


def test_the_end_of_what_is_whole_is_told() -> None:
    content = morning().content()

    listing = Listing(Bytes(content[:-1]))
    count = sum(1 for _ in listing)

    assert (listing.read, listing.end, listing.is_whole) == (count, len(content) - 44, False)


def test_an_unknown_header_is_refused_before_anything_is_listed() -> None:
    with pytest.raises(LogUnreadableError, match="may be encrypted"):
        Listing(Bytes(b"GOx4ATAD" + bytes(100)))


def test_a_stamp_is_that_of_the_instant_whatever_its_zone() -> None:
    instant = datetime(2026, 3, 1, 1, 2, 3, 4000, tzinfo=UTC)

    assert Stamp.of(instant) == Stamp(2026, 3, 1, 3723004)
    assert Stamp.of(instant).time == instant


# --- as a whole


def test_activity_counts_by_user_task_table_and_hour() -> None:
    activity = read_activity(Bytes(morning().content()))

    assert (activity.records, activity.changes, activity.contexts) == (20, 9, 2)
    assert dict(activity.users.largest_first()) == {"bert@desk-8": 6, "anna@desk-7": 3}
    assert next(activity.users.largest_first()) == ("bert@desk-8", 6)
    assert activity.tasks.counts == {"P_1": 3, "P_2": 6}
    assert activity.tables.counts == {TABLE.hex().upper(): 7, OTHER_TABLE.hex().upper(): 2}
    assert activity.hours.counts == {"2026-03-01 08": 9}
    assert hour_of("2026-03-01 08") == START
    assert activity.kinds[30] == 2


def test_a_log_just_made_has_no_activity() -> None:
    activity = read_activity(Bytes(log()))

    assert (activity.records, activity.changes, activity.kinds) == (0, 0, {})
    assert activity.facts == read_log_facts(Bytes(log()))


@pytest.mark.parametrize("is_old", [False, True])
def test_activity_finds_what_the_two_ends_tell(*, is_old: bool) -> None:
    made = LogMaker(is_old=is_old)
    for number in range(5):
        made.add(2 if is_old else 24, row(b"x") if is_old else long_key(number) + row(b"x"))
    made.add(20)

    facts = read_activity(Bytes(made.content())).facts

    assert facts == read_log_facts(Bytes(made.content()))
    assert facts.ends_with_backup


# --- whether data changed


def test_only_records_that_change_data_count_as_changes() -> None:
    quiet = LogMaker().add(7).add(22, context_values(), context=1).add(30).add(31).add(16).add(20)
    started = quiet.ends[-1]
    busy = quiet.add(8).add(23, sequence(5))

    assert not changes_after(Bytes(quiet.content()[:started]))
    assert changes_after(Bytes(busy.content()))
    assert changes_after(Bytes(busy.content()), started)
    assert not changes_after(Bytes(busy.content()), busy.ends[-1])


def test_in_an_old_log_transactions_alone_change_nothing() -> None:
    made = LogMaker(is_old=True).add(4).add(5).add(4).add(6)

    assert not changes_after(Bytes(made.content()))
    assert changes_after(Bytes(made.add(3, bytes(20)).content()))


def test_a_kind_never_met_may_be_a_change() -> None:
    assert changes_after(Bytes(LogMaker().add(99).content()))


def test_a_log_that_cannot_be_gone_through_is_not_called_unchanged() -> None:
    content = LogMaker().add(7).add(8).content()

    with pytest.raises(LogUnreadableError, match="from byte 68"):
        changes_after(Bytes(content[:-1]))


# --- bounded


def test_a_log_with_more_of_everything_than_any_real_one_needs_little_memory() -> None:
    parts = LogMaker()
    for number in range(7000):
        parts.add(22, context_values(user=f"user {number}"), context=number + 1)
        parts.add(23, sequence(1, number.to_bytes(16, "big")), context=number + 1)
    reader = Bytes(parts.content())
    tracemalloc.start()

    activity = read_activity(reader)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert activity.records == 14_000
    assert len(activity.users.counts) <= 5001
    assert sum(activity.users.counts.values()) == 7000
    assert activity.tables.counts[""] == 2000
    assert peak < 20 << 20
