"""Whatever goes wrong: the number 4D would give, the exit code, the words of the journal, and nothing half-made."""

import fcntl
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.errors import (
    BusyError,
    Code,
    DamagedError,
    DestinationError,
    EngineError,
    Exit,
    NoRoomError,
    RefusedError,
    SourceError,
    StoppedError,
)
from engine.lock import DATABASE_LOCK, DESTINATION_LOCK, current_holder, holding, read_memory
from engine.progress import Progress
from engine.stop import StopRequest
from settings.paths import PathMap
from tests.engine.elsewhere import as_ordinary_user, on_a_small_disk
from tests.engine.stories import (
    CHECK,
    COMPRESSION,
    DATA,
    DESTINATION,
    INDEX,
    KEEP,
    ONLY_IF_CHANGED,
    STRUCTURE,
    App,
    make_app,
    pass_a_day,
    patterned,
    restored,
    verified,
)
from tests.fakes import StoryClock


def failing(app: App, **how: Any) -> EngineError:
    """Run a backup that fails, and return why; nothing of it may be seen, old sets stay."""
    before = app.sets() if app.destination.is_dir() else []
    with pytest.raises(EngineError) as caught:
        app.backup(**how)
    if app.destination.is_dir():
        assert app.sets() == before
        assert app.hidden() == []
    entry = app.journal().rpartition("*** ")[2]
    assert entry.startswith("Full Backup aborted\n")
    assert f"Error reported : {int(caught.value.code)} " in entry
    if caught.value.hint:
        assert "\nHint : " in entry
    return caught.value


# --- sources --------------------------------------------------------------------------------------


