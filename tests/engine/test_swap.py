"""Exchanging files by renames: all or nothing, and nothing is ever written over."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.errors import RestoreError
from engine.swap import (
    Exchange,
    NewFolder,
    Swap,
    carry_out,
    move_new,
    put_back,
    read_swap,
    write_swap,
)
from tests.engine.elsewhere import as_ordinary_user
from tests.engine.stories import tree


@dataclass(frozen=True, slots=True)
class Scene:
    """A live folder, what was built, and the swap that brings it in."""

    live: Path
    building: Path
    record: Path
    swap: Swap

    def tree(self) -> dict[bytes, object]:
        return dict(tree(self.live, times=False))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


def make_scene(folder: Path) -> Scene:
    """A file, a folder and a name that is only there later are exchanged; a fourth only goes."""
    live, building, aside = folder / "live", folder / "building", folder / "aside"
    for place in (live, building, aside):
        place.mkdir()
    (live / "file").write_text("old")
    (live / "folder").mkdir()
    (live / "folder" / "inner").write_text("old")
    (live / "goes").write_text("old")
    (building / "file").write_text("new")
    (building / "folder").mkdir(mode=0o711)
    (building / "comes").write_text("new")
    names = ("file", "folder", "comes", "goes")
    exchanges = tuple(
        one(live / "made" if name == "comes" else live, building, aside, name) for name in names
    )
    made = NewFolder(live / "made", 0o750, os.geteuid(), os.getegid())
    return Scene(live, building, aside / "record", Swap(exchanges, (made,)))


def one(live: Path, building: Path, aside: Path, name: str) -> Exchange:
    fresh = building / name
    is_there = fresh.exists()
    inode = fresh.stat().st_ino if is_there else 0
    return Exchange(
        live / name, fresh if is_there else None, aside / name, (live / name).exists(), inode
    )


def begin(scene: Scene) -> None:
    write_swap(scene.record, scene.swap)


def test_everything_is_exchanged_and_the_record_goes(scene: Scene) -> None:
    begin(scene)

    carry_out(scene.record, scene.swap)

    assert (scene.live / "file").read_text() == "new"
    assert list((scene.live / "folder").iterdir()) == []
    assert (scene.live / "made" / "comes").read_text() == "new"
    assert not (scene.live / "goes").exists()
    aside = scene.record.parent
    assert {p.name for p in aside.iterdir()} == {"file", "folder", "goes"}
    assert (aside / "folder" / "inner").read_text() == "old"
    assert (scene.live / "made").stat().st_mode & 0o777 == 0o750


def test_what_cannot_be_finished_is_put_back(scene: Scene) -> None:
    before = scene.tree()
    begin(scene)
    (scene.live / "goes").unlink()

    with pytest.raises(RestoreError, match="everything is as it was"):
        carry_out(scene.record, scene.swap)

    (scene.live / "goes").write_text("old")
    assert scene.tree() == before
    assert {p.name for p in scene.building.iterdir()} == {"file", "folder", "comes"}
    assert not scene.record.parent.exists()


def test_a_name_that_was_taken_meanwhile_is_not_written_over(scene: Scene) -> None:
    begin(scene)
    (scene.live / "made").mkdir()
    (scene.live / "made" / "comes").write_text("somebody's")

    with pytest.raises(RestoreError):
        carry_out(scene.record, scene.swap)

    assert (scene.live / "made" / "comes").read_text() == "somebody's"
    assert (scene.live / "file").read_text() == "old"


@pytest.mark.parametrize("done", range(8))
def test_from_wherever_it_stopped_everything_goes_back(scene: Scene, done: int) -> None:
    before = scene.tree()
    begin(scene)
    aside = scene.record.parent
    steps: list[Callable[[], object]] = [
        (scene.live / "made").mkdir,
        lambda: move_new(scene.building / "file", aside / "file"),
        lambda: trade(aside / "file", scene.live / "file"),
        lambda: move_new(scene.live / "folder", aside / "folder"),
        lambda: move_new(scene.building / "folder", scene.live / "folder"),
        lambda: move_new(scene.building / "comes", scene.live / "made" / "comes"),
        lambda: move_new(scene.live / "goes", aside / "goes"),
    ]
    for step in steps[:done]:
        step()

    put_back(scene.record, scene.swap)

    assert scene.tree() == before
    assert {p.name for p in scene.building.iterdir()} == {"file", "folder", "comes"}
    put_back(scene.record, scene.swap)
    assert scene.tree() == before


def trade(first: Path, second: Path) -> None:
    between = first.with_name("between")
    first.rename(between)
    second.rename(first)
    between.rename(second)


def test_everything_goes_back_when_the_building_was_removed_meanwhile(scene: Scene) -> None:
    before = scene.tree()
    begin(scene)
    aside = scene.record.parent
    move_new(scene.building / "file", aside / "file")
    trade(aside / "file", scene.live / "file")
    shutil.rmtree(scene.building)

    put_back(scene.record, scene.swap)

    assert scene.tree() == before


def test_what_somebody_else_put_there_stays_and_the_old_file_is_named(scene: Scene) -> None:
    begin(scene)
    aside = scene.record.parent
    move_new(scene.live / "file", aside / "file")
    (scene.live / "file").write_text("4D made a new one")

    with pytest.raises(RestoreError) as caught:
        put_back(scene.record, scene.swap)

    assert f"{scene.live / 'file'} is at {aside / 'file'}" in str(caught.value)
    assert (scene.live / "file").read_text() == "4D made a new one"
    assert (aside / "file").read_text() == "old"
    assert scene.record.exists()


def test_the_record_says_what_was_written(scene: Scene) -> None:
    begin(scene)

    assert read_swap(scene.record) == scene.swap
    scene.record.unlink()
    assert read_swap(scene.record) is None


def test_names_that_are_no_text_survive_the_record(tmp_path: Path) -> None:
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n"))
    swap = Swap((Exchange(name, None, name, had_live=True, inode=0),))

    write_swap(tmp_path / "record", swap)

    assert read_swap(tmp_path / "record") == swap


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\0" * 100,
        b"{}",
        b'{"backup4d-exchange": 5, "folders": []}',
        b'{"backup4d-exchange": [[]], "folders": []}',
        b'{"backup4d-exchange": [{"live": "/a"}], "folders": []}',
        b"[" * 100_000,
        (
            b'{"backup4d-exchange": [{"live": "a", "fresh": null, "aside": "/b", "had_live": true, "inode": 1}],'
            b' "folders": []}'
        ),
        (
            b'{"backup4d-exchange": [{"live": "/a\\u0000", "fresh": null, "aside": "/b", "had_live": true,'
            b' "inode": 1}], "folders": []}'
        ),
        (
            b'{"backup4d-exchange": [{"live": "/a", "fresh": null, "aside": "/b", "had_live": 1, "inode": 1}],'
            b' "folders": []}'
        ),
        b'{"backup4d-exchange": [], "folders": [{"path": "/x", "mode": "7", "uid": 0, "gid": 0}]}',
    ],
)
def test_a_record_that_is_none_is_refused_with_words(tmp_path: Path, content: bytes) -> None:
    record = tmp_path / "record"
    record.write_bytes(content)

    with pytest.raises(RestoreError, match="cannot be used") as caught:
        read_swap(record)

    assert str(tmp_path) in caught.value.hint


def test_a_record_that_is_a_link_a_pipe_or_huge_is_refused(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_text(json.dumps({"backup4d-exchange": [], "folders": []}))
    link, pipe, huge = tmp_path / "link", tmp_path / "pipe", tmp_path / "huge"
    link.symlink_to(good)
    os.mkfifo(pipe)
    with huge.open("wb") as stream:
        stream.truncate(1 << 40)

    for record in (link, pipe, huge):
        with pytest.raises(RestoreError, match="cannot be used"):
            read_swap(record)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_record_of_another_user_is_not_obeyed(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text(json.dumps({"backup4d-exchange": [], "folders": []}))
    os.chown(record, 1234, 1234)

    with pytest.raises(RestoreError, match="belongs to user 1234"):
        read_swap(record)


def without_rights(folder: Path) -> dict[str, object]:
    """A story for an ordinary user: what is to be replaced lies in a folder he may not change."""
    made = make_scene(folder)
    before = made.tree()
    begin(made)
    (made.live).chmod(0o555)
    said = ""
    try:
        carry_out(made.record, made.swap)
    except RestoreError as error:
        said = str(error)
    finally:
        made.live.chmod(0o755)
    now = made.tree()
    return {"said": said, "is_as_before": now == before}


def test_without_the_right_to_rename_everything_stays() -> None:
    seen = as_ordinary_user(without_rights)

    assert "Permission denied" in seen["said"]
    assert seen["is_as_before"]
