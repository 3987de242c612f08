"""What is large, made quickly; and one command of the real program with its time and its peak of memory."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from engine.manifest import read_set_facts
from tests.engine.stories import App, make_app
from tests.scheduler.real import PROGRAM, environment

_PATIENCE = 1800
_PER_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """One command: seconds on the wall and of processors, peak of memory in MiB, exit code, what it said."""

    what: str
    seconds: float
    cpu: float
    peak: float
    code: int
    out: str
    err: str


def cost(what: str, folder: Path, *arguments: str | Path) -> Cost:
    """Run one command of the program and print what it cost.

    GNU time starts it: a child of ours would begin with our own peak of memory.
    """
    options = ["--service-file", str(folder / "service.xml"), "--state-folder", str(folder / "st")]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        command = [*PROGRAM, *options, *map(str, arguments)]
        done = subprocess.run(
            ["/usr/bin/time", "-q", "-o", folder / "time", "-f", "%M %U %S", *command],
            stdout=out,
            stderr=err,
            env=environment(),
            timeout=_PATIENCE,
            check=False,
        )
        seconds = time.perf_counter() - began
        peak, user, system = (folder / "time").read_text().split()
        out.seek(0)
        err.seek(0)
        said = (out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace"))
    cpu = float(user) + float(system)
    found = Cost(what, seconds, cpu, int(peak) / 1024, done.returncode, *said)
    print(
        f"{what:<36} {seconds:8.2f} s {cpu:8.2f} s CPU {found.peak:8.1f} MiB  exit {found.code}",
        flush=True,
    )
    return found


@contextmanager
def room(work: Path | None = None) -> Iterator[Path]:
    """A folder to work in, in memory unless another place is named."""
    folder = Path(tempfile.mkdtemp(prefix="backup4d-limits-", dir=work or "/dev/shm"))  # noqa: S108
    try:
        (folder / "service.xml").write_text("<Backup4DService/>")
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Whatever its depth."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=False, timeout=_PATIENCE)


def application(folder: Path, changes: Mapping[str, str] | None = None) -> App:
    """An application whose folder Resources is attached."""
    app = make_app(folder, changes, attachments=("./Resources/",))
    (app.package / "Resources").mkdir()
    return app


def make_files(folder: Path, count: int) -> None:
    """So many small files, a thousand in each folder."""
    for start in range(0, count, _PER_FOLDER):
        inner = folder / f"images {start // _PER_FOLDER:05d}"
        inner.mkdir()
        descriptor = os.open(inner, os.O_RDONLY | os.O_DIRECTORY)
        for number in range(start, min(start + _PER_FOLDER, count)):
            file = os.open(f"picture-{number:07d}.png", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor)
            os.write(file, b"%07d" % number * 8)
            os.close(file)
        os.close(descriptor)


def make_deep(folder: Path, depth: int) -> None:
    """Folders in folders, with a file at the bottom."""
    current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("a folder", dir_fd=current)
        inner = os.open("a folder", os.O_RDONLY | os.O_DIRECTORY, dir_fd=current)
        os.close(current)
        current = inner
    file = os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=current)
    os.write(file, b"here")
    os.close(file)
    os.close(current)


def make_sparse(file: Path, size: int, pieces: int) -> None:
    """A file of holes with so many pieces of data, evenly spread."""
    with file.open("wb") as stream:
        stream.truncate(size)
        for number in range(pieces):
            stream.seek(size * number // pieces // 4096 * 4096)
            stream.write(b"%015d\n" % number * 256)


def multiply_sets(app: App, count: int) -> None:
    """More sets, made of the first by writing other numbers into its manifest; the archives are second names."""
    first = app.destination / "data[0001]"
    facts = read_set_facts(first)
    manifest = (first / "manifest.json").read_text()
    for number in range(2, count + 1):
        folder = app.destination / f"data[{number:04d}]"
        folder.mkdir()
        for file in first.iterdir():
            if file.name == "manifest.json":
                text = manifest.replace(f'"number": {facts.number},', f'"number": {number},', 1)
                (folder / file.name).write_text(text)
            else:
                os.link(file, folder / file.name)


def long_history(app: App, sets: int, events: int) -> None:
    """A history with so many records of sets and so many other events."""
    file = app.destination / "backupHistory.json"
    document = json.loads(file.read_text())
    (record, *_) = document[app.layout.key]
    document[app.layout.key] = [{**record, "backupNumber": number} for number in range(1, sets + 1)]
    row = {
        "event": "backup",
        "structurePath": app.layout.key,
        "endingDate": "2026-01-01T00:00:00.000Z",
        "status": 1409,
        "error": "backup folder /srv/backups failed while writing the set: no such device",
    }
    document["backup4d"] = [row] * events
    file.write_text(json.dumps(document, indent="\t"))


def service_file(folder: Path, packages: Iterable[Path]) -> Path:
    """A service file that lists these."""
    rows = "".join(f"<Database><Package>{one}</Package></Database>" for one in packages)
    file = folder / "service.xml"
    file.write_text(f"<Backup4DService><Databases>{rows}</Databases></Backup4DService>")
    return file


def many_applications(folder: Path, count: int) -> Sequence[Path]:
    """Copies of one."""
    first = make_app(folder)
    packages = [first.package]
    for number in range(1, count):
        package = folder / f"app-{number:04d}"
        shutil.copytree(first.package, package)
        replace(first, package=package, destination=first.destination).configure()
        packages.append(package)
    return packages
