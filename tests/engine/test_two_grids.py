"""Sets of older releases cut large files at other distances: all that reads archives takes both."""

from pathlib import Path

import pytest

from engine.codec import OLD_GRID_BYTES, frame_bytes
from engine.manifest import read_manifest
from tests.engine.damage_stories import (
    Figures,
    Saved,
    flip,
    frames_at,
    judge_salvage,
    salvaged,
    save,
    without,
)
from tests.engine.reuse_stories import assert_whole, counting
from tests.engine.stories import FRAME
from tests.engine.test_not_read_again import settled_app, watching_reads


@pytest.fixture
def older_release(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What is written is cut as releases before 2026-11-22 did; `undo` ends it."""
    monkeypatch.setattr(frame_bytes, "__defaults__", (OLD_GRID_BYTES,))
    return monkeypatch


def test_an_archive_of_an_older_release_is_salvaged_without_its_manifest(
    tmp_path: Path, older_release: pytest.MonkeyPatch
) -> None:
    saved: Saved = save(tmp_path / "app", "zstd")
    older_release.undo()
    name = "data[0001].tar.zst"
    frames = read_manifest(saved.folder).archives[0].frames
    wide = [index for index in range(len(frames)) if frames.frame(index).raw == OLD_GRID_BYTES]
    assert wide
    whole = saved.copy_to(tmp_path / "whole")
    without(whole, "no manifest")
    found = salvaged(whole, tmp_path / "out whole")
    assert (found.damaged, found.lost_bytes, len(found.problems)) == (
        0,
        0,
        1,
    )  # its manifest is not there
    for index in wide:
        frame = frames.frame(index)
        copy = saved.copy_to(tmp_path / str(index))
        without(copy, "no manifest")
        flip(copy / name, frame.offset + frame.stored // 2, 1)

        hit = frames_at(saved.folder, name, frame.offset, frame.offset + frame.stored)
        judge_salvage(copy, tmp_path / f"out {index}", saved, Figures(), hit)


def test_a_set_of_an_older_release_is_read_anew_once(
    tmp_path: Path, older_release: pytest.MonkeyPatch
) -> None:
    app = settled_app(tmp_path)
    app.backup_set()
    older_release.undo()

    with watching_reads() as read:
        second = app.backup_set()
    with watching_reads() as again, counting() as compressed:
        third = app.backup_set()

    assert "data.4DD" in read
    sizes = [raw for raw, _, _ in read_manifest(second).archives[0].frames.rows()]
    assert max(sizes) == FRAME
    assert again == set()
    assert sum(length >= FRAME for length in compressed) == 0
    assert_whole(third, app, tmp_path / "back")
