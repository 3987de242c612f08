"""The guard holds the files still from before the first is read to after the last, and no longer; a guard that was lost is a failure."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import Code, SourceError, StoppedError
from engine.progress import Progress
from engine.stop import StopRequest
from settings.service_model import Hook
from tests.engine.hook_stories import (
    GUARD,
    Hooked,
    end,
    eventually,
    hook,
    lives,
    noting,
    program,
    read_pid,
)
from tests.engine.stories import (
    CHECK,
    COMPRESSION,
    INDEX,
    SEGMENT,
    make_app,
    patterned,
    restored,
    verified,
)

ROOT = Path(__file__).parents[2]
DATA = patterned(2_500_000)


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    return Hooked(make_app(tmp_path, data=DATA), tmp_path)


class Diary:
    """Notes what the run does between what its programs note."""

    def __init__(self, hooked: Hooked) -> None:
        self._file = hooked.folder / "diary"
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        if progress.phase in ("saving", "checking") and progress.phase != self._last:
            with self._file.open("a") as stream:
                stream.write(f"{progress.phase}\n")
        self._last = progress.phase


# --- from before the first file to after the last -------------------------------------------------


def test_a_guard_holds_while_files_are_read_and_not_while_they_are_checked(hooked: Hooked) -> None:
    guarded = hooked.with_(guard=GUARD, startup=noting("startup"), shutdown=noting("shutdown"))

    outcome = guarded.backup(report=Diary(guarded))

    assert outcome.warnings == ()
    diary = guarded.diary()
    assert diary.index("ready") == 1
    assert sorted(diary[3:-1]) == ["checking", "let go"]
    assert diary[:3] + diary[-1:] == ["startup", "ready", "saving", "shutdown"]


@pytest.mark.parametrize(
    "changes",
    [{}, {COMPRESSION: "None"}, {CHECK: "False"}, {SEGMENT: "1"}],
    ids=["usual", "plain", "no check", "segments"],
)
def test_nothing_that_changes_after_the_guard_let_go_is_in_the_set(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    app = make_app(tmp_path, changes, data=DATA, attachments=(INDEX, "./last/"))
    (app.package / "last").mkdir()
    (app.package / "last" / "file").write_text("held")
    names = [app.data_file, app.log, app.package / "last" / "file"]
    after = "; ".join(f'echo after > "{name}"' for name in names)
    before = "; ".join(f'cp "{name}" "$1/held.{at}"' for at, name in enumerate(names))
    guarded = Hooked(app, tmp_path).with_(
        guard=f"read -r told; {before}; echo ready; cat > /dev/null; {after}"
    )

    folder = guarded.backup().folder

    assert folder is not None
    assert verified(folder).good
    restored(folder, tmp_path / "back")
    for at, name in enumerate(names):
        back = tmp_path / "back" / name.relative_to(app.package)
        assert back.read_bytes() == (tmp_path / f"held.{at}").read_bytes()
        assert name.read_bytes() == b"after\n"


def test_what_appears_under_the_guard_is_saved(hooked: Hooked) -> None:
    """A snapshot is there only while its guard lives."""
    snapshot = hooked.app.package / "snapshot"
    hooked.app.configure(attachments=(INDEX, "./snapshot/"))
    guarded = hooked.with_(
        guard=f'mkdir "{snapshot}"; echo still > "{snapshot}/f"; echo ready; cat > /dev/null; '
        f'rm -r "{snapshot}"'
    )

    outcome = guarded.backup()

    assert outcome.facts is not None
    assert outcome.facts.complete
    assert outcome.folder is not None
    restored(outcome.folder, hooked.folder / "back")
    assert (hooked.folder / "back" / "snapshot" / "f").read_text() == "still\n"
    assert not snapshot.exists()


def test_the_journal_says_how_long_it_was_held(hooked: Hooked) -> None:
    hooked.with_(guard='read -r told; echo " ready "; cat > /dev/null; sleep 0.3').backup()

    line = next(
        line for line in hooked.app.journal().splitlines() if line.startswith("Guard : held for ")
    )
    seconds = float(line.split()[-2])
    assert 0.3 <= seconds < 10


# --- a guard that cannot begin --------------------------------------------------------------------


def test_a_guard_that_is_never_ready_is_ended(hooked: Hooked) -> None:
    file = program(hooked.folder, "guard", 'echo $$ > "$1/pid"; echo not ready; exec sleep 1000')

    error = hooked.with_(guard=hook(file, 0.7), shutdown=noting("shutdown")).fails()

    assert error.code == Code.SOURCE_NEVER_QUIET
    assert str(error) == f"guard {file} was not ready within 0.7 s"
    assert not lives(read_pid(hooked.folder / "pid"))
    assert hooked.told("shutdown")["status"] == Code.SOURCE_NEVER_QUIET


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo cannot freeze >&2; exit 2", "ended with exit code 2: cannot freeze"),
        ("exit 0", "ended with exit code 0"),
        ("kill -9 $$", "was killed by SIGKILL"),
    ],
)
def test_a_guard_that_ends_before_it_is_ready_is_a_failure(
    hooked: Hooked, script: str, words: str
) -> None:
    error = hooked.with_(guard=script).fails()

    assert error.code == Code.BACKUP_FAILED
    assert str(error) == f"guard {hooked.folder}/guard {words} before it was ready"


def test_a_guard_that_is_not_there_is_a_failure(hooked: Hooked) -> None:
    error = hooked.with_(guard=Hook(hooked.folder / "nowhere")).fails()

    assert "cannot be started: No such file or directory before it was ready" in str(error)
    assert "executable" in error.hint


# --- a guard that is lost -------------------------------------------------------------------------


class Losing:
    """Ends the guard at the n-th report while the data is read."""

    def __init__(self, hooked: Hooked, at: int = 1) -> None:
        self.seen = 0
        self._pid, self._at = hooked.folder / "pid", at

    def __call__(self, progress: Progress) -> None:
        if progress.phase != "saving":
            return
        self.seen += 1
        if self.seen == self._at:
            pid = read_pid(self._pid)
            end(pid)
            assert eventually(lambda: not lives(pid))
            time.sleep(0.3)


class Counting:
    """Counts the reports while the data is read."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, progress: Progress) -> None:
        self.seen += progress.phase == "saving"


