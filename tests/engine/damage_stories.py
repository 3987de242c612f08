"""Spoiled copies of sets, what may come of restoring them, and what a salvage owes."""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.barearchive import bare_source
from engine.errors import EngineError, Exit
from engine.manifest import ArchiveFacts, iterate_members, read_manifest
from engine.member import Kind, Member, content_extents
from engine.progress import silent
from engine.restore import restore_source
from engine.salvage import Salvaged, salvage_set
from engine.salvagereport import REPORT, shown
from engine.setsource import open_set
from engine.stop import StopRequest
from tests.engine.stories import COMPRESSION, FRAME, SEGMENT, App, Facts, make_app, patterned, tree

KINDS = {
    "zstd": {COMPRESSION: "Fast"},
    "uncompressed": {COMPRESSION: "None"},
    "segments": {COMPRESSION: "Fast", SEGMENT: "1"},
}
_LARGE = 100_000
_MOST_SHIFTED = 5120
# what is taken away before: nothing, the manifest, the checksums, both
WITHOUT = {
    "whole": (),
    "no manifest": ("manifest.json",),
    "no checksums": ("SHA256SUMS",),
    "bare": ("manifest.json", "SHA256SUMS"),
}


@dataclass(frozen=True, slots=True)
class Saved:
    """An application, one good set of it, and what a restore must bring back."""

    app: App
    folder: Path
    expected: dict[bytes, Facts]

    @property
    def log(self) -> bytes:
        return b"Data/data.journal"

    def copy_to(self, target: Path) -> Path:
        return Path(shutil.copytree(self.folder, target / self.folder.name, symlinks=True))


def save(folder: Path, kind: str) -> Saved:
    """A small set with everything that has a place of its own in the format."""
    size = 4 * FRAME + 300_001
    # what does not pack makes several segments
    data = random.Random(1).randbytes(size) if kind == "segments" else patterned(size)
    app = make_app(folder, KINDS[kind], data=data)
    project = app.package / "Project"
    with (project / "holes").open("wb") as stream:
        stream.truncate(9 * FRAME)
        for offset in (FRAME, 5 * FRAME, 6 * FRAME + 77):
            stream.seek(offset)
            stream.write(b"data at %d" % offset)
    (project / os.fsdecode(b"caf\xe9 " + b"n" * 150)).write_bytes(patterned(5000, seed=2))
    (project / "new\nline").write_bytes(b"1")
    (project / "link").symlink_to("x" * 120)
    os.link(project / "holes", project / "twin")
    for at in range(30):
        (project / f"{at:02d}").write_bytes(patterned(at * 997, seed=at))
    (project / "larger").write_bytes(patterned(4 * FRAME, seed=7))
    set_folder = app.backup_set()
    expected = {
        path: facts for path, facts in tree(app.package).items() if not path.startswith(b"Logs")
    }
    return Saved(app, set_folder, expected)


def without(folder: Path, how: str) -> None:
    """Take away what vouches for the archive."""
    for name in WITHOUT[how]:
        (folder / name).unlink()


@dataclass(slots=True)
class Figures:
    """What a sweep found, for the page."""

    seen: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(self.seen.items()))


def is_bare(folder: Path) -> bool:
    return not (folder / "manifest.json").exists()


def restore_any(folder: Path, target: Path) -> None:
    """As the command does it: by the manifest, or by the archives when there is none."""
    stop = StopRequest()
    if not is_bare(folder):
        restore_source(open_set(folder), target, workers=2, stop=stop, report=silent)
        return
    with bare_source(folder, None, target.parent, workers=2, stop=stop, report=silent) as source:
        restore_source(source, target, workers=2, stop=stop, report=silent)


