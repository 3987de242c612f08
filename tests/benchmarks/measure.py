"""One measured run, and rounds of them: every contestant once in each, so that a slow minute hits all."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.table import Sample

_LAUNCHER = Path(__file__).with_name("launch.py")
_LONGEST_SECONDS = 7200.0
_WORD_OF_ERROR = 600


class RunFailedError(Exception):
    """A contestant failed, or took too long: the work it belongs to is given up."""


def nothing() -> None:
    """No preparation."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A command, where it stores, and what is done before and after, outside of the clock."""

    name: str
    command: tuple[str, ...]
    output: Path
    prepare: Callable[[], None] = nothing
    after: Callable[[], None] = nothing


def run_rounds(
    contestants: Sequence[Contestant],
    runs: int,
    environment: Mapping[str, str],
    *,
    before_round: Callable[[int], None] = lambda _: None,
) -> dict[str, list[Sample]]:
    """All of them in each round; another one begins each time."""
    samples: dict[str, list[Sample]] = {one.name: [] for one in contestants}
    for number in range(runs):
        before_round(number)
        for one in rotated(contestants, number):
            sample = run_once(one, environment)
            samples[one.name].append(sample)
            tell(f"round {number + 1} of {runs}: {one.name}: {sample.wall:.2f} s")
    return samples


def rotated(contestants: Sequence[Contestant], number: int) -> list[Contestant]:
    """The order of a round."""
    at = number % len(contestants) if contestants else 0
    return [*contestants[at:], *contestants[:at]]


def run_once(one: Contestant, environment: Mapping[str, str]) -> Sample:
    """Prepare, flush, run, flush, count."""
    one.prepare()
    folder = one.output if one.output.is_dir() else one.output.parent
    flush(folder, environment)
    stored, used, busy = stored_bytes(one.output), used_bytes(folder), busy_seconds()
    cost = launch(one.command, environment)
    busy = busy_seconds() - busy
    if cost["code"] != 0:
        raise RunFailedError(
            f"{one.name} ended with {cost['code']:.0f}: {_last_words(environment)}"
        )
    flush(folder, environment)
    sample = Sample(
        wall=cost["wall"],
        cpu=cost["cpu"],
        peak=cost["peak_kib"] / 1024,
        stored=stored_bytes(one.output) - stored,
        room=used_bytes(folder) - used,
        other=max(0.0, busy - cost["cpu"]),
    )
    one.after()
    return sample


def launch(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    longest_seconds: float = _LONGEST_SECONDS,
) -> dict[str, float]:
    """Run a command below the small launcher; after too long, or when we are stopped, all of it is killed."""
    words = [sys.executable, "-I", "-S", str(_LAUNCHER), *command]
    with (
        _errors(environment).open("wb") as errors,
        subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
        ) as process,
    ):
        try:
            output, _ = process.communicate(timeout=longest_seconds)
        except subprocess.TimeoutExpired:
            raise RunFailedError(f"{command[0]} took over {longest_seconds:.0f} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise RunFailedError(f"{command[0]} was not started: {_last_words(environment)}")
    cost: dict[str, float] = json.loads(output)
    return cost


def flush(folder: Path, environment: Mapping[str, str]) -> None:
    """Nothing is left to be written, first where it is stored, then below the image that may be."""
    command = ["sync", "-f", str(folder), environment["TMPDIR"]]
    subprocess.run(command, check=True, timeout=_LONGEST_SECONDS)


def quietly(command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """A command that is not measured; it must succeed."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=dict(environment),
        timeout=_LONGEST_SECONDS,
    )
    if done.returncode != 0:
        words = done.stderr[-_WORD_OF_ERROR:].decode(errors="replace").strip()
        raise RunFailedError(f"{' '.join(command)} ended with {done.returncode}: {words}")
    return done.stdout


def busy_seconds() -> float:
    """Processor seconds that anybody used since the machine started, and those the host took from us."""
    line = Path("/proc/stat").read_text("ascii").partition("\n")[0]
    return busy_of(line) / os.sysconf("SC_CLK_TCK")


def busy_of(line: str) -> int:
    """The busy ticks of the first line of /proc/stat: all but idle and waiting; guests are counted in user."""
    user, nice, system, _idle, _waiting, interrupt, soft, steal = map(int, line.split()[1:9])
    return user + nice + system + interrupt + soft + steal


def used_bytes(folder: Path) -> int:
    """What is in use on the file system of a folder."""
    told = os.statvfs(folder)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def stored_bytes(output: Path) -> int:
    """The sizes of all files, those linked twice counted once."""
    if output.is_file():
        return output.stat().st_size
    sizes = {}
    for file in output.rglob("*"):
        if file.is_file() and not file.is_symlink():
            facts = file.stat()
            sizes[facts.st_dev, facts.st_ino] = facts.st_size
    return sum(sizes.values())


def warm(*paths: Path) -> None:
    """Read everything once, so that it is in the page cache."""
    for file in _files(paths):
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass


def drop(*paths: Path) -> None:
    """Out of the page cache with these files; what is not yet written is, first."""
    for file in _files(paths):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def clear(folder: Path) -> None:
    """Leave an empty folder."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def tell(line: str) -> None:
    """Progress; the tables alone go to the standard output."""
    print(line, file=sys.stderr, flush=True)


def _files(paths: Sequence[Path]) -> list[Path]:
    found = []
    for path in paths:
        found += [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _errors(environment: Mapping[str, str]) -> Path:
    return Path(environment["TMPDIR"]) / "errors.txt"


def _last_words(environment: Mapping[str, str]) -> str:
    return _errors(environment).read_text(errors="replace")[-_WORD_OF_ERROR:].strip()