@pytest.mark.parametrize("at", ["first", "last"])
def test_a_guard_that_ended_before_it_was_told_fails_the_backup(hooked: Hooked, at: str) -> None:
    counting = Counting()
    hooked.backup(report=counting)
    dying = hooked.with_(guard='echo $$ > "$1/pid"; echo ready; exec cat > /dev/null')
    losing = Losing(hooked, 1 if at == "first" else counting.seen)

    error = dying.fails(report=losing)

    assert error.code == Code.BACKUP_FAILED
    assert str(error) == (
        f"guard {hooked.folder}/guard was killed by SIGKILL while the files were read; "
        "the copy cannot be trusted"
    )
    assert "Guard : held for " in hooked.app.journal()
    assert losing.seen == (
        1 if at == "first" else counting.seen
    )  # nothing more is read for nothing


def test_a_guard_that_gives_up_with_success_is_lost_all_the_same(hooked: Hooked) -> None:
    error = hooked.with_(guard="echo ready; exit 0").fails(report=lambda _: time.sleep(0.1))

    assert "ended with exit code 0" in str(error)
    assert "the copy cannot be trusted" in str(error)


def test_a_guard_whose_keeper_is_killed_is_lost(hooked: Hooked) -> None:
    guarded = hooked.with_(
        guard='echo $PPID > "$1/pid"; echo ready; cat > /dev/null; echo "let go" > "$1/diary"'
    )

    error = guarded.fails(report=Losing(hooked))

    assert "was lost: the process that kept it died" in str(error)
    assert eventually(lambda: hooked.diary() == ["let go"])


# --- a guard that does not let go well ------------------------------------------------------------


def test_a_guard_that_does_not_let_go_is_ended_and_told(hooked: Hooked) -> None:
    file = program(
        hooked.folder,
        "guard",
        """
        sh -c 'trap "" TERM; echo $$ > "$0/child"; while :; do sleep 0.1; done' "$1" &
        echo ready
        cat > /dev/null
        echo thawing
        wait
        """,
    )

    outcome = hooked.with_(guard=hook(file, 1)).backup()

    words = f"guard {file}, told to let go, was ended after its time limit of 1 s: thawing"
    assert outcome.warnings == (words,)
    assert outcome.folder is not None
    assert verified(outcome.folder).good
    assert f"{words}\n" in hooked.app.journal()
    assert eventually(lambda: not lives(read_pid(hooked.folder / "child")))


