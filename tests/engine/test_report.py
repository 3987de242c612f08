"""What journal and history keep of operations that made no set."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.errors import Code, EngineError
from engine.journal import Entry
from engine.report import Times, event, shutdown_failed_entry, simple_entry

START = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
END = START + timedelta(seconds=27)
TIMES = Times(START - timedelta(minutes=1), START, END, ZoneInfo("Europe/Berlin"))
WITHOUT_SLOT = Times(None, START, END, UTC)


def test_without_a_slot_the_start_is_shown_as_one() -> None:
    assert WITHOUT_SLOT.lines("") == (
        "Scheduled 2026-03-02 02:30:00",
        "Starting 2026-03-02 02:30:00",
        "Ending 2026-03-02 02:30:27",
    )
    assert TIMES.lines(" :")[0] == "Scheduled : 2026-03-02 03:29:00"


def test_a_failed_shutdown_hook_has_an_entry_of_its_own() -> None:
    assert shutdown_failed_entry("the hook\nended with 3", TIMES) == Entry(
        title="*** Shutdown hook failed",
        details=(),
        starting="Starting : 2026-03-02 03:30:00",
        errors=(
            "Error reported : the hook ended with 3",
            "Hint : the backup itself ended as the entry before says; correct the hook",
        ),
        ending=("Ending : 2026-03-02 03:30:27",),
    )


def test_no_line_of_an_entry_can_forge_another() -> None:
    entry = simple_entry("Restore", ("from a\nb", "to \x1b[2J"), TIMES)

    assert entry.details == ("from a\\nb", "to \\x1b[2J")
    assert entry.errors == ()


def test_an_event_is_kept_with_its_times_and_its_end() -> None:
    error = EngineError("it is so", code=Code.ARCHIVE_DAMAGED)

    assert event("restore", TIMES, error, set=7) == {
        "event": "restore",
        "set": 7,
        "scheduledDate": "2026-03-02T02:29:00.000Z",
        "startingDate": "2026-03-02T02:30:00.000Z",
        "endingDate": "2026-03-02T02:30:27.000Z",
        "status": 1411,
        "error": "it is so",
    }
    assert event("drill", WITHOUT_SLOT) == {
        "event": "drill",
        "startingDate": "2026-03-02T02:30:00.000Z",
        "endingDate": "2026-03-02T02:30:27.000Z",
        "status": 0,
    }


def test_an_error_without_a_number_of_4d_is_kept_as_a_failure() -> None:
    assert event("drill", TIMES, EngineError("it is so", code=Code.DONE))["status"] == 1409
