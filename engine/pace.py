"""How fast the application's files are read, when the service file sets a limit: the disk is the application's first."""

from engine.host import Clock, pause

_STEP_SECONDS = 0.25
# what was not used of the limit in a slow second is not made up for by a fast one later
_LONGEST_CREDIT_SECONDS = 0.5


class Pace:
    """Waits after each piece until it was not read faster than `rate`, in bytes a second; None: never."""

    def __init__(self, clock: Clock, rate: int | None) -> None:
        self._clock = clock
        self._rate = rate
        self._free_at = clock.monotonic()

    def took(self, count: int) -> None:
        """So many bytes were read; returns when more may be."""
        if self._rate is None:
            return
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now - _LONGEST_CREDIT_SECONDS) + count / self._rate
        while (ahead := self._free_at - self._clock.monotonic()) > 0:
            pause(min(ahead, _STEP_SECONDS))
