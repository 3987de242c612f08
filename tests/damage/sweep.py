"""Damages one kind of file in every way, and judges each time."""

import os
import pwd
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.damage.child import NOBODY, in_child
from tests.damage.damages import Damage, cuts, flips, odd_contents, odd_json, places
from tests.damage.kinds import Kind, Stage

_MOST_FAULTS = 20


@dataclass(slots=True)
class Figures:
    """What a sweep found."""

    kind: str
    places: Counter[str] = field(default_factory=Counter)
    came: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        count = sum(self.places.values())
        how = ", ".join(f"{number} {name}" for name, number in sorted(self.places.items()))
        came = ", ".join(f"{number} {name}" for name, number in sorted(self.came.items()))
        each = 1000 * self.seconds / max(count, 1)
        return f"{self.kind}: {count} places ({how}); {came}; {len(self.faults)} faults; {each:.0f} ms a place"


def every_damage(content: bytes, *, most_flips: int, most_cuts: int, seed: int = 7) -> list[Damage]:
    """The whole sweep."""
    some = random.Random(seed)
    return [
        *places(),
        *odd_contents(content),
        *odd_json(content),
        *flips(content, most_flips, some),
        *cuts(content, most_cuts, some),
    ]


def sampled(damages: Iterable[Damage], count: int, seed: int = 3) -> list[Damage]:
    """So many, with some of each kind."""
    kinds: dict[str, list[Damage]] = {}
    for one in damages:
        kinds.setdefault(one.kind, []).append(one)
    some = random.Random(seed)
    found: list[Damage] = []
    groups = sorted(kinds.values(), key=len)
    for at, group in enumerate(groups):  # what a small group leaves goes to the larger ones
        share = max((count - len(found)) // (len(groups) - at), 1)
        found += some.sample(group, min(share, len(group)))
    return found


def sweep(kind: Kind, stage: Stage, damages: Iterable[Damage]) -> Figures:
    """Do each, judge each."""
    figures = Figures(kind.name)
    began = time.monotonic()
    for damage in _possible(damages):
        figures.places[damage.kind] += 1
        fault = _try(kind, stage, damage, figures)
        if fault:
            figures.faults.append(f"{kind.name}, {damage.kind}, {damage.name}: {fault}")
            if len(figures.faults) >= _MOST_FAULTS:
                break
    figures.seconds = time.monotonic() - began
    return figures


def _possible(damages: Iterable[Damage]) -> Iterator[Damage]:
    for one in damages:
        if not one.locks_out or os.geteuid() == 0:
            yield one


def _try(kind: Kind, stage: Stage, damage: Damage, figures: Figures) -> str:
    nobody = pwd.getpwnam(NOBODY)
    owner = (nobody.pw_uid, nobody.pw_gid) if damage.locks_out else None
    stage.reset(for_nobody=owner)
    damage.do(stage.file)
    told = in_child(lambda: kind.act(stage), as_nobody=damage.locks_out)
    try:
        figures.came[kind.judge(stage, told)] += 1
    except AssertionError as error:
        return f"{error}\n  told: {str(told.facts)[-1500:]}"
    return ""


def made(kind: Kind, folder: Path) -> Stage:
    """Its story, readable for everybody."""
    here = folder / "here"
    here.mkdir(parents=True)
    for one in (folder, here):
        one.chmod(0o755)
    return kind.make(folder)


def removed(folder: Path) -> None:
    """Nothing is left of it."""
    shutil.rmtree(folder, ignore_errors=True)
