"""What waits for the rest of its frame can be opened when it has to be read after all."""

import os
from pathlib import Path

from engine.content import Root
from engine.frametable import FrameTable
from engine.member import Kind, Member, Role, Seen
from engine.reuse import Lot
from engine.sourcefile import attributes_of
from engine.untouched import Untouched
from engine.walk import Found


class Nowhere:
    """An archive that takes nothing."""

    def waiting_bytes(self) -> int:
        return 0

    def take_frame(self, lot: Lot, index: int, members: list[Member]) -> None:
        raise AssertionError("no frame is filled")


def test_what_waits_is_opened_in_the_folder_it_was_found_in(tmp_path: Path) -> None:
    """The settings can save files of several folders under one, and under other names."""
    members, founds = [], []
    for number, name in enumerate((b"a/one", b"a/two", b"a/six")):
        folder = tmp_path / f"folder {number}"
        folder.mkdir()
        (folder / "xyz").write_bytes(b"content %d" % number)
        descriptor = os.open(folder, os.O_RDONLY)
        facts = os.stat("xyz", dir_fd=descriptor)
        founds.append(Found(name, b"xyz", descriptor, facts))
        seen, at = Seen(facts.st_ino, facts.st_ctime_ns), number * 1024
        attributes = attributes_of(facts)
        members.append(
            Member(name, Kind.FILE, Role.DATA, 9, attributes, at, at + 512, digest="", seen=seen)
        )
    table = FrameTable()
    table.append(100_000, 500, bytes(32))
    untouched = Untouched(Lot(table, lambda *_: b"", proved=False), iter(members))
    root = Root(tmp_path, b"a", Role.DATA)

    for found in founds:
        assert list(untouched.offer(root, found, Nowhere())) == []
        os.close(found.folder)
    read = []
    for _, found in untouched.rest():
        with os.fdopen(os.open(found.name, os.O_RDONLY, dir_fd=found.folder), "rb") as stream:
            read.append((found.path, stream.read()))

    assert read == [(b"a/one", b"content 0"), (b"a/two", b"content 1"), (b"a/six", b"content 2")]


def test_a_set_before_that_names_a_path_twice_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"content")
    facts = (tmp_path / "one").stat()
    folder = os.open(tmp_path, os.O_RDONLY)
    named = [
        Member(name, Kind.FILE, Role.DATA, 0, attributes_of(facts), 0, 512, digest="")
        for name in (b"a/one", b"a/one", b"a/two")
    ]
    untouched = Untouched(Lot(FrameTable(), lambda *_: b"", proved=False), iter(named))
    root = Root(tmp_path, b"a", Role.DATA)

    for path in (b"a/one", b"a/one", b"a/three", b"a/two"):
        found = Found(path, b"one", folder, facts)
        assert list(untouched.offer(root, found, Nowhere())) == [(root, found)]
    os.close(folder)
