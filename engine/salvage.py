"""Bringing back everything that can be read of a damaged set, with a report that says of each member what it is.

A member is called whole only when its digest is the manifest's, or, without a usable manifest, when zstd's
checksums of all its frames are right. What is not whole gets a name that nobody takes for the file.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from engine.archivefiles import find_archives
from engine.errors import (
    DamagedError,
    EngineError,
    MissingSetError,
    RefusedError,
    RestoreError,
    StoppedError,
)
from engine.files import fsync_folder
from engine.framereader import open_what_is_there
from engine.gather import Gathered, Gathering
from engine.manifest import CHECKSUMS, ArchiveFacts, Manifest, iterate_members
from engine.member import Kind, Member, stored_bytes
from engine.progress import Report
from engine.rebuild import Rebuild
from engine.reconstruct import Reconstruction
from engine.safenames import SafeNames, folding_of
from engine.salvagereport import REPORT, Basis, Keeper
from engine.setsource import SetSource, open_set
from engine.stop import StopRequest
from engine.targetfile import flush
from engine.targettree import FOLDER, TargetTree
from engine.verify import members_of
from engine.workplace import workplace

_BY_MANIFEST = "its digest in manifest.json"
_BY_FRAMES = "the checksums inside the archive"


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What could be brought back: `whole`, `unproved` and `damaged` count members, `lost_bytes` content that is gone.

    `unproved` is what nothing could be compared with. `problems` are what was found wrong, a sentence each;
    `report` is the list of all members.
    """

    target: Path
    number: int
    whole: int
    damaged: int
    lost_bytes: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    report: Path
    has_manifest: bool
    unproved: int = 0


@dataclass(frozen=True, slots=True)
class _Readable:
    """What there is to go by: members, and archives in the order of the manifest with the folder each lies in."""

    source: SetSource
    archives: tuple[tuple[ArchiveFacts, Path], ...]
    basis: Basis
    problems: tuple[str, ...]
    has_manifest: bool


def salvage_set(
    folder: Path,
    target: Path,
    *,
    workers: int,
    stop: StopRequest,
    report: Report,
    only: str | None = None,
) -> Salvaged:
    """Salvage the set in `folder`, or the archive file `only` in it, to `target`, which must not exist.

    Raises RestoreError, DamagedError when nothing at all can be read, MissingSetError, NoRoomError, StoppedError.
    """
    if os.path.lexists(target):
        raise RestoreError(
            f"{target} exists already; nothing was written",
            hint="what is salvaged goes to a folder of its own: name one that does not exist",
        )
    # how much it will be is not known; a full disk is told all the same
    with workplace(target.parent, 0) as building:
        scratch = building / "scratch"
        root = building / "root"
        try:
            scratch.mkdir()
            root.mkdir()
            looking = _Looking(folder, scratch, workers=workers, stop=stop, report=report)
            readable = looking.run(only)
            judge = _bring_back(readable, root, workers=workers, stop=stop, report=report)
            root.rename(target)
            fsync_folder(target.parent)
        except OSError as error:
            raise RestoreError(
                f"what was salvaged could not be written to {target}: {error.strerror}"
            ) from error
    return Salvaged(
        target,
        readable.source.manifest.facts.number,
        judge.whole_count,
        judge.damaged_count,
        judge.lost_bytes,
        tuple(dict.fromkeys((*readable.problems, *judge.problems))),
        readable.source.notes,
        target / REPORT,
        readable.has_manifest,
        judge.unproved_count,
    )


