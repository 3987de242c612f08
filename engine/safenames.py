"""Names for members that a damaged or hostile archive gives no usable one: each gets a place of its own.

No member is lost because of its name, and none takes the place of another: what is there twice, leads outside,
or stands where a folder must be, is made under another name that tells.
"""

import os
from collections.abc import Callable
from dataclasses import replace

from engine.member import Kind, Member
from engine.tarparse import UNNAMED

LONGEST_NAME = 255
_MOST_LEVELS = 512


class SafeNames:
    """Follows the members in order; `fold` makes equal what the file system takes for the same name."""

    def __init__(
        self, fold: Callable[[bytes], bytes] = bytes, taken: tuple[bytes, ...] = ()
    ) -> None:
        self._fold = fold
        self._files: set[int] = {self._key(path) for path in taken}
        self._folders: set[int] = set()
        self._unnamed = 0

    def place(self, member: Member) -> Member:
        """The member under the name it gets; its own whenever that can be."""
        path = member.path
        if not _is_usable(path) or self._stands_on_a_file(path):
            self._unnamed += 1
            path = UNNAMED + b"/unusable name %04d" % self._unnamed
        if member.kind is Kind.FOLDER:
            if self._key(path) in self._files:
                path = self.free(path, b".second")
        elif self._key(path) in self._files or self._key(path) in self._folders:
            path = self.free(path, b".second")
        self._take(path, is_folder=member.kind is Kind.FOLDER)
        return member if path == member.path else replace(member, path=path)

    def has_file(self, path: bytes) -> bool:
        """Whether something that is no folder has this path by now."""
        return self._key(path) in self._files

    def free(self, path: bytes, ending: bytes) -> bytes:
        """A path beside this one that nothing has, with this ending; it is taken from now on."""
        folder, slash, name = path.rpartition(b"/")
        count = 1
        while True:
            tail = ending if count == 1 else b"%s %d" % (ending, count)
            found = folder + slash + name[: LONGEST_NAME - len(tail)] + tail
            if self._key(found) not in self._files and self._key(found) not in self._folders:
                self._files.add(self._key(found))
                return found
            count += 1

    def take(self, path: bytes) -> None:
        """Nothing else gets this name."""
        self._files.add(self._key(path))

    def _take(self, path: bytes, *, is_folder: bool) -> None:
        (self._folders if is_folder else self._files).add(self._key(path))
        while path := path.rpartition(b"/")[0]:
            key = self._key(path)
            if key in self._folders:
                return
            self._folders.add(key)

    def _stands_on_a_file(self, path: bytes) -> bool:
        while path := path.rpartition(b"/")[0]:
            if self._key(path) in self._files:
                return True
        return False

    def _key(self, path: bytes) -> int:
        # 64 bits that nobody can foresee: a million names in the memory of a million numbers
        return hash(self._fold(path))


def _is_usable(path: bytes) -> bool:
    parts = path.split(b"/")
    return len(parts) <= _MOST_LEVELS and not any(
        part in (b"", b".", b"..") or b"\0" in part or len(part) > LONGEST_NAME for part in parts
    )


def folding_of(folder: int) -> Callable[[bytes], bytes]:
    """What the file system of this folder takes for the same name. Raises OSError."""
    os.close(
        os.open(b"a case", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, dir_fd=folder)
    )
    try:
        os.stat(b"A CASE", dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return bytes
    finally:
        os.unlink(b"a case", dir_fd=folder)
    return _folded


def _folded(path: bytes) -> bytes:
    return path.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")
