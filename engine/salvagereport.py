"""What is kept of each member of a damaged set, under which name, and the report that says so."""

import os
from dataclasses import dataclass
from typing import BinaryIO

from engine.arrival import Spans
from engine.errors import DamagedError
from engine.member import Kind, Member, Role
from engine.safenames import SafeNames

REPORT = "SALVAGE REPORT.txt"
INCOMPLETE = b".incomplete"
_MOST_SPANS = 50
_LEGEND = (
    "whole       the file is as it was saved, compared by {by}",
    "unproved    the file as the archive holds it; nothing is there that it could be compared with",
    "incomplete  parts are missing; they are zeros in the file, which is called *.incomplete",
    "differs     it is not what was saved, or nobody can tell; called *.incomplete as well",
    "not made    a link that could not be made",
    "renamed     its own name could not be used, or something else has it",
)


@dataclass(frozen=True, slots=True)
class Basis:
    """What is known before the first member: `by` what whole files are compared, roles of which nothing is."""

    title: str
    by: str
    unproved: frozenset[str]
    known: tuple[str, ...]
    # damage was named already, at the places where it lies
    is_named: bool


class Keeper:
    """Keeps what there is, under names that tell; writes the report."""

    def __init__(self, lines: BinaryIO, names: SafeNames, basis: Basis) -> None:
        self.whole_count = 0
        self.unproved_count = 0
        self.damaged_count = 0
        self.lost_bytes = 0
        self.problems: list[str] = []
        self._lines = lines
        self._names = names
        self._basis = basis
        self._say(basis.title)
        self._say("")
        for text in _LEGEND:
            self._say(text.format(by=basis.by))
        for text in basis.known:
            self._say(f"known: {text}")
        self._say("")

    def place(self, member: Member) -> Member:
        """The member under a name that it can have here."""
        placed = self._names.place(member)
        if placed is not member:
            self._say(f"renamed     {shown(member.path)} -> {shown(placed.path)}")
        return placed

    def whole(self, member: Member) -> None:
        """It came back."""
        archive = "log" if member.role is Role.LOG else "main"
        if archive in self._basis.unproved:
            self.unproved_count += 1
            self._say(f"unproved    {shown(member.path)}")
            return
        self.whole_count += 1
        self._say(f"whole       {shown(member.path)}")

    def damaged(self, member: Member, lost: Spans, why: str) -> bytes:
        """A name that nobody takes for the file, and that nothing else has."""
        self.damaged_count += 1
        self.lost_bytes += sum(length for _, length in lost)
        if member.kind is not Kind.FILE:
            self._say(f"not made    {shown(member.path)}: {why}")
            return b""
        new = self._names.free(member.path, INCOMPLETE)
        kind = "incomplete" if lost else "differs   "
        self._say(f"{kind}  {shown(member.path)} -> {shown(new)}")
        for offset, length in lost[:_MOST_SPANS]:
            self._say(f"            lost: bytes {offset} to {offset + length} of {member.size}")
        if len(lost) > _MOST_SPANS:
            self._say(f"            and {len(lost) - _MOST_SPANS} more places")
        return new.rpartition(b"/")[2]

    def unreadable(self, damage: DamagedError) -> None:
        """A frame is lost, whatever it holds."""
        if self._basis.is_named or len(self.problems) >= _MOST_SPANS:
            return
        self.problems.append(str(damage))
        self._say(f"lost frame  {damage}")

    def unmade(self, member: Member, error: OSError) -> None:
        """A link could not be made; that is no reason to give up the rest."""
        why = str(error.strerror)
        if member.kind is Kind.HARDLINK and isinstance(error, FileNotFoundError):
            why = f"what it is another name of is not whole: {shown(member.link or b'')}"
        self.damaged(member, (), why)

    def foot(self) -> None:
        """The sum."""
        self._say("")
        self._say(
            f"{self.whole_count} files and links are whole, {self.unproved_count} are unproved, "
            f"{self.damaged_count} are not whole; {self.lost_bytes} bytes of content are lost"
        )

    def _say(self, text: str) -> None:
        self._lines.write(text.encode("utf-8", "backslashreplace") + b"\n")


def shown(path: bytes) -> str:
    """A path in words; one that would spoil the list is escaped."""
    name = os.fsdecode(path).encode("utf-8", "backslashreplace").decode()
    return name if name.isprintable() else ascii(name)
