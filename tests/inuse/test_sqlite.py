"""A SQLite application at work while backups run back to back: every set that is published holds a good database."""

import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import engine.clones
from engine.clones import Wanted, cloning
from engine.content import Root
from engine.errors import Exit
from engine.host import HostClock
from engine.member import Role
from engine.patience import Patience
from engine.stop import StopRequest
from tests.engine.stories import CHECK, KEEP, TIMEOUT, App, make_app, restored
from tests.inuse.bank import new_bank, working, wrong_with
from tests.inuse.disks import ROOT, on_a_disk

GUARD = ROOT / "docs" / "examples" / "guard-sqlite.py"
MODES = ("DELETE", "WAL")
_SERVICE = """<Backup4DService><Hooks><Guard><Program>{guard}</Program>
<Argument>--at-most</Argument><Argument>60</Argument><Argument>{data}</Argument>
</Guard></Hooks></Backup4DService>"""


def bank_app(folder: Path, mode: str, patience: str) -> App:
    """An application whose data file is a SQLite database; its WAL, when it has one, is an attachment."""
    beside = {"WAL": ("./Data/data.4DD-wal",), "DELETE": ()}
    changes = {TIMEOUT: f"00:00:{int(patience):02}", KEEP: "3", CHECK: "True"}
    app = make_app(folder, changes, attachments=beside[mode], clock=HostClock())
    for file in (app.data_file, app.log):
        file.unlink()
    new_bank(app.data_file, mode)
    guard = _SERVICE.format(guard=GUARD, data=app.data_file)
    (folder / "guarded.xml").write_text(guard)
    (folder / "plain.xml").write_text("<Backup4DService/>")
    return app


def backup4d(
    folder: Path, service: str, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """The command line, as a person has it."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "scheduler",
        "--state-folder",
        folder / "state",
    ]
    return subprocess.run(
        [*command, "--service-file", folder / service, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def story_of_a_bank(
    folder: Path, mode: str, service: str, attempts: str, patience: str = "1"
) -> dict[str, Any]:
    """Backups back to back while the bank works, each set restored and looked at."""
    app = bank_app(folder, mode, patience)
    told: dict[str, Any] = {"sets": 0, "bad": [], "failures": {}}
    with working(app.data_file, app.log, told):
        for _ in range(int(attempts)):
            done = backup4d(folder, service, "backup", app.package)
            if done.returncode != Exit.DONE:
                words = next(line for line in done.stderr.splitlines() if "error" in line)
                words = re.sub(r"[\d.]+ s", "N s", words)
                told["failures"][words] = told["failures"].get(words, 0) + 1
                continue
            told["sets"] += 1
            told["bad"] += _look_at_newest(folder, app)
    journal = app.journal()
    told["copies"] = sorted({line for line in journal.splitlines() if line.startswith("Copy :")})
    held = [float(line.split()[-2]) for line in journal.splitlines() if line.startswith("Guard :")]
    told["guard held s"] = [statistics.median(held), max(held)] if held else []
    return told


def _look_at_newest(folder: Path, app: App) -> list[str]:
    back = folder / "back"
    shutil.rmtree(back, ignore_errors=True)
    newest = app.destination / app.sets()[-1]
    restored(newest, back)
    wrong = wrong_with(back / "Data" / "data.4DD", back / "Data" / "data.journal")
    return [f"{newest.name}: {one}" for one in wrong]


@pytest.mark.parametrize("mode", MODES)
def test_with_the_guard_every_set_holds_a_good_database(tmp_path: Path, mode: str) -> None:
    seen = story_of_a_bank(tmp_path, mode, "guarded.xml", "1", "60")

    assert (seen["sets"], seen["bad"], seen["failures"]) == (1, [], {})


def story_of_clones(folder: Path, mode: str, count: str, anyway: str) -> dict[str, Any]:
    """Clones of the database and its WAL while the bank works; `anyway`: taken as those of a data file of 4D's."""
    if anyway == "yes":
        vars(engine.clones)["_may_be_in_use"] = lambda *_: True
    app = bank_app(folder, mode, "0")
    told: dict[str, Any] = {"clones": 0, "bad": 0}
    copy = folder / "copy.db"
    with working(app.data_file, app.log, told):
        names = ["data.4DD", "data.4DD-wal"][: 1 + (mode == "WAL")]
        roots = [Root(app.data_file.with_name(name), name.encode(), Role.DATA) for name in names]
        log = Root(app.log, b"data.journal", Role.LOG)
        wanted = Wanted(tuple(roots), log, (folder,), False, 0)
        for _ in range(int(count)):
            with cloning(wanted, Patience(HostClock(), 60), StopRequest()) as clones:
                for path, clone in clones.by_path.items():
                    ending = path.removeprefix(b"data.4DD").decode()
                    content = os.pread(clone.descriptor, 1 << 30, 0)
                    copy.with_name(copy.name + ending).write_bytes(content)
            if clones.by_path:
                told["clones"] += 1
                told["bad"] += bool(wrong_with(copy, folder / "copy.dbdata.journal"))
                for file in folder.glob("copy.db*"):
                    file.unlink()
    return told


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
def test_a_database_of_another_program_is_not_cloned_in_the_middle_of_its_work(mode: str) -> None:
    """Its files are cloned a moment apart, and one of them may be gone: it would be torn now and then."""
    seen = on_a_disk("xfs", story_of_clones, mode, "300", "no", minutes=5)
    anyway = on_a_disk("xfs", story_of_clones, mode, "300", "yes", minutes=5)

    print(f"\n{mode}: {seen}, cloned anyway {anyway}")
    assert seen["bad"] == 0
    assert anyway["bad"] > 0


def _print(what: str, seen: dict[str, Any]) -> None:
    rate = seen["transactions"] / seen["seconds"]
    print(
        f"\n{what}: {seen['sets']} sets, {len(seen['bad'])} bad, {sum(seen['failures'].values())} failures,"
    )
    print(
        f"    {rate:.0f} transactions a second, longest pause {seen['pause ms']} ms, {seen['guard held s']}"
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", MODES)
def test_two_hundred_sets_taken_under_the_guard_are_good(tmp_path: Path, mode: str) -> None:
    """A hundred of each kind."""
    seen = story_of_a_bank(tmp_path, mode, "guarded.xml", "100", "60")

    _print(f"SQLite {mode} with the guard", seen)
    assert (seen["sets"], seen["bad"], seen["failures"]) == (100, [], {})


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", ["guarded.xml", "plain.xml"])
@pytest.mark.parametrize("system", ["ext4", "xfs", "btrfs"])
@pytest.mark.parametrize("mode", MODES)
def test_with_and_without_the_guard_no_set_is_torn(mode: str, system: str, service: str) -> None:
    patience = "60" if service == "guarded.xml" else "1"
    seen = on_a_disk(system, story_of_a_bank, mode, service, "8", patience, minutes=14)

    _print(f"SQLite {mode} on {system}, {service}", seen)
    assert seen["bad"] == []
    if service == "guarded.xml":
        assert (seen["sets"], seen["failures"]) == (8, {})
        assert len(seen["copies"]) == (0 if system == "ext4" else 1)
    else:
        assert seen["sets"] + sum(seen["failures"].values()) == 8
        assert [words for words in seen["failures"] if "error 1405" not in words] == []
