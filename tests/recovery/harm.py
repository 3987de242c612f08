"""Damage to sets with recovery data of our own: inside what is promised, just beyond it, and who judges the repair."""

import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import DamagedError, EngineError
from engine.parity import repair_set
from engine.progress import silent
from engine.redundancy import SECTOR, Strength, guaranteed
from engine.stop import StopRequest
from settings.model import Rate
from tests.engine.stories import COMPRESSION, SEGMENT, App, make_app

REDUNDANCY, INTERLACING = "Advanced/Redundancy", "Advanced/Interlacing"
INDEX = "recovery.par2"


@dataclass(frozen=True, slots=True)
class Made:
    """A set as the program made it: its files, and what its recovery data is said to repair."""

    folder: Path
    content: dict[str, bytes]
    strength: Strength

    @property
    def slices(self) -> list[tuple[str, int]]:
        """(file, where it begins) of every slice that no other one is like."""
        size = self.strength.slice_bytes
        found = [
            (data[at : at + size], (name, at))
            for name, data in self.content.items()
            for at in range(0, len(data), size)
        ]
        times = Counter(data for data, _ in found)
        return [place for data, place in found if times[data] == 1]

    @property
    def parity(self) -> list[str]:
        return sorted(file.name for file in self.folder.glob("*.par2"))


def application(
    folder: Path, size: int, redundancy: Rate, interlacing: Rate, segment: int = 0
) -> App:
    """A small application with random data of this size, saved plainly."""
    changes = {
        COMPRESSION: "None",
        REDUNDANCY: redundancy.value,
        INTERLACING: interlacing.value,
        SEGMENT: str(segment),
    }
    return make_app(folder, changes, data=random.Random(size).randbytes(size))


def make(folder: Path, size: int, redundancy: Rate, interlacing: Rate, segment: int = 0) -> Made:
    """Let a set be made."""
    folder.mkdir()
    made = application(folder, size, redundancy, interlacing, segment).backup_set()
    files = sorted(file for file in made.iterdir() if file.suffix != ".par2")
    content = {file.name: file.read_bytes() for file in files}
    strength = guaranteed([len(data) for data in content.values()], redundancy, interlacing)
    assert strength is not None
    return Made(made, content, strength)


@dataclass(frozen=True, slots=True)
class Case:
    """Damage: pieces (file, first byte, length) that get other bytes, and files that are gone."""

    kind: str
    pieces: tuple[tuple[str, int, int], ...]
    gone: tuple[str, ...] = ()

    def strike(self, folder: Path, rng: random.Random) -> None:
        for name, at, length in self.pieces:
            with (folder / name).open("r+b") as stream:
                stream.seek(at)
                before = stream.read(length)
                stream.seek(at)
                mask = bytes(byte | 1 for byte in rng.randbytes(len(before)))  # no byte stays
                stream.write(bytes(a ^ b for a, b in zip(before, mask, strict=True)))
        for name in self.gone:
            (folder / name).unlink()


def within(made: Made, rng: random.Random) -> Iterator[Case]:
    """One of each kind of damage that must be repaired."""
    s = made.strength
    names = list(made.content)
    largest = max(names, key=lambda name: len(made.content[name]))
    whole = min(s.burst_bytes, len(made.content[largest]))
    yield Case("a burst at the limit", ((largest, _start(made, largest, whole, rng), whole),))
    # the worst place: it begins in the last byte of a slice and ends in the first one of another
    at = min(s.slice_bytes - 1, len(made.content[largest]) - whole)
    yield Case("a burst that cuts both ends", ((largest, at, whole),))
    for sector in (512, SECTOR):
        places = rng.sample(made.slices, min(s.bad_sectors, len(made.slices)))
        hit = tuple((name, _sector_in(made, name, at, sector, rng), sector) for name, at in places)
        yield Case(f"{len(hit)} bad sectors of {sector}", hit)
    yield _pieces(made, rng)
    small = [name for name in names if len(made.content[name]) <= s.lost_file_bytes]
    yield Case("a lost file", (), (rng.choice(small),))
    yield from _with_damaged_parity(made, rng)


def _start(made: Made, name: str, length: int, rng: random.Random) -> int:
    return rng.randint(0, len(made.content[name]) - length)


def _sector_in(made: Made, name: str, at: int, sector: int, rng: random.Random) -> int:
    end = min(at + made.strength.slice_bytes, len(made.content[name]))
    return rng.randrange(at, end, sector)


