"""Every sentence about settings, whole, for each choice that changes it."""

from dataclasses import replace
from datetime import time, timedelta

import pytest

from settings.explain import explain_settings
from settings.model import (
    CompressionRate,
    Content,
    Daily,
    KeepAll,
    KeepLast,
    Never,
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Rotation,
    Settings,
)
from settings.paths import PathMap, parse_path
from tests.settings.forms import settings_of
from tests.settings.test_explain import LAYOUT

PLAIN = settings_of({"Scheduler/Frequency": "Daily"})
WHOLE = [
    (
        "Saves the data file /srv/app/Data/data.4DD with its log and settings and"
        " the structure /srv/app/Project/App.4DProject."
    ),
    "Attachments: /srv/app/Data/data.4DIndx.",
    "Sets go to /srv/app.",
    "Backups run every day at 00:00.",
    "A failed backup is retried once, after 1 minute.",
    "The last 3 sets are kept; the oldest is removed after a new one is verified.",
    "Archives are compressed fast.",
    "Archives are written in one piece.",
    "No recovery data is added.",
    "Archives are read back and compared after writing.",
    "The Backup journal says everything about each run.",
]


def sentences(settings: Settings, path_map: PathMap | None = None) -> list[str]:
    return explain_settings(settings, LAYOUT, path_map)


def new(settings: Settings) -> list[str]:
    """The sentences that these settings change."""
    return [sentence for sentence in sentences(settings) if sentence not in WHOLE]


def test_what_4d_writes_by_default_is_told_whole() -> None:
    assert sentences(PLAIN) == WHOLE


DATA = "the data file /srv/app/Data/data.4DD with its log and settings"
STRUCTURE = "the structure /srv/app/Project/App.4DProject"


@pytest.mark.parametrize(
    ("data", "structure", "user", "said"),
    [
        (True, False, False, f"Saves {DATA}."),
        (False, True, False, f"Saves {STRUCTURE}."),
        (False, False, True, "Saves the user structure file."),
        (True, True, True, f"Saves {DATA}, {STRUCTURE} and the user structure file."),
        (False, False, False, "Saves neither structure nor data."),
    ],
)
def test_what_is_saved_is_told(data: bool, structure: bool, user: bool, said: str) -> None:
    content = Content(structure=structure, data=data, user_structure=user, attachments=())

    assert sentences(replace(PLAIN, content=content))[:2] == [said, "Attachments: none."]


def test_a_structure_that_is_not_known_is_told_by_its_folder() -> None:
    content = Content(data=False, structure=True, user_structure=False, attachments=())
    layout = replace(LAYOUT, structure=None)

    assert explain_settings(replace(PLAIN, content=content), layout)[0] == (
        "Saves the structure in /srv/app."
    )


def test_attachments_are_told_by_where_they_are() -> None:
    paths = tuple(parse_path(raw) for raw in ("./a", "C:\\x\\a", "C:\\y\\", "/../../b"))
    content = replace(PLAIN.content, attachments=paths)
    known = PathMap((("C:\\x", "/mnt/x"),))

    places = sentences(replace(PLAIN, content=content), known)[1]

    assert places.startswith("Attachments: /srv/app/a, /mnt/x/a, C:\\y\\ (not usable: 'C:\\y\\' is")
    assert ", /../../b (not usable: " in places
    assert places.endswith(").")


def test_the_destination_is_told_by_where_it_is() -> None:
    changed = replace(PLAIN, destination=parse_path("../sets/"))

    assert new(changed) == ["Sets go to /srv/sets."]


def test_without_a_schedule_somebody_must_start_them() -> None:
    assert new(replace(PLAIN, schedule=Never())) == [
        "Backups are made only when somebody starts them (Frequency is Never)."
    ]


def test_only_changed_data_is_told_with_the_schedule() -> None:
    changed = replace(PLAIN, schedule=Daily(2, time(3, 4, 5)), only_if_changed=True)

    assert new(changed) == [
        "Backups run every 2 days at 03:04:05, only if the data changed since the last set."
    ]


@pytest.mark.parametrize(
    ("retry", "said"),
    [
        (RetryAtNextSlot(), "A failed backup is not retried; the next scheduled one follows."),
        (
            RetryOnce(timedelta(hours=2, seconds=1)),
            "A failed backup is retried once, after 2 hours and 1 second.",
        ),
        (RetryOnce(timedelta(0)), "A failed backup is retried once, after 0 seconds."),
        (
            RetryOnce(timedelta(hours=1, minutes=2, seconds=3)),
            "A failed backup is retried once, after 1 hour, 2 minutes and 3 seconds.",
        ),
        (
            RetryUpTo(timedelta(minutes=1), 1),
            "After 1 attempt without success automatic backups stop (error 1401).",
        ),
        (
            RetryUpTo(timedelta(minutes=10), 5),
            (
                "After 5 attempts, 10 minutes apart without success automatic backups stop"
                " (error 1401)."
            ),
        ),
    ],
)
def test_what_follows_a_failure_is_told(retry: RetryPolicy, said: str) -> None:
    assert new(replace(PLAIN, retry=retry)) == [said]


@pytest.mark.parametrize(
    ("rotation", "said"),
    [
        (KeepAll(), "All sets are kept; none is ever removed."),
        (
            KeepLast(1, erase_before=False),
            "The last set is kept; the oldest is removed after a new one is verified.",
        ),
        (
            KeepLast(2, erase_before=True),
            "The last 2 sets are kept; the oldest is removed before a new one is written.",
        ),
    ],
)
def test_what_becomes_of_old_sets_is_told(rotation: Rotation, said: str) -> None:
    assert new(replace(PLAIN, rotation=rotation)) == [said]


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (CompressionRate.NONE, "Archives are not compressed."),
        (CompressionRate.COMPACT, "Archives are compressed as small as possible."),
    ],
)
def test_the_rate_of_compression_is_told(rate: CompressionRate, said: str) -> None:
    assert new(replace(PLAIN, compression=rate)) == [said]


def test_segments_and_checks_are_told() -> None:
    changed = replace(PLAIN, segment_bytes=650 << 20, check_archive=False, verbose_journal=False)

    assert new(changed) == [
        "Archives are written in segments of 650 MB.",
        "Archives are not read back and compared after writing.",
        "The Backup journal says only start dates and errors.",
    ]


def test_waiting_for_a_quiet_moment_is_told() -> None:
    waits = settings_of(
        {
            "Scheduler/Frequency": "Daily",
            "Advanced/Transaction/WaitForEndOfTransaction": "True",
            "Advanced/Transaction/Timeout": "00:03:00",
        }
    )

    assert new(waits) == [
        "A backup waits up to 3 minutes for a quiet moment (error 1405 after that)."
    ]
