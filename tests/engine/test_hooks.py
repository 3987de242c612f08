"""The startup hook may say no, the shutdown hook is told of every attempt; neither can hang or harm a backup."""

import logging
import time
from pathlib import Path

import pytest

from engine.errors import Code, Exit, StoppedError
from engine.hooks import Ended
from engine.lock import DATABASE_LOCK, read_memory
from engine.progress import Progress
from engine.stop import StopRequest
from settings.service_model import Hook
from tests.engine.hook_stories import (
    HANGS,
    Hooked,
    Stopper,
    end,
    eventually,
    hook,
    lives,
    noting,
    program,
    read_pid,
)
from tests.engine.stories import (
    ERASE_BEFORE,
    INDEX,
    KEEP,
    ONLY_IF_CHANGED,
    make_app,
    pass_a_day,
    restored,
)


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    return Hooked(make_app(tmp_path), tmp_path)


# --- what they are told ---------------------------------------------------------------------------


def test_hooks_run_around_the_backup_in_order(hooked: Hooked) -> None:
    told = hooked.with_(
        startup=noting("startup"),
        guard='head -1 > "$1/guard.json"; echo guard >> "$1/diary"; echo ready; cat',
        shutdown=noting("shutdown"),
    )

    outcome = told.backup()

    assert outcome.warnings == ()
    assert told.diary() == ["startup", "guard", "shutdown"]
    assert [told.told(event)["event"] for event in told.diary()] == told.diary()


def test_a_hook_is_told_everything_on_its_standard_input(hooked: Hooked) -> None:
    told = hooked.with_(startup=noting("startup"), shutdown=noting("shutdown"))

    outcome = told.backup()

    app = hooked.app
    common = {
        "version": 1,
        "database": str(app.package),
        "data_file": str(app.data_file),
        "structure": str(app.package / "Project" / "App.4DProject"),
        "log": str(app.log),
        "destination": str(app.destination),
        "set_number": 1,
        "scheduled": None,
        "files": [str(root) for root, _ in _roots(outcome.facts)] + [str(app.log)],
    }
    before = {"event": "startup", "status": None, "set_folder": None, "message": ""}
    after = {
        "event": "shutdown",
        "status": 0,
        "set_folder": str(outcome.folder),
        "message": outcome.text,
    }
    assert told.told("startup") == {**common, **before}
    assert told.told("shutdown") == {**common, **after}


def _roots(facts: object) -> tuple[tuple[str, str], ...]:
    return getattr(facts, "roots")  # type: ignore[no-any-return]  # noqa: B009


def test_the_environment_is_small_and_says_the_same(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("LD_PRELOAD", "")
    told = hooked.with_(shutdown=noting("shutdown"))
    pass_a_day(hooked.app)
    due = hooked.app.clock.now().replace(microsecond=0)

    told.backup(scheduled=due)

    environment = told.environment("shutdown")
    ours = {name for name in environment if name.startswith("BACKUP4D_")}
    document = told.told("shutdown")
    assert set(environment) - ours - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ")
    }
    assert environment["TZ"] == "Europe/Paris"
    assert {name: environment[name] for name in ours} == {
        f"BACKUP4D_{key.upper()}": str(value)
        for key, value in document.items()
        if key not in ("version", "files")
    }
    assert environment["BACKUP4D_SCHEDULED"] == due.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert (told.folder / "shutdown.pwd").read_text() == "/\n"


def test_arguments_reach_the_program_without_a_shell(hooked: Hooked) -> None:
    file = program(hooked.folder, "startup", 'printf "%s\\n" "$@" > "$1/arguments"')
    odd = ("$(touch x) ; é", "", "*")

    hooked.with_(startup=hook(file, 30, *odd)).backup()

    assert (hooked.folder / "arguments").read_text().split("\n")[1:-1] == list(odd)


def test_a_hook_that_reads_nothing_is_not_waited_for(hooked: Hooked) -> None:
    outcome = hooked.with_(startup="exec <&-; exit 0", shutdown="exec 0<&- 1>&- 2>&-").backup()

    assert outcome.warnings == ()


# --- startup --------------------------------------------------------------------------------------