def test_a_guard_that_lets_go_with_an_error_is_a_warning(hooked: Hooked) -> None:
    guarded = hooked.with_(guard="echo ready; cat > /dev/null; echo cannot thaw >&2; exit 3")

    outcome = guarded.backup()

    words = f"guard {hooked.folder}/guard, told to let go, ended with exit code 3: cannot thaw"
    assert outcome.warnings == (words,)
    assert hooked.app.sets() == ["data[0001]"]
    assert f"{words}\n" in hooked.app.journal()
    assert "Error reported" not in hooked.app.journal()


def test_a_failure_while_files_are_read_lets_go_of_the_guard(hooked: Hooked) -> None:
    guarded = hooked.with_(guard=GUARD)

    def vanish(progress: Progress) -> None:
        if progress.phase == "saving":
            hooked.app.log.unlink(missing_ok=True)

    error = guarded.fails(report=vanish)

    assert isinstance(error, SourceError)
    assert hooked.diary() == ["ready", "let go"]
    assert "Guard : held for " in hooked.app.journal()


# --- a stop ---------------------------------------------------------------------------------------


def test_a_stop_ends_a_guard_that_is_not_ready(hooked: Hooked) -> None:
    stop = StopRequest()
    guarded = hooked.with_(guard='echo $$ > "$1/pid"; exec sleep 1000')

    def ask() -> None:
        read_pid(hooked.folder / "pid")
        stop.ask()

    threading.Thread(target=ask, daemon=True).start()
    error = guarded.fails(stop=stop)

    assert isinstance(error, StoppedError)
    assert not lives(read_pid(hooked.folder / "pid"))


def test_a_stop_while_files_are_read_lets_go_of_the_guard(hooked: Hooked) -> None:
    stop = StopRequest()

    def report(progress: Progress) -> None:
        if progress.phase == "saving":
            stop.ask()

    error = hooked.with_(guard=GUARD).fails(stop=stop, report=report)

    assert isinstance(error, StoppedError)
    assert hooked.diary() == ["ready", "let go"]


# --- a run that is killed -------------------------------------------------------------------------


@contextmanager
def running(hooked: Hooked) -> Iterator["subprocess.Popen[bytes]"]:
    """The backup in a process of its own, which stays in the reading of the data."""
    named = {"startup": hooked.hooks.startup, "guard": hooked.hooks.guard}
    row = {
        "wait": str(hooked.folder / "go on"),
        "hooks": {
            kind: (str(one.program), one.arguments, one.time_limit.total_seconds())
            for kind, one in named.items()
            if one is not None
        },
    }
    command = [sys.executable, "-m", "tests.engine.hooked_run", str(hooked.app.package)]
    process = subprocess.Popen([*command, json.dumps(row)], cwd=ROOT)
    try:
        yield process
    finally:
        (hooked.folder / "go on").touch()
        process.kill()
        process.wait(20)


def test_a_guard_lets_go_when_the_run_is_killed(hooked: Hooked) -> None:
    guarded = hooked.with_(guard=f'echo $$ > "$1/pid"\n{GUARD}')

    with running(guarded) as run:
        assert eventually((hooked.folder / "go on.reading").exists)
        assert hooked.diary() == ["ready"]
        run.kill()
        run.wait(20)

        assert eventually(lambda: hooked.diary() == ["ready", "let go"])
        assert eventually(lambda: not lives(read_pid(hooked.folder / "pid")))
    hooked.app.backup()
    assert "the run that started then died before it was done" in hooked.app.journal()


def test_a_guard_that_ignores_the_death_of_the_run_is_ended(hooked: Hooked) -> None:
    file = program(hooked.folder, "guard", 'echo $$ > "$1/pid"; echo ready; exec sleep 1000')

    with running(hooked.with_(guard=hook(file, 1))) as run:
        assert eventually((hooked.folder / "go on.reading").exists)
        run.kill()
        run.wait(20)

        assert eventually(lambda: not lives(read_pid(hooked.folder / "pid")))


def test_a_startup_hook_ends_with_its_children_when_the_run_is_killed(hooked: Hooked) -> None:
    hanging = hooked.with_(startup='sleep 1000 & echo $! > "$1/child"; echo $$ > "$1/pid"; wait')

    with running(hanging) as run:
        pids = [read_pid(hooked.folder / "pid"), read_pid(hooked.folder / "child")]
        run.kill()
        run.wait(20)

        assert eventually(lambda: not any(lives(pid) for pid in pids))
    for pid in pids:
        end(pid)
    hooked.app.backup()
    assert "the run that started then died before it was done" in hooked.app.journal()
