"""Verification and restore are told in the journal and the history, and never fail because of that."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.errors import DamagedError, RestoreError
from engine.history import events_of
from engine.operations import verify_recorded
from engine.progress import Progress, silent
from engine.restoring import Told, restore_recorded
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from tests.engine.stories import PARIS, App, make_app, patterned


def around(app: App) -> Surroundings:
    return Surroundings(app.clock, StopRequest(), silent)


def spoil(folder: Path) -> None:
    file = folder / "data[0001].tar.zst"
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)


def test_a_good_set_is_told_as_verified(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()

    (verdict,) = verify_recorded([folder], app.layout, PARIS, around(app))

    assert verdict.good
    entry = app.journal().partition("*** Verification\n")[2]
    assert entry.startswith(f"Set : {folder}\nResult : OK\nStarting : 2026-01-10 03:30:00\n")
    assert events_of(app.history(), app.layout.key, "verification")[0][1] == 0


def test_a_damaged_set_is_told_with_number_and_hint(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()
    spoil(folder)

    (verdict,) = verify_recorded([folder], app.layout, PARIS, around(app))

    assert not verdict.good
    entry = app.journal().partition("*** Verification\n")[2]
    assert "Error reported : 1411 data[0001].tar.zst: frame 0 at byte 0 is damaged" in entry
    assert "Hint : keep the folder, use another set, and check the disk it lies on" in entry
    assert "Result : damaged" in entry
    ((_, status, text),) = events_of(app.history(), app.layout.key, "verification")
    assert status == 1411
    assert "is damaged" in text


def test_one_damaged_set_does_not_stop_the_others(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    first, second = app.backup_set(), app.backup_set()
    spoil(first)

    verdicts = verify_recorded([first, second], app.layout, PARIS, around(app))

    assert [verdict.good for verdict in verdicts] == [False, True]


def test_a_restore_is_told(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()

    restore_recorded(folder, tmp_path / "back", Told(app.layout, PARIS, around(app)))

    assert f"*** Restore\nSet : {folder}\nTarget : {tmp_path}/back\nResult : OK" in app.journal()
    assert app.history()["backup4d"][0]["event"] == "restore"


def test_a_failed_restore_is_told_and_raised(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()
    spoil(folder)

    with pytest.raises(DamagedError):
        restore_recorded(folder, tmp_path / "back", Told(app.layout, PARIS, around(app)))

    assert "Result : nothing was restored" in app.journal()
    assert "Error reported : 1411 " in app.journal()


def test_a_set_without_its_database_is_verified_and_restored_all_the_same(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()
    before = app.journal()

    assert verify_recorded([folder], None, PARIS, around(app))[0].good
    restore_recorded(folder, tmp_path / "back", Told(None, PARIS, around(app)))

    assert app.journal() == before


def test_a_journal_that_cannot_be_written_does_not_undo_a_restore(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()
    journal = app.package / "Logs" / "Backup Journal[001].txt"
    journal.unlink()
    journal.symlink_to("nowhere")

    restore_recorded(folder, tmp_path / "back", Told(app.layout, PARIS, around(app)))

    assert (tmp_path / "back" / "Data" / "data.4DD").exists()


def test_a_refused_restore_is_no_restore(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()

    with pytest.raises(RestoreError):
        restore_recorded(folder, app.package, Told(app.layout, PARIS, around(app)))

    entry = app.journal().partition("*** Restore\n")[2]
    assert "exists already; nothing was written" in entry
    assert "Result : nothing was restored" in entry


def test_a_run_tells_its_phases_in_order_and_never_goes_back(tmp_path: Path) -> None:
    app = make_app(tmp_path, data=patterned(5 << 20))
    seen: list[Progress] = []

    app.backup(report=seen.append)

    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == ["planning", "saving", "checking"]
    saving = [progress for progress in seen if progress.phase == "saving"]
    assert [p.done for p in saving] == sorted(p.done for p in saving)
    assert all(p.done <= p.total for p in saving)


def test_the_history_says_when_a_verification_ended(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    folder = app.backup_set()
    verify_recorded([folder], app.layout, PARIS, around(app))

    ((ended, _, _),) = events_of(app.history(), app.layout.key, "verification")

    assert ended > datetime(2026, 1, 10, 2, 30, tzinfo=UTC)
    assert json.dumps(app.history())
