"""The shutdown hook is told of every attempt that took the lock, after all was written down; it harms nothing."""

import json
import re
from pathlib import Path

import pytest

from engine.backup import run_backup
from engine.errors import Code, DestinationError
from engine.progress import Progress
from engine.request import Request
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.paths import PathMap
from settings.service_model import Hook
from tests.engine.hook_stories import HANGS, Hooked, Stopper, hook, lives, noting, program, read_pid
from tests.engine.stories import INDEX, KEEP, PARIS, make_app, verified


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    return Hooked(make_app(tmp_path), tmp_path)


def test_the_shutdown_hook_comes_after_journal_and_history(hooked: Hooked) -> None:
    app = hooked.app
    copying = f'cp "{app.package}/Logs/Backup Journal[001].txt" "$1/j"; cp "{app.destination}/backupHistory.json" "$1/h"'

    hooked.with_(shutdown=copying).backup()

    assert (hooked.folder / "j").read_text() == app.journal()
    history = json.loads((hooked.folder / "h").read_text())
    assert history == app.history()
    assert history[app.layout.key][0]["backupNumber"] == 1


def test_the_shutdown_hook_comes_after_rotation(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1"})
    app.backup()
    hooked = Hooked(app, tmp_path).with_(shutdown=f'ls "{app.destination}" > "$1/sets"')

    hooked.backup()

    names = (tmp_path / "sets").read_text().split()
    assert [name for name in names if name.endswith("]")] == ["data[0002]"]


def test_the_shutdown_hook_is_told_of_a_partial_set(hooked: Hooked) -> None:
    hooked.app.configure(attachments=(INDEX, "./Missing/"))
    told = hooked.with_(shutdown=noting("shutdown"))

    outcome = told.backup()

    document = told.told("shutdown")
    assert document["status"] == Code.BACKUP_FAILED
    assert document["message"].startswith("partial backup: 1 of the listed files")
    assert document["set_folder"] == str(outcome.folder)


def test_the_shutdown_hook_is_told_of_refused_settings(hooked: Hooked) -> None:
    hooked.app.configure({KEEP: "0"})
    told = hooked.with_(startup=noting("startup"), shutdown=noting("shutdown"))

    error = told.fails()

    assert told.diary() == ["shutdown"]
    assert told.told("shutdown")["status"] == Code.BACKUP_FAILED
    assert told.told("shutdown")["message"] == str(error)
    assert told.told("shutdown")["set_folder"] is None
    assert told.environment("shutdown")["BACKUP4D_DESTINATION"] == ""


def test_the_shutdown_hook_is_told_of_a_missing_destination(hooked: Hooked) -> None:
    hooked.app.destination.rmdir()
    hooked.app.configure({"General/DestinationFolder": f"{hooked.folder}/not/mounted/"})
    told = hooked.with_(shutdown=noting("shutdown"))
    request = Request(hooked.app.layout, PathMap(), PARIS, None, hooks=told.hooks)

    with pytest.raises(DestinationError, match="Destination folder"):
        run_backup(request, Surroundings(hooked.app.clock, StopRequest(), report=lambda _: None))

    assert told.told("shutdown")["status"] == Code.DESTINATION_NOT_VALID


def test_the_shutdown_hook_is_told_of_a_defect_of_ours(hooked: Hooked) -> None:
    told = hooked.with_(shutdown=noting("shutdown"))

    def breaking(progress: Progress) -> None:
        if progress.phase == "saving":
            raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        told.backup(report=breaking)

    assert told.told("shutdown")["status"] == Code.BACKUP_FAILED
    assert "a defect" in told.told("shutdown")["message"]


@pytest.mark.parametrize(
    ("script", "seconds", "words"),
    [
        ("echo no route to host >&2; exit 3", 30, "ended with exit code 3: no route to host"),
        ("kill -9 $$", 30, "was killed by SIGKILL"),
        ("exec sleep 1000", 0.5, "was ended after its time limit of 0.5 s"),
    ],
    ids=["exit 3", "signal", "hangs"],
)
def test_a_failing_shutdown_hook_harms_nothing_and_is_told(
    hooked: Hooked, script: str, seconds: float, words: str
) -> None:
    file = program(hooked.folder, "shutdown", script)

    outcome = hooked.with_(shutdown=hook(file, seconds)).backup()

    sentence = f"shutdown hook {file} {words}"
    assert outcome.folder is not None
    assert verified(outcome.folder).good
    assert outcome.warnings == (sentence,)
    assert hooked.app.records()[0]["status"] == 0
    entry = hooked.app.journal().rpartition("*** ")[2]
    assert re.match(
        rf"Shutdown hook failed\nError reported : {re.escape(sentence)}\nHint : .*\nStarting : .*\nEnding : ",
        entry,
    )


def test_a_failing_shutdown_hook_does_not_hide_the_failure(hooked: Hooked) -> None:
    hooked.app.data_file.unlink()
    file = hooked.folder / "nowhere"

    error = hooked.with_(shutdown=Hook(file)).fails()

    assert "data.4DD is missing" in str(error)
    assert f"shutdown hook {file} cannot be started: No such file" in hooked.app.journal()


def test_a_stop_ends_the_shutdown_hook_and_keeps_the_set(hooked: Hooked) -> None:
    stop = StopRequest()
    hanging = hooked.with_(shutdown=HANGS)

    outcome = hanging.backup(stop=stop, report=Stopper(stop, hooked.folder / "pid"))

    assert hooked.app.sets() == ["data[0001]"]
    assert outcome.warnings == (
        f"shutdown hook {hooked.folder}/shutdown was stopped: waiting for the archive",
    )
    assert not lives(read_pid(hooked.folder / "pid"))
