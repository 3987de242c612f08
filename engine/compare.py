"""What differs between two streams of members: two sets, or a set and the live files. Pure.

Both streams are drawn from in turn and members of one path cancel each other out, so that two sets of a
million members in nearly one order are compared in the memory that their differences need.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import zip_longest

from engine.member import Kind, Member

# a source can be read more than once: hard links name files that have passed by
Source = Callable[[], Iterable[Member]]
SameContent = Callable[[Member, Member], bool]


class Difference(Enum):
    """How one path differs; `attributes` is mode, owner or time alone."""

    ADDED = "added"
    REMOVED = "removed"
    TYPE = "type"
    CONTENT = "content"
    ATTRIBUTES = "attributes"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs: `before` is None when it was added, `after` when it was removed."""

    difference: Difference
    before: Member | None
    after: Member | None

    @property
    def path(self) -> bytes:
        """The path in the archive."""
        member = self.after or self.before
        assert member is not None  # noqa: S101 - one of them is there
        return member.path


@dataclass(frozen=True, slots=True)
class Comparison:
    """All changes, by path, and how many members are the same on both sides."""

    changes: tuple[Change, ...]
    same: int

    def count(self, difference: Difference) -> int:
        """How many paths differ in this way."""
        return sum(change.difference is difference for change in self.changes)

    @property
    def differs(self) -> bool:
        """Whether more than modes, owners and times differ."""
        return any(change.difference is not Difference.ATTRIBUTES for change in self.changes)


def same_digest(before: Member, after: Member) -> bool:
    """Whether two files of sets have equal content."""
    return before.size == after.size and before.digest == after.digest


def compare_members(
    before: Source, after: Source, same_content: SameContent = same_digest
) -> Comparison:
    """What must happen to `before` to make it `after`. Hard links count as the files that they are."""
    olds: dict[bytes, Member] = {}
    news: dict[bytes, Member] = {}
    changes: list[Change] = []
    same = 0
    for old, new in zip_longest(_links_as_files(before), _links_as_files(after)):
        # `old` is put down before `new` is looked for: in step, they meet in one turn
        for old_side, new_side in _met(old, new, olds, news):
            change = compare_one(old_side, new_side, same_content)
            if change is None:
                same += 1
            else:
                changes.append(change)
    changes += [Change(Difference.REMOVED, old, None) for old in olds.values()]
    changes += [Change(Difference.ADDED, None, new) for new in news.values()]
    return Comparison(tuple(sorted(changes, key=lambda change: in_tree_order(change.path))), same)


def in_tree_order(path: bytes) -> bytes:
    """A key that sorts what is in a folder right behind it; no name holds a zero byte."""
    return path.replace(b"/", b"\0")


def compare_one(before: Member, after: Member, same_content: SameContent) -> Change | None:
    """How two members of one path differ, None when they do not."""
    if before.kind is not after.kind:
        return Change(Difference.TYPE, before, after)
    if before.link != after.link:
        return Change(Difference.CONTENT, before, after)
    if before.kind is Kind.FILE and not same_content(before, after):
        return Change(Difference.CONTENT, before, after)
    if before.attributes != after.attributes:
        return Change(Difference.ATTRIBUTES, before, after)
    return None


def without_unknown(comparison: Comparison, unknown: Iterable[bytes]) -> Comparison:
    """Nothing is called removed at or below a path that could not be looked at; `.` is the whole package."""
    places = tuple(unknown)

    def is_known(change: Change) -> bool:
        if change.difference is not Difference.REMOVED:
            return True
        return not any(
            place in (b".", change.path) or change.path.startswith(place + b"/") for place in places
        )

    return replace(comparison, changes=tuple(filter(is_known, comparison.changes)))


def _met(
    old: Member | None, new: Member | None, olds: dict[bytes, Member], news: dict[bytes, Member]
) -> Iterator[tuple[Member, Member]]:
    """Put both where they wait for their other side; those that it waits for already are given back."""
    if old is not None:
        waiting = news.pop(old.path, None)
        if waiting is None:
            olds[old.path] = old
        else:
            yield old, waiting
    if new is not None:
        waiting = olds.pop(new.path, None)
        if waiting is None:
            news[new.path] = new
        else:
            yield waiting, new


def _links_as_files(source: Source) -> Iterator[Member]:
    """The members, hard links last and as files with the content that they share; each folder once."""
    links: list[Member] = []
    folders: set[bytes] = set()  # one that leads to a root comes again when an attachment holds it
    for member in source():
        if member.kind is Kind.HARDLINK:
            links.append(member)
        elif member.kind is not Kind.FOLDER or member.path not in folders:
            yield member
        if member.kind is Kind.FOLDER:
            folders.add(member.path)
    if not links:
        return
    wanted = {link.link for link in links}
    files = {member.path: member for member in source() if member.path in wanted}
    for link in links:
        file = None if link.link is None else files.get(link.link)
        if file is None:
            yield link
        else:
            yield replace(link, kind=Kind.FILE, link=None, size=file.size, digest=file.digest)
