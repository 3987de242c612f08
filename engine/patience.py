"""How long a backup waits for files that do not come to rest, and what it says when they never do."""

import os

from engine.errors import SourceNeverQuietError
from engine.host import Clock

_HINT = (
    "no torn copy was published; back up at a quiet hour, name a guard that holds the files still "
    "(docs/hooks.md), or keep the application on btrfs or XFS, where files are cloned in one instant "
    "(docs/in-use.md)"
)


class Patience:
    """How long all files together may keep us waiting for a quiet moment (Transaction/Timeout)."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._used = 0.0

    def again(self, path: bytes, began: float) -> None:
        """Account for a reading that was in vain. Raises SourceNeverQuietError at the limit."""
        self._used += self._clock.monotonic() - began
        if self._used >= self._seconds:
            raise SourceNeverQuietError(
                f"{os.fsdecode(path)} changed while it was read, again and again for {self._used:.0f} s",
                hint=_HINT,
            )

    def now(self) -> float:
        """The monotonic time, in seconds."""
        return self._clock.monotonic()

    def instant_ns(self) -> int:
        """The wall clock in nanoseconds, to compare with time stamps of files."""
        return int(self._clock.now().timestamp() * 1e9)
