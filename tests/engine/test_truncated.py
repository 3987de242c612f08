"""Archives cut off, grown, shifted, shuffled and zeroed: nothing wrong as good, and all that is left is kept."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.archivefiles import find_archives
from engine.errors import MissingSetError
from engine.framescan import FoundFrame, scan_frames
from tests.engine.damage_stories import (
    KINDS,
    WITHOUT,
    Figures,
    Saved,
    frames_at,
    judge_restore,
    judge_salvage,
    restore_any,
    salvaged,
    without,
)
from tests.engine.stories import FRAME

_PAGE = 4096
Hit = frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to one archive file: its new content, and which frames are not there any more.

    `is_order_only`: every frame is whole, so that only what stands beside the archive can tell.
    """

    file: str
    content: bytes
    hit: Hit
    was: int
    is_order_only: bool = False


def archives(saved: Saved) -> list[Path]:
    return sorted(
        f for f in saved.folder.iterdir() if f.name not in ("manifest.json", "SHA256SUMS")
    )


def cut_off(saved: Saved, count: int, seed: int) -> Iterator[Damage]:
    some = random.Random(seed)
    files = archives(saved)
    for at in range(count):
        file = files[at % len(files)]
        content = file.read_bytes()
        size = len(content)
        kept = [0, 1, size - 1, size - 512][at // len(files)] if at < 4 * len(files) else None
        kept = some.randrange(size) if kept is None else max(kept, 0)
        yield Damage(
            file.name, content[:kept], frames_at(saved.folder, file.name, kept, size), kept
        )


def zeroed(saved: Saved, count: int, seed: int) -> Iterator[Damage]:
    some = random.Random(seed)
    for file in some.choices(archives(saved), k=count):
        content = bytearray(file.read_bytes())
        low = some.randrange(max(len(content) - _PAGE, 1)) // _PAGE * _PAGE
        high = min(low + _PAGE, len(content))
        content[low:high] = bytes(high - low)
        yield Damage(
            file.name, bytes(content), frames_at(saved.folder, file.name, low, high), len(content)
        )


def shifted(saved: Saved, count: int, seed: int) -> Iterator[Damage]:
    """Bytes put in, cut out, and put behind."""
    some = random.Random(seed)
    for at, file in enumerate(some.choices(archives(saved), k=count)):
        content = file.read_bytes()
        low = some.randrange(1, len(content) - 1)
        length = some.choice([1, 7, 512, 5000])
        if at % 3 == 0:
            hit = frames_at(saved.folder, file.name, low - 1, low + 1)
            grown = content[:low] + some.randbytes(length) + content[low:]
            yield Damage(file.name, grown, hit, len(content))
        elif at % 3 == 1:
            hit = frames_at(saved.folder, file.name, low, low + length)
            yield Damage(file.name, content[:low] + content[low + length :], hit, len(content))
        else:
            # what follows a segment goes on in the next one
            is_last = "-0001" not in file.name and "-0002" not in file.name
            size = len(content)
            hit = frozenset() if is_last else frames_at(saved.folder, file.name, size, size + 1)
            yield Damage(file.name, content + some.randbytes(length), hit, size)


def shuffled(saved: Saved) -> Iterator[Damage]:
    """Frames exchanged, doubled, left out."""
    (file,) = (f for f in archives(saved) if ".tar" in f.name)
    content = file.read_bytes()
    frames = list(scan_frames(lambda at, count: content[at : at + count], len(content)))
    parts = [content[f.offset : f.offset + f.stored] for f in frames]
    for at in range(len(parts) - 1):
        swapped = [*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]]
        yield Damage(file.name, b"".join(swapped), frozenset(), 0, _alike(frames[at : at + 2]))
    for at in range(len(parts)):
        twice = [*parts[: at + 1], *parts[at:]]
        yield Damage(file.name, b"".join(twice), frozenset(), 0)
        rest = [*parts[:at], *parts[at + 1 :]]
        yield Damage(file.name, b"".join(rest), frozenset({("main", at)}), 0)


def _alike(frames: list[FoundFrame]) -> bool:
    return all(frame.raw == FRAME for frame in frames)


def sweep(saved: Saved, damages: Iterator[Damage], how: str, folder: Path) -> Figures:
    figures = Figures()
    copy = saved.copy_to(folder / how.replace(" ", "-"))
    without(copy, how)
    for damage in damages:
        if how == "bare" and damage.is_order_only:
            figures.seen["exchanged alike, not told"] += 1
            continue
        figures.seen["places"] += 1
        (copy / damage.file).write_bytes(damage.content)
        judge_restore(copy, folder / "back", saved, figures, may_lack=how == "bare")
        judge_salvage(copy, folder / "salvaged", saved, figures, _promised(copy, damage))
        (copy / damage.file).write_bytes((saved.folder / damage.file).read_bytes())
    return figures


