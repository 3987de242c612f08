"""Two ways to find inputs: guided by coverage where Atheris is installed, blind otherwise."""

import importlib
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import mutate

LONGEST = 1 << 16
_PACKAGES = ["settings", "engine", "scheduler"]


def coverage_guide() -> Any | None:
    """Atheris, where it is installed: `pip install atheris`."""
    try:
        return importlib.import_module("atheris")
    except ImportError:
        return None


def instrumented(guide: Any, names: list[str]) -> list[Any]:
    """These modules, and all of the product that they import, made to tell what they execute."""
    with guide.instrument_imports(include=_PACKAGES):
        return [importlib.import_module(name) for name in names]


def run_guided(
    guide: Any,
    execute: Callable[[bytes], None],
    corpus: Path,
    words: tuple[bytes, ...],
    *,
    seconds: float,
    seed: int,
) -> None:
    """Does not return: libFuzzer ends the process."""
    seeds = [file.read_bytes() for file in sorted(corpus.iterdir())]

    def change(data: bytes, longest: int, number: int) -> bytes:
        some = random.Random(number)
        if some.random() < 0.4:
            return bytes(guide.Mutate(data, longest))
        return mutate(data, some, seeds, words)[:longest]

    options = [
        f"-seed={seed}",
        f"-max_total_time={int(seconds)}",
        f"-max_len={LONGEST}",
        "-rss_limit_mb=0",
        "-print_final_stats=1",
        "-handle_term=0",
    ]
    guide.Setup([sys.argv[0], *options, str(corpus)], execute, custom_mutator=change)
    guide.Fuzz()


def run_blind(
    execute: Callable[[bytes], None],
    seeds: list[bytes],
    words: tuple[bytes, ...],
    *,
    is_over: Callable[[], bool],
    seed: int,
) -> None:
    """Changed seeds, until it is over; now and then one that was changed before."""
    some = random.Random(seed)
    kept = list(seeds)
    for data in seeds:
        execute(data)
    while not is_over():
        data = mutate(some.choice(kept), some, seeds, words)
        execute(data)
        if some.random() < 0.02 and len(data) < LONGEST:
            kept[some.randrange(len(seeds), 200) :] = [data]
