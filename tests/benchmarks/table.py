"""What measurements say: samples of contestants, the limits they are held to, and the table a person reads."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# fixed before anything was measured with it; the kernel's own threads that write back count as others, too
_OTHER_SHARE = 0.2
_OTHER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall and processor time, peak MiB, bytes added, bytes the disk lost, load of others."""

    wall: float
    cpu: float
    peak: float
    stored: int = 0
    room: int = 0
    other: float = 0.0

    @property
    def disturbed(self) -> bool:
        """Others used a fifth of a core and more, and half a second."""
        return self.other > _OTHER_SHARE * self.wall + _OTHER_SECONDS


Samples = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, slots=True)
class Limit:
    """What a contestant is held to: a figure of its own, divided by that of the best of `bases`.

    Without bases the figure itself is limited; `extra` limits what it costs on top of the base.
    """

    subject: str
    bases: tuple[str, ...]
    at_most: float
    measure: str = "wall"
    extra: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A limit and what was measured; `figure` is None when there was nothing to compare."""

    limit: Limit
    figure: float | None
    base: str | None = None
    rounds: tuple[float, float] | None = None

    @property
    def word(self) -> str:
        if self.figure is None:
            return "not measured"
        return "ok" if self.figure <= self.limit.at_most else "over"


def value(samples: Sequence[Sample], measure: str) -> float:
    """The figure of all runs that counts: the median, of memory the highest."""
    figures = [float(getattr(sample, measure)) for sample in samples]
    return max(figures) if measure == "peak" else statistics.median(figures)


def judge(limit: Limit, samples: Samples) -> Verdict:
    """Hold the measured to a limit."""
    subject = samples.get(limit.subject)
    if not subject:
        return Verdict(limit, None)
    figure = value(subject, limit.measure)
    if not limit.bases:
        return Verdict(limit, figure)
    present = [base for base in limit.bases if samples.get(base)]
    if not present:
        return Verdict(limit, None)
    base = min(present, key=lambda name: value(samples[name], limit.measure))
    under = value(samples[base], limit.measure)
    if under <= 0:
        return Verdict(limit, None, base)
    less = 1.0 if limit.extra else 0.0
    return Verdict(limit, figure / under - less, base, _rounds(limit, subject, samples[base]))


def _rounds(
    limit: Limit, subject: Sequence[Sample], base: Sequence[Sample]
) -> tuple[float, float] | None:
    """The smallest and largest ratio of one round: how far the ratio of the medians can be trusted."""
    less = 1.0 if limit.extra else 0.0
    pairs = [
        (float(getattr(one, limit.measure)), float(getattr(other, limit.measure)))
        for one, other in zip(subject, base, strict=False)
    ]
    ratios = [one / other - less for one, other in pairs if other > 0]
    return (min(ratios), max(ratios)) if len(ratios) > 1 else None


def ratio(samples: Samples, name: str) -> float | None:
    """The median of a row divided by that of the first row."""
    first = value(next(iter(samples.values())), "wall")
    return value(samples[name], "wall") / first if first > 0 else None


def render_table(samples: Samples) -> list[str]:
    """The rows; `added` is what files grew by, `room` what the file system had less of afterwards."""
    rows = {name: runs for name, runs in samples.items() if runs}
    if not rows:
        return ["nothing was measured"]
    width = max(24, *(len(name) + 1 for name in rows))
    head = (
        f"{'':{width}}{'n':>3}{'wall min':>10}{'median':>9}{'max':>9}{'ratio':>7}{'CPU s':>9}"
        f"{'MiB':>7}{'added MB':>11}{'room MB':>9}{'other s':>9}"
    )
    lines = [head]
    for name, runs in rows.items():
        walls = [sample.wall for sample in runs]
        share = ratio(rows, name)
        disturbed = sum(sample.disturbed for sample in runs)
        lines.append(
            f"{name:{width}}{len(runs):>3}{min(walls):>10.2f}{value(runs, 'wall'):>9.2f}{max(walls):>9.2f}"
            f"{'-' if share is None else f'{share:.2f}':>7}{value(runs, 'cpu'):>9.2f}{value(runs, 'peak'):>7.0f}"
            f"{value(runs, 'stored') / 1e6:>11.1f}{value(runs, 'room') / 1e6:>9.1f}"
            f"{max(sample.other for sample in runs):>9.2f}{f'  {disturbed} disturbed' if disturbed else ''}"
        )
    return lines


def render_verdict(verdict: Verdict) -> str:
    """One limit in a line."""
    limit = verdict.limit
    what = {"wall": "wall", "cpu": "CPU", "peak": "peak MiB", "room": "room", "stored": "stored"}
    against = verdict.base or " or ".join(limit.bases)
    name = f"{what[limit.measure]} of {limit.subject}" + (f" / {against}" if against else "")
    if limit.extra:
        name += " - 1"
    if verdict.figure is None:
        return f"  {verdict.word:>12}  {name}, at most {limit.at_most:g}"
    spread = "" if verdict.rounds is None else "  rounds {:.2f} to {:.2f}".format(*verdict.rounds)
    return f"  {verdict.word:>12}  {name}: {verdict.figure:.2f}, at most {limit.at_most:g}{spread}"
