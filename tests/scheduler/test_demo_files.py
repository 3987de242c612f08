"""The demo's log and data file: whatever looks into those of 4D can look into these."""

from datetime import UTC, datetime

import pytest

from engine.datalook import Seen, examine
from engine.logactivity import read_activity
from engine.logcheck import check_log
from engine.logfile import read_log_facts
from engine.logsequel import Belonging, judge_belonging
from engine.logtables import read_tables
from scheduler.demo_files import CATALOG, demo_data, demo_log
from tests.engine.logs import Bytes


@pytest.mark.parametrize("hour", [0, 9])
def test_the_log_is_whole_and_says_who_did_what(hour: int) -> None:
    until = datetime(2026, 3, 1, hour, 30, tzinfo=UTC)
    content, last = demo_log(until)

    check = check_log(Bytes(content))
    activity = read_activity(Bytes(content))

    assert not check.is_damaged
    assert (check.torn, check.damage, check.warnings, check.unknown) == (0, (), (), {})
    assert (check.last, activity.changes, activity.not_understood) == (last, 1500, 0)
    assert activity.facts.last_time is not None
    assert activity.facts.last_time < until
    assert set(activity.users.counts) == {"anna@desk-7", "bert@desk-8"}
    tables = read_tables(Bytes(CATALOG.encode()), "the catalog")
    assert {tables.names[bytes.fromhex(one)] for one in activity.tables.counts} == {
        "Invoices",
        "Customers",
    }


def test_the_data_file_is_whole_and_the_log_is_its_own() -> None:
    log, last = demo_log(datetime(2026, 3, 1, 9, 30, tzinfo=UTC))

    seen = examine(Bytes(demo_data(b"rows" * 40_000, last)), ())

    assert isinstance(seen, Seen)
    assert not seen.is_cut
    assert (seen.used, seen.log) == (seen.size, "./data.journal")
    belongs = judge_belonging(seen.last, seen.datalink, read_log_facts(Bytes(log)))
    assert belongs.belonging is Belonging.UP_TO_DATE
    assert not belongs.by_number