def _promised(copy: Path, damage: Damage) -> Hit | None:
    """Which frames may be lost; None when nothing is promised.

    Where bytes are missing from a plain tar, the file they are missing from takes what follows it for its own.
    """
    if (copy / "manifest.json").exists() or ".tar.zst" in damage.file:
        return damage.hit
    is_as_long = len(damage.content) == damage.was
    return damage.hit if is_as_long else None


STORIES: dict[str, Callable[[Saved, int, int], Iterator[Damage]]] = {
    "cut off": cut_off,
    "zeroed": zeroed,
    "shifted": shifted,
}


@pytest.mark.parametrize("how", WITHOUT)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("story", STORIES)
def test_no_wrong_byte_comes_back_from_a_broken_archive(
    saved_of: Callable[[str], Saved], tmp_path: Path, story: str, kind: str, how: str
) -> None:
    saved = saved_of(kind)

    figures = sweep(saved, STORIES[story](saved, 4, 3), how, tmp_path)

    assert figures.seen["places"] == 4
    assert figures.seen["refused"] + figures.seen["restored equal"] == 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", WITHOUT)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("story", STORIES)
def test_no_wrong_byte_comes_back_from_an_archive_broken_at_200_places(
    saved_of: Callable[[str], Saved], tmp_path: Path, story: str, kind: str, how: str
) -> None:
    saved = saved_of(kind)

    figures = sweep(saved, STORIES[story](saved, 200, 4), how, tmp_path)

    print(f"\n{story} at 200 places, {kind}, {how}: {figures}")


@pytest.mark.parametrize("how", WITHOUT)
def test_frames_exchanged_doubled_or_left_out_are_found(
    saved_of: Callable[[str], Saved], tmp_path: Path, how: str
) -> None:
    saved = saved_of("zstd")

    figures = sweep(saved, shuffled(saved), how, tmp_path)

    print(f"\nshuffled, {how}: {figures}")
    assert figures.seen["places"] > 30


def test_a_missing_segment_is_named_and_the_others_are_kept(
    saved_of: Callable[[str], Saved], tmp_path: Path
) -> None:
    saved = saved_of("segments")
    names = [f.name for f in archives(saved) if ".tar" in f.name]
    assert len(names) > 2
    for how in WITHOUT:
        for name in names[:-1]:
            copy = saved.copy_to(tmp_path / f"{how} {name}")
            without(copy, how)
            (copy / name).unlink()
            size = (saved.folder / name).stat().st_size

            with pytest.raises(MissingSetError, match=name.replace("[", r"\[")):
                restore_any(copy, tmp_path / "back")
            hit = frames_at(saved.folder, name, 0, size)
            judge_salvage(copy, tmp_path / "salvaged", saved, Figures(), hit)
            assert not (tmp_path / "back").exists()


def test_a_missing_segment_is_named_in_the_report_of_a_salvage(
    saved_of: Callable[[str], Saved], tmp_path: Path
) -> None:
    saved = saved_of("segments")
    copy = saved.copy_to(tmp_path)
    without(copy, "bare")
    name = next(f.name for f in archives(saved) if ".tar" in f.name)
    (copy / name).unlink()

    found = salvaged(copy, tmp_path / "salvaged")

    assert any(name in problem for problem in found.problems)
    assert name in find_archives(copy)[0].missing


def test_segments_of_wrong_sizes_are_never_restored_as_good(
    saved_of: Callable[[str], Saved], tmp_path: Path
) -> None:
    saved = saved_of("segments")
    figures = Figures()
    for how in WITHOUT:
        copy = saved.copy_to(tmp_path / how.replace(" ", "-"))
        without(copy, how)
        first = next(f for f in archives(saved) if ".tar" in f.name)
        size = first.stat().st_size
        for change in (-1000, 1000):
            os.truncate(copy / first.name, size + change)

            low = size + min(change, 0)
            hit = frames_at(saved.folder, first.name, low, size + 1)
            judge_restore(copy, tmp_path / "back", saved, figures)
            judge_salvage(copy, tmp_path / "salvaged", saved, figures, hit)
            (copy / first.name).write_bytes(first.read_bytes())
    assert figures.seen["refused"] == 8
