"""The judges of a soak see what they are for: evidence with one thing wrong in it is not passed."""

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.stories import KEEP, App, make_app, pass_a_day
from tests.scheduler.accounts import SERVED
from tests.soak.gauges import Gauge, Sample
from tests.soak.judge import passed_over
from tests.soak.ledger import POSTPONED, balance, journal_faults
from tests.soak.sources import Sources
from tests.soak.world import Home

EIGHT = datetime(2026, 3, 10, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
FULL = """\
*** Full Backup
Creating archive : /b/data[{number:04d}]/data[{number:04d}].tar.zst
Scheduled 2026-03-10 {hour:02d}:00:00
Starting 2026-03-10 {hour:02d}:00:01
Ending 2026-03-10 {hour:02d}:00:02

"""
POSTPONED_ENTRY = """\
*** Backup postponed
Reason : nothing has changed
Scheduled : 2026-03-10 10:00:00
Starting : 2026-03-10 10:00:01
Ending : 2026-03-10 10:00:01

"""
JOURNAL = FULL.format(number=1, hour=8) + FULL.format(number=2, hour=9) + POSTPONED_ENTRY
SLOTS = [EIGHT, EIGHT + HOUR, EIGHT + 2 * HOUR]


def home(folder: Path, journal: str = "") -> Home:
    app = make_app(folder)
    logs = app.package / "Logs"
    logs.mkdir(exist_ok=True)
    (logs / "Backup Journal[001].txt").write_text(journal)
    return Home("one", app, Sources(app.package, random.Random(1), 4000), {}, "package")


# --- slots and journal ----------------------------------------------------------------------------


def test_a_sound_journal_is_passed(tmp_path: Path) -> None:
    account = balance(home(tmp_path, JOURNAL), SLOTS, ())

    assert account.faults == ()
    assert (account.count(SERVED), account.count(POSTPONED)) == (2, 1)
    assert journal_faults(JOURNAL) == []


@pytest.mark.parametrize(
    ("journal", "fault"),
    [
        (JOURNAL.replace(POSTPONED_ENTRY, ""), "no set, and no word"),
        (JOURNAL + FULL.format(number=3, hour=9), "2 complete sets"),
        (JOURNAL + FULL.format(number=2, hour=11), "2 sets have the number 2"),
    ],
)
def test_silent_slots_slots_served_twice_and_numbers_given_twice_are_seen(
    tmp_path: Path, journal: str, fault: str
) -> None:
    faults = balance(home(tmp_path, journal), SLOTS, ()).faults

    assert any(fault in one for one in faults), faults


@pytest.mark.parametrize(
    "journal",
    [
        JOURNAL.rstrip("\n"),
        JOURNAL.replace("\n\n*** Full", "\n*** Full", 1),
        JOURNAL.replace("Ending 2026-03-10 08:00:02\n", "", 1),
        JOURNAL.replace("*** Full", "Full", 1),
        JOURNAL + "\0\n\n",
    ],
)
def test_torn_entries_are_seen(journal: str) -> None:
    assert journal_faults(journal) != []


# --- growth ---------------------------------------------------------------------------------------


def gauge(rss: float = 0, descriptors: float = 0, threads: float = 0) -> Gauge:
    """A hundred looks; each figure grows by so much from one to the next, and jumps up and down with runs."""
    return Gauge(
        [
            Sample(
                at,
                at,
                round(30_000 + rss * at) + 300 * (at % 3),
                round(8 + descriptors * at) + 3 * (at % 2),
                round(14 + threads * at) + at % 2,
            )
            for at in range(100)
        ]
    )


def test_what_comes_and_goes_is_no_leak() -> None:
    assert [growth.name for growth in gauge().growths() if growth.is_leak] == []


@pytest.mark.parametrize(
    ("leaking", "name"),
    [
        (gauge(rss=100), "memory in KiB"),
        (gauge(descriptors=0.05), "descriptors"),
        (gauge(threads=0.05), "threads"),
    ],
)
def test_what_grows_for_ever_is(leaking: Gauge, name: str) -> None:
    assert [growth.name for growth in leaking.growths() if growth.is_leak] == [name]


# --- sets -----------------------------------------------------------------------------------------


def test_a_rotation_that_leaves_older_sets_is_seen(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "9"})
    folders = [_backed_up(app) for _ in range(4)]

    shutil.rmtree(folders[0])
    assert passed_over(folders[0], folders[1:]) == []
    shutil.rmtree(folders[2])
    assert passed_over(folders[2], [folders[1], folders[3]]) == [folders[1].name]


def _backed_up(app: App) -> Path:
    pass_a_day(app)
    return app.backup_set()


def test_a_file_of_no_state_the_source_ever_had_is_seen(tmp_path: Path) -> None:
    one = home(tmp_path)
    for _ in range(5):
        one.sources.live()
    assert one.sources.strangers(one.app.package) == []

    file = one.app.package / "Data" / "data.4DD"
    file.write_bytes(file.read_bytes()[:-1] + b"?")

    assert one.sources.strangers(one.app.package) == ["Data/data.4DD"]
