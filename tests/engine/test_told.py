"""What an administrator is told: which files a damaged frame holds, what died, what was not where it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.backup import run_backup
from engine.errors import DestinationError, EngineError, SourceError
from engine.lock import DATABASE_LOCK, holding
from engine.progress import silent
from engine.request import Request
from engine.restoring import Told, restore_recorded
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.paths import PathMap
from tests.engine.stories import (
    COMPRESSION,
    DATA,
    PARIS,
    STRUCTURE,
    App,
    judge,
    main_archive,
    make_app,
    patterned,
    verified,
)


def damage_in(archive: Path, at: int) -> None:
    with archive.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 1]))


def around(app: App) -> Surroundings:
    return Surroundings(app.clock, StopRequest(), silent)


def test_a_damaged_frame_is_told_with_the_files_it_holds(tmp_path: Path) -> None:
    app = make_app(tmp_path, {COMPRESSION: "None"}, data=patterned(3 << 20))
    folder = app.backup_set()
    damage_in(main_archive(folder), 2 << 20)

    (text,) = verified(folder).damage

    assert text.endswith("; it holds Data/data.4DD")


def test_a_refused_restore_of_a_damaged_set_says_where_to_look_next(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()
    archive = main_archive(folder)
    damage_in(archive, archive.stat().st_size // 2)

    with pytest.raises(EngineError) as caught:
        restore_recorded(folder, tmp_path / "target", Told(app.layout, PARIS, around(app)))

    assert "backup4d verify" in caught.value.hint
    assert not (tmp_path / "target").exists()
    assert "Hint : another set may be whole" in app.journal()


def test_an_empty_log_is_a_file_that_the_zstd_tool_reads(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.log.write_bytes(b"")

    folder = app.backup_set()

    (log,) = folder.glob("*.journal.zst")
    judge("zstd", "-t", log)
    assert judge("zstd", "-dc", log) == b""
    assert verified(folder).good


def test_a_failure_before_the_destination_is_looked_at_is_in_the_history(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.backup()
    app.data_file.unlink()

    with pytest.raises(SourceError):
        app.backup()

    (event,) = app.history()["backup4d"]
    assert (event["event"], event["status"]) == ("backup", 1409)
    assert "data.4DD is missing" in event["error"]


def test_refused_settings_are_in_the_history_of_the_folder_used_last(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.backup()
    app.configure({"Advanced/SetNumber/Value": "none"})

    with pytest.raises(EngineError):
        app.backup()

    assert app.history()["backup4d"][0]["status"] == 1409


def test_a_structure_that_is_asked_for_and_not_there_makes_the_set_partial(tmp_path: Path) -> None:
    app = make_app(tmp_path, {STRUCTURE: "True", DATA: "True"})
    (app.package / "Project" / "App.4DProject").unlink()

    outcome = app.backup()

    assert outcome.facts is not None
    assert not outcome.facts.complete
    assert f"\tthe structure of {app.package} [NOT FOUND]" in app.journal()


def test_a_changed_file_system_is_accepted_only_when_a_person_says_so(tmp_path: Path) -> None:
    """The memory says: the sets were on another disk. Now they are on the application's own."""
    app = make_app(tmp_path)
    app.backup()
    remember_separate(app)

    with pytest.raises(DestinationError, match="not mounted") as caught:
        app.backup()
    accepted = replace(request(app), accept_destination=True)
    outcome = run_backup(accepted, around(app))

    assert f"backup4d backup --accept-destination '{app.package}'" in caught.value.hint
    assert outcome.facts is not None
    assert app.backup().facts is not None


def request(app: App) -> Request:
    return Request(app.layout, path_map=PathMap(), zone=PARIS, scheduled=None)


def remember_separate(app: App) -> None:
    with holding(app.package / "Logs" / DATABASE_LOCK, "a test") as lock:
        lock.remember({**lock.memory, "separate": True})


def test_the_older_set_that_was_checked_outlives_newer_unchecked_ones(tmp_path: Path) -> None:
    app = make_app(tmp_path, {"Advanced/SetNumber/Value": "1"})
    checked = app.backup_set().name
    app.configure(
        {"Advanced/SetNumber/Value": "1", "Advanced/CheckArchiveFileDuringBackup": "False"}
    )

    newest = [app.backup_set().name for _ in range(2)][-1]

    assert app.sets() == [checked, newest]
