"""What a newer release has written is refused in words that help, and neither changed nor removed nor forgotten."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from engine.errors import RefusedError, RestoreError
from engine.inplace import DOING, RECORD
from engine.lock import DATABASE_LOCK, holding
from engine.openrecord import RECORD as LOOKS
from engine.openrecord import Record, load_record, save_record
from engine.shipped import RESTORER
from engine.swap import Exchange, Swap, write_swap
from scheduler.state import NewerStateError, load_state
from settings.errors import SettingsError
from settings.service_file import parse_service_file
from settings.writeback import write_setting
from tests.engine.stories import ERASE_BEFORE, KEEP, App, make_app, verified
from tests.scheduler.real import PROGRAM, environment
from tests.scheduler.served_stories import Story, watched

NEWER = "written by a newer backup4d"


def bump(file: Path, pattern: str = r'("version": ?)(\d+)') -> bytes:
    """The same file with the next version in it; its bytes."""
    # a set in our own format has version 1, one in 4D's has 2
    step = 2 if file.name == "manifest.json" else 1
    text, count = re.subn(pattern, lambda m: f"{m[1]}{int(m[2]) + step}", file.read_text(), count=1)
    assert count == 1
    file.write_text(text)
    if (sums := file.with_name("SHA256SUMS")).exists():
        digest = hashlib.sha256(text.encode()).hexdigest()
        line = rf"[0-9a-f]{{64}}(?=  {re.escape(file.name)}\n)"
        sums.write_text(re.sub(line, digest, sums.read_text()))
    return text.encode()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )


# --- sets -----------------------------------------------------------------------------------------


def with_newer_set(folder: Path, **settings: str) -> tuple[App, Path]:
    """Two sets, and the second is of a newer release."""
    app = make_app(folder, {KEEP: "1", **settings})
    app.backup()
    newer = app.backup_set()
    bump(newer / "manifest.json")
    return app, newer


def test_a_newer_set_is_refused_with_the_way_out(tmp_path: Path) -> None:
    _, newer = with_newer_set(tmp_path)

    with pytest.raises(RefusedError, match=NEWER) as caught:
        verified(newer)

    assert "install that backup4d or a newer one" in caught.value.hint
    done = command("restore", newer, "--to", tmp_path / "target")
    assert done.returncode != 0
    assert NEWER in done.stderr
    assert "install that backup4d" in done.stderr
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("erase_before", ["False", "True"])
def test_rotation_never_removes_a_newer_set_nor_gives_its_number_again(
    tmp_path: Path, erase_before: str
) -> None:
    app, newer = with_newer_set(tmp_path, **{ERASE_BEFORE: erase_before})
    before = contents(newer)

    for _ in range(3):
        app.backup()

    assert app.sets() == ["data[0002]", "data[0005]"]
    assert contents(newer) == before


def test_status_and_list_name_a_newer_set(tmp_path: Path) -> None:
    app, newer = with_newer_set(tmp_path)

    for words in ("status", "list"):
        done = command("--state-folder", tmp_path / "state", words, app.package)
        said = " ".join((done.stdout + done.stderr).split())

        assert newer.name in said
        assert NEWER in said


def test_without_a_word_no_older_set_is_restored_in_the_place_of_a_newer_one(
    tmp_path: Path,
) -> None:
    app = make_app(tmp_path)
    app.backup()
    newer = app.backup_set()
    bump(newer / "manifest.json")

    done = command("restore", app.package, "--to", tmp_path / "target")

    assert done.returncode != 0
    assert newer.name in done.stderr
    assert not (tmp_path / "target").exists()


def test_a_newer_restore_program_beside_the_sets_stays(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.backup()
    newer = bump(app.destination / RESTORER, r"(restore\.py, version )(\d+)")

    app.backup()

    assert (app.destination / RESTORER).read_bytes() == newer


def test_the_restore_program_refuses_a_newer_set(tmp_path: Path) -> None:
    _, newer = with_newer_set(tmp_path)

    done = subprocess.run(
        ["python3", str(newer.parent / RESTORER), str(newer), str(tmp_path / "target")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert "newer format" in done.stderr
    assert not (tmp_path / "target").exists()


# --- what the service remembers -------------------------------------------------------------------


def with_newer_state(folder: Path) -> tuple[Story, bytes]:
    story = watched(folder)
    story.publishes("11 02:31", slot="11 02:30")
    return story, bump(story.state_file)


def test_a_newer_state_is_kept_aside_and_told_and_backups_go_on(tmp_path: Path) -> None:
    story, newer = with_newer_state(tmp_path)
    with pytest.raises(NewerStateError, match=NEWER):
        load_state(story.state_file)

    assert story.restart().sees("11 12:00").startswith("wait")

    (aside,) = story.state_folder.glob("*.json.*")
    assert ".newer-" in aside.name
    assert aside.read_bytes() == newer
    (told,) = story.entries("Settings")
    assert str(aside) in told
    assert NEWER in told
    assert "a pause it told of is over" in told
    assert story.known.answered_until.isoformat() == "2026-01-11T01:30:00+00:00"


def test_status_reads_a_newer_state_and_leaves_it(tmp_path: Path) -> None:
    story, newer = with_newer_state(tmp_path)

    done = command("--state-folder", story.state_folder, "status", story.app.package)

    assert NEWER in " ".join(done.stdout.split())
    assert story.state_file.read_bytes() == newer


def test_keys_of_a_later_release_in_a_state_of_this_version_do_no_harm(tmp_path: Path) -> None:
    story = watched(tmp_path)
    row = json.loads(story.state_file.read_text())
    story.state_file.write_text(json.dumps({**row, "mood": "good", "last": None}))

    assert load_state(story.state_file) is not None
    assert story.restart().sees("10 12:05").startswith("wait")
    assert list(story.state_folder.glob("*.json.*")) == []


def test_an_unknown_key_in_the_service_file_is_refused_with_its_line() -> None:
    text = (
        b"<Backup4DService>\n<Databases/>\n<OfALaterRelease>1</OfALaterRelease>\n</Backup4DService>"
    )

    with pytest.raises(SettingsError, match=r"line 3: .*OfALaterRelease"):
        parse_service_file(text, Path("/etc/backup4d/service.xml"))


# --- Logs folder ----------------------------------------------------------------------------------


def test_a_newer_record_of_opening_checks_is_never_replaced(tmp_path: Path) -> None:
    save_record(tmp_path, Record(begun=2))
    newer = bump(tmp_path / LOOKS)

    with pytest.raises(OSError, match=NEWER):
        save_record(tmp_path, Record())

    assert load_record(tmp_path) == Record()
    assert (tmp_path / LOOKS).read_bytes() == newer


def test_a_newer_record_of_a_restore_in_place_is_not_obeyed_and_nothing_else_is_done(
    tmp_path: Path,
) -> None:
    app = make_app(tmp_path)
    app.backup()
    record = app.package / "Replaced files (then)" / RECORD
    record.parent.mkdir()
    aside = record.parent / "data.4DD"
    write_swap(record, Swap((Exchange(app.data_file, None, aside, had_live=True, inode=1),)))
    app.data_file.rename(aside)
    newer = bump(record)
    with holding(app.package / "Logs" / DATABASE_LOCK, DOING) as lock:
        lock.note({"doing": DOING, "pid": 1, "record": str(record), "is_exchanging": True})

    for _ in range(2):
        with pytest.raises(RestoreError, match=NEWER) as caught:
            app.backup()

        assert "install that backup4d" in caught.value.hint
        assert record.read_bytes() == newer
        assert aside.exists()
        assert not app.data_file.exists()


def test_a_record_of_a_restore_in_place_without_a_version_is_of_the_first_releases(
    tmp_path: Path,
) -> None:
    app = make_app(tmp_path)
    record = app.package / "Replaced files (then)" / RECORD
    record.parent.mkdir()
    aside = record.parent / "data.4DD"
    write_swap(record, Swap((Exchange(app.data_file, None, aside, had_live=True, inode=1),)))
    row = json.loads(record.read_text())
    record.write_text(json.dumps({key: row[key] for key in ("backup4d-exchange", "folders")}))
    app.data_file.rename(aside)
    with holding(app.package / "Logs" / DATABASE_LOCK, DOING) as lock:
        lock.note({"doing": DOING, "pid": 1, "record": str(record), "is_exchanging": True})

    app.backup()

    assert app.data_file.exists()
    assert not aside.exists()


def test_words_in_the_lock_that_only_a_later_release_knows_do_no_harm(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.backup()
    with holding(app.package / "Logs" / DATABASE_LOCK, "a backup") as lock:
        lock.remember({**lock.memory, "mood": "good"})
        lock.note({"doing": "something of a later release", "pid": 1, "number": 2, "mood": "bad"})

    folder = app.backup_set()

    assert folder.name == "data[0002]"
    assert "died before it was done" in app.journal()


# --- what others may add --------------------------------------------------------------------------


def test_keys_of_others_in_history_and_manifest_survive(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    first = app.backup_set()
    manifest = first / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"set": {', '"set": {"mood": "good", ', 1))
    file = app.destination / "backupHistory.json"
    document = json.loads(file.read_text())
    document[app.layout.key][0]["mood"] = "good"
    document |= {"ofOthers": [1, 2], "backup4d": [{"event": "of a later release", "mood": "bad"}]}
    file.write_text(json.dumps(document))

    app.backup()

    after = app.history()
    assert app.records()[0]["mood"] == "good"
    assert [record["backupNumber"] for record in app.records()] == [1, 2]
    assert after["ofOthers"] == [1, 2]
    assert after["backup4d"][0] == {"event": "of a later release", "mood": "bad"}


def test_keys_of_others_in_the_settings_survive_an_edit(tmp_path: Path) -> None:
    app = make_app(tmp_path, {"Advanced/OfALaterRelease": "stays", KEEP: "3"})
    file = app.package / "Settings" / "backup.4DSettings"

    write_setting(file, "SetNumber/Value", "5")

    assert b"<OfALaterRelease>stays</OfALaterRelease>" in file.read_bytes()
    assert app.backup_set().exists()
