"""Disks that may never answer are asked by helper threads, and waited for no longer than is stated here.

Nobody can end a thread that hangs in the kernel. It is left alone with its errand, and that errand is not begun anew
while it is under way: so at most one thread hangs for each. What it brings is taken up when the disk answers.
"""

import _thread
import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from engine.host import Clock

_log = logging.getLogger(__name__)

# how long the service waits for one disk, and for all that it looks at in a row
ONE_SECONDS, ROUND_SECONDS = 1.0, 5.0
# how long a command waits for the disk of a database it was asked about
DISK_SECONDS = 10.0
# from then on a disk counts as silent, and a person is told
SILENT_SECONDS = 30.0
_MOST_WAITING = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds the service waits: for one errand, and for all errands of one round."""

    one: float = ONE_SECONDS
    all: float = ROUND_SECONDS


class SilentDiskError(TimeoutError):
    """A disk that has not answered in time."""

    def __init__(self, place: Path | None) -> None:
        super().__init__(errno.ETIMEDOUT, "it does not answer", str(place or "a disk"))


class Errand(Generic[T]):
    """Work on a disk that is done again and again, never twice at once.

    `place` is what the work asks just now; the work itself says so, None when it did not.
    """

    def __init__(self, work: Callable[[], T], clock: Clock) -> None:
        self.place: Path | None = None
        self._work = work
        self._clock = clock
        self._began: float | None = None
        self._brought: T | None = None
        self._failure: Exception | None = None
        self._is_new = False

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended."""
        return self._began is not None

    def seconds(self) -> float:
        """How long it is under way."""
        began = self._began
        return 0.0 if began is None else self._clock.monotonic() - began

    def at(self, place: Path) -> None:
        """The work says what it asks next."""
        self.place = place

    def begin(self) -> None:
        """From now on it is under way."""
        self._is_new, self._brought, self._failure = False, None, None
        self._began = self._clock.monotonic()

    def carry_out(self) -> None:
        """What a helper thread does once it has begun."""
        try:
            self._brought = self._work()
        except Exception as error:  # noqa: BLE001 - handed to whoever takes the result
            self._failure = error
        self._is_new, self._began = True, None

    @property
    def has_news(self) -> bool:
        """Whether it has ended since `take`."""
        return self._is_new and self._began is None

    def take(self) -> T | None:
        """What it brought, once; raises what the work raised."""
        brought, failure = self._brought, self._failure
        self._is_new, self._brought, self._failure = False, None, None
        if failure is not None:
            raise failure
        return brought


class _Worker:
    """One helper thread that goes through errands until there are none, or it is left alone."""

    def __init__(self, errands: "deque[Errand[Any]]", late: Callable[[], None]) -> None:
        self.steps = 0
        self._errands = errands
        self._late = late
        self._is_left = False
        self._lock = threading.Lock()
        self._at_work = threading.Lock()
        self._at_work.acquire()
        # not threading.Thread: that waits for its thread to begin, and an idle service pays for each wake-up
        _thread.start_new_thread(self._work, ())

    def is_done(self, seconds: float) -> bool:
        """Wait so long for its end; asked no more once it was True."""
        return self._at_work.acquire(timeout=max(0.0, seconds))

    def leave(self) -> "deque[Errand[Any]]":
        """It ends what it is at and says `late`; what it has not begun is given back."""
        with self._lock:
            self._is_left = True
            rest, self._errands = self._errands, deque()
            return rest

    def _next(self) -> Errand[Any] | None:
        with self._lock:
            if not self._errands:
                return None
            errand = self._errands.popleft()
            errand.begin()
            return errand

    def _work(self) -> None:
        while (errand := self._next()) is not None:
            errand.carry_out()
            self.steps += 1
        if self._is_left:
            self._late()
        self._at_work.release()


def make_round(
    errands: Iterable[Errand[Any]], patience: Patience, clock: Clock, late: Callable[[], None]
) -> list[Errand[Any]]:
    """Carry out all errands that are not under way; returns those for which there was no time.

    One that takes too long is left to its thread, and `late` is called from there when it ended.
    """
    waiting = deque(errand for errand in errands if not errand.is_under_way)
    end = clock.monotonic() + patience.all
    while waiting and clock.monotonic() < end:
        try:
            worker = _Worker(waiting, late)
        except RuntimeError:
            _log.error("no disk can be looked at: this process may start no more threads")
            return []
        if _is_done(worker, patience, clock, end):
            return []
        waiting = worker.leave()
    return list(waiting)


def _is_done(worker: _Worker, patience: Patience, clock: Clock, end: float) -> bool:
    steps = 0
    while not worker.is_done(min(patience.one, end - clock.monotonic())):
        if worker.steps == steps or clock.monotonic() >= end:
            return False
        steps = worker.steps
    return True


def ask(errand: Errand[T], seconds: float, clock: Clock) -> T | None:
    """What one errand brings. Raises SilentDiskError when it does not in time, and what its work raises."""
    make_round([errand], Patience(seconds, seconds), clock, lambda: None)
    if not errand.has_news:
        raise SilentDiskError(errand.place)
    return errand.take()


class Line:
    """Work that is done in the order it comes, by a thread that lives while there is some."""

    def __init__(self, name: str, seconds: float = ONE_SECONDS) -> None:
        self._name = name
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._is_on = False
        self._is_stuck = False
        self._lost = 0

    def do(self, work: Callable[[], None]) -> None:
        """It is done when this returns, or as soon as the disk answers."""
        done = threading.Event()
        with self._lock:
            if len(self._waiting) >= _MOST_WAITING:
                self._lost += 1
                return
            self._waiting.append((work, done))
            is_first, self._is_on = not self._is_on, True
        if is_first:
            self._start()
        if not self._is_stuck and not done.wait(self._seconds):
            self._is_stuck = True
            _log.warning("%s: the disk does not answer; this is written when it does", self._name)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="line", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._is_on = False
            _log.error("%s: this process may start no more threads", self._name)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_on = self._is_stuck = False
                    self._tell_lost()
                    return
                work, done = self._waiting.popleft()
            try:
                work()
            except Exception:  # noqa: BLE001 - one entry that cannot be made keeps no other from being written
                _log.exception("%s: this is a mistake in backup4d, please report it", self._name)
            done.set()

    def _tell_lost(self) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            _log.error("%s: %d entries were not kept while the disk was silent", self._name, lost)
