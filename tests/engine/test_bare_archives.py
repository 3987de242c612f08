"""Restoring from archive files alone: all that a tar can say comes back, or it is said why not."""

import os
import shutil
from pathlib import Path

import pytest

from engine.barearchive import bare_source
from engine.errors import DamagedError, MissingSetError, RestoreError
from engine.progress import silent
from engine.restore import Restored, restore_source
from engine.setsource import open_set
from engine.stop import StopRequest
from tests.engine.damage_stories import save, without
from tests.engine.hostile_archives import change_manifest
from tests.engine.oddities import make_oddities
from tests.engine.stories import (
    COMPRESSION,
    SEGMENT,
    Facts,
    make_app,
    patterned,
    restored,
    tree,
)


def bare_restored(folder: Path, target: Path, only: str | None = None) -> Restored:
    stop = StopRequest()
    with bare_source(folder, only, target.parent, workers=2, stop=stop, report=silent) as source:
        return restore_source(source, target, workers=2, stop=stop, report=silent)


def without_log(found: dict[bytes, Facts]) -> dict[bytes, Facts]:
    return {path: facts for path, facts in found.items() if path != b"Data/data.journal"}


@pytest.mark.parametrize("changes", [{COMPRESSION: "Fast"}, {SEGMENT: "1"}, {COMPRESSION: "None"}])
def test_archives_alone_bring_back_what_the_manifest_does(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    app = make_app(tmp_path, changes, data=patterned(2_500_000))
    make_oddities(app.package / "Project" / "oddities")
    folder = app.backup_set()
    restored(folder, tmp_path / "by manifest")
    (folder / "manifest.json").unlink()

    result = bare_restored(folder, tmp_path / "bare")

    wanted = tree(tmp_path / "by manifest")
    assert without_log(tree(tmp_path / "bare")) == without_log(wanted)
    content = (tmp_path / "bare" / "Data" / "data.journal").read_bytes()
    assert content == app.log.read_bytes()
    assert any("has the checksum that SHA256SUMS says" in note for note in result.notes)


def test_one_archive_file_anywhere_is_enough(tmp_path: Path) -> None:
    saved = save(tmp_path, "zstd")
    (tmp_path / "stick").mkdir()
    shutil.copy(saved.folder / "data[0001].tar.zst", tmp_path / "stick")

    result = bare_restored(tmp_path / "stick", tmp_path / "back", "data[0001].tar.zst")

    assert without_log(tree(tmp_path / "back")) == without_log(saved.expected)
    assert any("there is no SHA256SUMS" in note for note in result.notes)
    assert result.number == 1


def test_the_log_archive_alone_gives_the_log(tmp_path: Path) -> None:
    saved = save(tmp_path, "zstd")

    bare_restored(saved.folder, tmp_path / "back", "data[0000].journal.zst")

    assert (tmp_path / "back/Data/data.journal").read_bytes() == saved.app.log.read_bytes()


def test_an_archive_without_any_checksum_is_not_called_good(tmp_path: Path) -> None:
    saved = save(tmp_path, "uncompressed")
    copy = saved.copy_to(tmp_path / "copy")
    without(copy, "bare")

    with pytest.raises(RestoreError, match="holds no checksums: nothing of it could be compared"):
        bare_restored(copy, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_what_lies_beside_and_is_no_file_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data[0001].tar.zst")
    (tmp_path / "data[0002].tar.zst").mkdir()
    (tmp_path / "data[0003].tar.zst").symlink_to("/dev/zero")

    with pytest.raises(MissingSetError, match="no archive"):
        bare_restored(tmp_path, tmp_path / "back")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "Data/other.4DD"),
        ("mode", "0666"),
        ("uid", 4711),
        ("mtime_ns", 1),
        ("link", "elsewhere"),
    ],
)
def test_a_manifest_that_nothing_vouches_for_must_say_what_the_archive_says(
    tmp_path: Path, key: str, value: object
) -> None:
    saved = save(tmp_path, "zstd")
    copy = saved.copy_to(tmp_path / "copy")
    path = "Project/link" if key == "link" else "Data/data.4DD"

    def change(document: dict[str, list[dict[str, object]]]) -> None:
        next(row for row in document["members"] if row.get("path") == path)[key] = value

    change_manifest(copy, change)
    (copy / "SHA256SUMS").unlink()

    with pytest.raises(DamagedError, match="does not agree with the archive"):
        open_set(copy)


def test_a_set_without_checksums_is_restored_and_says_so(tmp_path: Path) -> None:
    saved = save(tmp_path, "zstd")
    copy = saved.copy_to(tmp_path / "copy")
    without(copy, "no checksums")

    result = restored(copy, tmp_path / "back")

    assert tree(tmp_path / "back") == saved.expected
    assert "SHA256SUMS is missing" in result.notes[0]
