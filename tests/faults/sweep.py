"""One story with a fault at every call, one after the other; a program, because the library must be there from its start.

    python -m tests.faults.sweep STORIES KIND FOLDER MOST PLANTED

STORIES are joined with `+`, KIND is one of SWEEPS, MOST how many points of each kind of fault at most (0: all),
PLANTED one of those in planted.py or empty. Prints a Findings as JSON.
"""

import errno
import json
import logging
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tests.faults.backup_stories import STORIES
from tests.faults.file_stories import FILE_STORIES
from tests.faults.import_stories import IMPORT_STORIES
from tests.faults.planted import LIES, PLANTED
from tests.faults.power import cut_power, disk_of
from tests.faults.restore_stories import RESTORE_STORIES
from tests.faults.scenes import Scene, set_scene
from tests.faults.shim import CHANGES, NEEDS_ROOM, Call, Ended, Fault, Kind, Mode
from tests.faults.stream_stories import STREAM_STORIES

_ENDLESS = 1 << 30
_TAG = re.compile(r"-[0-9a-f]{8}-|\d{8}T\d{6}Z|/#\d+|tmp[a-z0-9_]{8}|\.[a-z0-9_]{8}$")
ALL_STORIES = {
    **STORIES,
    **RESTORE_STORIES,
    **FILE_STORIES,
    **STREAM_STORIES,
    **IMPORT_STORIES,
}


@dataclass(slots=True)
class Findings:
    """What a sweep came to: `counts` of points for each kind of fault, and what was wrong, where.

    `lies` names the files whose flushes do nothing, empty for an honest disk.
    """

    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    lies: str = ""


@dataclass(frozen=True, slots=True)
class Kinds:
    """One way of going wrong, at each call of these kinds below these folders that `only` takes."""

    name: str
    fault: Fault
    lasting: bool = False
    below: tuple[str, ...] = ()
    only: Callable[[Call], bool] = lambda _: True


_KILLS = (
    Kinds("killed before", Fault(Mode.KILL_BEFORE)),
    Kinds("killed after", Fault(Mode.KILL_AFTER)),
    Kinds("half written", Fault(Mode.TORN, kinds=Kind.DATA)),
    Kinds("a sector written", Fault(Mode.TORN, kinds=Kind.DATA, torn_bytes=512)),
)
_SHORTS = (
    Kinds("one short write", Fault(Mode.SHORT, kinds=Kind.DATA)),
    Kinds("one very short write", Fault(Mode.SHORT, kinds=Kind.DATA, torn_bytes=100)),
    Kinds("short writes from then on", Fault(Mode.SHORT, kinds=Kind.DATA), lasting=True),
)
_ERRORS = (
    ("EIO", errno.EIO, CHANGES | Kind.CLOSE),
    ("ENOSPC", errno.ENOSPC, NEEDS_ROOM),
    ("EDQUOT", errno.EDQUOT, NEEDS_ROOM | Kind.CLOSE),
    ("EROFS", errno.EROFS, CHANGES),
)


def _errors(scene: Scene) -> Iterator[Kinds]:
    for name, number, kinds in _ERRORS:
        fault = Fault(Mode.ERROR, kinds=kinds, error=number)
        yield Kinds(name, fault)
        for disk in scene.story.failing:
            yield Kinds(f"{name} from then on, {disk}", fault, lasting=True, below=(disk,))
    full = Fault(Mode.ERROR, kinds=NEEDS_ROOM, error=errno.ENOSPC)
    yield Kinds("ENOSPC from then on, everywhere", full, lasting=True)
    yield from _SHORTS
    reading = Fault(Mode.ERROR, kinds=Kind.READ, error=errno.EIO)
    for folder in ("app/Data", "backups"):
        yield Kinds(f"EIO reading {folder}", reading, below=(folder,))


def _shows(call: Call) -> bool:
    """A folder's names change, or are made durable."""
    return call.kind is Kind.NAME or (call.kind is Kind.SYNC and Path(call.path).name == "backups")


