"""A salvage brings back what can be read, tells what it is, and finds its way when the manifest is of no use."""

import os
from pathlib import Path

import pytest

from engine.errors import RestoreError
from engine.files import remove_tree
from tests.engine.damage_stories import (
    Figures,
    Saved,
    flip,
    frames_at,
    judge_restore,
    judge_salvage,
    salvaged,
    save,
)
from tests.engine.hostile_archives import (
    Hostile,
    Piece,
    change_manifest,
    renew_checksums,
    write_hostile,
)
from tests.engine.stories import FRAME, main_archive, make_app


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save(tmp_path_factory.mktemp("saved"), "zstd")


def text_of(target: Path) -> str:
    return (target / "SALVAGE REPORT.txt").read_text()


def test_a_good_set_is_whole(saved: Saved, tmp_path: Path) -> None:
    found = salvaged(saved.folder, tmp_path / "out")

    assert (found.damaged, found.unproved, found.lost_bytes, found.problems) == (0, 0, 0, ())
    judge_salvage(saved.folder, tmp_path / "again", saved, Figures(), frozenset())


def test_lost_bytes_are_named_and_the_file_has_another_name(saved: Saved, tmp_path: Path) -> None:
    copy = saved.copy_to(tmp_path)
    flip(copy / "data[0001].tar.zst", 20_000, 1)

    found = salvaged(copy, tmp_path / "out")

    assert found.damaged == 1
    assert found.lost_bytes == FRAME
    assert f"lost: bytes 0 to {FRAME} of 2397153" in text_of(tmp_path / "out")
    assert (tmp_path / "out/Data/data.4DD.incomplete").exists()
    assert not (tmp_path / "out/Data/data.4DD").exists()


def test_a_set_of_one_frame_that_is_damaged_still_says_what_it_held(tmp_path: Path) -> None:
    app = make_app(tmp_path, data=b"4DD" * 100)
    folder = app.backup_set()
    flip(main_archive(folder), main_archive(folder).stat().st_size // 2, 1)

    found = salvaged(folder, tmp_path / "out")

    assert found.has_manifest
    assert found.lost_bytes >= 300
    assert "Data/data.4DD" in text_of(tmp_path / "out")
    assert "of another set" not in text_of(tmp_path / "out")


def test_nothing_is_salvaged_over_what_is_there(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    with pytest.raises(RestoreError, match="exists already"):
        salvaged(saved.folder, tmp_path / "out")


def test_names_that_are_ours_keep_their_content(tmp_path: Path) -> None:
    names = (
        b"SALVAGE REPORT.txt",
        b"x",
        b"x.incomplete",
        b"found without a name/0001",
        b"../y",
        b"x",
    )
    pieces = [Piece(name, content=b"%d" % at * 100) for at, name in enumerate(names)]
    pieces[1] = Piece(b"x", content=b"1" * 100, row=lambda row: row.update(blake3="00" * 32))
    folder = write_hostile(tmp_path / "data[0001]", Hostile(tuple(pieces)))

    found = salvaged(folder, tmp_path / "out")

    contents = {p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert {b"%d" % at * 100 for at in range(6)} <= contents
    assert found.damaged == 1
    assert "renamed" in text_of(tmp_path / "out")


def test_the_manifest_of_another_set_does_not_hide_the_archive(
    saved: Saved, tmp_path: Path
) -> None:
    other = write_hostile(tmp_path / "other", Hostile((Piece(b"a", content=b"a"),)))
    copy = saved.copy_to(tmp_path)
    document = (other / "manifest.json").read_bytes()
    (copy / "manifest.json").write_bytes(document)
    renew_checksums(copy)

    found = salvaged(copy, tmp_path / "out")

    assert not found.has_manifest
    assert found.whole >= len([f for f in saved.expected.values() if len(f) > 4])
    assert found.damaged == 0


def test_a_frame_table_that_is_shifted_is_no_obstacle(saved: Saved, tmp_path: Path) -> None:
    copy = saved.copy_to(tmp_path)

    def shift(document: dict[str, list[list[int]]]) -> None:
        document["frames"][2][2] += 10
        document["frames"][3][2] -= 10

    change_manifest(copy, shift)
    renew_checksums(copy)

    figures = Figures()
    judge_restore(copy, tmp_path / "back", saved, figures)
    found = salvaged(copy, tmp_path / "out")

    assert figures.seen["refused"] == 1
    assert found.whole + found.damaged >= 40


def test_damage_in_two_archives_is_salvaged_in_one_go(saved: Saved, tmp_path: Path) -> None:
    copy = saved.copy_to(tmp_path)
    flip(copy / "data[0001].tar.zst", 20_000, 1)
    flip(copy / "data[0000].journal.zst", 100, 1)
    hit = frames_at(saved.folder, "data[0001].tar.zst", 20_000, 20_001)

    judge_salvage(copy, tmp_path / "out", saved, Figures(), hit | {("log", 0)})


def test_a_folder_deeper_than_python_walks_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.symlink("/", "link", dir_fd=descriptor)
    os.close(descriptor)

    remove_tree(top)

    assert not top.exists()
