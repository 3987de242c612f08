"""A drill or a scrub as the child makes it: looks again at what was done meanwhile, and says how it ended."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.progress import silent
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from scheduler.chore import run_chore
from scheduler.proof import (
    Drilled,
    LastDrill,
    NotNow,
    Proof,
    Scrubbed,
    Told,
    Verified,
    after_drill,
    after_scrub,
    proof_to_json,
)
from tests.commands.terminal import damage
from tests.engine.parity_stories import protect
from tests.engine.stories import make_app, pass_a_day
from tests.fakes import StoryClock

DAY = timedelta(days=1)


class Child:
    """What the service asks for, and what it remembers."""

    def __init__(self, folder: Path) -> None:
        self.app = make_app(folder)
        self.clock = self.app.clock
        assert isinstance(self.clock, StoryClock)
        self.proof = Proof()
        self.scratch = folder / "scratch"
        self.scratch.mkdir()

    def _row(self, chore: str, **more: Any) -> dict[str, Any]:
        row = {
            "chore": chore,
            "package": str(self.app.package),
            "data_file": str(self.app.data_file),
            "destination": str(self.app.destination),
            "zone": "Europe/Paris",
            "proof": proof_to_json(self.proof),
            **more,
        }
        back = json.loads(json.dumps(row))
        assert isinstance(back, dict)
        return back

    def _run(self, row: dict[str, Any]) -> Told:
        return run_chore(row, Surroundings(self.clock, StopRequest(), silent))

    def drills(self) -> Told:
        seconds = (7 * DAY).total_seconds()
        scratch = {"scratch": str(self.scratch), "room_limit": None, "check": None}
        ending = self._run(self._row("drill", every=seconds, **scratch))
        if isinstance(ending, Drilled):
            self.proof = after_drill(self.proof, ending.last)
        return ending

    def scrubs(self) -> Scrubbed:
        ending = self._run(self._row("scrub", after=(30 * DAY).total_seconds()))
        assert isinstance(ending, Scrubbed), ending
        self.proof = after_scrub(self.proof, ending)
        return ending

    def passes(self, days: int) -> None:
        for _ in range(days):
            pass_a_day(self.app)

    def entries(self, title: str) -> list[str]:
        return [text for text in self.app.journal().split("\n\n") if text.startswith(title)]


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


# --- drills ---------------------------------------------------------------------------------------


def test_the_newest_complete_set_is_drilled(child: Child) -> None:
    child.app.backup_set()
    child.app.backup_set()
    child.app.configure(attachments=["/nowhere/letters"])
    child.app.backup_set()

    ending = child.drills()

    assert isinstance(ending, Drilled)
    assert (ending.last.number, ending.last.code, ending.by_hand) == (2, 0, False)


def test_without_a_complete_set_there_is_nothing_to_do(child: Child) -> None:
    assert isinstance(child.drills(), NotNow)
    child.app.configure(attachments=["/nowhere/letters"])
    child.app.backup_set()

    assert child.drills() == NotNow("there is no complete set to restore")


@pytest.mark.parametrize("gone", ["app", "backups"])
def test_what_is_not_there_now_is_no_failed_drill(child: Child, tmp_path: Path, gone: str) -> None:
    child.app.backup_set()
    (tmp_path / gone).rename(tmp_path / "elsewhere")

    ending = child.drills()

    assert isinstance(ending, NotNow)
    assert str(tmp_path / gone) in ending.why


def test_a_drill_that_the_service_does_not_know_of_counts(child: Child) -> None:
    child.app.backup_set()
    child.drills()
    child.proof = Proof()
    child.passes(3)

    ending = child.drills()

    assert isinstance(ending, Drilled)
    assert ending.by_hand
    assert len(child.entries("*** Restore drill")) == 1


def test_an_older_one_in_the_history_does_not_hide_a_later_failure(child: Child) -> None:
    child.app.backup_set()
    child.drills()
    child.passes(1)
    died = LastDrill(child.clock.now(), 0, 0.0, 1409, "killed")
    child.proof = after_drill(child.proof, died)
    child.passes(1)

    ending = child.drills()

    assert isinstance(ending, Drilled)
    assert not ending.by_hand
    assert len(child.entries("*** Restore drill")) == 2


def test_a_failed_drill_says_which_set(child: Child) -> None:
    damage(child.app.backup_set())

    ending = child.drills()

    assert isinstance(ending, Drilled)
    assert (ending.last.number, ending.last.code) == (1, 1411)


# --- scrubs ---------------------------------------------------------------------------------------


def test_the_set_that_was_read_longest_ago_comes_first(child: Child) -> None:
    child.app.backup_set()
    child.passes(10)
    child.app.backup_set()
    child.passes(31)

    first, second, third = child.scrubs(), child.scrubs(), child.scrubs()

    assert first.read is not None
    assert second.read is not None
    assert (first.read.name, second.read.name, third.read) == ("data[0001]", "data[0002]", None)
    assert third.oldest == first.read.at
    assert third.kept == ("data[0001]", "data[0002]")


def test_a_fresh_set_counts_as_read_when_it_was_made(child: Child) -> None:
    child.app.backup_set()
    child.passes(29)

    ending = child.scrubs()

    assert ending.read is None
    assert child.clock.now() - ending.oldest > 28 * DAY


def test_a_set_that_was_not_checked_when_it_was_made_is_read_at_once(child: Child) -> None:
    child.app.configure({"Advanced/CheckArchiveFileDuringBackup": "False"})
    child.app.backup_set()

    ending = child.scrubs()

    assert ending.read is not None
    assert ending.read.code == 0
    assert child.scrubs().read is None


def test_a_set_from_a_clock_that_was_years_ahead_is_read_once_and_not_for_ever(
    child: Child,
) -> None:
    ahead = StoryClock(child.clock.now() + 3000 * DAY)
    child.app.backup_set(clock=ahead)

    assert child.scrubs().read is not None
    assert child.scrubs().read is None


def test_without_a_set_nothing_is_read(child: Child) -> None:
    assert child.scrubs().read is None


def test_damage_is_told_and_counted_and_not_read_again_at_once(child: Child) -> None:
    damage(child.app.backup_set())
    child.passes(31)

    ending = child.scrubs()

    assert ending.read is not None
    assert (ending.read.code, ending.was_damaged, ending.is_repaired) == (1411, True, False)
    (entry,) = child.entries("*** Verification")
    assert "Result : damaged" in entry
    assert "Hint : keep the folder" in entry
    assert child.scrubs().read is None


def test_damage_is_repaired_from_recovery_data_and_read_again(child: Child) -> None:
    folder = child.app.backup_set()
    (archive,) = folder.glob("*.tar.zst")
    whole = archive.read_bytes()
    protect(folder, archive.name)
    damage(folder)
    child.passes(31)

    ending = child.scrubs()

    assert ending.read is not None
    assert (ending.read.code, ending.was_damaged, ending.is_repaired) == (0, True, True)
    assert archive.read_bytes() == whole
    (entry,) = child.entries("*** Verification")
    assert "Damage : " in entry
    assert "Repair : " in entry
    assert "Result : OK after the repair" in entry
    assert "Error reported" not in entry


def test_damage_beyond_repair_stays_damage(child: Child) -> None:
    folder = child.app.backup_set()
    (archive,) = folder.glob("*.tar.zst")
    protect(folder, archive.name, spare=2)
    archive.write_bytes(bytes(archive.stat().st_size))
    child.passes(31)

    ending = child.scrubs()

    assert ending.read is not None
    assert ending.read.code
    assert not ending.is_repaired
    (entry,) = child.entries("*** Verification")
    assert "Not repaired : " in entry
    assert "Result : damaged" in entry


def test_a_set_without_its_manifest_is_read_too(child: Child) -> None:
    folder = child.app.backup_set()
    child.app.backup_set()
    (folder / "manifest.json").unlink()

    ending = child.scrubs()

    assert ending.read is not None
    assert (ending.read.name, ending.read.code) == ("data[0001]", 1410)


def test_a_link_to_a_set_is_left_alone(child: Child, tmp_path: Path) -> None:
    folder = child.app.backup_set()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    child.passes(40)

    assert child.scrubs().kept == ()


def test_what_somebody_verified_by_hand_counts(child: Child) -> None:
    child.app.backup_set()
    child.passes(31)
    child.scrubs()
    child.proof = replace(child.proof, verified=())

    assert child.scrubs().read is None


def test_a_set_that_was_read_stays_remembered(child: Child) -> None:
    folder = child.app.backup_set()
    child.passes(31)
    child.scrubs()
    (child.app.destination / "backupHistory.json").unlink()

    assert child.scrubs().read is None
    assert [one.name for one in child.proof.verified] == [folder.name]
    assert isinstance(child.proof.verified[0], Verified)


def test_what_only_has_the_name_of_a_set_does_not_keep_others_from_being_read(
    child: Child,
) -> None:
    child.app.backup_set()
    (child.app.destination / "data[0007]").write_text("a file")
    (child.app.destination / "data[0008]").mkdir()
    child.passes(31)

    read = [child.scrubs().read for _ in range(4)]

    assert [one and (one.name, one.code) for one in read] == [
        ("data[0007]", 1410),
        ("data[0008]", 1410),
        ("data[0001]", 0),
        None,
    ]
