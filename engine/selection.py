"""Which members of a set a person wants back, with all that these need, and which frames hold them."""

import fnmatch
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import RestoreError
from engine.manifest import iterate_members
from engine.member import Kind, Member, Role, disk_bytes, stored_bytes

_OF_DATA = (b".4dindx", b".4dsyncdata", b".4dsyncheader")


@dataclass(frozen=True, slots=True)
class Selection:
    """`patterns` are paths in the archive, `*`, `?` and `[...]` as in a shell and also across `/`; a folder
    means all that is below it. Without patterns every path is wanted, with `roles` None every role.
    """

    patterns: tuple[str, ...] = ()
    roles: frozenset[Role] | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.patterns and self.roles is None


EVERYTHING = Selection()


@dataclass(slots=True)
class Wanted:
    """`chosen` members; `paths` are those, the folders above them and the files that chosen hard links name.

    `archives` are the roles of the archives that hold content of it, main or log.
    """

    paths: set[bytes] = field(default_factory=set)
    chosen: set[bytes] = field(default_factory=set)
    archives: set[str] = field(default_factory=set)
    has_log: bool = False
    files: int = 0
    content_bytes: int = 0

    def add(self, path: bytes) -> None:
        """Want a path and every folder above it."""
        while path and path not in self.paths:
            self.paths.add(path)
            path = path.rpartition(b"/")[0]

    def choose(self, member: Member) -> None:
        """Want a member for its own sake."""
        self.chosen.add(member.path)
        self.add(member.path)
        if member.kind is Kind.FILE:
            self.take(member)

    def take(self, member: Member) -> None:
        """Count a file that is wanted."""
        self.files += 1
        self.content_bytes += disk_bytes(member)
        self.has_log = self.has_log or member.role is Role.LOG
        if stored_bytes(member):
            self.archives.add("log" if member.role is Role.LOG else "main")


def choose_members(folder: Path, selection: Selection) -> Wanted:
    """What is wanted of the set in `folder`.

    Its members are gone through, not kept: a million of them would not fit. Raises RestoreError for a pattern
    that nothing matches, or when nothing is left.
    """
    wanted = Wanted()
    matchers = [(pattern, _matcher(pattern)) for pattern in selection.patterns]
    unmatched = {pattern for pattern, _ in matchers}
    named: set[bytes] = set()
    for member in iterate_members(folder):
        if selection.roles is not None and not _has_role(member, selection.roles):
            continue
        name = os.fsdecode(member.path)
        hits = [pattern for pattern, matches in matchers if matches.fullmatch(name)]
        unmatched.difference_update(hits)
        if hits or not matchers:
            wanted.choose(member)
            if member.kind is Kind.HARDLINK and member.link is not None:
                named.add(member.link)
    if unmatched or not wanted.paths:
        what = ", ".join(repr(pattern) for pattern in sorted(unmatched)) or "what was asked for"
        raise RestoreError(
            f"nothing in the set is {what}; nothing was written",
            hint="`backup4d show` lists the paths of a set as they are written here",
        )
    if named - wanted.chosen:
        _take_named(folder, named - wanted.chosen, wanted)
    return wanted


def _take_named(folder: Path, named: set[bytes], wanted: Wanted) -> None:
    """The files that chosen hard links name come with them, not chosen themselves."""
    for member in iterate_members(folder):
        if member.path in named:
            wanted.add(member.path)
            if member.kind is Kind.FILE:
                wanted.take(member)


def _has_role(member: Member, roles: frozenset[Role]) -> bool:
    """Index and sync files are saved as attachments, and belong to the data all the same (spec 4.4)."""
    if member.role in roles:
        return True
    return Role.DATA in roles and member.path.lower().endswith(_OF_DATA)


def _matcher(pattern: str) -> re.Pattern[str]:
    pattern = pattern.strip("/")
    either = (fnmatch.translate(pattern), fnmatch.translate(f"{pattern}/*"))
    return re.compile("|".join(either))