def judge_restore(
    folder: Path, target: Path, saved: Saved, figures: Figures, *, may_lack: bool = False
) -> None:
    """It refuses and leaves nothing, or all is equal. What nothing tells of any more may differ in the log's attributes.

    `may_lack`: whole frames are gone from an archive of which nothing else tells; what came back must be equal.
    """
    beside = {entry.name for entry in target.parent.iterdir()}
    proved = (folder / "manifest.json").exists() and (folder / "SHA256SUMS").exists()
    refusal = _refusal(lambda: restore_any(folder, target))
    if refusal is not None:
        assert refusal.exit_code in (Exit.FAILED, Exit.REFUSED, Exit.DAMAGED)
        assert len(str(refusal)) > 20
        figures.seen["refused"] += 1
    else:
        found = tree(target)
        if may_lack:
            files = {path: facts for path, facts in found.items() if len(facts) > 4}
            found, wanted = plain(files, saved), plain(saved.expected, saved)
            assert all(facts in ((), wanted.get(path)) for path, facts in found.items())
        elif proved:
            assert found == saved.expected
        else:
            assert plain(found, saved) == plain(saved.expected, saved)
        figures.seen["restored equal"] += 1
        shutil.rmtree(target)
    assert {entry.name for entry in target.parent.iterdir()} == beside


def _refusal(act: Callable[[], object]) -> EngineError | None:
    """Nothing but a sentence of ours may come out."""
    try:
        act()
    except EngineError as error:
        return error
    return None


def plain(found: dict[bytes, Facts], saved: Saved) -> dict[bytes, Facts]:
    """A tree without what only the manifest says: name, owner, mode and time of the log."""
    log = saved.expected[saved.log]
    kept = {path: facts for path, facts in found.items() if facts[-2:] != log[-2:]}
    return {**kept, b"the log": log[-2:] if len(kept) + 1 == len(found) else ()}


# --- salvage --------------------------------------------------------------------------------------


def salvaged(folder: Path, target: Path) -> Salvaged:
    return salvage_set(folder, target, workers=2, stop=StopRequest(), report=silent)


def judge_salvage(
    folder: Path,
    target: Path,
    saved: Saved,
    figures: Figures,
    damaged: frozenset[tuple[str, int]] | None = None,
) -> None:
    """Whole is whole, lost is what is called lost; with `damaged` frames, all others' content is there.

    `damaged` are (role, index) of frames; None when nothing is promised of what is kept.
    """
    beside = {entry.name for entry in target.parent.iterdir()}
    refusal = _refusal(lambda: salvaged(folder, target))
    if refusal is not None:
        assert len(str(refusal)) > 20
        assert damaged is None, refusal
        figures.seen["nothing to salvage"] += 1
    else:
        report = read_report(target, saved)
        _judge_whole(report, target, saved, figures)
        if damaged is not None:
            _judge_kept(target, saved, damaged, report, figures)
        figures.seen["salvaged"] += 1
        shutil.rmtree(target)
    assert {entry.name for entry in target.parent.iterdir()} == beside


@dataclass(slots=True)
class Told:
    """What a report says: whole paths, and the lost ranges of files under their new names."""

    whole: set[bytes] = field(default_factory=set)
    lost: dict[bytes, tuple[bytes, list[tuple[int, int]]]] = field(default_factory=dict)
    is_guess: bool = False


def read_report(target: Path, saved: Saved) -> Told:
    names = {shown(path): path for path in saved.expected}
    made = {shown(path): path for path in tree(target)}
    told, current = Told(), None
    for line in (target / REPORT).read_bytes().decode().split("\n"):
        word, rest = line[:12].strip(), line[12:]
        if word == "whole" and rest in names:
            told.whole.add(names[rest])
        elif word in ("incomplete", "differs", "unproved"):
            name, _, new = rest.partition(" -> ")
            current = names.get(name)
            if current is not None:
                place = made[new] if new else current
                told.lost[current] = (place, [])
        elif rest.startswith("lost: bytes") and current is not None:
            low, high = rest.split()[2], rest.split()[4]
            told.lost[current][1].append((int(low), int(high)))
        elif "is not compressed" in line:
            told.is_guess = True
    return told


