"""Data file and index are of one moment: written to between the readings of the two, both are read again."""

from pathlib import Path

import pytest

from engine.errors import SourceNeverQuietError
from engine.host import HostClock
from engine.progress import Progress
from tests.engine.stories import FRAME, INDEX, TIMEOUT, App, make_app, restored, verified

SIZES = [3000, 2 * FRAME + 5]


class Flush:
    """Writes to data file and index when the data file, and not yet the index, was read; `times` times at most."""

    def __init__(self, app: App, size: int, times: int = 1) -> None:
        self.app, self.size, self.times, self.done = app, size, times, 0
        self._seen = 0

    def __call__(self, progress: Progress) -> None:
        if progress.phase != "saving":
            return
        if self.done < self.times and progress.done - self._seen >= self.size:
            self.done += 1
            state = bytes([ord("a") + self.done % 20])
            for file in (self.app.data_file, self.app.data_file.with_suffix(".4DIndx")):
                file.write_bytes(state * file.stat().st_size)
            # what was read is read again, and counted again
            self._seen = progress.done


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("listed", [INDEX, "./Data/"])
def test_data_and_index_are_of_one_moment(tmp_path: Path, listed: str, size: int) -> None:
    app = make_app(tmp_path, attachments=(listed,), data=b"a" * size, clock=HostClock())
    flush = Flush(app, size)

    folder = app.backup_set(report=flush)

    assert flush.done == 1
    assert verified(folder).good
    restored(folder, tmp_path / "back")
    data, index = (tmp_path / "back" / "Data" / f"data.{kind}" for kind in ("4DD", "4DIndx"))
    assert set(data.read_bytes()) == set(index.read_bytes()) == {ord("b")}
    assert (tmp_path / "back" / "Project" / "App.4DProject").read_bytes() == b"{}"


def test_files_that_never_stand_still_together_end_in_error_1405(tmp_path: Path) -> None:
    app = make_app(tmp_path, {TIMEOUT: "00:00:01"}, data=b"a" * 3000, clock=HostClock())

    with pytest.raises(SourceNeverQuietError, match=r"data\.4D(D|Indx) changed"):
        app.backup(report=Flush(app, 3000, times=10**6))

    assert app.sets() == app.hidden() == []


def test_an_attachment_elsewhere_may_change_meanwhile(tmp_path: Path) -> None:
    """Only what lies beside the data file under its name belongs to it."""
    app = make_app(tmp_path, {TIMEOUT: "00:00:05"}, attachments=("./other/",), clock=HostClock())
    other = app.package / "other" / "data.4DIndx"
    other.parent.mkdir()
    other.write_bytes(b"x")

    def touch(progress: Progress) -> None:
        if progress.phase == "saving" and progress.done == 3000:
            other.write_bytes(b"y")

    folder = app.backup_set(report=touch)

    restored(folder, tmp_path / "back")
    assert (tmp_path / "back" / "other" / "data.4DIndx").read_bytes() == b"y"
