"""The guards in docs/examples do what docs/hooks.md says: files stand still while they are read, and are let go whatever happens."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.host import HostClock
from engine.progress import Progress
from settings.service_model import Hook, Hooks
from tests.docs.pages import DOCS, HOUSE
from tests.engine.hook_stories import Hooked, eventually
from tests.engine.stories import INDEX, App, make_app, patterned, restored, verified

SQLITE = DOCS / "examples" / "guard-sqlite.py"
FSFREEZE = DOCS / "examples" / "guard-fsfreeze.sh"


class Slowly:
    """Looks at something while the first file is being read."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look, self._looked = look, False

    def __call__(self, progress: Progress) -> None:
        if progress.phase == "saving" and not self._looked:
            self._looked = True
            self._look()


# --- SQLite ---------------------------------------------------------------------------------------


class Bank:
    """Two databases that programs write to all the time: money moves, and the second repeats the first."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.files = [folder / "first.db", folder / "second.db"]
        self.moves = 0
        self._over = threading.Event()
        folder.mkdir()
        for file in self.files:
            with closing(sqlite3.connect(file)) as connection:
                connection.execute(f"PRAGMA journal_mode = {mode}")
                connection.executescript(
                    "CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER, moves INTEGER);"
                    "INSERT INTO account VALUES (1, 500, 0), (2, 500, 0);"
                    "CREATE TABLE filling (content BLOB); INSERT INTO filling VALUES (randomblob(200000));"
                )

    @contextmanager
    def open(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(30)

    def _work(self) -> None:
        while not self._over.is_set():
            for file in self.files:
                with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
                    connection.executescript(
                        "BEGIN IMMEDIATE;"
                        "UPDATE account SET amount = amount - 1, moves = moves + 1 WHERE id = 1;"
                        "UPDATE filling SET content = randomblob(200000);"
                        "UPDATE account SET amount = amount + 1, moves = moves + 1 WHERE id = 2;"
                        "COMMIT;"
                    )
            self.moves += 1


def moves_in(file: Path) -> int:
    """How many moves a database knows of; it must be whole."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT sum(amount), min(moves), max(moves) FROM account")
        total, least, most = rows.fetchone()
    assert (total, least) == (1000, most)
    return int(least)


def guarded_by(app: App, program: Path, *arguments: str | Path, seconds: float = 30) -> Hooked:
    texts = tuple(str(argument) for argument in arguments)
    guard = Hook(program, texts, timedelta(seconds=seconds))
    return Hooked(app, app.package.parent, Hooks(guard=guard))


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_sqlite_databases_are_saved_as_they_were_at_one_moment(tmp_path: Path, mode: str) -> None:
    app = make_app(
        tmp_path, data=patterned(2_500_000), attachments=(INDEX, "./sqlite/"), clock=HostClock()
    )
    bank = Bank(app.package / "sqlite", mode)
    guarded = guarded_by(app, SQLITE, "--at-most", "60", *bank.files)
    seen: list[int] = []

    def look() -> None:
        seen.append(bank.moves)
        time.sleep(0.5)
        seen.append(bank.moves)

    with bank.open():
        assert eventually(lambda: bank.moves > 3)
        outcome = guarded.backup(report=Slowly(look))
        after = bank.moves
        assert eventually(lambda: bank.moves > after + 3)

    assert outcome.warnings == ()
    assert seen[1] - seen[0] <= 1  # one that was between the two databases may have ended
    assert outcome.folder is not None
    assert verified(outcome.folder).good
    restored(outcome.folder, tmp_path / "back")
    first, second = (moves_in(tmp_path / "back" / "sqlite" / file.name) for file in bank.files)
    assert first > 3
    assert first - second in (0, 1)