def _judge_whole(told: Told, target: Path, saved: Saved, figures: Figures) -> None:
    found = tree(target)
    for path in told.whole:
        wanted = saved.expected[path]
        size_and_digest = 4 if len(wanted) > 5 else len(wanted)
        assert (
            found[path][size_and_digest : size_and_digest + 2]
            == (wanted[size_and_digest : size_and_digest + 2])
        ), path
        if path != saved.log:
            assert found[path][:4] == wanted[:4], path
        figures.seen["files whole"] += 1


def _judge_kept(
    target: Path,
    saved: Saved,
    damaged: frozenset[tuple[str, int]],
    told: Told,
    figures: Figures,
) -> None:
    odd = {place for place, _ in told.lost.values()}
    unnamed = [
        file.read_bytes()
        for file in sorted(target.rglob("*"))
        if file.is_file()
        and (
            file.name.endswith((".incomplete", ".second"))
            or "without a name" in str(file)
            or os.fsencode(file.relative_to(target)) in odd
        )
    ]
    for role, index, pieces in frames_of(saved.folder):
        if (role, index) in damaged:
            figures.seen["frames damaged"] += 1
            continue
        for member, offset, length in pieces:
            assert _is_kept(target, saved, member, offset, length, told, unnamed), (
                role,
                index,
                member.path,
                offset,
                length,
            )
        figures.seen["frames kept"] += 1


def _is_kept(  # noqa: PLR0917 - what, and where it may be
    target: Path,
    saved: Saved,
    member: Member,
    offset: int,
    length: int,
    told: Told,
    unnamed: list[bytes],
) -> bool:
    wanted = _piece(saved.app.package / os.fsdecode(member.path), offset, length)
    new = told.lost.get(member.path)
    place = member.path
    if new is not None:
        if any(low < offset + length and high > offset for low, high in new[1]):
            return any(wanted in content for content in unnamed)
        place = b"/".join((*member.path.split(b"/")[:-1], new[0].rpartition(b"/")[2]))
    file = target / os.fsdecode(place)
    if file.is_file() and _piece(file, offset, length) == wanted:
        return True
    if len(wanted) > _LARGE and told.is_guess:
        # bytes that were put in or cut out have pushed some over the borders of pieces
        wanted = wanted[_MOST_SHIFTED:-_MOST_SHIFTED]
    return any(wanted in content for content in unnamed)


def _piece(file: Path, offset: int, length: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def frames_of(folder: Path) -> Iterator[tuple[str, int, list[tuple[Member, int, int]]]]:
    """Every frame of a good set: role, index, and which pieces of files it holds."""
    manifest = read_manifest(folder)
    members = list(iterate_members(folder))
    for facts in manifest.archives:
        pieces: dict[int, list[tuple[Member, int, int]]] = {
            index: [] for index in range(len(facts.frames))
        }
        for member in members:
            if (member.role.value == "log") == (facts.role == "log") and member.kind is Kind.FILE:
                _add_pieces(pieces, facts, member)
        for index, some in pieces.items():
            yield facts.role, index, some


def _add_pieces(
    pieces: dict[int, list[tuple[Member, int, int]]], facts: ArchiveFacts, member: Member
) -> None:
    at = member.data
    for offset, length in content_extents(member):
        for index in facts.frames.covering(at, at + length):
            frame = facts.frames.frame(index)
            low, high = max(at, frame.start), min(at + length, frame.start + frame.raw)
            pieces[index].append((member, offset + low - at, high - low))
        at += length


def frames_at(folder: Path, name: str, low: int, high: int) -> frozenset[tuple[str, int]]:
    """The frames that hold these bytes of an archive file, by the good set."""
    for facts in read_manifest(folder).archives:
        start = 0
        for file in facts.files:
            if file.name == name:
                return frozenset(
                    (facts.role, index)
                    for index in range(len(facts.frames))
                    if facts.frames.frame(index).offset < start + high
                    and facts.frames.frame(index).offset + facts.frames.frame(index).stored
                    > start + low
                )
            start += file.size
    return frozenset()


def flip(file: Path, offset: int, value: int) -> None:
    """Put another byte into a file, in place."""
    with file.open("r+b") as stream:
        stream.seek(offset)
        old = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([old ^ value]))
