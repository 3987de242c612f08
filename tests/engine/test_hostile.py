"""What an attacker made: refused or contained, whichever way it is restored, and never anything outside the target."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.barearchive import bare_source
from engine.errors import EngineError, Exit
from engine.logplan import LogMode
from engine.progress import silent
from engine.restore import restore_source
from engine.restorelogs import LogWish
from engine.restoring import Told, restore_in_place_recorded
from engine.salvage import salvage_set
from engine.selection import EVERYTHING
from engine.setsource import open_set
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from tests.engine.hostile_archives import write_hostile
from tests.engine.hostile_kinds import KINDS
from tests.engine.stories import PARIS, App, make_app, tree
from tests.fakes import StoryClock

Way = Callable[[Path, Path], None]


def by_the_manifest(folder: Path, target: Path) -> None:
    restore_source(open_set(folder), target, workers=2, stop=StopRequest(), report=silent)


def without_checksums(folder: Path, target: Path) -> None:
    _remove(folder / "SHA256SUMS")
    by_the_manifest(folder, target)


def bare(folder: Path, target: Path) -> None:
    _remove(folder / "manifest.json")
    _remove(folder / "SHA256SUMS")
    stop = StopRequest()
    with bare_source(folder, None, target.parent, workers=2, stop=stop, report=silent) as source:
        restore_source(source, target, workers=2, stop=stop, report=silent)


def by_salvage(folder: Path, target: Path) -> None:
    salvage_set(folder, target, workers=2, stop=StopRequest(), report=silent)


def by_bare_salvage(folder: Path, target: Path) -> None:
    _remove(folder / "manifest.json")
    by_salvage(folder, target)


def in_place(folder: Path, target: Path) -> None:
    app = App(target, folder.parent, StoryClock())
    wish = LogWish(LogMode.SET, PARIS, app.layout, (), True, "strict")
    told = Told(app.layout, PARIS, Surroundings(app.clock, StopRequest(), silent))
    restore_in_place_recorded(folder, app.layout, EVERYTHING, wish, (folder.parent,), told)


WAYS: dict[str, Way] = {
    "manifest": by_the_manifest,
    "no checksums": without_checksums,
    "bare": bare,
    "salvage": by_salvage,
    "bare salvage": by_bare_salvage,
}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """What must stay as it is stands beside the target and above it."""
    (tmp_path / "inner" / "canary").mkdir(parents=True)
    (tmp_path / "canary").mkdir()
    for place in (tmp_path, tmp_path / "inner"):
        (place / "canary" / "secret").write_bytes(b"secret")
    return tmp_path


def outside(scratch: Path, *targets: str) -> dict[bytes, tuple[object, ...]]:
    """All but the targets."""
    inner = scratch / "inner"
    names = {(p.name,) for p in inner.iterdir() if p.name not in (*targets, "sets")}
    return {
        b"above": tuple(sorted(p.name for p in scratch.iterdir())),
        b"beside": tuple(sorted(names)),
        **tree(scratch / "canary"),
        **{b"inner/" + path: facts for path, facts in tree(inner / "canary").items()},
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_hostile_gets_out_of_the_target(scratch: Path, kind: str) -> None:
    for name, way in WAYS.items():
        (scratch / "inner" / "sets").mkdir()
        folder = write_hostile(scratch / "inner" / "sets" / "data[0001]", KINDS[kind])
        before = outside(scratch)
        target = scratch / "inner" / "target"
        refusal = _refusal(way, folder, target)
        if refusal is not None:
            assert len(str(refusal)) > 20, name
            assert refusal.exit_code in (Exit.FAILED, Exit.REFUSED, Exit.DAMAGED), name
            assert not os.path.lexists(target), name
        elif kind != "a path of 5000 folders":  # more than Python can walk
            _look_inside(target)
        assert outside(scratch, "target") == before, name
        assert not [p for p in target.parent.iterdir() if p.name.startswith(".backup4d")], name
        _discard(target)
        _remove(scratch / "inner" / "sets")
        _remove(scratch / "inner" / "sets")
    assert not Path("/tmp/hostile-canary").exists()  # noqa: S108 - the name in the archive


def _refusal(way: Way, folder: Path, target: Path) -> EngineError | None:
    """Nothing but a sentence of ours may come out."""
    try:
        way(folder, target)
    except EngineError as error:
        return error
    return None


def _look_inside(target: Path) -> None:
    """Nothing but files, folders and links; no file that something outside is a name of as well."""
    for facts in tree(target).values():
        assert facts[0][2:3] in ("1", "4") or facts[0].startswith("0o12"), facts
    secret = (target.parent / "canary" / "secret").stat()
    assert secret.st_nlink == 1


def _discard(target: Path) -> None:
    if target.exists():
        os.system(f"rm -rf '{target}'")  # noqa: S605 - deeper than Python removes


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_hostile_gets_out_of_the_place_of_the_live_files(scratch: Path, kind: str) -> None:
    app = make_app(scratch / "inner")
    (scratch / "inner" / "sets").mkdir()
    folder = write_hostile(scratch / "inner" / "sets" / "data[0001]", KINDS[kind])
    live = app.data_file.read_bytes()
    before = outside(scratch, "app", "backups")

    if _refusal(in_place, folder, app.package) is not None:
        assert app.data_file.read_bytes() == live
    assert outside(scratch, "app", "backups") == before
    assert (scratch / "canary" / "secret").read_bytes() == b"secret"
    _discard(app.package)


def test_there_are_more_than_25_kinds() -> None:
    assert len(KINDS) >= 25
