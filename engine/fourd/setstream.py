"""The stream inside a set's archive of 4D, told by the members of its manifest: the list, and what stands around each file.

Files are in it, second names of files as files of their own; folders and links are in the manifest alone. What
writes such an archive and what compares one go by this, so that both mean the same.
"""

import os
import re
from collections.abc import Callable, Iterator

from engine.errors import DamagedError
from engine.fourd.listing import (
    BODY_HEAD,
    BODY_TAIL,
    Entry,
    body_head,
    render_entry,
    render_opening,
)
from engine.member import Kind, Member, Role

Members = Callable[[], Iterator[Member]]

_DATA, _STRUCTURE = (".4dd", "DataFile"), (".4db", "StructFile")
# a colon ends the path in an entry of the list, and a backslash is a folder to 4D on Windows
NO_NAME = (":", "\\")
OTHER_NAMES = "Names that 4D cannot hold"
_NOT_SAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_SAFE = 100
# far below what the list can hold
_LONGEST = 30_000


def tag_of(member: Member) -> str:
    """What 4D calls a file, after its name."""
    ending = os.path.splitext(os.fsdecode(member.path))[1].lower()  # noqa: PTH122 - a name in the set
    if member.role is Role.DATA and ending == _DATA[0]:
        return _DATA[1]
    return _STRUCTURE[1] if member.role is Role.STRUCTURE and ending == _STRUCTURE[0] else ""


def cannot_be_named(path: bytes) -> bool:
    """Whether 4D's archives cannot hold a file of this name."""
    try:
        name = path.decode()
    except UnicodeDecodeError:
        return True
    return len(path) > _LONGEST or any(map(name.count, NO_NAME))


class SetList:
    """What the members of one archive are in its list. `renamed` counts the files that have other names there.

    `links` are the paths of files that have a second name, `content_bytes` counts the first ones.
    """

    def __init__(self, members: Members) -> None:
        self.count = 0
        self.content_bytes = 0
        self.renamed = 0
        self.links: set[bytes] = set()
        self._members = members
        tops: set[str] = set()
        for member in members():
            if member.kind is Kind.HARDLINK and member.link is not None:
                self.links.add(member.link)
            if member.kind in (Kind.FILE, Kind.HARDLINK):
                self.count += 1
                self.content_bytes += member.size
                self.renamed += cannot_be_named(_stored_path(member))
            top = member.path.partition(b"/")[0].decode("utf-8", "replace")
            if top.startswith(OTHER_NAMES):
                tops.add(top)
        self.other = OTHER_NAMES
        while self.other in tops:
            self.other += " again"

    def render(self) -> Iterator[bytes]:
        """The list. Raises DamagedError for members that are no set's."""
        yield render_opening(self.count)
        number = 0
        for member, size in self._files():
            number += cannot_be_named(_stored_path(member))
            yield render_entry(Entry(self._text(member, number), size))

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """(offset in the stream, bytes) of all that is not content, in order."""
        at = 0
        for piece in self.render():
            yield at, piece
            at += len(piece)
        for member, size in self._files():
            yield member.header, body_head(size)
            yield member.header + BODY_HEAD.size + size, BODY_TAIL

    def _files(self) -> Iterator[tuple[Member, int]]:
        """What is a file to 4D, and its size."""
        sizes: dict[bytes, int] = {}
        for member in self._members():
            if member.kind not in (Kind.FILE, Kind.HARDLINK):
                continue
            if member.path in self.links:
                sizes[member.path] = member.size
            yield member, _size(member, sizes)

    def _text(self, member: Member, number: int) -> str:
        path = _stored_path(member)
        shown = path.decode("utf-8", "replace")
        if cannot_be_named(path):
            safe = _NOT_SAFE.sub("_", shown.rpartition("/")[2])[-_LONGEST_SAFE:]
            shown = f"{self.other}/{number:04d} {safe}"
        return f"./{shown}::{tag_of(member)}"


def _stored_path(member: Member) -> bytes:
    """4D's archive of a log knows its name alone."""
    return member.path.rpartition(b"/")[2] if member.role is Role.LOG else member.path


def _size(member: Member, sizes: dict[bytes, int]) -> int:
    if member.kind is Kind.FILE:
        return member.size
    size = sizes.get(member.link or b"")
    if size is None:
        raise DamagedError(
            f"the file that {os.fsdecode(member.path)!a} is another name of is not there"
        )
    return size


def in_bodies(members: Iterator[Member], stream_bytes: int) -> Iterator[Member]:
    """The members, as long as each lies right behind the one before and together they fill the stream after its list.

    Raises DamagedError.
    """
    expected: int | None = None
    for member in members:
        begins = member.header if expected is None else expected
        is_file = member.kind is Kind.FILE
        is_near = member.data == begins + BODY_HEAD.size if is_file else member.data >= begins
        if member.header != begins or not is_near:
            raise DamagedError(
                f"the manifest does not say what lies at byte {begins} of the stream"
            )
        expected = member.data + (member.size + len(BODY_TAIL) if is_file else 0)
        yield member
    if expected != stream_bytes:
        raise DamagedError(f"the manifest does not say what lies at byte {expected} of the stream")


class StructureChecker:
    """Takes the blocks of a stream in order and compares all in it that is not content."""

    def __init__(self, members: Members) -> None:
        self._pieces = SetList(members).pieces()
        self._position = 0
        self._part = b""
        self._open_next()

    def feed(self, block: bytes | memoryview) -> None:
        """Take the next block. Raises DamagedError when it is not what the members say."""
        view, end = memoryview(block), self._position + len(block)
        while self._expected is not None:
            at, piece = self._expected
            if at + len(self._part) < self._position:
                raise DamagedError(f"the manifest is wrong about byte {at} of the stream")
            low = max(at + len(self._part), self._position)
            part = view[low - self._position : at + len(piece) - self._position]
            if low >= end:
                break
            self._part += part
            if len(self._part) < len(piece):
                break
            if self._part != piece:
                raise DamagedError(
                    f"at byte {at} of its stream, the archive does not agree with the manifest"
                )
            self._open_next()
        self._position = end

    def finish(self) -> None:
        """The stream is over. Raises DamagedError when something was not reached."""
        if self._expected is not None:
            raise DamagedError("the archive ends before all that the manifest says of it")

    def _open_next(self) -> None:
        self._part = b""
        self._expected = next(self._pieces, None)
