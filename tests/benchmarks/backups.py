"""The works that make backups: first, changed, unchanged, touched, small, check."""

import os
from functools import partial
from pathlib import Path

from tests.benchmarks.bench import Bench, Result
from tests.benchmarks.contestants import (
    BORG,
    NO_CHECK,
    PEERS,
    RESTIC,
    TAR,
    WITH_CHECK,
    borg_backup,
    chosen,
    copy_backup,
    our_backup,
    restic_backup,
    tar_backup,
    two_applications,
)
from tests.benchmarks.data import Options, data_file, make_small_files, mutate
from tests.benchmarks.measure import Contestant, drop, run_rounds, warm
from tests.benchmarks.table import Limit

CHECKED = Options()
UNCHECKED = Options(check=False)
_SMALL_COUNT, _SMALL_BYTES = 20_000, 200_000_000
_COLD = ", cold"
_CAT = "cat"


def first(bench: Bench) -> Result:
    """The first full backup, against all."""
    bench.forget(bench.package)
    samples = run_rounds(_all_first(bench, bench.package), bench.runs, bench.environment)
    limits = tuple(
        limit
        for name in (NO_CHECK, WITH_CHECK)
        for limit in (
            Limit(name, (TAR,), 0.7),
            Limit(name, (TAR,), 1.0, "cpu"),
            Limit(name, PEERS, 0.4),
        )
    )
    return Result("first", samples, limits)


def changed(bench: Bench) -> Result:
    """Repeats after one page in a hundred changed."""
    with two_applications(bench) as packages:

        def change(number: int) -> None:
            for package in packages:
                mutate(package, number)

        samples = run_rounds(
            _all_again(bench, *packages), bench.runs, bench.environment, before_round=change
        )
    limits = tuple(Limit(name, PEERS, 0.5) for name in (NO_CHECK, WITH_CHECK))
    notes = ["room is what the file system had less of after each repeat; every set is kept"]
    if bench.shares_blocks:
        limits += tuple(Limit(name, (RESTIC,), 1.5, "room") for name in (NO_CHECK, WITH_CHECK))
    else:
        notes.append("blocks are shared on btrfs and XFS alone (--fs): no limit on room here")
    return Result("changed", samples, limits, tuple(notes))


def unchanged(bench: Bench) -> Result:
    """Repeats with nothing changed."""
    with two_applications(bench) as packages:
        samples = run_rounds(_all_again(bench, *packages), bench.runs, bench.environment)
    limits = tuple(Limit(name, (BORG,), 1.0) for name in (NO_CHECK, WITH_CHECK))
    return Result("unchanged", samples, limits)


def touched(bench: Bench) -> Result:
    """Repeats when only the time stamps of the data file changed, against reading it once."""
    with two_applications(bench) as (package, checked):
        file, other = data_file(package), data_file(checked)
        cat = Contestant(_CAT, ("bash", "-c", 'cat "$0" >/dev/null', str(file)), file)
        rows = [
            _touching(row, touch, cold=cold)
            for row, touch in (
                (cat, file),
                (our_backup(bench, package, NO_CHECK, UNCHECKED, first=False), file),
                (our_backup(bench, checked, WITH_CHECK, CHECKED, first=False), other),
            )
            for cold in (False, True)
        ]
        samples = run_rounds(rows, bench.runs, bench.environment)
    limits = tuple(
        Limit(name + end, (_CAT + end,), 1.2)
        for name in (NO_CHECK, WITH_CHECK)
        for end in ("", _COLD)
    )
    note = "cold: the data file, and nothing else, was dropped from the page cache before"
    return Result("touched", samples, limits, (note,))


def small(bench: Bench) -> Result:
    """20,000 small files, 200 MB."""
    make = partial(make_small_files, count=_SMALL_COUNT, total_bytes=_SMALL_BYTES)
    with bench.own_application("small", make) as package:
        samples = run_rounds(_all_first(bench, package), bench.runs, bench.environment)
    limits = tuple(Limit(name, (TAR,), 0.8) for name in (NO_CHECK, WITH_CHECK))
    return Result("small", samples, limits)


def check(bench: Bench) -> Result:
    """What the read-back check adds to a first backup."""
    bench.forget(bench.package)
    rows = [
        our_backup(bench, bench.package, NO_CHECK, UNCHECKED, first=True),
        our_backup(bench, bench.package, WITH_CHECK, CHECKED, first=True),
    ]
    samples = run_rounds(rows, bench.runs, bench.environment)
    return Result("check", samples, (Limit(WITH_CHECK, (NO_CHECK,), 0.5, extra=True),))


def _all_first(bench: Bench, package: Path) -> list[Contestant]:
    return chosen(
        tar_backup(bench, package),
        our_backup(bench, package, NO_CHECK, UNCHECKED, first=True),
        our_backup(bench, package, WITH_CHECK, CHECKED, first=True),
        restic_backup(bench, package, first=True),
        borg_backup(bench, package, first=True),
        copy_backup(bench, package),
    )


def _all_again(bench: Bench, package: Path, checked: Path) -> list[Contestant]:
    """tar has no repeats: it makes a full one each time, and is shown as what that costs."""
    return chosen(
        tar_backup(bench, package),
        our_backup(bench, package, NO_CHECK, UNCHECKED, first=False),
        our_backup(bench, checked, WITH_CHECK, CHECKED, first=False),
        restic_backup(bench, package, first=False),
        borg_backup(bench, package, first=False),
    )


def _touching(one: Contestant, file: Path, *, cold: bool) -> Contestant:
    """Before the clock starts: prepared, the time stamps of the file new, and the file in or out of the cache."""

    def prepare() -> None:
        one.prepare()
        os.utime(file)
        (drop if cold else warm)(file)

    return Contestant(one.name + (_COLD if cold else ""), one.command, one.output, prepare)
