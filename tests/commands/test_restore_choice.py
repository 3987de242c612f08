"""restore: what is meant by DATABASE, SET or ARCHIVE, also when settings, data file or manifest are gone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands.live import BROKEN, settings_file
from tests.commands.terminal import Terminal, damage
from tests.engine.stories import SEGMENT, App, below, make_app, tree

_KEPT = (b"Project", b"Data/Settings")


@pytest.fixture
def back(tmp_path: Path) -> Path:
    return tmp_path / "back"


def check_whole(app: App, back: Path) -> None:
    live, found = tree(app.package), tree(back)
    for folder in _KEPT:
        assert below(found, folder) == below(live, folder)
    assert (back / "Data" / "data.4DD").read_bytes() == app.data_file.read_bytes()


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_without_usable_settings_the_last_backup_folder_is_remembered(
    terminal: Terminal, app: App, back: Path, how: str
) -> None:
    app.backup()
    if how == "damaged":
        settings_file(app).write_bytes(BROKEN)
    else:
        settings_file(app).unlink()

    printed = terminal.types("restore", app.package, "--to", back)

    assert printed.code == 0
    assert f"the settings cannot be read; the last backup went to {app.destination}" in printed.err
    check_whole(app, back)


def test_without_settings_and_memory_a_person_is_told_what_to_name(
    terminal: Terminal, app: App, back: Path
) -> None:
    app.backup()
    settings_file(app).write_bytes(BROKEN)
    shutil.rmtree(app.package / "Logs")

    printed = terminal.types("restore", app.package, "--to", back)

    assert printed.code == 4
    assert "name the folder of a set or an archive file" in printed.err
    assert not back.exists()


def test_a_data_file_that_is_gone_is_known_from_the_sets(
    terminal: Terminal, app: App, back: Path
) -> None:
    app.data_file.rename(app.data_file.with_name("Invoices.4DD"))
    app.log.rename(app.log.with_name("Invoices.journal"))
    app.backup()
    kept = (app.package / "Data" / "Invoices.4DD").read_bytes()
    shutil.rmtree(app.package / "Data")

    printed = terminal.types("restore", app.package, "--to", back)

    assert printed.code == 0
    assert "Invoices.4DD is not there; the sets tell that it was the data file" in printed.err
    assert (back / "Data" / "Invoices.4DD").read_bytes() == kept
    again = terminal.types("restore", app.package, "--in-place")
    assert again.code == 0
    assert (app.package / "Data" / "Invoices.4DD").read_bytes() == kept


def test_a_set_without_its_manifest_is_named_and_can_be_restored_by_its_folder(
    terminal: Terminal, app: App, back: Path
) -> None:
    folder = app.backup_set()
    (folder / "manifest.json").unlink()

    refused = terminal.types("restore", app.package, "--to", back)
    printed = terminal.types("restore", folder, "--to", back)

    assert refused.code == 5
    assert "the newest set, data[0001], cannot be read" in refused.err
    assert printed.code == 0
    check_whole(app, back)


def test_an_archive_of_a_set_stands_for_the_set(terminal: Terminal, app: App, back: Path) -> None:
    folder = app.backup_set()

    printed = terminal.types("restore", folder / "data[0001].tar.zst", "--to", back)

    assert printed.code == 0
    assert "set 1 restored" in printed.out
    assert (back / "Data" / "data.journal").exists()


def test_an_archive_with_nothing_beside_it_is_enough(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(app.backup_set() / "data[0001].tar.zst", alone)

    printed = terminal.types("restore", alone / "data[0001].tar.zst")

    assert printed.code == 0
    check_whole(app, alone / "data[0001] restored")
    assert sorted(p.name for p in alone.iterdir()) == ["data[0001] restored", "data[0001].tar.zst"]


def test_segments_are_joined_and_a_missing_one_is_named(
    terminal: Terminal, tmp_path: Path, back: Path
) -> None:
    app = make_app(tmp_path, {SEGMENT: "1"}, data=os.urandom(3 << 20))
    folder = app.backup_set()
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in folder.glob("*.tar*"):
        shutil.copy(file, alone)
    names = sorted(p.name for p in alone.iterdir())
    assert len(names) > 2

    printed = terminal.types("restore", alone / names[1], "--to", back)
    (alone / names[2]).unlink()
    refused = terminal.types("restore", alone / names[0], "--to", tmp_path / "other")
    of_set = terminal.types("restore", folder / names[1], "--to", tmp_path / "of set")

    assert printed.code == of_set.code == 0
    check_whole(app, back)
    assert refused.code == 5
    assert f"{names[2]} is missing" in refused.err
    assert not (tmp_path / "other").exists()


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A secret key; its public one is in the file as well."""
    if shutil.which("age-keygen") is None:
        pytest.skip("age is not on this machine")
    file = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", file], check=True, capture_output=True, timeout=20)
    return file


