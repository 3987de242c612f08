"""backup4d against what a user would pick instead, on this machine.

    python -m tests.benchmarks [WORK ...] [--runs 5] [--size-mib 2048] [--data FOLDER] [--work FOLDER]

Without WORK: first changed unchanged touched small restore verify check. `all` adds the long ones: memory
scaling recovery levels. docs/performance.md says what each does and how its table is read.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.benchmarks.backups import changed, check, first, small, touched, unchanged
from tests.benchmarks.bench import Bench, Result
from tests.benchmarks.contestants import missing
from tests.benchmarks.facts import load, machine_facts
from tests.benchmarks.levels import levels
from tests.benchmarks.measure import RunFailedError
from tests.benchmarks.reads import restore, verify
from tests.benchmarks.sizes import memory, recovery, scaling
from tests.benchmarks.table import judge, render_table, render_verdict
from tests.storage.disks import image, mounted

_USUAL: tuple[Callable[[Bench], Result], ...] = (
    first,
    changed,
    unchanged,
    touched,
    small,
    restore,
    verify,
    check,
)
_LONG: tuple[Callable[[Bench], Result], ...] = (memory, scaling, recovery, levels)
WORKS = {work.__name__: work for work in (*_USUAL, *_LONG)}
_BUSY_LOAD = 0.5
_DISK_SHARE = 0.8
_MIB = 1 << 20


def main(words: Sequence[str] | None = None) -> int:
    """Run the works, print as they end; 1 when one could not be done."""
    options = parse(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = {"load at the beginning": load()}
    with tempfile.TemporaryDirectory(dir=options.work, prefix="backup4d-bench-") as scratch:
        work = Path(scratch)
        with _store(work, options.fs) as store:
            facts = machine_facts(store) | begin
            _print_head(facts)
            bench = _bench(options, work, store)
            report: dict[str, object] = {"facts": facts, "runs": options.runs, "works": []}
            failed = [
                name for name in options.works if not _done(name, bench, report, options.json)
            ]
    facts["load at the end"] = load()
    print(f"load at the end: {facts['load at the end']}")
    report["not done"] = failed
    _save(report, options.json)
    return 1 if failed else 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the options; `works` is the list of names, in our order."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("works", nargs="*", metavar="WORK", type=_work)
    parser.add_argument("--runs", type=_positive, default=5)
    parser.add_argument("--size-mib", type=_positive, default=2048, help="size of the data file")
    parser.add_argument(
        "--data", type=Path, help="an application to use; its settings are replaced"
    )
    parser.add_argument("--work", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--json", type=Path, help="every sample, for programs")
    parser.add_argument(
        "--fs", choices=("btrfs", "xfs", "ext4"), help="store on such a file system, in an image"
    )
    parser.add_argument("--sizes-gib", type=_numbers, default=(1.0, 4.0, 16.0), metavar="1,4,16")
    parser.add_argument("--counts", type=_counts, default=(1000, 10_000, 100_000), metavar="N,N,N")
    options = parser.parse_args(words)
    usual = [work.__name__ for work in _USUAL]
    asked = list(WORKS) if "all" in options.works else options.works or usual
    options.works = [name for name in WORKS if name in asked]
    return options


def _work(word: str) -> str:
    if word not in (*WORKS, "all"):
        raise argparse.ArgumentTypeError(f"{word} is none of {', '.join(WORKS)}, all")
    return word


def _positive(word: str) -> int:
    if int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is less than 1")
    return int(word)


def _numbers(words: str) -> tuple[float, ...]:
    numbers = tuple(sorted(float(word) for word in words.split(",")))
    if numbers[0] <= 0:
        raise argparse.ArgumentTypeError(f"{words} has a size of nothing")
    return numbers


def _counts(words: str) -> tuple[int, ...]:
    return tuple(sorted(_positive(word) for word in words.split(",")))


@contextmanager
def _store(work: Path, kind: str | None) -> Iterator[Path]:
    """The folder that sets go to; with a kind of file system, an image of it that is gone afterwards.

    It is mounted where only this process and its children see it, so that it goes even when we are killed.
    """
    if kind is None:
        (work / "store").mkdir()
        yield work / "store"
        return
    size = int(shutil.disk_usage(work).free * _DISK_SHARE) // _MIB
    try:
        disk = image(work / "disk.img", kind, f"{size}M")
        with mounted(work / "store", "-o", "loop", disk) as store:
            yield store
    except pytest.skip.Exception as reason:
        raise SystemExit(f"no {kind} disk can be made here: {reason}") from None


def _bench(options: argparse.Namespace, work: Path, store: Path) -> Bench:
    return Bench(
        work=work,
        store=store,
        runs=options.runs,
        data_bytes=options.size_mib * _MIB,
        given=options.data.resolve() if options.data else None,
        sizes_gib=options.sizes_gib,
        counts=options.counts,
        shares_blocks=options.fs in ("btrfs", "xfs"),
    )


def _print_head(facts: dict[str, str]) -> None:
    for name, value in facts.items():
        print(f"{name}: {value}")
    if os.getloadavg()[0] > _BUSY_LOAD:
        print("WARNING: this machine is busy; what follows says little")
    for line in missing():
        print(line)


def _done(name: str, bench: Bench, report: dict[str, object], file: Path | None) -> bool:
    """Do one work; the others go on when it fails."""
    try:
        result = WORKS[name](bench)
    except (RunFailedError, OSError, subprocess.SubprocessError) as error:
        print(f"\n{name}: not done: {error}", flush=True)
        return False
    verdicts = [judge(limit, result.samples) for limit in result.limits]
    print(f"\n{name}: {WORKS[name].__doc__}")
    for line in (*(render_table(result.samples) if result.samples else ()), *result.lines):
        print(line)
    for verdict in verdicts:
        print(render_verdict(verdict))
    for note in result.notes:
        print(f"  {note}")
    disturbed = sum(sample.disturbed for runs in result.samples.values() for sample in runs)
    if disturbed:
        print(f"  WARNING: others used the machine during {disturbed} runs")
    sys.stdout.flush()
    works = report["works"]
    if isinstance(works, list):
        works.append(
            asdict(result) | {"verdicts": [asdict(one) | {"word": one.word} for one in verdicts]}
        )
    _save(report, file)
    return True


def _save(report: dict[str, object], file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
