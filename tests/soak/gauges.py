"""What a service holds while it lives: memory, descriptors, threads; and whether that grows."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process: `at` in seconds since the soak began, `slots` that had come due by then."""

    at: float
    slots: int
    rss_kib: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Growth:
    """A figure after the first fifth and at the end, and how fast it grew between."""

    name: str
    early: float
    late: float
    per_minute: float
    per_thousand_slots: float
    allowed: float

    @property
    def is_leak(self) -> bool:
        return self.late - self.early > self.allowed

    def words(self) -> str:
        return (
            f"{self.early:.0f} -> {self.late:.0f} ({self.per_minute:+.2f} a minute, "
            f"{self.per_thousand_slots:+.1f} in a thousand slots, {self.allowed:.0f} more allowed)"
        )


@dataclass
class Gauge:
    """The samples of one process that lives all the time."""

    samples: list[Sample] = field(default_factory=list)

    def look(self, pid: int, at: float, slots: int) -> None:
        with suppress(OSError):
            folder = Path(f"/proc/{pid}")
            pages = int((folder / "statm").read_text().split()[1])
            descriptors = len(list((folder / "fd").iterdir()))
            threads = len(list((folder / "task").iterdir()))
            self.samples.append(Sample(at, slots, pages * _PAGE_KIB, descriptors, threads))

    def growths(self) -> list[Growth]:
        """Memory, descriptors and threads; what comes and goes with a run does not count."""
        if len(self.samples) < 20:
            return []
        return [
            # allocators keep what they once had; a leak grows beyond any such bound in half an hour
            self._growth("memory in KiB", lambda one: one.rss_kib, median, 4096),
            self._growth("descriptors", lambda one: one.descriptors, min, 1),
            self._growth("threads", lambda one: one.threads, min, 1),
        ]

    def _growth(
        self,
        name: str,
        figure: Callable[[Sample], int],
        middle: Callable[[Sequence[float]], float],
        allowed: float,
    ) -> Growth:
        """From the fifth after the first to the last, so that starting up does not count."""
        fifth = len(self.samples) // 5
        early, late = self.samples[fifth : 2 * fifth], self.samples[-fifth:]
        before, after = (
            middle([figure(one) for one in early]),
            middle([figure(one) for one in late]),
        )
        steps = self.samples[fifth:]
        return Growth(
            name,
            before,
            after,
            60 * _slope([(one.at, figure(one)) for one in steps]),
            1000 * _slope([(one.slots, figure(one)) for one in steps]),
            allowed,
        )


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line of least squares."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    width = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / width if width else 0.0
