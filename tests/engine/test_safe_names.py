"""Every member gets a place of its own, its own name whenever that can be."""

import os
from collections.abc import Callable
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


def test_every_folder_on_the_way_to_a_file_is_taken() -> None:
    names = SafeNames()
    placed(names, b"a/b/c/d")

    assert [placed(names, path) for path in (b"a/b/c", b"a/b", b"a")] == [
        b"a/b/c.second",
        b"a/b.second",
        b"a.second",
    ]


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
    long = b"d/e/" + b"n" * LONGEST_NAME
    placed(names, long)

    found = placed(names, long)

    assert found == b"d/e/" + b"n" * (LONGEST_NAME - 7) + b".second"
    assert placed(names, long) == b"d/e/" + b"n" * (LONGEST_NAME - 9) + b".second 2"


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


def asked(folder: Path) -> Callable[[bytes], bytes]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return folding_of(descriptor)
    finally:
        os.close(descriptor)


def test_the_file_system_is_asked_what_case_means_to_it(tmp_path: Path) -> None:
    fold = asked(tmp_path)

    is_equal = fold(b"A") == fold(b"a")
    (tmp_path / "A").touch()
    assert (tmp_path / "a").exists() is is_equal
    assert [entry.name for entry in tmp_path.iterdir()] == ["A"]


@pytest.mark.parametrize("kind", [Kind.FILE, Kind.SYMLINK])
@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (b"Data/A", b"dATA/a", b"data/a"),
        ("d/GR\u00dc\u00dfE".encode(), "D/gr\u00fcsse".encode(), "d/gr\u00fcsse".encode()),
        (b"CAF\xe9", b"Caf\xe9", b"caf\xe9"),
    ],
)
def test_a_folder_that_answers_to_the_other_case_takes_both_for_one_name(
    tmp_path: Path, kind: Kind, one: bytes, other: bytes, both: bytes
) -> None:
    # what a file system without case does with the name that is asked for, and nothing else there is
    answer = tmp_path / "A CASE"
    answer.touch() if kind is Kind.FILE else answer.symlink_to("nowhere")

    fold = asked(tmp_path)

    assert fold(one) == fold(other) == both
    assert placed(SafeNames(fold, taken=(one,)), other) == other + b".second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["A CASE"]


def test_a_file_that_has_the_name_to_ask_with_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a case").write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        asked(tmp_path)

    assert (tmp_path / "a case").read_bytes() == b"precious"
