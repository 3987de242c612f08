"""Whatever becomes of a file on the disk: refused or repaired with a word, nothing good lost, the next run works."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.sets
import engine.swap
import engine.undo
from engine.errors import EngineError
from engine.files import read_end
from engine.history import HISTORY, load_history
from engine.manifest import MANIFEST, read_set_facts
from tests.damage.all_kinds import ALL_KINDS, sweep_sample, sweep_whole
from tests.damage.child import in_child
from tests.damage.kinds import Kind
from tests.damage.sweep import every_damage, made, removed, sweep

_MANIFEST, _EXCHANGE = "manifest of the newest set", "record of a dead restore in place"
_KINDS = {kind.name: kind for kind in ALL_KINDS}
# what decides about deleting, numbering, or where files go
_MOST_VALUABLE = (
    "history",
    _MANIFEST,
    "settings",
    "state",
    _EXCHANGE,
)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where nobody may go, too."""
    made_folder = tmp_path_factory.mktemp("damage")
    for one in (made_folder, *made_folder.parents):
        if one.is_relative_to("/tmp") and one != Path("/tmp"):  # noqa: S108
            one.chmod(one.stat().st_mode | 0o011)
    yield made_folder
    removed(made_folder)


@pytest.mark.parametrize("name", _MOST_VALUABLE)
def test_damage_is_refused_or_repaired_with_a_word(folder: Path, name: str) -> None:
    figures = sweep_sample(_KINDS[name], folder, 5)

    assert not figures.faults, "\n".join(figures.faults)
    assert sum(figures.places.values()) >= 4


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", _KINDS)
def test_every_damage_is_refused_or_repaired_with_a_word(folder: Path, name: str) -> None:
    figures = sweep_whole(_KINDS[name], folder)

    print(f"\n{figures}")
    assert not figures.faults, "\n".join(figures.faults)


# --- what was found -------------------------------------------------------------------------------


def came_of(kind: Kind, folder: Path, name: str) -> str:
    """What one damage by its name came to."""
    stage = made(kind, folder)
    damages = every_damage(stage.content, most_flips=0, most_cuts=0)
    figures = sweep(kind, stage, (one for one in damages if one.name == name))
    assert not figures.faults, "\n".join(figures.faults)
    (came,) = figures.came
    return came


@pytest.mark.parametrize("name", ["lock", "journal", _MANIFEST])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(folder: Path, name: str) -> None:
    assert came_of(_KINDS[name], folder, "a pipe")


def test_a_set_whose_manifest_names_another_data_file_by_one_byte_is_told_as_damaged(
    folder: Path,
) -> None:
    kind = _KINDS[_MANIFEST]
    stage = made(kind, folder)
    stage.reset()
    path = str(stage.app.data_file).encode()
    stage.file.write_bytes(stage.content.replace(path, path[:-1] + b"E"))

    assert kind.judge(stage, in_child(lambda: kind.act(stage))) == "told as damaged"


def test_a_dead_restore_in_place_is_undone_though_the_lock_forgot_it(folder: Path) -> None:
    assert came_of(_KINDS["lock of a dead restore in place"], folder, "emptied") == "undone"


def test_one_other_byte_in_the_path_of_an_exchange_moves_nothing(folder: Path) -> None:
    kind = _KINDS[_EXCHANGE]
    stage = made(kind, folder)
    stage.reset()
    stage.file.write_bytes(stage.file.read_bytes().replace(b"/app/", b"/aqp/", 1))

    assert kind.judge(stage, in_child(lambda: kind.act(stage))) == "refused"


def test_a_folder_in_place_of_a_file_leaves_no_descriptor_open(tmp_path: Path) -> None:
    for name in (HISTORY, MANIFEST, "file"):
        (tmp_path / name).mkdir()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number alone

    for _ in range(20):
        assert load_history(tmp_path).damage
        with pytest.raises(EngineError):
            read_set_facts(tmp_path)
        with pytest.raises(IsADirectoryError):
            read_end(tmp_path / "file", 10)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# --- would it notice? -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "instead", "kind", "where"),
    [
        ((engine.sets, "contradicts_checksums"), False, _MANIFEST, b"/data.4DD"),
        ((engine.swap, "_check_digest"), None, _EXCHANGE, b"/app/"),
        ((engine.undo, "_begun_in"), [], "lock of a dead restore in place", "emptied"),
    ],
)
def test_a_missing_check_is_noticed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    check: tuple[object, str],
    instead: object,
    kind: str,
    where: str | bytes,
) -> None:
    stage = made(_KINDS[kind], folder)
    monkeypatch.setattr(*check, lambda *_: instead)
    damages = every_damage(stage.content, most_flips=len(stage.content), most_cuts=0)
    if isinstance(where, bytes):
        first = stage.content.index(where) + 1
        names = {f"byte {at}" for at in range(first, first + 3)}
    else:
        names = {where}

    assert sweep(_KINDS[kind], stage, (one for one in damages if one.name in names)).faults
