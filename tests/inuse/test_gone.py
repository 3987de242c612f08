"""Another process replaces, deletes or closes a file while it is read: a whole copy or a clear failure, never a torn one."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.host import HostClock
from engine.progress import Progress
from tests.engine.elsewhere import as_ordinary_user
from tests.engine.stories import FRAME, TIMEOUT, make_app, restored, verified

SIZES = [3000, 3 * FRAME + 17]
ACTS = {
    "replaced": 'tr a b < "$1" > "$1.new" && mv "$1.new" "$1"',
    "deleted": 'rm "$1"',
    "closed": 'chmod 000 "$1"',
    "truncated": 'truncate -s 100 "$1"',
}


def story_of(folder: Path, act: str, size: int) -> dict[str, Any]:
    """A backup of an application whose data file somebody else does something to while it is read."""
    app = make_app(folder, {TIMEOUT: "00:00:03"}, data=b"a" * size, clock=HostClock())
    acted: list[int] = []

    def interfere(progress: Progress) -> None:
        if progress.phase == "saving" and not acted:
            acted.append(progress.done)
            subprocess.run(["sh", "-c", ACTS[act], "sh", app.data_file], check=True, timeout=30)

    try:
        folder_of_set = app.backup_set(report=interfere)
    except EngineError as error:
        return {"acted": len(acted), "error": str(error), "sets": app.sets(), "left": app.hidden()}
    restored(folder_of_set, folder / "back")
    content = (folder / "back" / "Data" / "data.4DD").read_bytes()
    return {
        "acted": len(acted),
        "good": verified(folder_of_set).good,
        "content": sorted({chr(one) for one in content}),
        "size": len(content),
    }


@pytest.mark.parametrize("size", SIZES)
def test_a_replaced_file_is_saved_as_it_is_now(tmp_path: Path, size: int) -> None:
    seen = story_of(tmp_path, "replaced", size)

    assert seen == {"acted": 1, "good": True, "content": ["b"], "size": size}


@pytest.mark.parametrize("size", SIZES)
def test_a_truncated_file_is_saved_as_it_is_now(tmp_path: Path, size: int) -> None:
    seen = story_of(tmp_path, "truncated", size)

    assert seen == {"acted": 1, "good": True, "content": ["a"], "size": 100}


@pytest.mark.parametrize("size", SIZES)
def test_a_data_file_that_was_deleted_fails_the_backup(tmp_path: Path, size: int) -> None:
    seen = story_of(tmp_path, "deleted", size)

    assert seen["acted"] == 1
    assert "data.4DD" in seen["error"]
    assert (seen["sets"], seen["left"]) == ([], [])


def story_closed_small(folder: Path) -> dict[str, Any]:
    return story_of(folder, "closed", SIZES[0])


def story_closed_large(folder: Path) -> dict[str, Any]:
    return story_of(folder, "closed", SIZES[1])


@pytest.mark.parametrize("story", [story_closed_small, story_closed_large])
def test_a_data_file_that_may_not_be_read_any_more_fails_the_backup(story: Any) -> None:
    seen = as_ordinary_user(story)

    assert seen["acted"] == 1
    assert "data.4DD cannot be read: Permission denied" in seen["error"]
    assert (seen["sets"], seen["left"]) == ([], [])
