"""What recovery data cannot repair is refused in words, and nothing is changed or written elsewhere."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import BusyError, DamagedError, DestinationError, EngineError, NoRoomError
from tests.engine import parity_stories as p
from tests.engine.elsewhere import as_ordinary_user, on_a_small_disk
from tests.engine.parity_stories import (
    ARCHIVE,
    HIDDEN,
    LOG,
    PARITY,
    contents,
    copied,
    make_set,
    no_par2,
    protect,
    rename_in_packets,
    repaired,
)

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")


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


def refused(folder: Path, *, why: type[EngineError] = DamagedError) -> str:
    """The sentence of a refusal that changed nothing at all."""
    before, modes = contents(folder.parent), (folder / ARCHIVE).stat().st_mtime_ns
    with pytest.raises(why) as told:
        repaired(folder)
    assert contents(folder.parent) == before
    assert (folder / ARCHIVE).stat().st_mtime_ns == modes
    assert list(folder.parent.glob(f"{HIDDEN}*")) == []
    return str(told.value)


def test_too_much_damage_is_refused_with_what_would_be_needed(unprotected: Path) -> None:
    protect(unprotected, spare=36)
    p.overwrite(unprotected / ARCHIVE, 0, bytes(50_000))

    told = refused(unprotected)

    assert (
        f"{ARCHIVE} in {unprotected} cannot be repaired: {PARITY} has 36 whole recovery blocks"
        in told
    )
    assert "data blocks are lost" in told
    assert "more would be needed; nothing was changed" in told


def test_without_recovery_data_that_is_said(unprotected: Path) -> None:
    p.burst(unprotected / ARCHIVE)

    assert f"no recovery data that can be used protects {ARCHIVE}" in refused(unprotected)


def test_recovery_data_without_its_last_packets_is_refused(copy: Path) -> None:
    for file in copy.glob("*.par2"):
        file.write_bytes(file.read_bytes()[:100])
    p.burst(copy / ARCHIVE)

    assert "it holds no whole packet of PAR2" in refused(copy)


def test_recovery_data_of_another_set_changes_nothing(unprotected: Path, tmp_path: Path) -> None:
    other = make_set(tmp_path / "other", **{"General/IncludesFiles/ItemsCount": "0"})
    protect(other)
    for file in other.glob("*.par2"):
        shutil.copy(file, unprotected)

    assert repaired(unprotected).files == ()

    p.burst(unprotected / ARCHIVE)
    shutil.copy(other / ARCHIVE, tmp_path / "wrong")
    assert "cannot be repaired" in refused(unprotected)


@pytest.mark.parametrize(
    "name", ["../escaped", "/nowhere/escaped", "sub/escaped", "..", "..\\escaped"]
)
def test_hostile_recovery_data_is_not_given_to_par2(name: str, copy: Path) -> None:
    for file in copy.glob("*.par2"):
        rename_in_packets(file, LOG, name)
    (copy / LOG).unlink()
    p.burst(copy / ARCHIVE)

    told = refused(copy)

    assert f"it names a file outside the set: {name!a}" in told
    assert not (copy.parent / "escaped").exists()


def test_a_file_that_is_none_of_the_set_is_left_alone(unprotected: Path) -> None:
    other = unprotected / "authorized_keys"
    other.write_bytes(b"mine")
    protect(unprotected, ARCHIVE, other.name)
    p.burst(unprotected / ARCHIVE)
    other.write_bytes(b"changed since")

    assert repaired(unprotected).files == (ARCHIVE,)
    assert other.read_bytes() == b"changed since"

    other.unlink()
    p.burst(unprotected / ARCHIVE)
    assert repaired(unprotected).files == (ARCHIVE,)
    assert not other.exists()


def test_recovery_data_that_was_tampered_with_changes_nothing(copy: Path) -> None:
    for file in copy.glob("*.par2"):
        p.falsify(file)
    p.burst(copy / ARCHIVE)

    assert "does not fit its own digests" in refused(copy)


def test_par2_that_is_not_installed_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p.burst(copy / ARCHIVE)
    no_par2(monkeypatch)
    before = contents(copy)

    with pytest.raises(EngineError, match="the program par2 is not installed") as told:
        repaired(copy)

    assert "apt install par2" in told.value.hint
    assert contents(copy) == before


def test_two_repairs_at_once_are_one(copy: Path) -> None:
    p.burst(copy / ARCHIVE)
    descriptor = os.open(copy, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert "another repair" in refused(copy, why=BusyError)
    finally:
        os.close(descriptor)

    assert repaired(copy).files == (ARCHIVE,)


def read_only_story(folder: Path) -> dict[str, Any]:
    (folder / "make").mkdir()
    copy = make_set(folder / "make")
    protect(copy)
    p.burst(copy / ARCHIVE)
    copy.chmod(0o500)
    before = contents(copy.parent)
    try:
        repaired(copy)
    except DestinationError as error:
        return {"told": str(error), "same": contents(copy.parent) == before}
    finally:
        copy.chmod(0o700)
    return {}


def test_a_set_that_cannot_be_written_is_refused_before_any_work() -> None:
    seen = as_ordinary_user(read_only_story)

    assert (
        "cannot be written, so nothing in it can be repaired; nothing was changed" in seen["told"]
    )
    assert seen["same"]


def full_story(folder: Path) -> dict[str, Any]:
    made = make_set(folder / "make")
    protect(made)
    copy = copied(made, folder / "disk" / "backups")
    p.burst(copy / ARCHIVE)
    before = contents(copy.parent)
    filler = (folder / "disk" / "filler").open("wb")
    with filler:
        os.posix_fallocate(filler.fileno(), 0, _free(folder / "disk") - 40_000)
    told = ""
    try:
        repaired(copy)
    except NoRoomError as error:
        told = str(error)
    same = contents(copy.parent) == before
    (folder / "disk" / "filler").unlink()
    return {"told": told, "same": same, "then": repaired(copy).files}


def _free(folder: Path) -> int:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def test_no_room_changes_nothing_and_is_told() -> None:
    seen = on_a_small_disk(full_story, "2m")

    assert "the repaired files need" in seen["told"]
    assert seen["same"]
    assert seen["then"] == [ARCHIVE]
