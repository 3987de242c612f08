"""Each difference with both of its sides, what counts as the same, and how often a stream is drawn from."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from engine.compare import (
    Change,
    Comparison,
    Difference,
    compare_members,
    compare_one,
    in_tree_order,
    same_digest,
    without_unknown,
)
from engine.member import Attributes, Kind, Member, Role

MODE = Attributes(0o644, 0, 0, 0)
LATER = Attributes(0o644, 0, 0, 1)


def file(path: bytes, content: str = "a", *, size: int = 1, mode: Attributes = MODE) -> Member:
    return Member(path, Kind.FILE, Role.DATA, size, mode, 0, 0, digest=content)


def other(path: bytes, kind: Kind, link: bytes | None = None, *, mode: Attributes = MODE) -> Member:
    return Member(path, kind, Role.DATA, 0, mode, 0, 0, link=link)


class Stream:
    """A source that counts how often it is asked for from the beginning."""

    def __init__(self, *members: Member) -> None:
        self.members = members
        self.times = 0

    def __call__(self) -> Iterable[Member]:
        self.times += 1
        return iter(self.members)


def compared(before: Iterable[Member], after: Iterable[Member]) -> Comparison:
    return compare_members(Stream(*before), Stream(*after))


def test_each_change_holds_both_sides() -> None:
    gone, new, kept = file(b"gone"), file(b"new"), file(b"kept")
    old, edited = file(b"edited"), file(b"edited", "b")

    found = compared([gone, kept, old], [new, kept, edited])

    changes = (
        Change(Difference.CONTENT, old, edited),
        Change(Difference.REMOVED, gone, None),
        Change(Difference.ADDED, None, new),
    )
    assert found == Comparison(changes, same=1)
    assert [change.path for change in found.changes] == [b"edited", b"gone", b"new"]


def test_sides_are_not_confused_when_they_meet_out_of_step() -> None:
    olds, news = (
        [file(name, content) for name in names]
        for names, content in (((b"a", b"b", b"c"), "old"), ((b"c", b"b", b"a", b"d"), "new"))
    )

    found = compared(olds, news)

    assert [(c.path, c.before, c.after) for c in found.changes] == [
        (b"a", olds[0], news[2]),
        (b"b", olds[1], news[1]),
        (b"c", olds[2], news[0]),
        (b"d", None, news[3]),
    ]


def test_what_is_the_same_is_counted() -> None:
    members = [file(b"%d" % at) for at in range(5)]

    assert compared(members, members[::-1]) == Comparison((), same=5)
    assert compared(members, [*members[1:], file(b"new")]).same == 4
    assert compared([], []) == Comparison((), same=0)


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        (file(b"x"), file(b"x"), None),
        (file(b"x"), other(b"x", Kind.SYMLINK, b"y"), Difference.TYPE),
        (other(b"x", Kind.SYMLINK, b"y"), other(b"x", Kind.SYMLINK, b"z"), Difference.CONTENT),
        (other(b"x", Kind.SYMLINK, b"y"), other(b"x", Kind.SYMLINK, b"y"), None),
        (file(b"x"), file(b"x", "b"), Difference.CONTENT),
        (file(b"x"), file(b"x", size=2), Difference.CONTENT),
        (file(b"x"), file(b"x", "b", mode=LATER), Difference.CONTENT),
        (file(b"x"), file(b"x", mode=LATER), Difference.ATTRIBUTES),
        (other(b"x", Kind.FOLDER), other(b"x", Kind.FOLDER), None),
        (
            other(b"x", Kind.FOLDER),
            other(b"x", Kind.FOLDER, mode=LATER),
            Difference.ATTRIBUTES,
        ),
        (
            other(b"x", Kind.SYMLINK, b"y"),
            other(b"x", Kind.SYMLINK, b"y", mode=LATER),
            Difference.ATTRIBUTES,
        ),
    ],
)
def test_two_members_of_one_path_differ_in_one_way_the_gravest(
    before: Member, after: Member, difference: Difference | None
) -> None:
    expected = None if difference is None else Change(difference, before, after)

    assert compare_one(before, after, same_digest) == expected


def test_only_files_are_asked_for_their_content() -> None:
    asked: list[tuple[Member, Member]] = []

    def never_same(before: Member, after: Member) -> bool:
        asked.append((before, after))
        return False

    old, new = file(b"x"), file(b"x", mode=LATER)
    folder = other(b"d", Kind.FOLDER)

    found = compare_members(Stream(old, folder), Stream(folder, new), never_same)

    assert found == Comparison((Change(Difference.CONTENT, old, new),), same=1)
    assert asked == [(old, new)]


@pytest.mark.parametrize(
    ("difference", "differs"),
    [
        (Difference.ADDED, True),
        (Difference.REMOVED, True),
        (Difference.TYPE, True),
        (Difference.CONTENT, True),
        (Difference.ATTRIBUTES, False),
    ],
)
def test_times_modes_and_owners_alone_are_no_difference(
    difference: Difference, differs: bool
) -> None:
    touched = Change(Difference.ATTRIBUTES, file(b"a"), file(b"a", mode=LATER))
    found = Comparison((touched, Change(difference, file(b"x"), file(b"x"))), same=0)

    assert found.differs is differs
    assert found.count(difference) == (1 if differs else 2)
    assert not Comparison((), same=3).differs


# --- hard links -----------------------------------------------------------------------------------


def test_a_hard_link_is_told_as_the_file_it_is() -> None:
    shared = file(b"a", "x", size=3)
    link = other(b"b", Kind.HARDLINK, b"a", mode=LATER)

    found = compared([], [link, shared])

    assert found.changes == (
        Change(Difference.ADDED, None, shared),
        Change(Difference.ADDED, None, replace(shared, path=b"b", attributes=LATER)),
    )


@pytest.mark.parametrize("target", [b"missing", None])
def test_a_hard_link_to_nothing_is_told_as_it_is(target: bytes | None) -> None:
    link = other(b"b", Kind.HARDLINK, target)

    assert compared([link], []).changes == (Change(Difference.REMOVED, link, None),)


def test_links_beside_one_that_leads_nowhere_are_files() -> None:
    shared, lost = file(b"a", "x"), other(b"b", Kind.HARDLINK, b"missing")
    links = [other(name, Kind.HARDLINK, b"a") for name in (b"c", b"d")]

    found = compared([], [shared, lost, *links])

    kinds = [(c.path, c.after.kind, c.after.digest) for c in found.changes if c.after]
    assert kinds == [
        (b"a", Kind.FILE, "x"),
        (b"b", Kind.HARDLINK, None),
        (b"c", Kind.FILE, "x"),
        (b"d", Kind.FILE, "x"),
    ]


def test_a_stream_without_hard_links_is_drawn_from_once() -> None:
    plain, linked = Stream(file(b"a")), Stream(file(b"a"), other(b"b", Kind.HARDLINK, b"a"))

    compare_members(plain, linked)

    assert (plain.times, linked.times) == (1, 2)


def test_of_a_folder_that_comes_again_the_first_counts() -> None:
    first, again = other(b"d", Kind.FOLDER), other(b"d", Kind.FOLDER, mode=LATER)

    found = compared([first, file(b"d/a"), again, again], [])

    assert [(change.path, change.before) for change in found.changes] == [
        (b"d", first),
        (b"d/a", file(b"d/a")),
    ]


# --- what could not be looked at ------------------------------------------------------------------


def test_only_what_seems_removed_is_doubtful_where_nobody_could_look() -> None:
    changes = (
        Change(Difference.REMOVED, file(b"in"), None),
        Change(Difference.REMOVED, file(b"in/a"), None),
        Change(Difference.CONTENT, file(b"in/b"), file(b"in/b", "b")),
        Change(Difference.ADDED, None, file(b"in/c")),
        Change(Difference.REMOVED, file(b"inside"), None),
    )
    found = Comparison(changes, same=7)

    assert without_unknown(found, iter([b"other", b"in"])) == Comparison(changes[2:], same=7)
    assert without_unknown(found, [b"."]) == Comparison(changes[2:4], same=7)
    assert without_unknown(found, []) == found


def test_what_is_in_a_folder_sorts_right_behind_it() -> None:
    assert in_tree_order(b"a/b/c") == b"a\0b\0c"
