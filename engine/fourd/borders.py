"""Files of a stream whose list is lost, told by what stands between them: sizes are known then, names are not.

Twenty-four bytes end one file and begin the next; from there on each file says how long it is. What comes before
the first of them is the rest of a file, a fragment.
"""

from typing import Protocol

from engine.fourd.container import Bytes
from engine.fourd.listing import BODY_HEAD, BODY_TAIL, DATA_TAG

_BORDER = BODY_TAIL + DATA_TAG
_BORDER_BYTES = len(BODY_TAIL) + BODY_HEAD.size
_LARGEST = 2**62


class Finder(Protocol):
    """What is done with what is found: one file or fragment after the other."""

    def start(self, size: int | None) -> None:
        """A file of this size, or a fragment (None)."""
        ...

    def add(self, piece: Bytes) -> None: ...

    def skip(self, count: int) -> None:
        """So many bytes of it are lost."""
        ...

    def stop(self, *, is_complete: bool) -> None:
        """It ends here; complete is a file whose end stands where its size says."""
        ...


class Borders:
    """Takes the stream, as far as it is there, from its beginning."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._waiting = b""
        # None while a border is looked for, and then a fragment may be open
        self._left: int | None = None
        self._in_fragment = False

    def take(self, piece: Bytes) -> None:
        """The next bytes."""
        self._waiting += bytes(piece)
        while self._step():
            pass

    def miss(self, count: int | None) -> None:
        """Bytes are lost, None when nobody knows how many."""
        if self._left is None:
            self._end_fragment()
            return
        if count is None or count > self._left:
            self._finder.stop(is_complete=False)
            self._left, self._waiting = None, b""
            return
        self._finder.skip(count)
        self._left -= count

    def finish(self) -> None:
        """The stream ends here."""
        if self._left is None:
            self._end_fragment()
            return
        self._finder.stop(is_complete=self._left == 0 and self._waiting == BODY_TAIL)

    def _step(self) -> bool:
        """One step; False when more must come first."""
        if self._left is None:
            return self._seek()
        if self._left:
            return self._copy(self._left)
        return self._cross()

    def _copy(self, left: int) -> bool:
        part = self._waiting[:left]
        if not part:
            return False
        self._finder.add(part)
        self._left = left - len(part)
        self._waiting = self._waiting[len(part) :]
        return True

    def _cross(self) -> bool:
        """From one file to the next."""
        if len(self._waiting) < _BORDER_BYTES:
            return False
        is_border = self._waiting.startswith(_BORDER)
        self._finder.stop(is_complete=is_border)
        self._left = None
        if is_border:
            self._begin()
        return True

    def _seek(self) -> bool:
        found = self._waiting.find(_BORDER)
        if found < 0:
            self._pass(max(0, len(self._waiting) - _BORDER_BYTES))
            return False
        self._pass(found)
        if len(self._waiting) < _BORDER_BYTES:
            return False
        if self._in_fragment:
            self._in_fragment = False
            self._finder.stop(is_complete=False)
        self._begin()
        return True

    def _begin(self) -> None:
        _, size = BODY_HEAD.unpack_from(self._waiting, len(BODY_TAIL))
        if size > _LARGEST:
            self._waiting = self._waiting[1:]
            return
        self._waiting = self._waiting[_BORDER_BYTES:]
        self._left = size
        self._finder.start(size)

    def _pass(self, count: int) -> None:
        """Bytes before a border."""
        if count and not self._in_fragment:
            self._in_fragment = True
            self._finder.start(None)
        if count:
            self._finder.add(self._waiting[:count])
            self._waiting = self._waiting[count:]

    def _end_fragment(self) -> None:
        self._pass(len(self._waiting))
        if self._in_fragment:
            self._in_fragment = False
            self._finder.stop(is_complete=False)
