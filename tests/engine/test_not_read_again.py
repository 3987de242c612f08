"""A large file nobody wrote to since the set before is not read again, whatever its time says."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import sourcefile
from engine.host import HostClock
from engine.manifest import read_manifest
from tests.engine.reuse_stories import (
    SIZE,
    assert_whole,
    counting,
    overwrite,
)
from tests.engine.stories import (
    CHECK,
    FRAME,
    ONLY_IF_CHANGED,
    App,
    main_archive,
    make_app,
    patterned,
    restored,
)


def settled_app(folder: Path, changes: dict[str, str] | None = None) -> App:
    """On the clock of this machine: only there can a file be older than the backup."""
    app = make_app(folder, changes, data=patterned(SIZE), clock=HostClock())
    (app.package / "Data" / "data.4DIndx").write_bytes(patterned(2 * FRAME, 7))
    return app


@contextmanager
def watching_reads() -> Iterator[set[str]]:
    """Which files larger than a frame were read."""
    seen: set[str] = set()
    original = sourcefile.fill

    def fill(descriptor: int, block: memoryview, offset: int) -> bool:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if not name.endswith(".journal"):  # the log is always read
            seen.add(name)
        return original(descriptor, block, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.footprint.fill", fill)
        yield seen


@pytest.mark.parametrize("check", ["True", "False"])
def test_a_file_nobody_wrote_to_is_not_read_again(tmp_path: Path, check: str) -> None:
    app = settled_app(tmp_path, {CHECK: check})
    first = app.backup_set()
    overwrite(app.package / "Data" / "data.4DIndx", 5, b"one key more")

    with watching_reads() as read, counting() as compressed:
        folder = app.backup_set()
    shutil.rmtree(first)

    assert read == {"data.4DIndx"}
    assert sum(length >= FRAME for length in compressed) == 1
    assert_whole(folder, app, tmp_path / "back")


@pytest.mark.parametrize("what", ["written", "replaced", "copied over"])
def test_a_file_that_was_written_to_is_read_whatever_its_time_says(
    tmp_path: Path, what: str
) -> None:
    """Programs set the mtime back (cp -p, rsync, an unpacked archive); nobody can set the ctime."""
    app = settled_app(tmp_path)
    app.backup_set()
    facts = app.data_file.stat()
    if what == "written":
        overwrite(app.data_file, 2 * FRAME, b"changed, with its old time")
    elif what == "replaced":
        other = tmp_path / "other"
        other.write_bytes(patterned(SIZE, 99))
        other.rename(app.data_file)
    else:
        app.data_file.write_bytes(patterned(SIZE, 99))
    os.utime(app.data_file, ns=(facts.st_mtime_ns, facts.st_mtime_ns))

    folder = app.backup_set()

    assert_whole(folder, app, tmp_path / "back")


def test_a_file_with_holes_nobody_wrote_to_keeps_them(tmp_path: Path) -> None:
    app = settled_app(tmp_path)
    with app.data_file.open("r+b") as stream:
        stream.truncate(40 * FRAME)
        stream.seek(30 * FRAME + 10)
        stream.write(patterned(FRAME, 3))
    app.backup_set()

    with watching_reads() as read:
        folder = app.backup_set()

    assert read == set()
    assert_whole(folder, app, tmp_path / "back")
    assert (tmp_path / "back" / "Data" / "data.4DD").stat().st_blocks * 512 < 20 * FRAME


def test_damage_in_the_set_before_makes_the_file_be_read(tmp_path: Path) -> None:
    app = settled_app(tmp_path)
    first = app.backup_set()
    table = read_manifest(first).archives[0].frames
    overwrite(main_archive(first), table.frame(4).offset + 200, b"damage")

    with watching_reads() as read, counting() as compressed:
        folder = app.backup_set()

    assert read == {"data.4DD"}
    assert sum(length >= FRAME for length in compressed) == 1
    assert_whole(folder, app, tmp_path / "back")
    assert "frames are damaged there and were not taken over" in app.journal()


@pytest.mark.parametrize("harm", ["no SHA256SUMS", "a digest in the manifest"])
def test_a_manifest_that_nothing_vouches_for_is_not_believed(tmp_path: Path, harm: str) -> None:
    app = settled_app(tmp_path)
    first = app.backup_set()
    if harm == "no SHA256SUMS":
        (first / "SHA256SUMS").unlink()
    else:
        manifest = first / "manifest.json"
        text = manifest.read_text()
        at = text.rindex('"blake3":"', 0, text.index('"seen"')) + len('"blake3":"')
        manifest.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :])

    with watching_reads() as read:
        folder = app.backup_set()

    assert read == {"data.4DD", "data.4DIndx"}
    assert_whole(folder, app, tmp_path / "back")


def test_attributes_that_changed_alone_are_those_of_now(tmp_path: Path) -> None:
    app = settled_app(tmp_path)
    app.backup_set()
    app.data_file.chmod(0o600)

    folder = app.backup_set()

    restored(folder, tmp_path / "back")
    assert (tmp_path / "back" / "Data" / "data.4DD").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("what", "made"), [("nothing", False), ("written", True)])
def test_a_change_under_its_old_time_is_a_change_for_backup_if_data_change(
    tmp_path: Path, what: str, made: bool
) -> None:
    app = settled_app(tmp_path, {ONLY_IF_CHANGED: "True"})
    app.backup_set()
    facts = app.data_file.stat()
    if what == "written":
        overwrite(app.data_file, FRAME, b"changed")
        os.utime(app.data_file, ns=(facts.st_mtime_ns, facts.st_mtime_ns))

    outcome = app.backup(scheduled=app.clock.now())

    assert (outcome.folder is not None) == made