def test_a_startup_hook_that_says_yes_is_journaled(hooked: Hooked) -> None:
    hooked.with_(startup="exit 0").backup()

    assert f"Startup hook : {hooked.folder}/startup [OK]\n" in hooked.app.journal()


def test_a_startup_hook_refuses_with_its_exit_code(hooked: Hooked) -> None:
    refusing = hooked.with_(
        startup="echo 'the year is being closed'; echo; exit 7", shutdown=noting("shutdown")
    )

    error = refusing.fails()

    assert (error.code, error.exit_code) == (7, Exit.FAILED)
    assert str(error) == (
        f"startup hook {hooked.folder}/startup refused the backup (exit code 7): "
        "the year is being closed"
    )
    assert refusing.told("shutdown")["status"] == 7
    memory = read_memory(hooked.app.package / "Logs" / DATABASE_LOCK)
    assert memory["failure"]["code"] == 7


def test_nothing_is_removed_before_the_startup_hook_said_yes(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1", ERASE_BEFORE: "True"})
    app.backup()
    app.backup()
    app.configure({KEEP: "1", ERASE_BEFORE: "True"}, attachments=(INDEX, "./Missing/"))
    app.backup()
    before = app.sets()
    refusing = Hooked(app, tmp_path).with_(startup="exit 1")

    refusing.fails()

    assert app.sets() == before
    assert "Deleted before writing" not in app.journal()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.unlink(missing_ok=True), "cannot be started: No such file or directory"),
        (lambda file: file.touch(0o644), "cannot be started: Permission denied"),
        (lambda file: file.mkdir(), "cannot be started: Permission denied"),
        (lambda file: _write(file, "exit 0\n"), "cannot be started: Exec format error"),
        (lambda file: _write(file, "#!/no/shell\n"), "cannot be started: No such file or"),
        (lambda file: _write(file, "#!/bin/sh\nkill -9 $$\n"), "was killed by SIGKILL"),
        (lambda file: _write(file, "#!/bin/sh\necho a; kill $$\n"), "was killed by SIGTERM: a"),
    ],
    ids=["missing", "no x", "folder", "no #!", "no shell", "kill -9", "kill"],
)
def test_a_startup_hook_that_cannot_be_asked_is_a_failure(
    hooked: Hooked, make: object, words: str
) -> None:
    file = hooked.folder / "startup"
    assert callable(make)
    make(file)

    error = hooked.with_(startup=Hook(file)).fails()

    assert error.code == Code.BACKUP_FAILED
    assert f"startup hook {file} {words}" in str(error)
    assert error.hint


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def test_a_startup_hook_beyond_its_time_is_ended_with_its_children(hooked: Hooked) -> None:
    stubborn = """
        sh -c 'trap "" TERM; echo $$ > "$0/child"; while :; do sleep 0.1; done' "$1" &
        echo $$ > "$1/pid"
        echo still waiting
        wait
    """
    file = program(hooked.folder, "startup", stubborn)

    error = hooked.with_(startup=hook(file, 1)).fails()

    assert str(error).endswith("was ended after its time limit of 1 s: still waiting")
    assert error.code == Code.BACKUP_FAILED
    assert not lives(read_pid(hooked.folder / "pid"))
    assert eventually(lambda: not lives(read_pid(hooked.folder / "child")))


def test_a_daemon_that_keeps_the_pipes_does_not_keep_the_backup(hooked: Hooked) -> None:
    leaving = hooked.with_(startup='setsid sleep 1000 & echo $! > "$1/daemon"')
    began = time.monotonic()

    leaving.backup()

    daemon = read_pid(hooked.folder / "daemon")
    assert lives(daemon)
    end(daemon)
    assert time.monotonic() - began < 15


def test_endless_output_fills_neither_memory_nor_log(
    hooked: Hooked, caplog: pytest.LogCaptureFixture
) -> None:
    talking = hooked.with_(
        startup='head -c 400M /dev/zero | tr "\\0" x; head -c 200M /dev/zero >&2; echo enough; '
        'echo "$PPID" > "$1/keeper"; grep VmHWM "/proc/$PPID/status" > "$1/peak"; exit 9'
    )
    caplog.set_level(logging.INFO)

    error = talking.fails()

    peak = int((hooked.folder / "peak").read_text().split()[1])
    assert error.code == 9
    assert len(str(error)) < 5000
    assert peak < 64 << 10
    assert sum(len(record.getMessage()) for record in caplog.records) < 100_000


