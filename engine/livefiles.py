"""The files on the disk as members of a set: what a backup of the same roots would find now. Changes nothing."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from engine.content import Root, archive_path
from engine.manifest import SetFacts
from engine.member import Kind, Member, Role
from engine.plan import Sources, walk_sources
from engine.progress import Progress, Report
from engine.sourcefile import attributes_of
from engine.walk import Found
from settings.layout import DatabaseLayout

_BLOCK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.FOLDER,
    stat.S_IFLNK: Kind.SYMLINK,
}


class LiveFiles:
    """The live files that a set was made of; `unknown` collects (path, why) of what could not be looked at."""

    def __init__(
        self, facts: SetFacts, destination: Path, report: Report, *, every_content: bool
    ) -> None:
        """`every_content`: times decide nothing, every file of equal size is read."""
        self.unknown: list[tuple[bytes, str]] = []
        self._destination = destination
        self._report = report
        self._every_content = every_content
        self._total = facts.content_bytes if every_content else 0
        self._read_bytes = 0
        self._layout = _layout_of(facts)
        self._roots = _roots_of(facts, self._layout)

    def members(self) -> Iterator[Member]:
        """Everything that is there now; a hard link is the file that it is."""
        self._report(Progress("comparing", 0, self._total))
        there = tuple(root for root in self._roots if self._is_there(root))
        yield from self._above_missing(there)
        log = self._log()
        log_path = None if log is None else archive_path(log, self._layout)
        sources = Sources(there, log, log_path, (), (), ())
        for _, found in walk_sources(sources, self._destination, problem=self._problem):
            try:
                member = _found_member(found)
            except OSError as error:
                self._problem(found.path, error)
                continue
            if member is not None:
                yield member
        if log is not None and log_path is not None:
            with suppress(FileNotFoundError):
                yield _member(log_path, Kind.FILE, log.stat(), None)

    def same_content(self, before: Member, after: Member) -> bool:
        """Whether the live file `after` holds what the set says; one that cannot be read is unknown."""
        if before.size != after.size:
            return False
        if not self._every_content and before.attributes.mtime_ns == after.attributes.mtime_ns:
            return True
        try:
            return self._digest(after.path) == before.digest
        except OSError as error:
            self._problem(after.path, error)
            return True

    def _problem(self, path: bytes, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # gone since it was listed: it is removed
            self.unknown.append((path, error.strerror or str(error)))

    def _is_there(self, root: Root) -> bool:
        try:
            root.source.lstat()
        except NotADirectoryError:
            return False
        except OSError as error:
            self._problem(root.path, error)
            return False
        return True

    def _log(self) -> Path | None:
        """The log, when the data is in the set and there is one."""
        data = archive_path(self._layout.data_file, self._layout)
        has_data = any(root.path == data for root in self._roots)
        return self._layout.log if has_data and self._layout.log.exists() else None

    def _above_missing(self, there: tuple[Root, ...]) -> Iterator[Member]:
        """The folders that led to a root which is gone; those above the others come with them."""
        told = {path for root in there for path in _parents(root)} | {root.path for root in there}
        for root in self._roots:
            for path, folder in _parents(root).items():
                if path in told:
                    continue
                told.add(path)
                with suppress(FileNotFoundError, NotADirectoryError):
                    facts = folder.lstat()
                    if stat.S_ISDIR(facts.st_mode):
                        yield _member(path, Kind.FOLDER, facts, None)

    def _digest(self, path: bytes) -> str:
        digest = blake3()
        descriptor = self._open(path)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                self._read_bytes += len(block)
                self._report(Progress("comparing", self._read_bytes, self._total))
        return digest.hexdigest()

    def _open(self, path: bytes) -> int:
        """Open a file folder by folder: no link leads elsewhere, no path is too long. Raises OSError."""
        if self._layout.log == self._log() and path == archive_path(self._layout.log, self._layout):
            return os.open(self._layout.log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        root = max((r for r in self._roots if _holds(r, path)), key=lambda r: len(r.path))
        if root.path == path:
            return os.open(root.source, _READ)
        rest = path if root.path == b"." else path.removeprefix(root.path + b"/")
        *folders, name = rest.split(b"/")
        here = os.open(root.source, _ENTER)
        try:
            for folder in folders:
                inner = os.open(folder, _ENTER, dir_fd=here)
                os.close(here)
                here = inner
            return os.open(name, _READ, dir_fd=here)
        finally:
            os.close(here)


def _holds(root: Root, path: bytes) -> bool:
    return root.path in (b".", path) or path.startswith(root.path + b"/")


def _found_member(found: Found) -> Member | None:
    """What was found; None for special files, which no set holds. Raises OSError."""
    kind = _KINDS.get(stat.S_IFMT(found.facts.st_mode))
    if kind is None:
        return None
    link = None
    if kind is Kind.SYMLINK:
        link = os.fsencode(os.readlink(found.name, dir_fd=found.folder))
    return _member(found.path, kind, found.facts, link)


def _member(path: bytes, kind: Kind, facts: os.stat_result, link: bytes | None) -> Member:
    size = facts.st_size if kind is Kind.FILE else 0
    return Member(path, kind, Role.ATTACHMENT, size, attributes_of(facts), 0, 0, link=link)


def _parents(root: Root) -> dict[bytes, Path]:
    """The folders above a root that a set holds as well; none when its path tells nothing of its place."""
    parts = root.path.split(b"/")
    if os.fsencode(root.source).split(b"/")[-len(parts) :] != parts and parts[0] != b"External":
        return {}
    return {
        b"/".join(parts[:depth]): root.source.parents[len(parts) - depth - 1]
        for depth in range(1, len(parts))
    }


def _layout_of(facts: SetFacts) -> DatabaseLayout:
    package, data_file = Path(facts.package), Path(facts.data_file)
    return DatabaseLayout(
        package=package,
        structure=None if facts.structure is None else Path(facts.structure),
        data_file=data_file,
        log=data_file.with_suffix(".journal"),
        settings_file=package / "Settings" / "backup.4DSettings",
        considered=(),
        notes=(),
    )


def _roots_of(facts: SetFacts, layout: DatabaseLayout) -> tuple[Root, ...]:
    """The roots of a set, and what was missing then, if it has a path: it may have come since.

    All as attachments: what cannot be read is told, it does not end the comparison.
    """
    roots = [
        Root(Path(source), _root_path(source, path, layout), Role.ATTACHMENT)
        for source, path in facts.roots
    ]
    came = (Path(name) for name in facts.missing if name.startswith("/"))
    roots += [Root(source, archive_path(source, layout), Role.ATTACHMENT) for source in came]
    return tuple(roots)


def _root_path(source: str, path: str, layout: DatabaseLayout) -> bytes:
    """The manifest holds the path of a root as text; where that lost bytes, they are in its source."""
    try:
        source.encode("utf-8")
    except UnicodeEncodeError:
        return archive_path(Path(source), layout)
    return os.fsencode(path)
