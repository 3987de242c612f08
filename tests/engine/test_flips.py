"""One flipped byte, anywhere: never a wrong byte as good, and a salvage keeps all that is not hit."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from engine.manifest import read_manifest
from engine.output import StoredFile
from tests.engine.damage_stories import (
    KINDS,
    WITHOUT,
    Figures,
    Saved,
    flip,
    frames_at,
    judge_restore,
    judge_salvage,
    without,
)

Place = tuple[str, int, int]


def random_places(saved: Saved, count: int, seed: int) -> Iterator[Place]:
    """(file, offset, value) spread over all files of a set, by their sizes; each file has some."""
    some = random.Random(seed)
    files = sorted(file for file in saved.folder.iterdir())
    sizes = [file.stat().st_size for file in files]
    for at in range(count):
        (file,) = some.choices(files, sizes) if at % 2 else [files[(at // 2) % len(files)]]
        yield file.name, some.randrange(file.stat().st_size), 1 << some.randrange(8)


def structures(saved: Saved) -> Iterator[Place]:
    """Something in every structure of the format."""
    manifest = read_manifest(saved.folder)
    for facts in manifest.archives:
        seen: set[int] = set()
        for index in range(len(facts.frames)):
            frame = facts.frames.frame(index)
            # magic, descriptor, window, content size, block header, content, checksum
            inner: tuple[int, ...] = (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 40, frame.stored // 2)
            ends = (frame.stored - 5, frame.stored - 4, frame.stored - 1)
            if facts.compression == "none":
                # fields of a tar header: name, mode, uid, size, mtime, checksum, type, link, magic, prefix,
                # its padding; then what follows it
                inner = (0, 99, 103, 110, 126, 140, 150, 156, 160, 258, 350, 505, 515, 1030, 1540)
            for low in {*inner, *ends}:
                place = frame.offset + low
                if low < frame.stored and place not in seen:
                    seen.add(place)
                    yield _in_file(facts.files, place)
    for name in ("manifest.json", "SHA256SUMS"):
        yield from _lines(saved.folder / name)


def _in_file(files: Sequence[StoredFile], place: int) -> Place:
    for file in files:
        if place < file.size:
            return file.name, place, 0x10
        place -= file.size
    raise AssertionError(place)


def _lines(file: Path) -> Iterator[Place]:
    at = 0
    for line in file.read_bytes().split(b"\n"):
        for low in range(0, len(line), max(len(line) // 8, 1)):
            yield file.name, at + low, 1
        yield file.name, at + max(len(line) - 1, 0), 1
        at += len(line) + 1


def sweep(saved: Saved, places: list[Place], how: str, folder: Path) -> Figures:
    figures = Figures()
    copy = saved.copy_to(folder / how.replace(" ", "-"))
    without(copy, how)
    for name, offset, value in places:
        file = copy / name
        if not file.exists() or offset >= file.stat().st_size:
            continue
        figures.seen["places"] += 1
        flip(file, offset, value)
        hit: frozenset[tuple[str, int]] | None = frames_at(saved.folder, name, offset, offset + 1)
        if name == "manifest.json" and how == "no checksums" and not any(copy.glob("*.zst")):
            # a frame that is not packed has no checksum of its own: nothing tells which of the two is damaged
            hit = None
        judge_restore(copy, folder / "back", saved, figures)
        judge_salvage(copy, folder / "salvaged", saved, figures, hit)
        flip(file, offset, value)
    shutil.rmtree(copy)
    return figures


@pytest.mark.parametrize("how", WITHOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_byte_is_restored_as_good(
    saved_of: Callable[[str], Saved], tmp_path: Path, kind: str, how: str
) -> None:
    saved = saved_of(kind)

    figures = sweep(saved, list(random_places(saved, 10, seed=4)), how, tmp_path)

    assert figures.seen["places"] >= 5
    assert figures.seen["refused"] + figures.seen["restored equal"] == figures.seen["places"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", WITHOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_byte_is_restored_as_good_at_500_places(
    saved_of: Callable[[str], Saved], tmp_path: Path, kind: str, how: str
) -> None:
    saved = saved_of(kind)

    figures = sweep(saved, list(random_places(saved, 500, seed=5)), how, tmp_path)

    print(f"\n500 random places, {kind}, {how}: {figures}")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", WITHOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_no_flip_in_any_structure_is_restored_as_good(
    saved_of: Callable[[str], Saved], tmp_path: Path, kind: str, how: str
) -> None:
    saved = saved_of(kind)

    figures = sweep(saved, list(structures(saved)), how, tmp_path)

    print(f"\nevery structure, {kind}, {how}: {figures}")


def test_the_sweep_meets_every_structure(saved_of: Callable[[str], Saved]) -> None:
    saved = saved_of("uncompressed")
    names = {name for name, _, _ in structures(saved)}

    assert names == {file.name for file in saved.folder.iterdir()}
