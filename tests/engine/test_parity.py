"""Sets repaired with the real par2: whatever the damage, and nothing lost or written elsewhere when it cannot be done."""

import fcntl
import os
import random
import shutil
from pathlib import Path

import pytest

from engine.errors import (
    DamagedError,
    StoppedError,
)
from engine.parity import has_parity
from engine.progress import Progress
from engine.stop import StopRequest
from tests.engine import parity_stories as p
from tests.engine.parity_stories import (
    ARCHIVE,
    HIDDEN,
    LOG,
    MANIFEST,
    SUMS,
    Harm,
    contents,
    copied,
    make_set,
    protect,
    repaired,
)
from tests.engine.stories import COMPRESSION, SEGMENT, judge, make_app, patterned, verified

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")

HARMS = [
    *(p.burst, p.scattered, p.truncated, p.grown, p.zeroed, p.moved),
    *(p.deleted, p.linked_away),
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set without recovery data."""
    return make_set(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def good(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set all of whose files are protected."""
    folder = copied(bare, tmp_path_factory.mktemp("good") / "backups")
    protect(folder, spare=100)
    return folder


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    """A set to spoil."""
    return copied(good, tmp_path / "backups")


@pytest.fixture
def unprotected(bare: Path, tmp_path: Path) -> Path:
    """The same without recovery data."""
    return copied(bare, tmp_path / "backups")


# --- what can be repaired -------------------------------------------------------------------------


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_damaged_archive_comes_back_byte_for_byte(harm: Harm, good: Path, copy: Path) -> None:
    harm(copy / ARCHIVE)

    repair = repaired(copy)

    assert repair.files == (ARCHIVE,)
    assert contents(copy.parent) == contents(good.parent)
    assert verified(copy).good
    assert f"{ARCHIVE} repaired: its SHA-256 is the one in SHA256SUMS" in repair.notes


@pytest.mark.parametrize("name", [LOG, MANIFEST, SUMS])
@pytest.mark.parametrize("harm", [p.emptied, p.deleted], ids=["emptied", "deleted"])
def test_any_file_of_the_set_comes_back(harm: Harm, name: str, good: Path, copy: Path) -> None:
    harm(copy / name)

    repair = repaired(copy)

    assert repair.files == (name,)
    assert contents(copy) == contents(good)


@pytest.mark.parametrize("name", [MANIFEST, SUMS])
def test_a_list_with_one_other_digit_comes_back(name: str, good: Path, copy: Path) -> None:
    text = (copy / name).read_bytes()
    digest = p.contents(copy)[SUMS].split()[0]
    (copy / name).write_bytes(text.replace(digest[:8], digest[:7] + b"x", 1))
    assert not verified(copy).good

    repair = repaired(copy)

    assert repair.files == (name,)
    assert contents(copy) == contents(good)


def test_damage_in_every_file_at_once_is_repaired(good: Path, copy: Path) -> None:
    p.scattered(copy / ARCHIVE)
    (copy / LOG).unlink()
    p.overwrite(copy / MANIFEST, 300, b"????")
    p.overwrite(copy / SUMS, 10, b"????")

    repair = repaired(copy)

    assert set(repair.files) == set(p.WHOLE_SET)
    assert contents(copy) == contents(good)
    assert verified(copy).good


def test_without_any_list_the_digest_of_the_recovery_data_is_the_proof(
    unprotected: Path, bare: Path
) -> None:
    protect(unprotected, ARCHIVE)
    (unprotected / MANIFEST).unlink()
    (unprotected / SUMS).unlink()
    p.burst(unprotected / ARCHIVE)

    with pytest.raises(DamagedError) as told:
        repaired(unprotected)

    assert f"{ARCHIVE} was repaired; {SUMS}, {MANIFEST} in" in str(told.value)
    assert (unprotected / ARCHIVE).read_bytes() == (bare / ARCHIVE).read_bytes()


def test_without_checksums_the_manifest_is_the_proof(unprotected: Path, bare: Path) -> None:
    protect(unprotected, ARCHIVE, SUMS)
    (unprotected / SUMS).write_bytes(b"")
    p.burst(unprotected / ARCHIVE)

    repair = repaired(unprotected)

    assert set(repair.files) == {ARCHIVE, SUMS}
    assert f"{SUMS} repaired: no SHA-256 of it is known" in "\n".join(repair.notes)
    assert contents(bare).items() <= contents(unprotected).items()


def test_a_missing_segment_is_rebuilt(tmp_path: Path) -> None:
    app = make_app(tmp_path, {COMPRESSION: "None", SEGMENT: "1"}, data=patterned(2_500_000))
    folder = app.backup_set()
    second = "data[0001-0002].tar"
    names = [file.name for file in folder.iterdir()]
    assert second in names
    judge(
        *("par2", "create", "-q", "-q", "-s20000", "-c60", "--", "./any name.PAR2"),
        *(f"./{name}" for name in names),
        cwd=folder,
    )
    before = contents(folder)
    (folder / second).unlink()

    assert repaired(folder).files == (second,)
    assert contents(folder) == before


def test_recovery_data_that_is_damaged_itself_is_used_as_far_as_it_goes(
    good: Path, copy: Path
) -> None:
    for file in copy.glob("*.par2"):
        p.overwrite(file, file.stat().st_size // 2, b"damaged")
    p.burst(copy / ARCHIVE)

    assert repaired(copy).files == (ARCHIVE,)
    assert (copy / ARCHIVE).read_bytes() == (good / ARCHIVE).read_bytes()


def test_each_archive_may_have_recovery_data_of_its_own(unprotected: Path, bare: Path) -> None:
    protect(unprotected, ARCHIVE)
    protect(unprotected, LOG, name=f"{LOG}.par2", spare=2)
    p.burst(unprotected / ARCHIVE)
    (unprotected / LOG).unlink()

    assert set(repaired(unprotected).files) == {ARCHIVE, LOG}
    assert contents(bare).items() <= contents(unprotected).items()


def test_mode_and_owner_stay(copy: Path) -> None:
    (copy / ARCHIVE).chmod(0o604)
    if os.geteuid() == 0:
        os.chown(copy / ARCHIVE, 1234, 4321)
    before = (copy / ARCHIVE).stat()
    p.burst(copy / ARCHIVE)

    repaired(copy)

    after = (copy / ARCHIVE).stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        *(before.st_mode, before.st_uid, before.st_gid),
    )


def test_the_damaged_file_itself_is_never_written(copy: Path) -> None:
    p.burst(copy / ARCHIVE)
    damaged = (copy / ARCHIVE).read_bytes()

    with (copy / ARCHIVE).open("rb") as stream:
        repaired(copy)

        assert stream.read() == damaged


def test_a_whole_set_needs_no_par2_and_stays(
    copy: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert repaired(copy).files == ()
    assert contents(copy) == contents(good)


def test_recovery_data_is_seen_by_its_name(copy: Path, tmp_path: Path) -> None:
    assert has_parity(copy)
    assert not has_parity(tmp_path / "nowhere")
    for file in copy.glob("*.par2"):
        file.unlink()
    assert not has_parity(copy)


# --- ended in the middle --------------------------------------------------------------------------


def test_a_stop_while_par2_works_changes_nothing(copy: Path) -> None:
    p.burst(copy / ARCHIVE)
    before, stop = contents(copy.parent), StopRequest()
    phases: list[str] = []

    def ask(progress: Progress) -> None:
        phases.append(progress.phase)
        if progress.phase.startswith("repairing"):
            stop.ask()

    with pytest.raises(StoppedError):
        repaired(copy, report=ask, stop=stop)

    assert f"repairing {copy.name}, looking for whole blocks" in phases
    assert contents(copy.parent) == before


def test_what_a_dead_repair_left_is_removed_and_a_live_one_stays(copy: Path) -> None:
    dead, live = copy.parent / f"{HIDDEN}dead", copy.parent / f"{HIDDEN}live"
    for folder in (dead, live):
        folder.mkdir()
        (folder / "file").write_bytes(b"")
    p.burst(copy / ARCHIVE)
    descriptor = os.open(live, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        repaired(copy)
    finally:
        os.close(descriptor)

    assert not dead.exists()
    assert (live / "file").exists()


@pytest.mark.parametrize("seed", range(8))
def test_random_damage_is_repaired_or_refused_and_never_made_worse(
    seed: int, good: Path, copy: Path
) -> None:
    chance = random.Random(seed)
    for name in chance.sample(p.WHOLE_SET, chance.randint(1, 4)):
        content = bytearray((copy / name).read_bytes())
        for _ in range(chance.randint(1, 30)):
            at = chance.randrange(len(content))
            content[at : at + chance.choice((1, 1, 200))] = chance.randbytes(chance.choice((1, 9)))
        (copy / name).write_bytes(content)
    before = contents(copy)

    try:
        repaired(copy)
    except DamagedError:
        assert contents(copy) == before
    else:
        assert contents(copy) == contents(good)