def sealed(archive: Path, identity: Path, target: Path) -> Path:
    key = next(w for w in identity.read_text().split() if w.startswith("age1"))
    command = ["age", "-r", key, "-o", str(target), str(archive)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    return target


@pytest.mark.parametrize("is_beside_manifest", [True, False])
def test_an_encrypted_archive_is_restored_with_its_key(
    terminal: Terminal, app: App, tmp_path: Path, identity: Path, is_beside_manifest: bool
) -> None:
    folder = app.backup_set()
    place = folder if is_beside_manifest else tmp_path / "alone"
    place.mkdir(exist_ok=True)
    file = sealed(folder / "data[0001].tar.zst", identity, place / "data[0001].tar.zst.age")

    printed = terminal.types("restore", file, "--identity", identity)

    target = (app.destination if is_beside_manifest else place) / "data[0001] restored"
    assert printed.code == 0, printed.err
    check_whole(app, target)
    assert not list(tmp_path.rglob(".backup4d-restoring*"))


def test_an_encrypted_archive_without_its_key_is_refused(
    terminal: Terminal, app: App, tmp_path: Path, identity: Path, back: Path
) -> None:
    folder = app.backup_set()
    file = sealed(folder / "data[0001].tar.zst", identity, tmp_path / "data[0001].tar.zst.age")
    other = tmp_path / "other"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True, timeout=20)

    for words in ((), ("--identity", other), ("--identity", tmp_path / "nowhere")):
        printed = terminal.types("restore", file, "--to", back, *words)

        assert printed.code != 0
        assert "what to do:" in printed.err
        assert not back.exists()


def test_what_is_salvaged_of_an_archive_never_goes_into_the_set(
    terminal: Terminal, app: App
) -> None:
    folder = app.backup_set()

    printed = terminal.types("restore", folder / "data[0001].tar.zst", "--salvage")

    assert printed.code == 0, printed.err
    assert (app.destination / "data[0001] restored").is_dir()
    assert all(p.is_file() for p in folder.iterdir())


def test_a_damaged_set_is_salvaged_by_its_number_or_as_the_only_one(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    first = app.backup_set()
    app.backup()
    damage(first)
    (first / "manifest.json").unlink()

    by_number = terminal.types(
        "restore", app.package, "--set", "1", "--salvage", "--to", tmp_path / "one"
    )
    shutil.rmtree(app.destination / "data[0002]")
    only = terminal.types("restore", app.package, "--salvage", "--to", tmp_path / "two")
    plain = terminal.types("restore", app.package, "--set", "1", "--to", tmp_path / "three")

    assert {by_number.code, only.code} <= {0, 3}
    assert (tmp_path / "one" / "SALVAGE REPORT.txt").exists()
    assert (tmp_path / "two" / "SALVAGE REPORT.txt").exists()
    assert plain.code == 5
    assert not (tmp_path / "three").exists()


def test_wrong_use_is_said_and_nothing_is_touched(
    terminal: Terminal, app: App, back: Path, tmp_path: Path
) -> None:
    folder = app.backup_set()
    before = tree(tmp_path)
    wrong = {
        ("--in-place", "--to", back): "--in-place says where",
        ("--in-place", "--set-aside"): "--in-place says where",
        ("--salvage", "--in-place"): "--salvage writes into a new folder",
        ("--salvage", "--dry-run"): "--salvage writes into a new folder",
        ("--salvage", "--part", "data"): "--salvage brings back everything",
        ("--to", app.package / "back"): "lies in the live application",
        ("--to", folder / "back"): "lies in a set",
        ("--to", "."): "--to names the current folder",
    }

    for words, says in wrong.items():
        printed = terminal.types("restore", app.package, *words)
        assert printed.code == 2, words
        assert says in printed.err
    in_place = terminal.types("restore", folder, "--in-place")
    absent = terminal.types("restore", tmp_path / "nowhere")

    assert in_place.code == 2
    assert "--in-place takes the place of an application's live files" in in_place.err
    assert absent.code == 2
    assert tree(tmp_path).keys() == before.keys()


def test_no_such_set_is_said_with_those_there_are(terminal: Terminal, app: App) -> None:
    app.backup()

    printed = terminal.types("restore", app.package, "--set", "7")

    assert printed.code == 5
    assert "there is no set 7" in printed.err
    assert "the sets are 1" in printed.err