def test_a_missing_data_file_is_a_failure(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.backup()
    app.data_file.unlink()

    error = failing(app)

    assert isinstance(error, SourceError)
    assert (error.code, error.exit_code) == (Code.BACKUP_FAILED, Exit.FAILED)
    assert str(error) == f"the data file {app.data_file} is missing"
    assert "no old set was removed" in error.hint


def test_a_data_file_that_is_a_link_to_nothing_is_missing(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.data_file.unlink()
    app.data_file.symlink_to(tmp_path / "not mounted" / "data.4DD")
    app = App(app.package, app.destination, app.clock)

    error = failing(app)

    assert isinstance(error, SourceError)
    assert "data.4DD" in str(error)


def test_a_data_file_that_is_a_link_is_saved_as_what_it_leads_to(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.data_file.rename(tmp_path / "elsewhere.4DD")
    app.data_file.symlink_to(tmp_path / "elsewhere.4DD")

    restored(app.backup_set(), tmp_path / "back")

    back = tmp_path / "back" / "Data" / "data.4DD"
    assert not back.is_symlink()
    assert back.read_bytes() == patterned(3000)


def test_a_missing_attachment_makes_a_partial_set(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=(INDEX, "./letters/", "C:\\letters\\b.txt"))

    outcome = app.backup()

    assert outcome.facts is not None
    assert not outcome.facts.complete
    assert outcome.facts.missing == (str(app.package / "letters"), "C:\\letters\\b.txt")
    assert "Error reported : 1409 partial backup: 2 of the listed files" in app.journal()
    assert f"\t{app.package}/letters [NOT FOUND]\n" in app.journal()
    assert "\tC:\\letters\\b.txt [NOT FOUND]\n" in app.journal()
    assert app.records()[0]["status"] == 1409
    assert outcome.folder is not None
    assert verified(outcome.folder).good


@pytest.mark.parametrize("name", ["data.4DIndx", "data.4DSyncData", "DATA.4DSYNCHEADER"])
def test_a_missing_index_is_told_and_the_set_is_complete(tmp_path: Path, name: str) -> None:
    app = make_app(tmp_path, attachments=(f"./Data/{name}",))
    (app.package / "Data" / "data.4DIndx").unlink()

    outcome = app.backup()

    assert outcome.facts is not None
    assert outcome.facts.complete
    assert f"/Data/{name} [NOT FOUND]\n" in app.journal()
    assert "Error reported" not in app.journal()
    assert app.records()[0]["status"] == 0
    assert app.records()[0]["attachments"][0]["found"] is False


def test_settings_that_select_nothing_are_refused(tmp_path: Path) -> None:
    app = make_app(tmp_path, {DATA: "False", STRUCTURE: "False"}, attachments=())

    error = failing(app)

    assert isinstance(error, RefusedError)
    assert error.exit_code is Exit.REFUSED
    assert "selects nothing to save" in str(error)
    assert "IncludeDataFile" in error.hint


def test_a_set_with_nothing_in_it_is_not_made(tmp_path: Path) -> None:
    """Only attachments are asked for, and none of them is there."""
    app = make_app(tmp_path, {DATA: "False", STRUCTURE: "False"}, attachments=("./not there/",))

    error = failing(app)

    assert isinstance(error, SourceError)
    assert "nothing" in str(error)


def test_attachments_alone_make_a_set(tmp_path: Path) -> None:
    app = make_app(tmp_path, {DATA: "False", STRUCTURE: "False"}, attachments=("./docs",))
    (app.package / "docs").mkdir()
    (app.package / "docs" / "a").write_bytes(b"a")

    restored(app.backup_set(), tmp_path / "back")

    assert [p.name for p in (tmp_path / "back").iterdir()] == ["docs"]


@pytest.mark.parametrize("rate", ["None", "Fast"])
def test_an_empty_log_is_saved_and_found_good(tmp_path: Path, rate: str) -> None:
    app = make_app(tmp_path, {COMPRESSION: rate})
    app.log.write_bytes(b"")

    folder = app.backup_set()

    assert verified(folder).good
    restored(folder, tmp_path / "back")
    assert (tmp_path / "back" / "Data" / "data.journal").read_bytes() == b""


def test_without_a_log_there_is_none_in_the_set(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.log.unlink()

    folder = app.backup_set()

    assert not any("journal" in p.name for p in folder.iterdir())
    assert verified(folder).good


def test_special_files_are_left_out_and_named(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./docs",))
    (app.package / "docs").mkdir()
    os.mkfifo(app.package / "docs" / "pipe")
    (app.package / "docs" / "letter").write_bytes(b"x")

    outcome = app.backup()

    assert outcome.facts is not None
    assert outcome.facts.complete
    assert outcome.facts.left_out == (("docs/pipe", "a FIFO"),)
    assert "Left out : docs/pipe (a FIFO)" in app.journal()


def test_links_in_attachments_are_never_followed(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./docs", "./shortcut"))
    (app.package / "docs").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"x")
    (app.package / "docs" / "link").symlink_to(tmp_path / "secret")
    (app.package / "shortcut").symlink_to(tmp_path / "secret")

    restored(app.backup_set(), tmp_path / "back")

    assert (tmp_path / "back" / "docs" / "link").readlink() == tmp_path / "secret"
    assert (tmp_path / "back" / "shortcut").readlink() == tmp_path / "secret"


def test_the_sets_below_an_attachment_are_left_out_and_named(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app = App(app.package, app.package / "Backups", app.clock).configure(attachments=("./",))
    app.backup()
    (app.destination / "data[0000].4BK").write_bytes(b"4D's own")
    (app.destination / "readme.txt").write_bytes(b"kept")
    (app.package / "archive").mkdir()
    (app.package / "archive" / "data[0001]").mkdir()

    outcome = app.backup()

    assert outcome.facts is not None
    assert outcome.facts.complete
    names = {name for name, _ in outcome.facts.left_out}
    assert {"Backups/data[0001]", "Backups/data[0000].4BK"} <= names
    assert "Left out : Backups/data[0001] (" in app.journal()
    restored(app.destination / "data[0002]", tmp_path / "back")
    assert [p.name for p in (tmp_path / "back" / "Backups").iterdir()] == ["readme.txt"]
    assert (tmp_path / "back" / "archive" / "data[0001]").is_dir()


@pytest.mark.parametrize("attachment", ["./Data/data.journal", "./Data/", "./"])
def test_an_attached_log_is_saved_once(tmp_path: Path, attachment: str) -> None:
    """The log is an archive of its own; the same file twice in a set cannot be restored."""
    app = make_app(tmp_path, attachments=(attachment,))

    outcome = app.backup()

    assert outcome.folder is not None
    assert outcome.facts is not None
    assert outcome.facts.complete
    assert verified(outcome.folder).good
    restored(outcome.folder, tmp_path / "back")
    assert (tmp_path / "back" / "Data" / "data.journal").read_bytes() == patterned(900)


def test_the_package_may_be_the_destination(tmp_path: Path) -> None:
    """`./` is what 4D writes when nobody chose a folder."""
    app = make_app(tmp_path)
    app = App(app.package, app.package, app.clock).configure({DESTINATION: "./"})

    for _ in range(5):
        app.backup()
        pass_a_day(app)

    assert app.sets() == ["data[0003]", "data[0004]", "data[0005]"]


def test_a_data_file_elsewhere_comes_back_below_data(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=(str(tmp_path / "outside"),))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_bytes(b"a")

    restored(app.backup_set(), tmp_path / "back")

    outside = tmp_path / "back" / "External" / str(tmp_path / "outside").lstrip("/")
    assert (outside / "a").read_bytes() == b"a"


# --- unreadable sources, as an ordinary user --------------------------------------------------------


def unreadable_story(folder: Path, hide: Callable[[App], None], attachment: str) -> dict[str, Any]:
    """Run a backup with something hidden, and tell what came of it."""
    app = make_app(folder, attachments=(attachment,))
    docs = app.package / "docs"
    docs.mkdir()
    (docs / "a note.txt").write_bytes(b"x")
    (docs / "b").write_bytes(b"x")
    hide(app)
    try:
        outcome = app.backup()
    except EngineError as error:
        return {"error": type(error).__name__, "text": str(error), "journal": app.journal()}
    assert outcome.facts is not None
    assert outcome.folder is not None
    return {
        "complete": outcome.facts.complete,
        "skipped": outcome.facts.skipped,
        "good": verified(outcome.folder).good,
        "journal": app.journal(),
    }


def unreadable_data(folder: Path) -> dict[str, Any]:
    return unreadable_story(folder, lambda app: app.data_file.chmod(0), "./docs")


def unreadable_project(folder: Path) -> dict[str, Any]:
    return unreadable_story(
        folder, lambda app: (app.package / "Project" / "Sources").chmod(0), "./docs"
    )


def unreadable_attachment(folder: Path) -> dict[str, Any]:
    def hide(app: App) -> None:
        (app.package / "docs" / "a note.txt").chmod(0)

    return unreadable_story(folder, hide, "./docs")


def unreadable_attached_file(folder: Path) -> dict[str, Any]:
    def hide(app: App) -> None:
        (app.package / "docs" / "a note.txt").chmod(0)

    return unreadable_story(folder, hide, "./docs/a note.txt")


def unreadable_attached_folder(folder: Path) -> dict[str, Any]:
    return unreadable_story(folder, lambda app: (app.package / "docs").chmod(0), "./docs")


def folder_that_may_be_listed_but_not_entered(folder: Path) -> dict[str, Any]:
    return unreadable_story(folder, lambda app: (app.package / "docs").chmod(0o400), "./docs")


@pytest.mark.parametrize("story", [unreadable_data, unreadable_project])
def test_data_or_structure_that_cannot_be_read_is_a_failure(
    story: Callable[[Path], dict[str, Any]],
) -> None:
    seen = as_ordinary_user(story)

    assert seen["error"] == "SourceError"
    assert "cannot be read: Permission denied" in seen["text"]
    assert "Error reported : 1409 " in seen["journal"]


@pytest.mark.parametrize(
    "story",
    [
        unreadable_attachment,
        unreadable_attached_file,
        unreadable_attached_folder,
        folder_that_may_be_listed_but_not_entered,
    ],
)
def test_an_attachment_that_cannot_be_read_makes_a_partial_set(
    story: Callable[[Path], dict[str, Any]],
) -> None:
    seen = as_ordinary_user(story)

    assert seen["complete"] is False
    assert seen["good"] is True
    assert "Permission denied" in seen["skipped"][0][1]
    assert "Not saved : docs" in seen["journal"]


def unwritable_destination(folder: Path) -> dict[str, Any]:
    app = make_app(folder)
    app.destination.chmod(0o555)
    error = failing(app)
    return {"error": type(error).__name__, "text": str(error), "code": int(error.code)}


def unwritable_logs(folder: Path) -> dict[str, Any]:
    app = make_app(folder)
    (app.package / "Logs").mkdir(mode=0o555)
    try:
        app.backup()
    except EngineError as error:
        return {"error": type(error).__name__, "text": str(error), "hint": error.hint}
    return {}


def test_a_destination_this_user_may_not_write_to_is_told() -> None:
    seen = as_ordinary_user(unwritable_destination)

    assert (seen["error"], seen["code"]) == ("DestinationError", 1407)
    assert "this user may not write there" in seen["text"]


def test_a_logs_folder_this_user_may_not_write_to_is_told() -> None:
    seen = as_ordinary_user(unwritable_logs)

    assert seen["error"] == "DestinationError"
    assert "lock" in seen["text"]
    assert "must be able to write" in seen["hint"]


def read_only_tree(folder: Path) -> dict[str, Any]:
    """Folders without write permission come back, and a failed restore of them leaves nothing."""
    app = make_app(folder, attachments=("./docs",))
    inner = app.package / "docs" / "inner"
    inner.mkdir(parents=True)
    (inner / "a").write_bytes(b"a")
    inner.chmod(0o555)
    inner.parent.chmod(0o555)
    made = app.backup_set()
    restored(made, folder / "back")
    mode = oct((folder / "back" / "docs" / "inner").stat().st_mode & 0o777)
    for path in (inner, inner.parent, folder / "back/docs/inner", folder / "back/docs"):
        path.chmod(0o755)
    return {"mode": mode, "content": (folder / "back/docs/inner/a").read_text()}


def test_folders_without_write_permission_are_restored_by_an_ordinary_user() -> None:
    assert as_ordinary_user(read_only_tree) == {"mode": "0o555", "content": "a"}


# --- destination ----------------------------------------------------------------------------------


def test_a_destination_without_parent_is_a_failure(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app = App(app.package, tmp_path / "mnt" / "backups", app.clock).configure()

    error = failing(app)

    assert isinstance(error, DestinationError)
    assert (error.code, error.exit_code) == (Code.DESTINATION_NOT_VALID, Exit.FAILED)
    assert str(error).startswith(f"Destination folder can not be created : {app.destination}")
    assert "mount the volume" in error.hint
    assert not (tmp_path / "mnt").exists()


def test_the_last_component_of_the_destination_is_created(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.destination.rmdir()

    assert app.backup_set().parent == app.destination


def test_a_file_in_the_place_of_the_destination_is_a_failure(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.destination.rmdir()
    app.destination.write_bytes(b"x")

    error = failing(app)

    assert isinstance(error, DestinationError)
    assert app.destination.read_bytes() == b"x"


@pytest.mark.parametrize("path", ["C:\\Backups\\", "Macintosh HD:Backups:", "\\\\nas\\backups\\"])
def test_a_path_of_another_machine_is_refused_and_no_look_alike_made(
    tmp_path: Path, path: str
) -> None:
    app = make_app(tmp_path).configure({DESTINATION: path})
    before = sorted(p.name for p in app.package.iterdir())

    error = failing(app)

    assert isinstance(error, RefusedError)
    assert (error.code, error.exit_code) == (Code.DESTINATION_NOT_VALID, Exit.REFUSED)
    assert path in str(error)
    assert "<Map>" in error.hint
    assert sorted(p.name for p in app.package.iterdir()) == sorted({*before, "Logs"})


def test_a_mapped_path_of_another_machine_is_used(tmp_path: Path) -> None:
    app = make_app(tmp_path).configure({DESTINATION: "C:\\Backups\\App\\"})
    (tmp_path / "nas").mkdir()

    folder = app.backup_set(path_map=PathMap((("C:\\Backups\\", str(tmp_path / "nas")),)))

    assert folder == tmp_path / "nas" / "App" / "data[0001]"


def test_settings_that_are_refused_are_journaled(tmp_path: Path) -> None:
    app = make_app(tmp_path).configure({"Advanced/SetNumber/Value": "0"})

    error = failing(app)

    assert isinstance(error, RefusedError)
    assert error.exit_code is Exit.REFUSED
    assert "backup4d settings check" in error.hint
    assert app.sets() == []


class StopThatReplaces(StopRequest):
    """Looked at before publishing, it puts another folder in the place of the destination."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self.app = app

    def check(self) -> None:
        here = self.app.destination
        for staging in here.glob(".backup4d-staging-*"):
            if (staging / "SHA256SUMS").exists():
                here.rename(here.with_name("unmounted"))
                here.mkdir()


def test_a_destination_replaced_during_the_run_gets_no_set(tmp_path: Path) -> None:
    """What was mounted when the run began is gone: the set must not appear in the folder below."""
    app = make_app(tmp_path)

    error = failing(app, stop=StopThatReplaces(app))

    assert isinstance(error, DestinationError)
    assert "is not the folder it was when the backup began" in str(error)
    assert not list(app.destination.with_name("unmounted").glob(".backup4d-staging-*"))


def test_a_volume_that_was_there_and_is_not_mounted_is_a_failure(tmp_path: Path) -> None:
    other = Path("/dev/shm")  # noqa: S108 - another file system than the temporary folder's
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system on this machine")
    with tempfile.TemporaryDirectory(dir=other) as volume:
        app = make_app(tmp_path)
        app.destination.rmdir()
        app.destination.symlink_to(volume)
        app.backup()
        assert read_memory(app.package / "Logs" / DATABASE_LOCK)["separate"] is True
        app.destination.unlink()
        app.destination.mkdir()

        error = failing(app)

    assert isinstance(error, DestinationError)
    assert "is not mounted" in str(error)
    assert app.sets() == []


def full_from_the_start(folder: Path) -> dict[str, Any]:
    app = make_app(folder, data=patterned(3 << 20))
    app = App(app.package, folder / "disk" / "backups", app.clock).configure()
    app.destination.mkdir()
    error = failing(app)
    left = [p.name for p in app.destination.iterdir() if p.suffix != ".json"]
    return {"error": type(error).__name__, "text": str(error), "hint": error.hint, "left": left}


def full_while_writing(folder: Path) -> dict[str, Any]:
    """A set that compressed well makes the next estimate too small."""
    app = make_app(folder, data=b"\x01" * (3 << 20))
    app = App(app.package, folder / "disk" / "backups", app.clock).configure()
    app.destination.mkdir()
    app.backup()
    noise = random.Random(1).randbytes(6 << 20)
    app.data_file.write_bytes(noise)
    error = failing(app)
    good = verified(app.destination / "data[0001]").good
    shutil.copyfile(folder / "app" / "Project" / "App.4DProject", app.data_file)
    again = app.backup()
    return {
        "error": type(error).__name__,
        "text": str(error),
        "good": good,
        "sets": app.sets(),
        "again": again.folder is not None,
        "events": [row["status"] for row in app.history()["backup4d"]],
    }


def read_only_disk(folder: Path) -> dict[str, Any]:
    app = make_app(folder)
    app = App(app.package, folder / "disk" / "backups", app.clock).configure()
    app.destination.mkdir()
    app.backup()
    subprocess.run(["mount", "-o", "remount,ro", folder / "disk"], check=True)
    error = failing(app)
    good = verified(app.destination / "data[0001]").good
    return {"error": type(error).__name__, "text": str(error), "code": error.code, "good": good}


def test_too_little_room_is_found_before_anything_is_written() -> None:
    seen = on_a_small_disk(full_from_the_start, "2m")

    assert seen["error"] == "NoRoomError"
    assert "not enough room: the set needs about" in seen["text"]
    assert "SetNumber" in seen["hint"]
    assert seen["left"] == [".backup4d-destination.lock"]


def test_a_disk_that_fills_up_leaves_the_old_sets_and_works_again() -> None:
    seen = on_a_small_disk(full_while_writing, "5m")

    assert seen["error"] == "NoRoomError"
    assert "no room left in" in seen["text"]
    assert seen["good"] is True
    assert seen["again"] is True
    assert seen["sets"] == ["data[0001]", "data[0002]"]
    assert seen["events"] == [1409]


def test_a_read_only_destination_is_a_failure_that_harms_nothing() -> None:
    seen = on_a_small_disk(read_only_disk, "5m")

    assert seen["error"] == "DestinationError"
    assert seen["code"] == 1407
    assert seen["good"] is True


# --- stop, lock -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["planning", "saving", "checking"])
def test_a_stop_is_4ds_stop_and_leaves_nothing(tmp_path: Path, phase: str) -> None:
    app = make_app(tmp_path, data=patterned(3 << 20))
    stop = StopRequest()

    def ask(progress: Progress) -> None:
        if progress.phase == phase:
            stop.ask()

    error = failing(app, stop=stop, report=ask)

    assert isinstance(error, StoppedError)
    assert (error.code, error.exit_code) == (Code.STOPPED, Exit.STOPPED)
    assert "Error reported : 1406 stopped by the user" in app.journal()
    assert app.backup().folder is not None


def test_a_database_that_is_being_backed_up_is_busy(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    seen: list[BusyError] = []

    def try_another() -> None:
        if not seen:
            with pytest.raises(BusyError) as caught:
                app.backup(clock=StoryClock())
            seen.append(caught.value)

    app.backup(report=lambda p: try_another() if p.phase == "saving" else None)

    assert (seen[0].code, seen[0].exit_code) == (Code.BUSY, Exit.LOCKED)
    assert f"a backup is running since 2026-01-10T02:30:00+00:00 (process {os.getpid()})" in str(
        seen[0]
    )
    assert app.journal().count("***") == 1
    assert current_holder(app.package / "Logs" / DATABASE_LOCK) is None


def test_the_holder_of_a_lock_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "Logs" / "lock"

    with holding(file, "a test", "2026-01-10T02:30:00+00:00"):
        held = current_holder(file)

    assert held == {"doing": "a test", "pid": os.getpid(), "since": "2026-01-10T02:30:00+00:00"}
    assert current_holder(file) is None
    assert current_holder(tmp_path / "nothing") is None


def test_a_lock_file_without_a_holder_is_free(tmp_path: Path) -> None:
    """Lesson: three months without backups after a power cut left a lock file."""
    app = make_app(tmp_path)
    (app.package / "Logs").mkdir()
    (app.package / "Logs" / DATABASE_LOCK).write_bytes(b"process 4711 is running\n" * 300)

    assert app.backup().folder is not None
    assert "*** Full Backup aborted" in app.journal()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    (app.package / "Logs").mkdir()
    (tmp_path / "victim").write_bytes(b"x")
    (app.package / "Logs" / DATABASE_LOCK).symlink_to(tmp_path / "victim")

    with pytest.raises(DestinationError, match="lock"):
        app.backup()

    assert (tmp_path / "victim").read_bytes() == b"x"


def test_what_is_remembered_fits_whatever_the_length_of_the_paths(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    deep = tmp_path
    for _ in range(6):
        deep /= "長い名前のフォルダ" * 9
    deep.mkdir(parents=True)
    app = App(app.package, deep, app.clock).configure()

    app.backup()

    assert read_memory(app.package / "Logs" / DATABASE_LOCK)["number"] == 1
    assert read_memory(app.package / "Logs" / DATABASE_LOCK)["destination"] == str(deep)


def test_the_lock_is_given_back_after_a_failure(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.data_file.unlink()
    failing(app)

    descriptor = os.open(app.package / "Logs" / DATABASE_LOCK, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


# --- the check ------------------------------------------------------------------------------------


def spoil(app: App, name: str) -> Callable[[Progress], None]:
    """Change a byte of an archive that is being written, as a bad disk does, before it is read back."""
    done: list[bool] = []

    def report(progress: Progress) -> None:
        if progress.phase != "saving" or progress.done < 20 << 20 or done:
            return
        (staging,) = (p for p in app.destination.iterdir() if "staging" in p.name)
        with (staging / name).open("r+b") as stream:
            byte = stream.read(1)
            if not byte:  # nothing of it has come to the disk yet
                return
            stream.seek(0)
            stream.write(bytes([byte[0] ^ 1]))
            os.fsync(stream.fileno())
        done.append(True)

    return report


@pytest.mark.parametrize("rate", ["None", "Fast"])
def test_an_archive_that_reads_back_otherwise_is_never_published(tmp_path: Path, rate: str) -> None:
    app = make_app(tmp_path, {COMPRESSION: rate}, data=random.Random(4).randbytes(24 << 20))

    error = failing(app, report=spoil(app, "data[0001].tar" + (".zst" if rate == "Fast" else "")))

    assert isinstance(error, DamagedError)
    assert (error.code, error.exit_code) == (Code.ARCHIVE_DAMAGED, Exit.DAMAGED)
    assert "frame 0 at byte 0 is damaged" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["None", "Fast"])
def test_a_large_archive_is_checked_while_it_is_written(tmp_path: Path, rate: str) -> None:
    """From 64 MiB on the check follows the writing; a rewound file must not confuse it."""
    noise = random.Random(5).randbytes(200 << 20)
    app = make_app(tmp_path, {COMPRESSION: rate}, data=noise)
    touched: list[int] = []

    def touch_twice(progress: Progress) -> None:
        if progress.phase == "saving" and progress.done > (150 << 20) and len(touched) < 2:
            touched.append(progress.done)
            with app.data_file.open("r+b") as stream:
                stream.write(noise[:1])

    outcome = app.backup(report=touch_twice)

    assert len(touched) == 2
    assert outcome.folder is not None
    assert verified(outcome.folder).good
    restored(outcome.folder, tmp_path / "back")
    assert (tmp_path / "back" / "Data" / "data.4DD").read_bytes() == noise


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["None", "Fast"])
def test_damage_to_a_large_archive_is_found_while_it_is_written(tmp_path: Path, rate: str) -> None:
    noise = random.Random(6).randbytes(200 << 20)
    app = make_app(tmp_path, {COMPRESSION: rate}, data=noise)

    error = failing(app, report=spoil(app, "data[0001].tar" + (".zst" if rate == "Fast" else "")))

    assert isinstance(error, DamagedError)


def test_nothing_that_fails_after_publishing_makes_a_failure_of_a_good_set(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1"})
    app.backup()

    def spoil_the_lock(progress: Progress) -> None:
        lock = app.destination / DESTINATION_LOCK
        if progress.phase == "checking" and lock.is_file():
            lock.unlink()
            lock.mkdir()

    outcome = app.backup(report=spoil_the_lock)

    assert outcome.folder == app.destination / "data[0002]"
    assert verified(outcome.folder).good
    assert any("the history could not be written" in text for text in outcome.warnings)
    assert "aborted" not in app.journal()
    assert f"Creating archive : {outcome.folder}/" in app.journal()
    (app.destination / DESTINATION_LOCK).rmdir()
    app.backup()
    assert app.sets() == ["data[0003]"]
    assert [record["backupNumber"] for record in app.records()] == [3]


def test_without_the_check_the_set_says_so(tmp_path: Path) -> None:
    app = make_app(tmp_path, {CHECK: "False"})

    outcome = app.backup()

    assert outcome.facts is not None
    assert not outcome.facts.checked
    assert "Checking archive : not asked for" in app.journal()


# --- only if changed ------------------------------------------------------------------------------


def scheduled(app: App) -> Any:
    pass_a_day(app)
    return app.backup(scheduled=app.clock.now())


def test_an_unchanged_database_is_postponed_and_journaled(tmp_path: Path) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"})
    app.backup()

    outcome = scheduled(app)

    assert outcome.folder is None
    assert app.sets() == ["data[0001]"]
    assert (
        "*** Backup postponed\nReason : data file, index and log have not changed" in app.journal()
    )
    assert app.history()["backup4d"][0]["event"] == "postponed"


def test_an_unchanged_database_whose_index_is_not_saved_is_postponed(tmp_path: Path) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"}, attachments=())
    app.backup()

    assert scheduled(app).folder is None


def test_a_person_who_asks_gets_a_backup(tmp_path: Path) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"})
    app.backup()

    assert app.backup().folder is not None


@pytest.mark.parametrize("name", ["data.4DD", "data.4DIndx", "data.journal"])
def test_a_changed_file_is_backed_up(tmp_path: Path, name: str) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"})
    app.backup()
    file = app.package / "Data" / name
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    os.utime(file, (5, 5))

    assert scheduled(app).folder is not None


def test_a_touched_file_with_the_same_content_is_postponed(tmp_path: Path) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"})
    app.backup()
    os.utime(app.data_file, (5, 5))

    assert scheduled(app).folder is None


def test_a_log_that_came_or_went_is_a_change(tmp_path: Path) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"})
    app.backup()
    app.log.unlink()

    assert scheduled(app).folder is not None


def test_after_a_partial_set_nothing_is_postponed(tmp_path: Path) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"}, attachments=("./gone.txt",))
    app.backup()

    assert scheduled(app).folder is not None


# --- every error ----------------------------------------------------------------------------------


def test_errors_have_the_numbers_and_exit_codes_that_are_documented() -> None:
    table = {
        kind.__name__: (int(kind.code), int(kind.exit_code))
        for kind in (
            DestinationError,
            NoRoomError,
            SourceError,
            RefusedError,
            BusyError,
            StoppedError,
            DamagedError,
        )
    }

    assert table == {
        "DestinationError": (1407, 1),
        "NoRoomError": (1409, 1),
        "SourceError": (1409, 1),
        "RefusedError": (1409, 4),
        "BusyError": (1417, 6),
        "StoppedError": (1406, 130),
        "DamagedError": (1411, 5),
    }


def test_a_slot_is_in_the_journal_of_a_failure(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.data_file.unlink()
    slot = app.clock.now() - timedelta(hours=1)

    failing(app, scheduled=slot)

    assert "Scheduled : 2026-01-10 02:30:00\nStarting : 2026-01-10 03:30:00\n" in app.journal()
