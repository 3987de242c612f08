"""Following an archive's stream with the manifest's members at hand: every digest, every tar header."""

import io
import tarfile
from collections.abc import Iterable, Iterator

from blake3 import blake3

from engine.codec import digest_zeros
from engine.errors import DamagedError
from engine.member import Kind, Member, content_extents
from engine.tarstream import END, member_header, padding


def in_place(members: Iterable[Member], *, is_tar: bool, stream_bytes: int) -> Iterator[Member]:
    """The members, as long as each lies right behind the one before and together they fill the stream.

    A manifest that tells less than the archive holds is damaged as well. Raises DamagedError.
    """
    expected = 0
    for member in members:
        stored = sum(length for _, length in content_extents(member))
        if member.header != expected or member.data < member.header:
            raise DamagedError(
                f"the manifest does not say what lies at byte {expected} of the stream"
            )
        expected = member.data + stored + (padding(stored) if is_tar else 0)
        yield member
    if expected + (len(END) if is_tar else 0) != stream_bytes:
        raise DamagedError(f"the manifest does not say what lies at byte {expected} of the stream")


class StreamChecker:
    """Takes the blocks of a stream in order; holds the digest of one member at a time."""

    def __init__(self, members: Iterator[Member], *, is_tar: bool) -> None:
        self._members = members
        self._is_tar = is_tar
        self._position = 0
        self._open_next()

    def feed(self, block: bytes | memoryview) -> None:
        """Take the next block. Raises DamagedError when a member is not what the manifest says."""
        end = self._position + len(block)
        while self._current is not None:
            if not self._current.take(memoryview(block), self._position, end):
                break
            self._current.compare()
            self._open_next()
        self._position = end

    def finish(self) -> None:
        """The stream is over. Raises DamagedError when a member was not reached."""
        self.feed(b"")  # an empty log has no frame at all
        if self._current is not None:
            raise DamagedError(f"the archive ends before {self._current.name}")

    def _open_next(self) -> None:
        member = next(self._members, None)
        self._current = None if member is None else _Current(member, is_tar=self._is_tar)


class _Current:
    """One member while its bytes pass by."""

    def __init__(self, member: Member, *, is_tar: bool) -> None:
        self._is_tar = is_tar
        self.name = member.path.decode("utf-8", "backslashreplace")
        self._member = member
        self._header = bytearray()
        self._digest = blake3()
        self._hashed = 0
        self._pieces: list[tuple[int, int, int]] = []
        at = member.data
        for offset, length in content_extents(member):
            self._pieces.append((at, offset, length))
            at += length
        self._pieces.reverse()

    def take(self, view: memoryview, start: int, end: int) -> bool:
        """Take what a block holds of this member; True when it is complete."""
        member = self._member
        if self._is_tar and member.header < end and member.data > start:
            self._header += view[max(member.header - start, 0) : member.data - start]
        while self._pieces:
            at, offset, length = self._pieces[-1]
            low, high = max(at, start), min(at + length, end)
            if low < high:
                self._hash_hole_before(offset + low - at)
                self._digest.update(view[low - start : high - start])
                self._hashed += high - low
            if at + length > end:
                return False
            self._pieces.pop()
        return member.data <= end

    def compare(self) -> None:
        """Raises DamagedError when digest or tar header is not the manifest's."""
        member = self._member
        if member.digest is not None:
            self._hash_hole_before(member.size)
            if self._digest.hexdigest() != member.digest:
                raise DamagedError(
                    f"{self.name} in the archive does not have the digest of the manifest"
                )
        if self._is_tar:
            self._compare_header()

    def _hash_hole_before(self, offset: int) -> None:
        """A hole counts as zeros in the digest of the whole content."""
        digest_zeros(self._digest, offset - self._hashed)
        self._hashed = max(offset, self._hashed)

    def _compare_header(self) -> None:
        member = self._member
        header = bytes(self._header)
        expected = member_header(
            member.path,
            member.kind,
            member.attributes,
            size=member.size,
            link=member.link or b"",
            extents=member.extents,
        )
        if header != expected:
            _compare_meaning(header, member, self.name)


def _compare_meaning(header: bytes, member: Member, name: str) -> None:
    """Whoever unpacks with tar alone must get what the manifest promises, whichever release wrote it."""
    try:
        with tarfile.open(
            fileobj=io.BytesIO(header + bytes(1024)), mode="r:", errors="surrogateescape"
        ) as tar:
            info = tar.next()
    except tarfile.TarError as error:
        raise DamagedError(f"the tar header of {name} is damaged: {error}") from error
    if info is None:
        raise DamagedError(f"the tar header of {name} is missing")
    path = info.name.encode("utf-8", "surrogateescape").rstrip(b"/")
    same_size = member.kind is not Kind.FILE or info.size == member.size
    if path != member.path or not same_size or info.mode != member.attributes.mode:
        raise DamagedError(f"the tar header of {name} does not agree with the manifest")