def test_what_a_hook_writes_cannot_forge_an_entry(hooked: Hooked) -> None:
    forging = hooked.with_(startup="printf '\\n*** Full Backup\\r*** Full\\033[2J\\n'; exit 3")

    forging.fails()

    assert hooked.app.journal().count("\n*** ") == 0
    assert "(exit code 3): *** Full\\x1b[2J\n" in hooked.app.journal()


def test_a_stop_ends_the_startup_hook(hooked: Hooked) -> None:
    hanging = hooked.with_(startup=HANGS, shutdown=noting("shutdown"))
    stop = StopRequest()
    began = time.monotonic()

    error = hanging.fails(stop=stop, report=Stopper(stop, hooked.folder / "pid"))

    assert isinstance(error, StoppedError)
    assert not lives(read_pid(hooked.folder / "pid"))
    assert time.monotonic() - began < 15
    assert hanging.told("shutdown")["status"] == Code.STOPPED


def test_what_the_startup_hook_makes_is_saved(hooked: Hooked) -> None:
    hooked.app.configure(attachments=(INDEX, "./dump.sql"))
    dumping = hooked.with_(
        startup=f'[ -e "{hooked.app.package}/dump.sql" ] && exit 1; '
        f'echo rows > "{hooked.app.package}/dump.sql"'
    )

    outcome = dumping.backup()

    assert outcome.facts is not None
    assert outcome.facts.complete
    assert outcome.folder is not None
    restored(outcome.folder, hooked.folder / "back")
    assert (hooked.folder / "back" / "dump.sql").read_text() == "rows\n"


def test_what_can_be_refused_is_refused_before_the_startup_hook_is_asked(hooked: Hooked) -> None:
    asking = hooked.with_(startup=noting("startup"), shutdown=noting("shutdown"))
    hooked.app.data_file.unlink()

    asking.fails()

    assert asking.diary() == ["shutdown"]


def test_a_postponed_backup_calls_no_hook(tmp_path: Path) -> None:
    app = make_app(tmp_path, {ONLY_IF_CHANGED: "True"})
    app.backup()
    hooked = Hooked(app, tmp_path).with_(
        startup=noting("startup"), guard=noting("guard"), shutdown=noting("shutdown")
    )

    outcome = hooked.backup(scheduled=app.clock.now())

    assert outcome.facts is None
    assert hooked.diary() == []


def test_the_watcher_sees_which_hook_runs(hooked: Hooked) -> None:
    seen: list[Progress] = []

    hooked.with_(startup="exit 0", guard="echo ready; cat", shutdown="exit 0").backup(
        report=seen.append
    )

    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == ["planning", "startup hook", "guard", "saving", "checking", "shutdown hook"]


def test_a_hook_that_takes_long_is_not_taken_for_a_run_that_hangs(hooked: Hooked) -> None:
    seen: list[Progress] = []

    hooked.with_(startup="sleep 2.5").backup(report=seen.append)

    waited = [progress for progress in seen if progress.phase == "startup hook"]
    assert [progress.done for progress in waited][:3] == [0, 1, 2]
    assert {progress.total for progress in waited} == {0}


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended("", 3, None, "out\n", "err\n\n"), "ended with exit code 3: err"),
        (Ended("", 3, None, "out\n", " \n"), "ended with exit code 3: out"),
        (Ended("", -64, None, "", ""), "was killed by SIGRTMAX"),
        (Ended("", -50, None, "", ""), "was killed by signal 50"),
        (
            Ended("time limit", None, None, "", ""),
            "was ended after its time limit of 60 s, but it cannot be killed",
        ),
        (Ended("lost", None, None, "", ""), "was lost: the process that kept it died"),
    ],
)
def test_an_end_is_told_in_words(ended: Ended, words: str) -> None:
    assert ended.words(60.0) == words
