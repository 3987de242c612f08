"""The tar headers of an archive compared with the members of its manifest, for a manifest that nothing else vouches for.

Only the frames that hold headers are read.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from engine.errors import DamagedError
from engine.fourd.setstream import StructureChecker
from engine.framereader import Block, open_what_is_there, read_what_is_good
from engine.frametable import Frame
from engine.manifest import FOURD, ArchiveFacts, Manifest
from engine.member import Member
from engine.tarparse import NotAHeaderError, parse_member
from engine.tarstream import member_header
from engine.verify import members_of

_WORKERS = 2
_LONGEST_HEADER = 64 << 20
_Found = tuple[int, Frame, Block | DamagedError]


def compare_headers(manifest: Manifest, folder: Path) -> None:
    """Raises DamagedError when a header that can be read is not what the manifest says.

    Frames that cannot be read are passed over: whoever reads them for their content finds that.
    """
    for facts in manifest.archives:
        if facts.stream == "tar":
            _compare_archive(manifest, facts, folder)
        elif facts.stream == FOURD:
            _compare_list(manifest, facts, folder)
        else:
            for _ in members_of(manifest, facts):
                pass


def _compare_archive(manifest: Manifest, facts: ArchiveFacts, folder: Path) -> None:
    with open_what_is_there(folder, facts) as archive:
        reading = read_what_is_good(
            archive, _frames_with_headers(manifest, facts), workers=_WORKERS
        )
        with closing(reading) as blocks:
            cursor = _Cursor(blocks)
            for member in members_of(manifest, facts):
                header = cursor.header(member, facts)
                if header is not None and not _says(header, member):
                    name = member.path.decode("utf-8", "backslashreplace")
                    raise DamagedError(
                        f"the manifest does not agree with the archive about {name!r}"
                    )


def _compare_list(manifest: Manifest, facts: ArchiveFacts, folder: Path) -> None:
    """The list of files that 4D's archives begin with. Each file is compared with its digest when it comes."""
    first = next(members_of(manifest, facts), None)
    checker = StructureChecker(lambda: members_of(manifest, facts))
    span = facts.frames.covering(0, 0 if first is None else first.header)
    with (
        open_what_is_there(folder, facts) as archive,
        closing(read_what_is_good(archive, span, workers=_WORKERS)) as blocks,
    ):
        for _, _, block in blocks:
            if isinstance(block, DamagedError):
                return
            checker.feed(block)


def _frames_with_headers(manifest: Manifest, facts: ArchiveFacts) -> Iterator[int]:
    last = -1
    for member in members_of(manifest, facts):
        if member.data - member.header > _LONGEST_HEADER:
            raise DamagedError("the manifest names a header that is longer than any")
        for index in facts.frames.covering(member.header, member.data):
            if index > last:
                yield index
                last = index


class _Cursor:
    """Where the reading is; headers are asked for in order."""

    def __init__(self, blocks: Iterator[_Found]) -> None:
        self._blocks = blocks
        self._index = -1
        self._start = 0
        self._block: Block | DamagedError = b""

    def header(self, member: Member, facts: ArchiveFacts) -> bytes | None:
        """The bytes of one header, None when they cannot be read."""
        parts: list[bytes] = []
        for index in facts.frames.covering(member.header, member.data):
            while self._index < index:
                self._index, frame, self._block = next(self._blocks)
                self._start = frame.start
            if isinstance(self._block, DamagedError):
                return None
            low = max(member.header - self._start, 0)
            parts.append(bytes(self._block[low : member.data - self._start]))
        return b"".join(parts)


def _says(header: bytes, member: Member) -> bool:
    attributes, link = member.attributes, member.link or b""
    wanted = member_header(
        member.path, member.kind, attributes, size=member.size, link=link, extents=member.extents
    )
    if header == wanted:
        return True
    try:  # another release may have written the same in other words
        found = parse_member(header, member.header)
    except NotAHeaderError:
        return False
    return isinstance(found, Member) and (
        (found.path, found.kind, found.size, found.attributes, found.link, found.extents)
        == (member.path, member.kind, member.size, attributes, member.link, member.extents)
    )