def test_the_sqlite_guard_gives_writers_back_after_its_limit(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=(INDEX, "./sqlite/"))
    bank = Bank(app.package / "sqlite", "DELETE")
    guarded = guarded_by(app, SQLITE, "--at-most", "0.5", *bank.files)

    with bank.open():
        error = guarded.fails(report=Slowly(lambda: time.sleep(1.5)))

    assert "gave up after 0.5 s, so that writers go on while the files were read" in str(error)
    assert "the copy cannot be trusted" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "unable to open database file"), (b"x" * 5000, "file is not a database")],
    ids=["missing", "no database"],
)
def test_the_sqlite_guard_refuses_what_is_no_database(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    app = make_app(tmp_path)
    file = tmp_path / "a.db"
    if content is not None:
        file.write_bytes(content)

    error = guarded_by(app, SQLITE, file).fails()

    assert f"ended with exit code 1: {file} cannot be held: {words}" in str(error)
    assert file.exists() == (content is not None)


# --- a frozen file system -------------------------------------------------------------------------

# the last line of defence is outside: what hangs on a frozen file system cannot be killed
_ON_A_DISK = """
set -e
truncate -s 64M "$1/image"
mkfs.ext4 -q "$1/image"
mount -o loop "$1/image" "$1/disk"
mountpoint -q "$1/disk"
setsid sh -c 'sleep 60; fsfreeze -u "$0"' "$1/disk" </dev/null >/dev/null 2>&1 &
rescue=$!
trap 'set +e; kill -- "-$rescue"; fsfreeze -u "$1/disk" 2>/dev/null; umount -l "$1/disk"' EXIT
"$2" -c "$3" "$4" "$1"
"""
_TELL = """
import json, sys
from pathlib import Path
from tests.docs import test_examples
print(json.dumps(getattr(test_examples, sys.argv[1])(Path(sys.argv[2]))))
"""


def on_a_disk(story: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Tell a story with an ext4 file system of its own at `disk`, gone with the process."""
    needed = ("unshare", "fsfreeze", "mkfs.ext4", "setsid", "mountpoint")
    lacking = [name for name in needed if shutil.which(name) is None]
    if os.geteuid() != 0 or lacking:
        pytest.skip(f"needs root and {', '.join(needed)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        (Path(name) / "disk").mkdir()
        shell = ["sh", "-c", _ON_A_DISK, "sh", name, sys.executable, _TELL, story.__name__]
        done = subprocess.run(
            ["unshare", "-m", "--propagation", "private", *shell],
            cwd=HOUSE,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
    if "failed to setup loop device" in done.stderr:
        pytest.skip("no loop device on this machine")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert isinstance(seen, dict)
    return seen


def app_on(folder: Path) -> App:
    """The application lies on the disk, its sets do not."""
    app = make_app(folder / "disk", data=patterned(2_500_000), clock=HostClock())
    destination = folder / "backups"
    destination.mkdir()
    return App(app.package, destination, app.clock).configure()


class Writer:
    """Somebody who writes to the disk all the time."""

    def __init__(self, folder: Path) -> None:
        self.done = 0
        self._file, self._over = folder / "disk" / "written", threading.Event()

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(30)

    def _work(self) -> None:
        while not self._over.wait(0.01):
            self._file.write_bytes(b"%d" % self.done)
            self.done += 1

    def goes_on(self) -> bool:
        """Whether it comes forward within a moment."""
        before = self.done
        until = time.monotonic() + 1
        while time.monotonic() < until and self.done <= before + 1:
            time.sleep(0.02)
        return self.done > before + 1


def freeze_told(
    folder: Path, seconds: int, act: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """A backup with the guard; `act` comes while the first file is read."""
    app, writer = app_on(folder), Writer(folder)
    hooked = guarded_by(app, FSFREEZE, folder / "disk", str(seconds), seconds=10)
    told: dict[str, Any] = {"error": "", "warnings": []}

    def look() -> None:
        told["wrote meanwhile"] = writer.goes_on()
        act()

    with writer.working():
        assert eventually(lambda: writer.done > 3)
        try:
            outcome = hooked.backup(report=Slowly(look))
            told["warnings"] = outcome.warnings
            told["good"] = outcome.folder is not None and verified(outcome.folder).good
        except EngineError as error:
            told["error"] = str(error)
        told["writes after"] = writer.goes_on()
    return {**told, "sets": app.sets(), "journal": app.journal()}


def guards(folder: Path) -> list[int]:
    """The processes of the guard on this disk, the watchdog among them."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if str(folder / "disk").encode() in words and b"fsfreeze" in b" ".join(words):
                found.append(int(entry.name))
    return found


def story_of_a_freeze(folder: Path) -> dict[str, Any]:
    told = freeze_told(folder, 30)
    return {**told, "left": [pid for pid in guards(folder) if is_watchdog(pid)]}


def is_watchdog(pid: int) -> bool:
    with suppress(OSError):
        return b"watchdog" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def story_of_a_killed_guard(folder: Path) -> dict[str, Any]:
    def act() -> None:
        for pid in guards(folder):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/bin/sh\0" + bytes(FSFREEZE)):
                os.kill(pid, signal.SIGKILL)

    return freeze_told(folder, 30, act)


def story_of_a_long_backup(folder: Path) -> dict[str, Any]:
    return freeze_told(folder, 1, lambda: time.sleep(4))


def story_of_a_destination_on_the_disk(folder: Path) -> dict[str, Any]:
    app = make_app(folder / "disk")
    hooked = guarded_by(app, FSFREEZE, folder / "disk", "5", seconds=10)
    try:
        hooked.backup()
    except EngineError as error:
        return {"error": str(error)}
    return {"error": ""}


def story_of_a_killed_run(folder: Path) -> dict[str, Any]:
    app, writer = app_on(folder), Writer(folder)
    row = {
        "wait": str(folder / "go on"),
        "hooks": {"guard": (str(FSFREEZE), (str(folder / "disk"), "30"), 10)},
    }
    command = [sys.executable, "-m", "tests.engine.hooked_run", str(app.package), json.dumps(row)]
    with writer.working(), subprocess.Popen(command, cwd=HOUSE) as run:
        assert eventually((folder / "go on.reading").exists)
        frozen = not writer.goes_on()
        run.kill()
        run.wait(20)
        return {"frozen": frozen, "writes after": eventually(writer.goes_on)}


@pytest.mark.root
def test_a_frozen_file_system_stands_still_and_goes_on_afterwards() -> None:
    seen = on_a_disk(story_of_a_freeze)

    assert (seen["error"], seen["warnings"], seen["good"]) == ("", [], True)
    assert (seen["wrote meanwhile"], seen["writes after"]) == (False, True)
    assert "Guard : held for " in seen["journal"]
    assert seen["left"] == []


@pytest.mark.root
def test_a_guard_killed_while_it_holds_a_frozen_file_system_is_followed_by_a_thaw() -> None:
    seen = on_a_disk(story_of_a_killed_guard)

    assert "was killed by SIGKILL while the files were read" in seen["error"]
    assert (seen["wrote meanwhile"], seen["writes after"], seen["sets"]) == (False, True, [])
    assert "the copy cannot be trusted" in seen["journal"]


@pytest.mark.root
def test_a_frozen_file_system_is_thawed_after_its_limit_and_the_backup_fails() -> None:
    seen = on_a_disk(story_of_a_long_backup)

    assert "the copy cannot be trusted" in seen["error"]
    assert (seen["writes after"], seen["sets"]) == (True, [])


@pytest.mark.root
def test_a_file_system_that_is_written_to_is_not_frozen() -> None:
    seen = on_a_disk(story_of_a_destination_on_the_disk)

    assert "/disk/backups is on " in seen["error"]
    assert "which therefore cannot be frozen before it was ready" in seen["error"]


@pytest.mark.root
def test_a_frozen_file_system_is_thawed_when_the_run_is_killed() -> None:
    assert on_a_disk(story_of_a_killed_run) == {"frozen": True, "writes after": True}


@pytest.mark.root
def test_the_system_disk_is_never_frozen(tmp_path: Path) -> None:
    """Refused before anything happens: not a mount point, or the disk the system lives on."""
    for place in (tmp_path, Path("/")):
        done = subprocess.run(
            [FSFREEZE, place, "1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 1
        assert b"ready" not in done.stdout
        assert b"mount point" in done.stderr or b"cannot be frozen" in done.stderr
