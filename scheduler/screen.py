"""What a person sees: sizes, ages, tables and progress; and the same as JSON for programs."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

import click

from engine.host import Clock
from engine.printable import printable, printable_json
from engine.progress import Progress, Report, silent

_PLAIN_SECONDS = 10.0
_BAR_WIDTH = 79
_AT_ONCE = 500


@contextmanager
def output_named() -> Iterator[None]:
    """What fails here is named: `standard output: No space left on device`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


def say(text: str = "") -> None:
    """One line on standard output."""
    with output_named():
        click.echo(printable(text))


def say_lines(lines: Iterable[str]) -> None:
    """Many lines on standard output; one flush for each would cost more than all else."""
    waiting: list[str] = []
    for line in lines:
        waiting.append(line)
        if len(waiting) == _AT_ONCE:
            say("\n".join(waiting))
            waiting.clear()
    if waiting:
        say("\n".join(waiting))


def warn(text: str) -> None:
    """One line on standard error."""
    click.echo(printable(text), err=True)


def say_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """One JSON document on standard output."""
    with output_named():
        click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False, default=str)))


def size_words(count: int) -> str:
    """`1.2 GiB`."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration_words(duration: timedelta) -> str:
    """`3 days 4 h`, `12 min 5 s`: the two largest units."""
    seconds = max(0, int(duration.total_seconds()))
    parts: list[str] = []
    for unit, length in (("day", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count or (unit == "s" and not parts):
            plural = "s" if unit == "day" and count > 1 else ""
            parts.append(f"{count} {unit}{plural}")
    return " ".join(parts[:2])


def time_words(instant: datetime, zone: tzinfo) -> str:
    """Local wall-clock time to the second."""
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def count_words(number: int, noun: str) -> str:
    """`1 file`, `9 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows with aligned columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


@contextmanager
def progress_shown(clock: Clock, *, quiet: bool) -> Iterator[Report]:
    """Show progress on standard error: a bar on a terminal, else a plain line now and then."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        bar = _Bar(clock)
        try:
            yield bar.report
        finally:
            bar.close()
    else:
        yield _Lines(clock).report


class _Bar:
    """One line, rewritten: phase, share, amount, rate, time left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._phase = ""
        self._began = 0.0
        self._last = 0.0

    def report(self, progress: Progress) -> None:
        now = self._clock.monotonic()
        if progress.phase != self._phase:
            self._phase, self._began, self._last = progress.phase, now, 0.0
        if now - self._last < 0.1 and progress.done < progress.total:
            return
        self._last = now
        text = describe_progress(progress, now - self._began)
        click.echo(f"\r\x1b[K{text[:_BAR_WIDTH]}", nl=False, err=True)

    def close(self) -> None:
        click.echo("\r\x1b[K", nl=False, err=True)


def describe_progress(progress: Progress, seconds: float) -> str:
    """`saving 42 % of 2.5 GiB, 410.3 MiB/s, 3 s left`."""
    if progress.total <= 0:
        return progress.phase
    share = min(100, progress.done * 100 // progress.total)
    words = f"{progress.phase} {share} % of {size_words(progress.total)}"
    if seconds < 0.5 or progress.done == 0:
        return words
    rate = progress.done / seconds
    left = timedelta(seconds=(progress.total - progress.done) / rate)
    return f"{words}, {size_words(int(rate))}/s, {duration_words(left)} left"


class _Lines:
    """A line for each phase, and one every ten seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._phase = ""
        self._began = self._said = 0.0

    def report(self, progress: Progress) -> None:
        now = self._clock.monotonic()
        if progress.phase != self._phase:
            self._phase, self._began, self._said = progress.phase, now, now
            warn(progress.phase)
        elif now - self._said >= _PLAIN_SECONDS:
            self._said = now
            warn(describe_progress(progress, now - self._began))
