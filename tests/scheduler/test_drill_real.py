"""Drills and scrubs of the real service: made when due, told, no storm, out of the way of backups, nothing left behind."""

import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.host import HostClock
from tests.commands.terminal import damage
from tests.engine.stories import App
from tests.scheduler.real import (
    PROGRAM,
    Real,
    application,
    environment,
    make_big,
    owe,
    saved_state,
    serve,
    service_of,
    wait_until,
)

TITLE = "*** Restore drill"
AWAITING = "next backup"


class Drilled:
    """An application with a set, a service file that asks for proof, and a scratch folder."""

    def __init__(self, folder: Path) -> None:
        self.app = application(folder)
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.state = folder / "state"
        self.file = folder / "service.xml"

    def ask(self, more: str = "", check: str = "") -> None:
        """A drill every week; `more` beside it."""
        if check:
            program = self.scratch.with_name("check")
            program.write_text(f"#!/bin/sh\n{check}\n")
            program.chmod(0o755)
            check = f"<Check><Program>{program}</Program></Check>"
        drill = f"<EveryDays>7</EveryDays><Scratch>{self.scratch}</Scratch>{check}"
        serve(self.file, self.app, more=f"<Drill>{drill}</Drill>{more}")

    def backup(self) -> Path:
        return self.app.backup_set(clock=HostClock())

    def service(self) -> Any:
        return service_of(self.file, self.state)

    def status(self, *words: str) -> str:
        """What `backup4d status` prints."""
        places = ["--service-file", str(self.file), "--state-folder", str(self.state)]
        done = subprocess.run(
            [*PROGRAM, *places, "status", *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=60,
        )
        return done.stdout

    def row(self) -> dict[str, Any]:
        row = json.loads(self.status("--json"))["databases"][0]
        assert isinstance(row, dict)
        return row

    def entries(self, title: str = TITLE) -> list[str]:
        return [text for text in self.app.journal().split("\n\n") if text.startswith(title)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.app.history().get("backup4d", [])
        return [row for row in rows if row["event"] == kind]

    def proof(self) -> dict[str, Any]:
        proof = saved_state(self.state, self.app)["proof"]
        assert isinstance(proof, dict)
        return proof

    def move_back(self, days: int) -> None:
        """The drill was made and asked for days ago."""
        (file,) = self.state.glob("data-*.json")
        state = json.loads(file.read_text())
        for of, key in ((state["proof"]["drill"], "ended"), (state["proof"], "asked")):
            of[key] = (datetime.fromisoformat(of[key]) - timedelta(days=days)).isoformat()
        file.write_text(json.dumps(state))


@pytest.fixture
def drilled(tmp_path: Path) -> Drilled:
    return Drilled(tmp_path)


def ends(real: Real) -> None:
    assert real.stop() == 0


def wait_for_restoring(drilled: Drilled) -> None:
    wait_until(lambda: any(drilled.scratch.glob(".backup4d-drill-*/*")), "nothing is restored")


# --- drills ---------------------------------------------------------------------------------------


def test_a_drill_that_is_due_is_made_once_and_told(drilled: Drilled) -> None:
    drilled.backup()
    drilled.ask(check='test -s "$1/Data/data.4DD"')
    assert "drill       last proven restore: never" in drilled.status()

    with drilled.service() as real:
        real.wait_for("restore of set 1 is proven")
        real.process.send_signal(signal.SIGHUP)
        words = drilled.status()
        ends(real)

    (entry,) = drilled.entries()
    assert "Result : OK" in entry
    assert "Check program : " in entry
    (event,) = drilled.events("drill")
    assert (event["set"], event["status"]) == ("data[0001]", 0)
    (line,) = [line for line in words.splitlines() if line.startswith("  drill ")]
    assert line.startswith(f"  drill       last proven restore: {datetime.now(UTC):%Y-%m-%d}")
    assert ", set 1, took 0." in line
    assert "TROUBLE" not in words
    assert drilled.row()["drill"]["proven"]["set"] == 1
    assert real.said().count("drill begins") == 1
    assert list(drilled.scratch.iterdir()) == []


def test_the_next_one_is_made_when_its_time_has_come(drilled: Drilled) -> None:
    drilled.backup()
    drilled.ask()
    with drilled.service() as real:
        real.wait_for("restore of set 1 is proven")
        ends(real)
    drilled.backup()

    with drilled.service() as real:
        real.wait_for(AWAITING)
        ends(real)
    assert "drill begins" not in real.said()

    (drilled.app.destination / "backupHistory.json").unlink()
    drilled.move_back(days=8)
    with drilled.service() as real:
        real.wait_for("restore of set 2 is proven")
        ends(real)


def test_one_made_by_hand_counts(drilled: Drilled) -> None:
    drilled.backup()
    serve(drilled.file, drilled.app)
    command = [*PROGRAM, "--state-folder", str(drilled.state), "drill", str(drilled.app.package)]
    subprocess.run(
        [*command, "--scratch", str(drilled.scratch)], check=True, env=environment(), timeout=60
    )
    assert "set 1, took" in drilled.status()

    drilled.ask()
    with drilled.service() as real:
        real.wait_for("restore of set 1 is proven")
        ends(real)

    assert len(drilled.entries()) == 1


def test_without_a_set_there_is_no_drill(drilled: Drilled) -> None:
    drilled.ask()

    with drilled.service() as real:
        real.wait_for(AWAITING)
        real.process.send_signal(signal.SIGHUP)
        ends(real)

    assert "drill begins" not in real.said()
    assert drilled.entries() == []


def test_a_drill_waits_for_its_window(drilled: Drilled) -> None:
    drilled.backup()
    begins = datetime.now(UTC) + timedelta(hours=2)
    window = f"<From>{begins:%H:%M}</From><To>{begins + timedelta(hours=1):%H:%M}</To>"
    drill = f"<EveryDays>1</EveryDays><Window>{window}</Window><Scratch>{drilled.scratch}</Scratch>"
    serve(drilled.file, drilled.app, more=f"<Drill>{drill}</Drill>")

    with drilled.service() as real:
        real.wait_for(AWAITING)
        real.process.send_signal(signal.SIGHUP)
        ends(real)

    assert "drill begins" not in real.said()


def test_a_damaged_set_fails_the_drill_once_and_status_says_so(drilled: Drilled) -> None:
    damage(drilled.backup())
    drilled.ask()

    with drilled.service() as real:
        real.wait_for("the restore drill failed")
        for _ in range(3):
            real.process.send_signal(signal.SIGHUP)
        words = drilled.status()
        ends(real)

    with drilled.service() as real:
        real.wait_for(AWAITING)
        ends(real)
    assert "drill begins" not in real.said()
    (entry,) = drilled.entries()
    assert "Error reported : 1411" in entry
    assert drilled.events("drill")[0]["status"] == 1411
    assert "last proven restore: never" in words
    assert "TROUBLE     the restore drill of " in words


@pytest.mark.parametrize("why", ["missing", "a file", "in the backup folder"])
def test_a_scratch_that_cannot_be_used_is_told_once(drilled: Drilled, why: str) -> None:
    drilled.backup()
    drilled.scratch.rmdir()
    if why == "a file":
        drilled.scratch.write_text("")
    if why == "in the backup folder":
        drilled.scratch = drilled.app.destination
    drilled.ask()

    with drilled.service() as real:
        real.wait_for("the restore drill failed")
        for _ in range(3):
            real.process.send_signal(signal.SIGHUP)
        words = drilled.status()
        ends(real)

    assert "TROUBLE     the restore drill of " in words
    assert len(drilled.entries()) == 1


def test_a_killed_drill_is_told_and_the_next_one_removes_what_it_left(drilled: Drilled) -> None:
    make_big(drilled.app)
    drilled.backup()
    drilled.ask(check="sleep 600")

    with drilled.service() as real:
        wait_for_restoring(drilled)
        os.kill(real.wait_for_child(), signal.SIGKILL)
        real.wait_for("drill failed: the process of the run")
        assert "TROUBLE     the restore drill" in drilled.status()
        ends(real)
    (entry,) = drilled.entries()
    assert "was killed by signal 9" in entry
    assert list(drilled.scratch.glob(".backup4d-drill-*"))

    drilled.ask()
    drilled.move_back(days=2)
    with drilled.service() as real:
        real.wait_for("restore of set 1 is proven")
        ends(real)

    assert list(drilled.scratch.iterdir()) == []


def test_a_service_killed_in_a_drill_does_not_begin_it_again_at_once(drilled: Drilled) -> None:
    drilled.backup()
    drilled.ask(check="sleep 600")
    with drilled.service() as real:
        wait_for_restoring(drilled)
        real.process.kill()

    with drilled.service() as real:
        real.wait_for("drill failed: the service or the machine ended")
        ends(real)

    assert "drill begins" not in real.said()
    assert len(drilled.entries()) == 1


def test_a_stopped_service_undoes_its_drill_and_makes_it_after_the_next_start(
    drilled: Drilled,
) -> None:
    drilled.backup()
    drilled.ask(check="sleep 600")
    with drilled.service() as real:
        wait_for_restoring(drilled)
        ends(real)
    assert list(drilled.scratch.iterdir()) == []
    assert drilled.entries() == []

    drilled.ask()
    with drilled.service() as real:
        real.wait_for("restore of set 1 is proven")
        ends(real)


def test_a_backup_does_not_wait_for_a_drill(drilled: Drilled) -> None:
    drilled.backup()
    drilled.ask(check="sleep 600")

    with drilled.service() as real:
        wait_for_restoring(drilled)
        subprocess.run(
            [
                *PROGRAM,
                *("--state-folder", str(drilled.state)),
                *("backup", "--via-service", str(drilled.app.package)),
            ],
            check=True,
            env=environment(),
            timeout=60,
        )
        real.wait_for("the drill gives way to a backup")
        real.wait_for("no drill now")
        real.process.send_signal(signal.SIGHUP)
        ends(real)

    assert real.said().count("drill begins") == 1
    assert drilled.entries() == []
    assert list(drilled.scratch.iterdir()) == []


def test_a_backup_that_is_due_goes_before_a_drill(drilled: Drilled) -> None:
    drilled.backup()
    drilled.ask()
    owe(drilled.app, drilled.state)

    with drilled.service() as real:
        real.wait_for("restore of set 2 is proven")
        ends(real)

    assert real.said().index("set 2 published") < real.said().index("drill begins")


def test_a_drill_missed_for_twice_its_time_is_trouble(drilled: Drilled) -> None:
    drilled.backup()
    drilled.ask()
    with drilled.service() as real:
        real.wait_for("restore of set 1 is proven")
        ends(real)
    (drilled.app.destination / "backupHistory.json").unlink()

    drilled.move_back(days=13)
    assert "overdue" not in drilled.status()
    drilled.move_back(days=2)
    assert "TROUBLE     the restore drill is overdue: asked for every 7 days" in drilled.status()


# --- scrub ----------------------------------------------------------------------------------------


def scrubbing(drilled: Drilled, days: int = 30) -> None:
    serve(drilled.file, drilled.app, more=f"<Scrub><AfterDays>{days}</AfterDays></Scrub>")


def old_set(app: App, days: int) -> Path:
    """A set that was made and checked so long ago."""
    return app.backup_set(clock=_Ago(days))


class _Ago(HostClock):
    def __init__(self, days: int) -> None:
        self._ago = timedelta(days=days)

    def now(self) -> datetime:
        return super().now() - self._ago


def test_old_sets_are_read_again_and_fresh_ones_are_not(drilled: Drilled) -> None:
    old_set(drilled.app, 50)
    old_set(drilled.app, 40)
    drilled.backup()
    scrubbing(drilled)

    with drilled.service() as real:
        real.wait_for("was read again and is whole", times=2)
        wait_until(lambda: drilled.proof()["begun"] is None, "it never ends")
        row = drilled.row()["scrub"]
        ends(real)

    first, second = drilled.entries("*** Verification")
    assert "data[0001]" in first
    assert "data[0002]" in second
    assert "Result : OK" in second
    assert (row["sets_read"], row["damaged"], row["damaged_sets"]) == (2, 0, [])
    assert "scrub begins" in real.said()
    with drilled.service() as real:
        real.wait_for(AWAITING)
        ends(real)
    assert "scrub begins" not in real.said()


def test_a_damaged_set_is_trouble_until_it_is_whole_again(drilled: Drilled) -> None:
    folder = old_set(drilled.app, 50)
    (archive,) = folder.glob("*.tar.zst")
    whole = archive.read_bytes()
    drilled.backup()
    damage(folder)
    scrubbing(drilled)

    with drilled.service() as real:
        real.wait_for("data[0001] is damaged")
        ends(real)

    (entry,) = drilled.entries("*** Verification")
    assert "Error reported : 1411" in entry
    assert "Result : damaged" in entry
    assert "TROUBLE     data[0001] was damaged when it was read" in drilled.status()
    row = drilled.row()["scrub"]
    assert (row["sets_read"], row["damaged"], row["damaged_sets"]) == (1, 1, ["data[0001]"])
    archive.write_bytes(whole)
    command = [*PROGRAM, "--state-folder", str(drilled.state), "verify"]
    subprocess.run([*command, str(drilled.app.package)], check=True, env=environment(), timeout=60)
    assert "TROUBLE     data[0001]" not in drilled.status()


def test_a_damaged_set_that_is_gone_is_no_trouble_any_more(drilled: Drilled) -> None:
    folder = old_set(drilled.app, 50)
    drilled.backup()
    damage(folder)
    scrubbing(drilled)
    with drilled.service() as real:
        real.wait_for("data[0001] is damaged")
        ends(real)

    folder.rename(drilled.app.destination.parent / "elsewhere")

    assert "TROUBLE     data[0001]" not in drilled.status()
