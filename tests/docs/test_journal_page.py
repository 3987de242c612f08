"""docs/journal-and-history.md shows what the program really writes: every title, label and key."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.outcomes import Failed
from tests.docs.pages import backup4d, make_application, page
from tests.engine.stream_stories import renew, shipping_app, stream_of, streamer
from tests.scheduler.served_stories import (
    LIMITED_XML,
    NEXT_SLOT,
    Story,
    break_settings,
    reconfigure,
    watched,
)

PAGE = "journal-and-history.md"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application with a complete set, a partial one, a failure, a restore, drills, good and bad verifications."""
    folder = tmp_path_factory.mktemp("journal")
    package = make_application(folder)
    settings = package / "Settings" / "backup.4DSettings"
    backup4d("backup", package, folder=folder)
    text = settings.read_text()
    settings.write_text(text.replace("./Resources/", "./Nowhere/"))
    backup4d("backup", package, folder=folder)
    settings.write_text(text)
    (package / "Data" / "data.4DD").rename(folder / "data.4DD")
    backup4d("backup", package, folder=folder)
    (folder / "data.4DD").rename(package / "Data" / "data.4DD")
    backup4d("restore", package, "--to", folder / "restored", folder=folder)
    (folder / "scratch").mkdir()
    for check in ("/bin/true", "/bin/false"):
        backup4d("drill", package, "--scratch", folder / "scratch", "--check", check, folder=folder)
    (folder / "backups" / "data[0002]" / "data[0001].journal.zst").unlink()
    backup4d("verify", package, folder=folder)
    return folder


def journal(folder: Path) -> str:
    return (folder / "Invoices" / "Logs" / "Backup Journal[001].txt").read_text("utf-8")


def beginnings(text: str) -> set[str]:
    """How the lines of entries begin, up to their values."""
    lines = [line for line in text.splitlines() if line and not line.startswith("\t")]
    return {re.split(r" ?: | \d", line)[0] for line in lines}


def test_every_line_of_the_journal_begins_as_the_page_shows(told: Path) -> None:
    found = beginnings(journal(told))

    assert len(found) > 10
    assert {beginning for beginning in found if beginning not in page(PAGE)} == set()


def caught_up(story: Story) -> None:
    story.restart().begins("13 09:00")


def halted(story: Story) -> None:
    story.fails("11 02:30")
    story.fails("11 02:31")
    story.look("12 02:30")


def missed(story: Story) -> None:
    story.restart().look("13 09:00")


def met_another(story: Story) -> None:
    story.runs("11 02:30", Failed(1417, 6, "a backup cannot start: a backup is running", "wait"))


def refused_and_mended(story: Story) -> None:
    break_settings(story)
    story.look("10 12:01")
    reconfigure(story, {})
    story.look("10 12:02")
    reconfigure(story, LIMITED_XML)
    story.look("10 12:03")


def forgotten(story: Story) -> None:
    story.state_file.write_text("")
    story.restart().look("10 12:01")


@pytest.mark.parametrize(
    ("happens", "changes"),
    [
        (caught_up, {}),
        (halted, LIMITED_XML),
        (missed, {NEXT_SLOT: "True"}),
        (met_another, {}),
        (refused_and_mended, {}),
        (forgotten, {}),
    ],
)
def test_every_line_of_the_service_begins_as_the_page_shows(
    happens: Callable[[Story], None], changes: dict[str, str], tmp_path: Path
) -> None:
    story = watched(tmp_path, changes)

    happens(story)

    found = beginnings(story.app.journal())
    assert found
    assert {beginning for beginning in found if beginning not in page(PAGE)} == set()


def test_every_line_about_a_shipped_log_begins_as_the_page_shows(tmp_path: Path) -> None:
    app = shipping_app(tmp_path)
    events: list[str] = []
    one = streamer(app)
    one.look()
    with (stream_of(app) / "0001.journal").open("ab") as stream:
        stream.write(b"left by a crash")
    for number in range(5):
        one = streamer(app)
        one.look()
        if not number:
            renew(app, 10)
            one.look()
        app.backup()
        events += one.take_events()
    one.let_go()

    assert len(events) == 3
    told = page(PAGE)
    assert [event for event in events if re.split(r" ?: | \d", event)[0] not in told] == []
    for words in ("Held :", "Until it goes on, new operations are in the application's log alone"):
        assert words in told


def test_every_key_of_the_history_is_on_the_page(told: Path) -> None:
    document = json.loads((told / "backups" / "backupHistory.json").read_text("utf-8"))
    rows: list[dict[str, Any]] = [row for rows in document.values() for row in rows]

    keys = {key for row in rows for key in row}

    assert {"backupNumber", "event", "set", "error"} <= keys
    assert "drill" in {row.get("event") for row in rows}
    assert {key for key in keys if f"`{key}`" not in page(PAGE)} == set()


def test_the_example_of_the_history_is_json() -> None:
    example = re.search(r"```json\n(.*?)```", page(PAGE), re.DOTALL)

    assert example is not None
    assert set(json.loads(example[1])) == {
        "/srv/4d/Invoices/Project/Invoices.4DProject",
        "backup4d",
    }
