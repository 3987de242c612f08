"""`python -m tests.upgrade.freeze NAME PROGRAM`: a small sample of every file that a program writes, packed into samples/.

PROGRAM is the folder of a whole source tree (`git archive COMMIT | tar -x -C PROGRAM`); its own command line and
service write everything, under the fixed folder STAGE, whose name is as long as that of the folder the sample is
thawed to. Made where /etc/machine-id is empty (`unshare -m`, an empty file mounted over it), sets are of no machine and any may take
them for its own. The samples are made once and never again: a release that cannot read them has broken a promise.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

SAMPLES = Path(__file__).with_name("samples")
# as long as what tempfile.mkdtemp makes of the same prefix
PREFIX = "backup4d-frozen-"
STAGE = Path("/tmp") / f"{PREFIX}freezer0"  # noqa: S108 - in the names inside the samples
_SETTINGS = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<!-- kept to the byte -->
<Preferences4D><Backup><Settings><Scheduler><Frequency>Daily</Frequency><Daily><Every>1</Every>
<Hour>02:30:00</Hour></Daily></Scheduler><Advanced><CompressionRate>{rate}</CompressionRate>
<SetNumber><Enable>True</Enable><Value>3</Value></SetNumber></Advanced><General>
<DestinationFolder>{destination}/</DestinationFolder><IncludesFiles><ItemsCount>1</ItemsCount>
<Item1>./Data/data.4DIndx</Item1></IncludesFiles></General><Unknown>stays</Unknown></Settings></Backup></Preferences4D>
"""


def main(name: str, program: Path) -> None:
    """Let the program live for a few seconds on two databases, and pack what it leaves."""
    shutil.rmtree(STAGE, ignore_errors=True)
    STAGE.mkdir(mode=0o700)
    try:
        kept = _database("kept", "Fast")
        dead = _database("dead", "None")
        _backup(program, kept)
        (kept / "Data" / "data.4DD").write_bytes(content("kept data, second day"))
        _backup(program, kept)
        _run(program, "verify", str(kept))
        _backup(program, dead)
        _kill_a_run(program, dead)
        _serve(program, kept, dead)
        _say_what(name, program)
        _pack(name)
    finally:
        shutil.rmtree(STAGE, ignore_errors=True)


def content(what: str, size: int = 6_000) -> bytes:
    """Bytes that are the same on every day: half noise, half words."""
    noise = b"".join(hashlib.sha256(f"{what} {at}".encode()).digest() for at in range(size // 96))
    return b"".join(
        noise[at : at + 32] + what.encode().ljust(64)[:64] for at in range(0, len(noise), 32)
    )


def _database(name: str, rate: str) -> Path:
    package, destination = STAGE / name / "app", STAGE / name / "backups"
    files = {
        "Project/App.4DProject": b"{}",
        "Project/Sources/Methods/hello.4dm": b"ALERT(1)\n",
        "Settings/backup.4DSettings": _SETTINGS.format(rate=rate, destination=destination).encode(),
        "Data/data.4DD": content(f"{name} data"),
        "Data/data.4DIndx": content(f"{name} index", 1000),
        "Data/data.journal": content(f"{name} log", 1000),
    }
    for file, data in files.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_bytes(data)
    destination.mkdir()
    return package


def _start(program: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "scheduler", "--state-folder", str(STAGE / "state")]
    variables = {"PATH": os.environ["PATH"], "TZ": "UTC", "PYTHONPATH": str(program)}
    return subprocess.Popen([*command, *words], env=variables, cwd=STAGE, stderr=subprocess.PIPE)


def _run(program: Path, *words: str) -> None:
    process = _start(program, *words)
    _, said = process.communicate(timeout=60)
    if process.returncode:
        raise OSError(f"{words}: {said.decode()}")


def _backup(program: Path, package: Path) -> None:
    _run(program, "backup", str(package))


def _kill_a_run(program: Path, package: Path) -> None:
    """A run dies in the middle, of noise that takes a while; its words stay in the lock, and half a set."""
    data = package / "Data" / "data.4DD"
    before = data.read_bytes()
    data.write_bytes(os.urandom(1 << 20) * 600)
    process = _start(program, "backup", str(package))
    hidden = (package.parent / "backups").glob
    _wait_for(lambda: any(hidden(".backup4d-staging-*/*")))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    data.write_bytes(before)
    for file in hidden(".backup4d-staging-*/*"):
        os.truncate(file, 100)


def _serve(program: Path, *packages: Path) -> None:
    """The service takes both up, remembers, and ends; where it knows pauses, one of them is paused."""
    process = _start(program, "run", *map(str, packages))
    try:
        _wait_for(lambda: len(list((STAGE / "state").glob("*.json"))) == len(packages))
        if (program / "scheduler" / "commands_control.py").exists():
            until = time.strftime("%Y-%m-%d 00:00", time.gmtime(time.time() + 86400 * 20))
            _run(program, "pause", "--until", until, str(packages[0]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def _wait_for(claim: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not claim():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def _say_what(name: str, program: Path) -> None:
    version = (program / "engine" / "version.py").read_text()
    kept = {
        str(file.relative_to(STAGE)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(STAGE.rglob("*"))
        if file.is_file()
    }
    row = {"sample": name, "version": version.split('VERSION = "')[1].split('"')[0], "files": kept}
    (STAGE / "sample.json").write_text(json.dumps(row, indent=1))


def _pack(name: str) -> None:
    """Owners are whoever thaws it; sockets stay behind."""
    target = SAMPLES / f"{name}.tar.xz"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for path in sorted(STAGE.rglob("*")):
            if path.is_file() or path.is_dir():
                archive.add(path, str(path.relative_to(STAGE)), recursive=False, filter=_plain)
    target.write_bytes(packed.getvalue())
    print(f"{target}: {target.stat().st_size} bytes")


def _plain(row: tarfile.TarInfo) -> tarfile.TarInfo:
    row.uid = row.gid = 0
    row.uname = row.gname = ""
    return row


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
