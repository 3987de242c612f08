"""A file that is written to through a mapping, which moves no time stamp by itself, is never published torn."""

import os
from pathlib import Path
from typing import Any

import pytest

import engine.archiver
import engine.together
from engine.errors import Code, SourceNeverQuietError
from engine.host import HostClock
from tests.engine.stories import COMPRESSION, TIMEOUT, make_app, restored
from tests.inuse.disks import on_a_disk
from tests.inuse.stamps import PAGE, is_instant, new_file, written_to

SLOW_DISKS = [("xfs", "rw"), ("btrfs", "rw"), ("btrfs", "compress-force=zstd")]
DISKS = [("ext4", "rw"), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW_DISKS)]


def story_of_a_mapping(folder: Path, pages: str, attempts: str, cleaned: str) -> dict[str, Any]:
    """Backups of an application whose data file is written to through a mapping all the time."""
    if cleaned == "no":
        for module in (engine.archiver, engine.together):
            vars(module)["make_clean"] = lambda *_: None
    changes = {TIMEOUT: "00:00:01", COMPRESSION: "None"}
    app = make_app(folder, changes, clock=HostClock())
    new_file(app.data_file, int(pages))
    os.link(app.data_file, folder / "second name")  # what has two names is not cloned
    told: dict[str, Any] = {"codes": [], "torn": 0, "whole": 0}
    with written_to(app.data_file, "mapped", told):
        for at in range(int(attempts)):
            try:
                back = folder / f"back{at}"
                restored(app.backup_set(), back)
            except SourceNeverQuietError as error:
                told["codes"].append(int(error.code))
            else:
                content = (back / "Data" / "data.4DD").read_bytes()
                told["whole" if is_instant(content) else "torn"] += 1
    return told


@pytest.mark.root
@pytest.mark.parametrize("pages", [pytest.param(100, marks=pytest.mark.slow), 2000])
@pytest.mark.parametrize(("system", "options"), DISKS)
def test_a_mapped_file_is_not_published_torn(system: str, options: str, pages: int) -> None:
    seen = on_a_disk(system, story_of_a_mapping, str(pages), "1", "yes", options=options)

    assert seen["states"] > 100
    assert seen["torn"] == 0
    assert set(seen["codes"]) <= {Code.SOURCE_NEVER_QUIET}
    assert len(seen["codes"]) + seen["whole"] == 1


@pytest.mark.root
@pytest.mark.parametrize(("system", "options"), DISKS)
def test_without_clean_pages_it_would_be(system: str, options: str) -> None:
    """The writer shows what it is there to show: time stamps alone do not tell of it."""
    seen = on_a_disk(system, story_of_a_mapping, "2000", "3", "no", options=options)

    assert seen["torn"] > 0


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("system", "options"), DISKS)
def test_a_mapped_file_is_never_published_torn(system: str, options: str) -> None:
    seen = on_a_disk(system, story_of_a_mapping, "2000", "40", "yes", options=options, minutes=8)

    print(f"\nmapped writer on {system} ({options}): {seen}")
    assert seen["torn"] == 0


def test_only_pictures_of_an_instant_are_taken_for_one() -> None:
    def content(*states: int) -> bytes:
        return b"".join((b"head%012d" % state).ljust(PAGE, b"\0") for state in states)

    assert is_instant(content(2, 2, 2))
    assert is_instant(content(3, 3, 2))
    assert not is_instant(content(2, 3, 2))
    assert not is_instant(content(2, 2, 3))
    assert not is_instant(content(4, 2, 2))