class _Looking:
    """Finds out by what the set can be read: its own manifest when that is sound and of these archives."""

    def __init__(
        self, folder: Path, scratch: Path, *, workers: int, stop: StopRequest, report: Report
    ) -> None:
        self._folder = folder
        self._scratch = scratch
        self._workers = workers
        self._stop = stop
        self._report = report

    def run(self, only: str | None) -> _Readable:
        """Raises DamagedError, MissingSetError, NoRoomError, OSError, StoppedError."""
        if only is not None:
            return self._by_archives(only, "")
        try:
            return self._by_manifest()
        except (RefusedError, StoppedError):
            raise
        except EngineError as error:
            return self._by_archives(None, str(error))

    def _by_manifest(self) -> _Readable:
        source = open_set(self._folder)
        manifest = source.manifest
        for facts in manifest.archives:
            for _ in members_of(manifest, facts):
                self._stop.check()
        gathering = Gathering(
            manifest,
            self._folder,
            self._scratch,
            workers=self._workers,
            stop=self._stop,
            report=self._report,
        )
        gathered = [gathering.run(facts) for facts in manifest.archives]
        self._refuse_foreign(gathered)
        problems = tuple(text for one in gathered for text in one.problems)
        in_place = all(one.folder == self._folder for one in gathered)
        if problems and in_place and not (self._folder / CHECKSUMS).exists():
            better = self._without_problems(manifest)
            if better is not None:
                return better
        title = _title(source)
        known = (*source.notes, *problems)
        basis = Basis(title, _BY_MANIFEST, frozenset(), known, is_named=True)
        places = tuple((one.facts, one.folder) for one in gathered)
        return _Readable(source, places, basis, problems, has_manifest=True)

    def _without_problems(self, manifest: Manifest) -> _Readable | None:
        """Nothing vouches for the manifest: when the archives say that they are whole, it is the manifest that is damaged.

        They must be as long as it says: an archive alone cannot tell that frames were left out.
        """
        try:
            archives = find_archives(self._folder)
            names = [name for files in archives for name in files.names]
            size = sum((self._folder / name).lstat().st_size for name in names)
            as_long = size == sum(one.frames.stored_bytes for one in manifest.archives)
            if not as_long or not all(files.compressed for files in archives):
                return None
            readable = self._by_archives(None, "manifest.json does not agree with the archive")
        except (DamagedError, MissingSetError, OSError):
            return None
        return readable if len(readable.problems) == 1 else None

    @staticmethod
    def _refuse_foreign(gathered: list[Gathered]) -> None:
        if any(one.is_foreign and one.facts.role == "main" for one in gathered):
            raise DamagedError("manifest.json knows no frame of this archive: it is of another set")

    def _by_archives(self, only: str | None, why: str) -> _Readable:
        builder = Reconstruction(
            self._folder,
            self._scratch,
            workers=self._workers,
            stop=self._stop,
            report=self._report,
        )
        rebuilt = builder.run(find_archives(self._folder, only))
        source = rebuilt.source
        problems = (*((why,) if why else ()), *rebuilt.problems)
        places = tuple((facts, source.archives) for facts in source.manifest.archives)
        known = (*source.notes, *(text for text in problems if text not in source.notes))
        basis = Basis(_title(source), _BY_FRAMES, rebuilt.unproved, known, is_named=True)
        return _Readable(source, places, basis, problems, has_manifest=False)


def _title(source: SetSource) -> str:
    return f"What was salvaged of set {source.manifest.facts.number} in {source.archives}"


def _bring_back(
    readable: _Readable, root: Path, *, workers: int, stop: StopRequest, report: Report
) -> Keeper:
    source = readable.source
    with ExitStack() as stack:
        lines = stack.enter_context((root / REPORT).open("xb"))
        names = SafeNames(_folding(root), (os.fsencode(REPORT),))
        judge = Keeper(lines, names, readable.basis)
        total = source.manifest.facts.content_bytes
        files = Rebuild(
            lambda: TargetTree.of_new(root), judge, report=report, total=total, stop=stop
        )
        stack.callback(files.close)
        for facts, folder in readable.archives:
            archive = stack.enter_context(open_what_is_there(folder, facts))
            members = _placed(_members(source, facts), judge)
            files.restore_archive(archive, members, workers=workers)
        files.finish()
        judge.foot()
        lines.flush()
        flush(root)
    return judge


def _folding(root: Path) -> Callable[[bytes], bytes]:
    descriptor = os.open(root, FOLDER)
    try:
        return folding_of(descriptor)
    finally:
        os.close(descriptor)


def _placed(members: Iterator[Member], judge: Keeper) -> Iterator[Member]:
    """Each under a name it can have; a hard link follows what it is a link to."""
    moved: dict[bytes, bytes] = {}
    for member in members:
        wanted = member
        if member.kind is Kind.HARDLINK and member.link in moved:
            wanted = replace(member, link=moved[member.link])
        placed = judge.place(wanted)
        if placed.path != member.path:
            moved.setdefault(member.path, placed.path)
        yield placed


def _members(source: SetSource, facts: ArchiveFacts) -> Iterator[Member]:
    """The members of one archive, as long as they come in order; a stream may hold less than they say."""
    expected = 0
    for member in iterate_members(source.manifest.folder):
        if (member.role.value == "log") != (facts.role == "log"):
            continue
        if member.header < expected or member.data < member.header:
            raise DamagedError("the manifest lists members out of order")
        expected = member.data + stored_bytes(member)
        if expected > facts.frames.raw_bytes:
            raise DamagedError("the manifest lists more than the frames of the archive hold")
        yield member
