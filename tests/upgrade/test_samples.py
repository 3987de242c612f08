"""What earlier releases have written is read: sets verify and restore, history, state and numbers go on, nothing is lost."""

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK, read_memory, read_traces
from scheduler.decide import Run, Wait
from scheduler.outcomes import Published
from tests.engine.stories import restored, verified
from tests.scheduler.real import PROGRAM, environment
from tests.upgrade.freeze import SAMPLES, content
from tests.upgrade.thaw import NAMES, Sample, thawed, tomorrow_at

HAS_PAUSE = [name for name in NAMES if name != "issue-2"]  # pauses came with issue 3
DIED = "the run that started then died before it was done"


@pytest.fixture(params=NAMES)
def sample(request: pytest.FixtureRequest) -> Iterator[Sample]:
    with thawed(request.param) as found:
        yield found


def test_there_are_samples_of_every_format_that_differs() -> None:
    assert NAMES[:4] == ["issue-2", "issue-3", "issue-4", "issue-5"]


def test_its_sets_verify_and_restore_to_what_was_saved(sample: Sample, tmp_path: Path) -> None:
    kept, dead = sample.app("kept"), sample.app("dead")
    saved = {
        kept.destination / "data[0001]": "kept data",
        kept.destination / "data[0002]": "kept data, second day",
        dead.destination / "data[0001]": "dead data",
    }

    for number, (folder, what) in enumerate(saved.items()):
        assert verified(folder).good, verified(folder).damage
        restored(folder, tmp_path / str(number))

        back = tmp_path / str(number)
        assert (back / "Data/data.4DD").read_bytes() == content(what)
        assert (back / "Data/data.journal").is_file()
        assert (back / "Project/Sources/Methods/hello.4dm").read_bytes() == b"ALERT(1)\n"


def test_the_command_line_reads_it(sample: Sample) -> None:
    package = str(sample.root / "kept" / "app")
    for words in (["list"], ["verify"], ["schedule"]):
        done = subprocess.run(
            [*PROGRAM, "--state-folder", str(sample.root / "state"), *words, package],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)


def test_its_history_and_its_numbers_go_on(sample: Sample) -> None:
    app = sample.app("kept")
    before, events = app.records(), app.history().get("backup4d", [])
    assert [record["backupNumber"] for record in before] == [1, 2]

    assert app.backup_set().name == "data[0003]"

    assert app.records()[:2] == before
    assert app.records()[2]["backupNumber"] == 3
    assert app.history().get("backup4d", []) == events
    assert [path.name for path in app.destination.glob("*damaged*")] == []


def test_its_journal_is_written_on(sample: Sample) -> None:
    app = sample.app("kept")
    before = app.journal()
    assert before.count("*** Full Backup\n") == 2

    app.backup()

    assert app.journal().startswith(before)
    assert app.journal().count("*** Full Backup\n") == 3


def test_the_number_is_remembered_by_the_lock_when_sets_and_history_are_gone(
    sample: Sample,
) -> None:
    app = sample.app("kept")
    assert read_memory(app.package / "Logs" / DATABASE_LOCK)["number"] == 2
    subprocess.run(["rm", "-r", str(app.destination)], check=True, timeout=30)
    app.destination.mkdir()

    assert app.backup_set().name == "data[0003]"


def test_a_run_of_it_that_died_is_journaled_and_tidied_up(sample: Sample) -> None:
    app = sample.app("dead")
    assert app.hidden()
    traces = read_traces(app.package / "Logs" / DATABASE_LOCK)
    assert traces is not None
    assert traces["number"] == 2

    folder = app.backup_set()

    assert app.hidden() == []
    assert app.journal().count(DIED) == 1
    assert verified(folder).good


@pytest.mark.parametrize("name", ["kept", "dead"])
def test_its_state_is_taken_up_and_no_slot_is_served_twice(sample: Sample, name: str) -> None:
    state = sample.state(name)
    answered = state.known.answered_until
    slot = tomorrow_at(answered, 2, 30)
    served = sample.served(name)

    served.refresh(slot - timedelta(minutes=5))
    assert isinstance(served.decide(slot - timedelta(minutes=5)), Wait)
    assert served.known is not None
    assert served.known.answered_until == answered
    assert list(sample.root.glob("state/*.json.*")) == []
    if state.known.paused_until is not None:
        served.pause(None, "a test", slot - timedelta(minutes=5))
    served.refresh(slot + timedelta(seconds=1))
    decision = served.decide(slot + timedelta(seconds=1))
    assert isinstance(decision, Run)
    assert (decision.slot.at, decision.missed) == (slot, 0)

    served.begin(decision, slot)
    served.finished(Published(9, "", 0, "complete", ()), slot + timedelta(seconds=9))
    again = sample.served(name)
    again.refresh(slot + timedelta(seconds=20))
    assert isinstance(again.decide(slot + timedelta(seconds=20)), Wait)


@pytest.mark.parametrize("name", HAS_PAUSE)
def test_a_pause_of_it_still_counts(name: str) -> None:
    with thawed(name) as sample:
        served = sample.served("kept")
        moment = tomorrow_at(sample.written, 2, 31)

        served.refresh(moment)

        decision = served.decide(moment)
        assert isinstance(decision, Wait)
        assert "paused" in decision.reason


def test_its_settings_stay_as_they_are_to_the_byte(sample: Sample) -> None:
    app = sample.app("kept")
    file = "kept/app/Settings/backup.4DSettings"
    text = (sample.root / file).read_bytes()

    app.backup()
    served = sample.served("kept")
    served.refresh(sample.written + timedelta(hours=1))

    assert (sample.root / file).read_bytes() == text
    assert sample.state_file("kept").with_suffix(".4DSettings").read_bytes() == text
    assert b"<Unknown>stays</Unknown>" in text


def test_rotation_counts_its_sets(sample: Sample) -> None:
    app = sample.app("kept")

    app.backup()
    app.backup()

    assert app.sets() == ["data[0002]", "data[0003]", "data[0004]"]


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_are_as_they_were_frozen(name: str) -> None:
    found = {}
    with tarfile.open(SAMPLES / f"{name}.tar.xz") as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member)
            if stream is not None:
                found[member.name] = stream.read()
    row = json.loads(found.pop("sample.json"))

    assert row["version"] == "0.1.0"
    assert {one: hashlib.sha256(data).hexdigest() for one, data in found.items()} == row["files"]