def _pieces(made: Made, rng: random.Random) -> Case:
    pieces: list[tuple[str, int, int]] = []
    s = made.strength
    while True:
        name = rng.choice(list(made.content))
        length = rng.randint(1, min(len(made.content[name]), 3 * s.slice_bytes))
        if not s.is_repaired([*(one[2] for one in pieces), length]):
            return Case(f"{len(pieces)} pieces of any length", tuple(pieces))
        pieces.append((name, _start(made, name, length, rng), length))


def _with_damaged_parity(made: Made, rng: random.Random) -> Iterator[Case]:
    """A sector of recovery data costs two of its slices at most; the rest counts in full."""
    s = made.strength
    volumes = [name for name in made.parity if name != INDEX]
    in_parity = rng.randint(1, max(1, (s.recovery_slices - 1) // 2))
    pieces = []
    for _ in range(in_parity):
        name = rng.choice(volumes)
        size = (made.folder / name).stat().st_size
        pieces.append((name, rng.randrange(0, size, SECTOR), SECTOR))
    left = max(0, s.recovery_slices - 2 * in_parity)
    for name, at in rng.sample(made.slices, min(left, len(made.slices))):
        pieces.append((name, _sector_in(made, name, at, SECTOR, rng), SECTOR))
    yield Case(f"{in_parity} sectors of recovery data and {left} others", tuple(pieces))
    yield Case(
        "no index, and a burst at the limit",
        tuple(next(within_burst(made, rng)).pieces),
        (INDEX,),
    )


def within_burst(made: Made, rng: random.Random) -> Iterator[Case]:
    largest = max(made.content, key=lambda name: len(made.content[name]))
    whole = min(made.strength.burst_bytes, len(made.content[largest]))
    yield Case("a burst at the limit", ((largest, _start(made, largest, whole, rng), whole),))


def beyond(made: Made, rng: random.Random) -> Iterator[Case]:
    """One of each kind of damage that touches one slice too many."""
    s = made.strength
    too_many = s.recovery_slices + 1
    for sector in (512, SECTOR):
        places = rng.sample(made.slices, too_many)
        hit = tuple((name, _sector_in(made, name, at, sector, rng), sector) for name, at in places)
        yield Case(f"{too_many} bad sectors of {sector}", hit)
    largest = max(made.content, key=lambda name: len(made.content[name]))
    slices = [at for name, at in made.slices if name == largest]
    if len(slices) * s.slice_bytes >= (too_many + 2) * s.slice_bytes:
        length = s.burst_bytes + 1
        yield Case("a burst one byte too long", ((largest, slices[0] + s.slice_bytes - 1, length),))
    if len(slices) > s.recovery_slices:
        yield Case("a lost file that is too large", (), (largest,))
    yield Case("no recovery file, and one bad byte", ((largest, 5000, 1),), tuple(made.parity))


def tried(made: Made, case: Case, place: Path, seed: int, *, judged: bool) -> tuple[bool, bool]:
    """(repaired to the last byte, refused with nothing changed) by us; the bare par2 must say the same when asked.

    Damage to the recovery data that Debian's par2 gives up on, and says so, counts as refused.
    """
    rng = random.Random(seed)
    place.mkdir()
    folder = Path(shutil.copytree(made.folder, place / made.folder.name))
    case.strike(folder, rng)
    damaged = {file.name: file.read_bytes() for file in folder.iterdir()}
    outside = by_hand(made, folder, place / "by hand") if judged else None
    refused = False
    try:
        repair_set(folder, stop=StopRequest(), report=silent)
    except EngineError as error:
        if not isinstance(error, DamagedError) and "this par2 gives up" not in str(error):
            raise
        refused = {file.name: file.read_bytes() for file in folder.iterdir()} == damaged
    now = {
        name: (folder / name).read_bytes() if (folder / name).exists() else None
        for name in made.content
    }
    good = now == made.content
    assert outside in (None, good), f"par2 by hand says {outside}, we {good}: {case}"
    shutil.rmtree(place)
    return good, refused


def by_hand(made: Made, folder: Path, place: Path) -> bool:
    """What Debian's par2 makes of it, as docs/restore-by-hand.md types it."""
    shutil.copytree(folder, place)
    indices = sorted(place.glob("*.par2"), key=lambda file: len(file.name))
    if not indices:
        return False
    command = ["/usr/bin/par2", "repair", "-q", "-q", "--", indices[0].name]
    done = subprocess.run(command, cwd=place, capture_output=True, check=False, timeout=300)
    same = all(
        (place / name).exists() and (place / name).read_bytes() == data
        for name, data in made.content.items()
    )
    assert same == (done.returncode == 0)
    return same
