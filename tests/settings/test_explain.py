"""Settings are explained in plain words."""

from datetime import time
from pathlib import Path

import pytest

from settings.explain import describe_schedule, explain_settings
from settings.layout import DatabaseLayout
from settings.model import Daily, Hourly, Monthly, Never, Schedule, Unschedulable, Weekly
from tests.settings.forms import settings_of

APP = Path("/srv/app")
LAYOUT = DatabaseLayout(
    package=APP,
    structure=APP / "Project/App.4DProject",
    data_file=APP / "Data/data.4DD",
    log=APP / "Data/data.journal",
    settings_file=APP / "Settings/backup.4DSettings",
    considered=(),
    notes=(),
)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Never(), "never automatically"),
        (Hourly(1, time(0)), "every hour starting at 00:00"),
        (Hourly(6, time(2, 30)), "every 6 hours starting at 02:30"),
        (Daily(1, time(2, 30)), "every day at 02:30"),
        (
            Weekly(2, ((0, time(8)), (4, time(20)))),
            "every 2 weeks on Monday at 08:00 and Friday at 20:00",
        ),
        (Monthly(1, 1, time(0, 0, 5)), "every month on day 1 at 00:00:05"),
        (
            Monthly(3, 31, time(1)),
            "every 3 months on day 31 (the last day of a shorter month) at 01:00",
        ),
        (Unschedulable("Every is 0"), "not scheduled, because Every is 0"),
    ],
)
def test_a_schedule_is_said_in_words(schedule: Schedule, words: str) -> None:
    assert describe_schedule(schedule) == words


def test_the_defaults_are_explained() -> None:
    text = "\n".join(explain_settings(settings_of({"Scheduler/Frequency": "Daily"}), LAYOUT))

    for words in (
        "the data file /srv/app/Data/data.4DD",
        "the structure /srv/app/Project/App.4DProject",
        "Attachments: /srv/app/Data/data.4DIndx.",
        "Sets go to /srv/app.",
        "Backups run every day at 00:00.",
        "retried once, after 1 minute.",
        "The last 3 sets are kept; the oldest is removed after a new one is verified.",
        "compressed fast",
        "in one piece",
        "No recovery data",
        "are read back",
        "says everything",
    ):
        assert words in text


def test_other_choices_are_explained() -> None:
    changes: dict[str, str | None] = {
        "Advanced/SetNumber/Enable": "False",
        "Advanced/BackupFailure/AbortIfBackupFail": "True",
        "Advanced/BackupFailure/TryToBackupAfter": "01:30:00",
        "Advanced/Redundancy": "High",
        "Advanced/FileSegmentation/DefaultSize": "650",
        "Advanced/CheckArchiveFileDuringBackup": "False",
        "General/DestinationFolder": "C:\\x\\",
    }
    text = "\n".join(explain_settings(settings_of(changes), LAYOUT))

    for words in (
        "All sets are kept",
        "After 5 attempts, 1 hour and 30 minutes apart without success",
        "Recovery data is added (Redundancy High, Interlacing None).",
        "segments of 650 MB",
        "are not read back",
        "not usable: 'C:\\x\\' is a Windows path",
    ):
        assert words in text
