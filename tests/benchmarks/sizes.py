"""The works that show how cost grows: memory, scaling, recovery."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.benchmarks.backups import CHECKED, UNCHECKED
from tests.benchmarks.bench import Bench, Result, room_for
from tests.benchmarks.contestants import make_set, newest_set, our_backup, ours, sets_folder
from tests.benchmarks.data import (
    Options,
    make_application,
    make_large_application,
    make_small_files,
    mutate,
)
from tests.benchmarks.measure import Contestant, clear, run_once, run_rounds, tell
from tests.benchmarks.table import Limit, Sample

GIB = 1 << 30
_MOST_MIB = 150.0
_FLAT = 1.15
_SMALL_FILE = 10_000
_RECOVERY_BYTES = GIB
_VARIANTS = {
    "None, no check": Options(rate="None", check=False),
    "Fast, no check": Options(check=False),
    "Fast, check": Options(),
    "Fast, check, 100 MiB segments": Options(segment_mib=100),
    "Compact, check": Options(rate="Compact"),
}
_REDUNDANCY = {
    "without": Options(check=False),
    "Redundancy High": Options(check=False, redundancy="High"),
    "Redundancy High, Interlacing Medium": Options(
        check=False, redundancy="High", interlacing="Medium"
    ),
}


def memory(bench: Bench) -> Result:
    """Peak memory of every kind of run at every size, once each: limits are for all of them."""
    samples: dict[str, list[Sample]] = {}
    limits: list[Limit] = []
    notes = ["flat is taken as: at most 1.15 times that of the smallest size"]
    for size in bench.sizes_gib:
        if not room_for(bench.work, int(3 * size * GIB)):
            notes.append(f"{size:g} GiB is left out: three times of it and 8 GiB must be free")
            continue
        make = partial(make_large_application, data_bytes=int(size * GIB))
        with bench.own_application("large", make) as package:
            measured = _every_kind(bench, package)
        for kind, sample in measured.items():
            name = f"{kind}, {size:g} GiB"
            samples[name] = [sample]
            limits.append(Limit(name, (), _MOST_MIB, "peak"))
            smallest = f"{kind}, {bench.sizes_gib[0]:g} GiB"
            if smallest != name:
                limits.append(Limit(name, (smallest,), _FLAT, "peak"))
    return Result("memory", samples, tuple(limits), tuple(notes))


def scaling(bench: Bench) -> Result:
    """Sizes, numbers of files, and options."""
    samples: dict[str, list[Sample]] = {}
    lines = [f"{'':32}{'MB':>10}{'files':>9}{'MB/s':>9}{'files/s':>10}"]
    bench.forget(bench.package)
    rows = [
        our_backup(bench, bench.package, name, options, first=True)
        for name, options in _VARIANTS.items()
    ]
    variants = run_rounds(rows, bench.runs, bench.environment)
    lines += _speeds(variants, _content(bench.package))
    samples |= variants
    for count in bench.counts:
        make = partial(make_small_files, count=count, total_bytes=count * _SMALL_FILE)
        with bench.own_application("many", make) as package:
            _measure_size(bench, package, f"{count} files", samples, lines)
    for size in bench.sizes_gib:
        if not room_for(bench.work, int(2.5 * size * GIB)):
            lines.append(
                f"{size:g} GiB is left out: two and a half times of it and 8 GiB must be free"
            )
            continue
        large = partial(make_large_application, data_bytes=int(size * GIB))
        with bench.own_application("large", large) as package:
            _measure_size(bench, package, f"{size:g} GiB", samples, lines)
    return Result(
        "scaling",
        samples,
        (),
        ("the first rows are of the application of all works",),
        tuple(lines),
    )


def recovery(bench: Bench) -> Result:
    """What recovery data of 1 GiB costs."""
    size = min(_RECOVERY_BYTES, bench.data_bytes)
    with bench.own_application("recovery", partial(make_application, data_bytes=size)) as package:
        rows = [
            our_backup(bench, package, name, options, first=True)
            for name, options in _REDUNDANCY.items()
        ]
        samples = run_rounds(rows, bench.runs, bench.environment)
        make_set(bench, package, _REDUNDANCY["Redundancy High"])
        made = list((bench.store / "sets").rglob("*.par2"))
    notes = [f"{size / GIB:.2f} GiB of data; no limit: the cost is shown"]
    if not made:
        notes.append("no recovery data was made: it is not built yet, or par2 is not installed")
    return Result("recovery", samples, (), tuple(notes))


def _every_kind(bench: Bench, package: Path) -> Mapping[str, Sample]:
    """First backup, repeat after changes, verify, restore."""
    backup = our_backup(bench, package, "first backup", CHECKED, first=True)
    samples = {"first backup": _measured(bench, backup)}
    mutate(package, 0)
    again = our_backup(bench, package, "repeat", CHECKED, first=False)
    samples["repeat"] = _measured(bench, again)
    folder, out = newest_set(sets_folder(bench, CHECKED)), bench.store / "out"
    verified = Contestant("verify", ours("verify", folder), folder)
    samples["verify"] = _measured(bench, verified)
    restored = Contestant("restore", ours("restore", folder, "--to", out), out)
    samples["restore"] = _measured(bench, restored)
    clear(bench.store)
    return samples


def _measured(bench: Bench, one: Contestant) -> Sample:
    sample = run_once(one, bench.environment)
    tell(f"{one.name}: {sample.wall:.2f} s, {sample.peak:.0f} MiB")
    return sample


def _measure_size(
    bench: Bench,
    package: Path,
    name: str,
    samples: dict[str, list[Sample]],
    lines: list[str],
) -> None:
    row = our_backup(bench, package, name, UNCHECKED, first=True)
    measured = run_rounds([row], bench.runs, bench.environment)
    lines += _speeds(measured, _content(package))
    samples |= measured


def _content(package: Path) -> tuple[int, int]:
    """Bytes and number of the files of an application."""
    files = [file for file in package.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files), len(files)


def _speeds(samples: Mapping[str, Sequence[Sample]], content: tuple[int, int]) -> list[str]:
    size, count = content
    lines = []
    for name, runs in samples.items():
        wall = sorted(sample.wall for sample in runs)[len(runs) // 2]
        lines.append(
            f"{name:32}{size / 1e6:>10.1f}{count:>9}{size / 1e6 / wall:>9.1f}{count / wall:>10.0f}"
        )
    return lines
