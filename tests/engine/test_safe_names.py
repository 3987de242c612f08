"""Every member gets a place of its own, its own name whenever that can be."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.member import Attributes, Kind, Member, Role
from engine.safenames import LONGEST_NAME, SafeNames, folding_of

BODY = Attributes(0o644, 0, 0, 0)


def member(path: bytes, kind: Kind = Kind.FILE) -> Member:
    return Member(path, kind, Role.ATTACHMENT, 0, BODY, 0, 0)


def placed(names: SafeNames, path: bytes, kind: Kind = Kind.FILE) -> bytes:
    return names.place(member(path, kind)).path


@pytest.mark.parametrize(
    "path", [b"a", b"a/b", b"a/" + b"n" * LONGEST_NAME, b"/".join([b"d"] * 512), b"...", b"caf\xe9"]
)
def test_a_name_that_can_be_is_kept(path: bytes) -> None:
    original = member(path)

    assert SafeNames().place(original) is original


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/etc/passwd",
        b"../x",
        b"a/../../x",
        b"a/./b",
        b"a//b",
        b"a/",
        b"a\0b",
        b"n" * (LONGEST_NAME + 1),
        b"/".join([b"d"] * 513),
    ],
)
def test_a_name_that_cannot_be_is_replaced_by_one_that_says_so(path: bytes) -> None:
    names = SafeNames()

    assert placed(names, path) == b"found without a name/unusable name 0001"
    assert placed(names, path) == b"found without a name/unusable name 0002"


def test_the_second_of_a_name_is_called_so() -> None:
    names = SafeNames()

    assert [placed(names, b"d/a") for _ in range(3)] == [b"d/a", b"d/a.second", b"d/a.second 2"]
    assert names.has_file(b"d/a.second 2")
    assert not names.has_file(b"d/b")


def test_a_folder_may_come_twice() -> None:
    names = SafeNames()

    assert [placed(names, b"d", Kind.FOLDER) for _ in range(2)] == [b"d", b"d"]


def test_a_file_never_takes_the_place_of_a_folder_nor_a_folder_that_of_a_file() -> None:
    names = SafeNames()
    placed(names, b"d/a")
    placed(names, b"f")

    assert placed(names, b"d") == b"d.second"
    assert placed(names, b"f", Kind.FOLDER) == b"f.second"
    assert placed(names, b"f.second/x") == b"found without a name/unusable name 0001"


def test_nothing_lies_below_a_link() -> None:
    names = SafeNames()
    placed(names, b"link", Kind.SYMLINK)

    assert placed(names, b"link/x") == b"found without a name/unusable name 0001"
    assert placed(names, b"link/x/y") == b"found without a name/unusable name 0002"


def test_names_that_are_taken_before_are_taken() -> None:
    names = SafeNames(taken=(b"REPORT",))
    names.take(b"more")

    assert placed(names, b"REPORT") == b"REPORT.second"
    assert placed(names, b"more") == b"more.second"


def test_where_case_does_not_count_it_does_not_count_here() -> None:
    names = SafeNames(bytes.lower)

    assert placed(names, b"A") == b"A"
    assert placed(names, b"a") == b"a.second"
    assert placed(SafeNames(), b"a") == b"a"


def test_an_ending_never_makes_a_name_too_long() -> None:
    names = SafeNames()
    long = b"d/" + b"n" * LONGEST_NAME
    placed(names, long)

    found = placed(names, long)

    assert found == b"d/" + b"n" * (LONGEST_NAME - 7) + b".second"
    assert placed(names, long) == b"d/" + b"n" * (LONGEST_NAME - 9) + b".second 2"


PARTS = st.sampled_from([b"a", b"b", b"A", b"a.second", b"..", b"", b"n" * 256])
MEMBERS = st.lists(
    st.tuples(
        st.lists(PARTS, min_size=1, max_size=3).map(b"/".join),
        st.sampled_from([Kind.FILE, Kind.FOLDER, Kind.SYMLINK]),
    ),
    max_size=30,
)


@given(MEMBERS, st.sampled_from([bytes, bytes.lower]))
def test_whatever_comes_no_two_share_a_place_and_none_leads_outside(
    members: list[tuple[bytes, Kind]], fold: type[bytes]
) -> None:
    names = SafeNames(fold)
    made: dict[bytes, Kind] = {}
    for path, kind in members:
        found = placed(names, path, kind)
        key = fold(found)
        assert not {b"", b".", b".."} & set(found.split(b"/"))
        assert key not in made or made[key] is kind is Kind.FOLDER
        made[key] = kind
        for depth in range(1, found.count(b"/") + 1):
            above = fold(b"/".join(found.split(b"/")[:depth]))
            assert made.setdefault(above, Kind.FOLDER) is Kind.FOLDER


def test_the_file_system_is_asked_what_case_means_to_it(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fold = folding_of(folder)
    finally:
        os.close(folder)

    is_equal = fold(b"A") == fold(b"a")
    (tmp_path / "A").touch()
    assert (tmp_path / "a").exists() is is_equal
    assert [entry.name for entry in tmp_path.iterdir()] == ["A"]
