"""The guard holds the files still from before the first is read to after the last, and no longer; a guard that was lost is a failure."""

import os
import signal
import threading
import time
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


# --- from before the first file to after the last -------------------------------------------------


def test_a_guard_holds_while_files_are_read_and_not_while_they_are_checked(hooked: Hooked) -> None:
    guarded = hooked.with_(guard=GUARD, startup=noting("startup"), shutdown=noting("shutdown"))
    seen: dict[str, list[str]] = {}

    def look(progress: Progress) -> None:
        if progress.phase == "saving":
            seen["saving"] = guarded.diary()
        if progress.phase == "checking" and "checking" not in seen:
            assert eventually(lambda: guarded.diary()[-1] == "let go")
            seen["checking"] = guarded.diary()

    outcome = guarded.backup(report=look)

    assert outcome.warnings == ()
    assert seen["saving"] == ["startup", "ready"]
    assert seen["checking"] == ["startup", "ready", "let go"]
    assert guarded.diary() == ["startup", "ready", "let go", "shutdown"]


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


def test_the_time_limit_of_a_guard_does_not_count_while_it_holds(hooked: Hooked) -> None:
    noting_cost = f'{GUARD}\n cat "/proc/$PPID/stat" > "$1/stat"'
    guarded = hooked.with_(guard=hook(program(hooked.folder, "guard", noting_cost), 1))
    paused = threading.Event()

    def read_slowly(progress: Progress) -> None:
        if progress.phase == "saving" and not paused.is_set():
            paused.set()
            time.sleep(2.5)

    outcome = guarded.backup(report=read_slowly)

    assert outcome.warnings == ()
    assert guarded.diary() == ["ready", "let go"]
    used = [int(ticks) for ticks in (hooked.folder / "stat").read_text().split()[13:15]]
    assert sum(used) / os.sysconf("SC_CLK_TCK") < 0.4  # its keeper sleeps meanwhile


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


class Racing(Losing):
    """Ends the guard while its keeper, held back, cannot say so before the guard is told to let go."""

    def __init__(self, hooked: Hooked, at: int) -> None:
        super().__init__(hooked, at)
        self._keeper = hooked.folder / "keeper"

    def __call__(self, progress: Progress) -> None:
        if progress.phase == "saving" and self.seen + 1 == self._at:
            keeper = read_pid(self._keeper)
            os.kill(keeper, signal.SIGSTOP)
            threading.Timer(2, os.kill, (keeper, signal.SIGCONT)).start()
        super().__call__(progress)


class Counting:
    """Counts the reports while the data is read."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, progress: Progress) -> None:
        self.seen += progress.phase == "saving"


@pytest.mark.parametrize("at", ["first", "last"])
def test_a_guard_that_ended_before_it_was_told_fails_the_backup(hooked: Hooked, at: str) -> None:
    counting = Counting()
    hooked.backup()
    hooked.backup(report=counting)  # as the next one, which takes over as much
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


def test_a_guard_that_ended_in_the_moment_it_was_told_fails_the_backup(hooked: Hooked) -> None:
    counting = Counting()
    hooked.backup()
    hooked.backup(report=counting)  # as the next one, which takes over as much
    dying = hooked.with_(
        guard='echo $$ > "$1/pid"; echo $PPID > "$1/keeper"; echo ready; exec cat > /dev/null'
    )

    error = dying.fails(report=Racing(hooked, counting.seen))

    assert "was killed by SIGKILL while the files were read" in str(error)


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
