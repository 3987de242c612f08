"""Which members of a set a person wants back, with all that these need, and which frames hold them."""

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import RestoreError
from engine.frametable import FrameTable
from engine.manifest import iterate_members
from engine.member import Kind, Member, Role, stored_bytes


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
    """The chosen members with the folders above them and the files that chosen hard links name."""

    paths: set[bytes] = field(default_factory=set)
    files: int = 0
    content_bytes: int = 0

    def add(self, path: bytes) -> None:
        """Want a path and every folder above it."""
        while path and path not in self.paths:
            self.paths.add(path)
            path = path.rpartition(b"/")[0]


def choose_members(folder: Path, selection: Selection) -> Wanted:
    """What is wanted of the set in `folder`.

    Its members are gone through twice: a million of them would not fit. Raises RestoreError for a pattern
    that nothing matches, or when nothing is left.
    """
    wanted = Wanted()
    matchers = [(pattern, _matcher(pattern)) for pattern in selection.patterns]
    unmatched = {pattern for pattern, _ in matchers}
    for member in iterate_members(folder):
        if selection.roles is not None and member.role not in selection.roles:
            continue
        name = os.fsdecode(member.path)
        hits = [pattern for pattern, matches in matchers if matches.fullmatch(name)]
        unmatched.difference_update(hits)
        if hits or not matchers:
            wanted.add(member.path)
            if member.kind is Kind.HARDLINK and member.link is not None:
                wanted.add(member.link)
    if unmatched or not wanted.paths:
        what = ", ".join(repr(pattern) for pattern in sorted(unmatched)) or "what was asked for"
        raise RestoreError(
            f"nothing in the set is {what}; nothing was written",
            hint="`backup4d show` lists the paths of a set as they are written here",
        )
    for member in iterate_members(folder):
        if member.path in wanted.paths and member.kind is Kind.FILE:
            wanted.files += 1
            wanted.content_bytes += member.size
    return wanted


def _matcher(pattern: str) -> re.Pattern[str]:
    pattern = pattern.strip("/")
    either = (fnmatch.translate(pattern), fnmatch.translate(f"{pattern}/*"))
    return re.compile("|".join(either))


def frames_of(members: Iterable[Member], wanted: Wanted, table: FrameTable) -> Sequence[int]:
    """The frames that hold the content of what is wanted, in order."""
    indices: set[int] = set()
    for member in members:
        if member.kind is Kind.FILE and member.path in wanted.paths:
            indices.update(table.covering(member.data, member.data + stored_bytes(member)))
    return sorted(indices)
