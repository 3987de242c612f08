"""Ten years of a service in minutes: does each slot get its one answer, whatever happens to the machine?

    python -m tests.scheduler.decade [--years 10] [--databases 100] [--seed N] [--haste 1] [--only DATABASE]

What counts as an answer, and when, stands in decade_ledger.py; what happens, in decade_world.py; how the
product is driven, in decade_life.py.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.scheduler.decade_core import Core
from tests.scheduler.decade_life import Life
from tests.scheduler.decade_story import BrokenPromiseError
from tests.scheduler.decade_world import make_world


def simulate(
    years: float, databases: range, seed: int, core: Core | None = None, *, haste: float = 1
) -> Counter[str]:
    """Each database lives through the same world. Raises BrokenPromiseError, naming seed and database."""
    tally: Counter[str] = Counter()
    world = make_world(Random(seed), years, haste)
    memory = Path("/dev/shm")  # noqa: S108 - a state is flushed each time; nothing else is there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        for number in databases:
            rng = Random(f"{seed} {number}")
            try:
                file = Path(folder) / f"{number}.json"
                Life(world, rng, tally, file, core or Core()).live()
            except BrokenPromiseError as error:
                where = f"--years {years} --seed {seed} --haste {haste} --only {number}"
                raise BrokenPromiseError(f"{where}: {error}") from error
    return tally


def report(tally: Counter[str], years: float, databases: int) -> str:
    """What a person reads."""
    served = {name: tally[name] for name in sorted(tally) if name.startswith("served")}
    missed = {name: tally[name] for name in sorted(tally) if name.startswith("missed")}
    other = {name: tally[name] for name in _OTHER_ANSWERS}
    answers = {**served, **missed, **other}
    happened = {name: tally[key] for key, name in _HAPPENED.items()}
    lines = [f"{databases} databases, {years:g} years, {tally['slots']} slots"]
    lines += [f"{count:9}  {name}" for name, count in answers.items()]
    lines += [f"{sum(answers.values()):9}  answers in all", ""]
    lines += [f"{count:9}  {name}" for name, count in happened.items()]
    return "\n".join(lines)


_OTHER_ANSWERS = (
    "postponed",
    "stopped",
    "given up",
    "dropped for the next slot",
    "dropped for a manual backup",
    "dropped, schedule turned off",
    "in hand at the end",
)
_HAPPENED = {
    "attempts": "attempts",
    "catch-ups": "catch-ups",
    "failures": "failures",
    "retries": "retries",
    "halts": "halts",
    "Outage": "restarts",
    "ClockSet": "clock jumps",
    "clock damage": "clock damage",
    "Suspended": "suspensions",
    "ZoneSet": "zone changes",
    "edits": "edits",
    "pauses": "pauses",
    "manual backups": "manual backups",
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--years", type=float, default=10)
    parser.add_argument("--databases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--haste", type=float, default=1, help="so much more trouble in a year")
    parser.add_argument("--only", type=int, help="the number of one database")
    asked = parser.parse_args()
    which = range(asked.databases) if asked.only is None else range(asked.only, asked.only + 1)
    began, cpu_began = time.perf_counter(), time.process_time()
    tally = simulate(asked.years, which, asked.seed, haste=asked.haste)
    print(report(tally, asked.years, len(which)))
    print(f"{time.perf_counter() - began:9.1f}  seconds")
    print(f"{time.process_time() - cpu_began:9.1f}  seconds of one core")


if __name__ == "__main__":
    main()
