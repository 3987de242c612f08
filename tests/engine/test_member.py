"""A member comes back from a manifest as it went in; what no member can be is refused."""

from dataclasses import replace
from typing import Any

import pytest

from engine.member import (
    Attributes,
    Kind,
    Member,
    Role,
    Seen,
    content_extents,
    member_from_json,
    member_to_json,
    stored_bytes,
)

BODY = Attributes(0o644, 1000, 100, -5)
FILE = Member(b"Data/data.4DD", Kind.FILE, Role.DATA, 900, BODY, 512, 1024, digest="ab")
ROW: dict[str, Any] = {
    "path": "Data/data.4DD",
    "type": "file",
    "role": "data",
    "size": 900,
    "mode": "0644",
    "uid": 1000,
    "gid": 100,
    "mtime_ns": -5,
    "header": 512,
    "data": 1024,
    "blake3": "ab",
}


def test_a_member_has_one_form_in_a_manifest() -> None:
    assert member_to_json(FILE) == ROW
    assert member_from_json(ROW) == FILE


@pytest.mark.parametrize(
    "member",
    [
        Member(b"d", Kind.FOLDER, Role.STRUCTURE, 0, BODY, 0, 0),
        Member(b"l", Kind.SYMLINK, Role.ATTACHMENT, 0, BODY, 0, 0, link=b"../caf\xe9"),
        Member(b"caf\xe9", Kind.HARDLINK, Role.ATTACHMENT, 0, BODY, 0, 0, link=b"d/x"),
        Member(b"seen", Kind.FILE, Role.DATA, 9, BODY, 0, 0, digest="ab", seen=Seen(2**64 - 1, -7)),
        Member(
            b"holes", Kind.FILE, Role.LOG, 900, BODY, 0, 0, digest="ab", extents=((0, 5), (512, 8))
        ),
    ],
)
def test_each_kind_comes_back_as_it_was(member: Member) -> None:
    assert member_from_json(member_to_json(member)) == member


@pytest.mark.parametrize(("absent", "error"), [("path", KeyError), ("blake3", KeyError)])
def test_a_file_without_path_or_digest_is_none(absent: str, error: type[Exception]) -> None:
    row = {key: value for key, value in ROW.items() if key != absent}

    with pytest.raises(error, match=f"^'{absent}'$"):
        member_from_json(row)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"path": 5}, TypeError),
        ({"path": "a\0b"}, ValueError),
        ({"blake3": 5}, TypeError),
        ({"type": "device"}, ValueError),
        ({"role": "guest"}, ValueError),
        ({"size": -1}, ValueError),
        ({"size": True}, ValueError),
        ({"size": 1.5}, ValueError),
        ({"size": 1 << 63}, ValueError),
        ({"mode": "10000"}, ValueError),
        ({"mode": 420}, TypeError),
        ({"uid": -1}, ValueError),
        ({"link_base64": "?"}, ValueError),
        ({"extents": [[0]]}, ValueError),
        ({"extents": [[0, -1]]}, ValueError),
        ({"seen": "12"}, ValueError),
        ({"seen": [1]}, ValueError),
        ({"seen": [1, 2, 3]}, ValueError),
        ({"seen": [-1, 2]}, ValueError),
        ({"seen": [1 << 64, 2]}, ValueError),
        ({"seen": [1, 2.5]}, ValueError),
    ],
)
def test_what_no_file_can_be_is_refused(changed: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        member_from_json({**ROW, **changed})


@pytest.mark.parametrize(
    ("member", "extents", "count"),
    [
        (FILE, ((0, 900),), 900),
        (Member(b"d", Kind.FOLDER, Role.DATA, 7, BODY, 0, 0), (), 0),
        (
            Member(b"h", Kind.FILE, Role.DATA, 900, BODY, 0, 0, extents=((0, 5), (512, 8))),
            ((0, 5), (512, 8)),
            13,
        ),
    ],
)
def test_what_the_stream_holds_of_a_member(
    member: Member, extents: tuple[tuple[int, int], ...], count: int
) -> None:
    assert (content_extents(member), stored_bytes(member)) == (extents, count)


def test_what_was_seen_of_a_file_may_be_absent() -> None:
    assert member_from_json({**ROW, "seen": None}) == FILE
    assert member_to_json(replace(FILE, seen=Seen(5, 6)))["seen"] == [5, 6]