def points_of(calls: tuple[Call, ...], kinds: Kinds, most: int) -> list[int]:
    """Which calls are tried: all that are meant, or some of different sorts, always the same ones."""
    every = [at for at, call in enumerate(calls, 1) if kinds.only(call)]
    if not most or most >= len(every):
        return every
    sorts: dict[tuple[str, str], int] = {}
    for at in every:
        sorts[(calls[at - 1].name, _TAG.sub("", calls[at - 1].path))] = at
    chosen = random.Random(7).sample(sorted(sorts.values()), min(most, len(sorts)))
    return sorted(chosen)


def sweep(scene: Scene, kinds: Kinds, most: int, findings: Findings) -> None:
    """One kind of fault at each of its points."""
    folders = tuple(scene.here / name for name in kinds.below) or scene.folders
    scene.reset()
    fault = replace(kinds.fault, lies=findings.lies)
    counted = scene.act(replace(fault, mode=Mode.COUNT), folders)
    for at in points_of(counted.calls, kinds, most):
        last = _ENDLESS if kinds.lasting else at
        fault = replace(fault, first=at, last=last)
        findings.counts[kinds.name] = findings.counts.get(kinds.name, 0) + 1
        scene.reset()
        ended = scene.act(fault, folders)
        _judge(scene, ended, fault, f"{scene.story.name}: {kinds.name}", findings)


def _judge(scene: Scene, ended: Ended, fault: Fault, what: str, findings: Findings) -> None:
    try:
        if scene.disk is not None:
            cut_power(scene, ended)
        scene.story.judge(scene, ended, fault)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding at this point
        met = ended.calls[fault.first - 1] if 0 < fault.first <= len(ended.calls) else "no call"
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        said = str(error).partition("\nassert ")[0][-900:]
        findings.faults.append(f"{what}, point {fault.first}, {met}: {kind}{said}")


def sweep_kills(scene: Scene, most: int, findings: Findings) -> None:
    """Killed before and after every call, and in the middle of every write."""
    for kinds in _KILLS:
        sweep(scene, kinds, most, findings)


def sweep_errors(scene: Scene, most: int, findings: Findings) -> None:
    """Every call fails, once and for good."""
    for kinds in _errors(scene):
        sweep(scene, kinds, most, findings)


def sweep_showing(scene: Scene, most: int, findings: Findings) -> None:
    """Errors where a set appears and where others go."""
    for name, number, kinds in _ERRORS:
        fault = Fault(Mode.ERROR, kinds=kinds, error=number)
        sweep(scene, Kinds(name, fault, only=_shows), most, findings)


def sweep_power(scene: Scene, most: int, findings: Findings) -> None:
    """The power goes before every call, and after the last."""
    sweep(scene, Kinds("power cut", Fault(Mode.KILL_BEFORE)), most, findings)
    _cut_at_the_end(scene, findings)


def _cut_at_the_end(scene: Scene, findings: Findings) -> None:
    scene.reset()
    ended = scene.act(Fault(lies=findings.lies))
    findings.counts["power cut after it said done"] = 1
    _judge(scene, ended, Fault(), f"{scene.story.name}: power cut after the end", findings)


SWEEPS: dict[str, Callable[[Scene, int, Findings], None]] = {
    "kills": sweep_kills,
    "errors": sweep_errors,
    "showing": sweep_showing,
    "power": sweep_power,
}


def main() -> None:
    """Sweep and print what was found."""
    stories, kind, folder, most, planted = sys.argv[1:]
    place = Path(folder)
    disk = disk_of(place) if kind == "power" else None
    scenes = [set_scene(ALL_STORIES[name], place, disk=disk) for name in stories.split("+")]
    if planted in PLANTED:
        PLANTED[planted]()
    logging.disable()
    findings = Findings(lies=LIES.get(planted, ""))
    began = time.perf_counter()
    for scene in scenes:
        SWEEPS[kind](scene, int(most), findings)
    findings.seconds = time.perf_counter() - began
    print(json.dumps(asdict(findings)))


if __name__ == "__main__":
    main()
