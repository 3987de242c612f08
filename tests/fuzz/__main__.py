"""`python -m tests.fuzz [TARGET...] --seconds N`: fuzzes each target in a process of its own and prints a table."""

import argparse
import hashlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.cases import CASES, all_targets
from tests.fuzz.child import COUNT, CURRENT, FAILURES

_ROOT = Path(__file__).parents[2]
_STALLED_SECONDS = 300.0
_START_SECONDS = 300.0
_ENDED_WELL = (0,)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of one target: `found` are the cases that were kept, with what went wrong in words."""

    name: str
    executions: int
    seconds: float
    guided: bool
    found: tuple[tuple[Path, str], ...]


def main() -> int:
    """Fuzz, print, and fail when anything was found."""
    names = [target.name for target in all_targets()]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", choices=[*names, []], metavar="TARGET", help=", ".join(names)
    )
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 31))
    parser.add_argument("--cases", type=Path, default=CASES, help="where what fails is kept")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    print(f"{'target':<20}{'executions':>12}{'a second':>10}{'failures':>10}")
    failures = executions = 0
    for name in asked.targets or names:
        figures = fuzz(name, asked.seconds, asked.seed, asked.cases)
        failures += len(figures.found)
        executions += figures.executions
        speed = figures.executions / max(figures.seconds, 0.001)
        how = "" if figures.guided else "  (blind: Atheris is not installed)"
        print(f"{name:<20}{figures.executions:>12,}{speed:>10,.0f}{len(figures.found):>10}{how}")
        for file, why in figures.found:
            lines = why.splitlines()
            print(f"    {file}: {lines[0]:.200}; {lines[-1]:.200}")
        sys.stdout.flush()
    print(f"{'all':<20}{executions:>12,}{'':>10}{failures:>10}")
    return 1 if failures else 0


def fuzz(name: str, seconds: float, seed: int, cases: Path) -> Figures:
    """One target for so long; a process that dies or stands still is started again with another seed."""
    began, executions, guided = time.monotonic(), 0, True
    found: dict[str, tuple[Path, str]] = {}
    while (left := seconds - (time.monotonic() - began)) > 0 or not executions:
        with tempfile.TemporaryDirectory(prefix=f"backup4d-fuzz-{name}-") as place:
            folder = Path(place)
            trouble = _run(name, folder, max(left, 1), seed + len(found))
            executions += _count(folder)
            with suppress(OSError):
                guided = '"guided": true' in (folder / "how.json").read_text()
            for data, why in _failures(folder, trouble):
                kept = _keep(cases / name, data)
                found[kept.name] = (kept, why)
        if executions == 0:
            raise SystemExit(f"{name} did not start: {trouble}")
    return Figures(name, executions, time.monotonic() - began, guided, tuple(found.values()))


def _run(name: str, folder: Path, seconds: float, seed: int) -> str:
    """What became of the process, empty when it ended well."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.fuzz.child",
        name,
        folder,
        str(seconds),
        str(seed),
    ]
    scratch = folder / "tmp"
    scratch.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=_ROOT, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(scratch)}
        )
        try:
            stalled = _watch(process, folder)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
    for left in Path("/dev/shm").glob("backup4d-fuzz-*"):  # noqa: S108
        if not _is_alive(left):
            shutil.rmtree(left, ignore_errors=True)
    if stalled:
        return f"stood still for {_STALLED_SECONDS:.0f} seconds"
    if process.returncode in _ENDED_WELL:
        return ""
    tail = (folder / "log").read_text(errors="replace")[-2000:]
    return f"ended with {process.returncode}: {tail}"


def _is_alive(folder: Path) -> bool:
    """Whether the process that made a scratch folder runs; its id is part of the name."""
    with suppress(ValueError, OSError):
        os.kill(int(folder.name.split("-")[2]), signal.SIG_DFL)
        return True
    return False


def _watch(process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    """Whether it had to be given up because no execution ended for too long."""
    last, moved = -1, time.monotonic() + _START_SECONDS
    while process.poll() is None:
        now = _count(folder)
        if now != last:
            last, moved = now, max(moved, time.monotonic())
        if time.monotonic() - moved > _STALLED_SECONDS:
            return True
        time.sleep(0.2)
    return False


def _count(folder: Path) -> int:
    with suppress(OSError, struct.error):
        return int(struct.unpack("<Q", (folder / COUNT).read_bytes())[0])
    return 0


def _failures(folder: Path, trouble: str) -> list[tuple[bytes, str]]:
    notes = sorted((folder / FAILURES).glob("*.txt"))
    found = [(note.with_suffix("").read_bytes(), note.read_text().strip()) for note in notes]
    if trouble and (folder / CURRENT).exists():
        found.append(((folder / CURRENT).read_bytes(), trouble))
    return found


def _keep(folder: Path, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / hashlib.sha256(data).hexdigest()[:12]
    file.write_bytes(data)
    return file


if __name__ == "__main__":
    sys.exit(main())
