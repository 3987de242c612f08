"""A place that several users see: an application, its backup folder, an attacker who owns a folder, and a victim."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine.stories import App, make_app, tree
from tests.scheduler.real import PROGRAM, environment

ATTACKER = 65534
SOMEBODY = 47110
_SCRIPT = Path(__file__).with_name("attacker.py")
SECRET = "only root may read this"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Ran:
    """A command of the program that has ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass(frozen=True, slots=True)
class Arena:
    """`folder` is open to everybody; `victim` is root's, and nobody else may look inside."""

    folder: Path
    app: App
    victim: Path

    def before(self) -> dict[bytes, tuple[object, ...]]:
        """The victim with all that may not change."""
        here = self.victim.lstat()
        return {b".": (oct(here.st_mode), here.st_uid, here.st_gid), **tree(self.victim)}

    def run(self, *arguments: str | Path, user: int = 0, umask: int = 0o022) -> Ran:
        """One command of the real program, in a process of its own."""
        return run_as(user, [*PROGRAM, *self.options(), *map(str, arguments)], umask=umask)

    def options(self) -> list[str]:
        return [
            *("--service-file", str(self.folder / "service.xml")),
            *("--state-folder", str(self.folder / "state")),
        ]

    def backup(self, *, user: int = 0, umask: int = 0o022) -> Ran:
        return self.run("backup", self.app.package, user=user, umask=umask)


def as_user(user: int, command: Sequence[str]) -> list[str]:
    """The command as that user, in no group but his own, and without capabilities unless he is root.

    A Python that lies in root's home is shown to him there: a file system of this process alone covers the home.
    """
    if user == 0:
        return list(command)
    setpriv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    setpriv += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
    python = Path(sys.base_prefix)
    closed = [path for path in python.parents if not path.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return [*setpriv, *command]
    return [
        "unshare",
        "-m",
        "sh",
        "-ec",
        _SHOW,
        "sh",
        str(closed[-1]),
        str(python),
        *setpriv,
        *command,
    ]


_SHOW = """
mount --bind "$2" /mnt
mount -t tmpfs -o mode=755 none "$1"
mkdir -p "$2"
mount --move /mnt "$2"
shift 2
exec "$@"
"""


def run_as(user: int, command: Sequence[str], *, umask: int = 0o022, seconds: float = 100) -> Ran:
    """A command as that user, to its end."""
    done = subprocess.run(
        as_user(user, command),
        umask=umask,
        env=environment(HOME="/nonexistent"),
        capture_output=True,
        timeout=seconds,
        check=False,
        cwd="/",
    )
    return Ran(
        done.returncode, *(text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    )


@contextmanager
def arena(*, owner: int = 0) -> Iterator[Arena]:
    """An application of `owner`, open to nobody else; pytest's own folders are closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix="backup4d-arena-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        app = make_app(folder)
        (app.package / "Logs").mkdir()
        (app.package / "Data" / "data.4DD").chmod(0o600)
        (folder / "state").mkdir()
        (folder / "service.xml").write_text("<Backup4DService/>")
        for path in (*app.package.rglob("*"), app.package, app.destination, folder / "state"):
            os.chown(path, owner, owner)
        app.package.chmod(0o700)
        yield Arena(folder, app, _make_victim(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_victim(folder: Path) -> Path:
    victim = folder / "victim"
    (victim / "inner" / "deep").mkdir(parents=True)
    (victim / "shadow").write_text(SECRET)
    (victim / "shadow").chmod(0o600)
    (victim / "config.json").write_text(json.dumps({"password": SECRET}))
    (victim / "config.json").chmod(0o600)
    (victim / "inner" / "deep" / "file").write_text(SECRET)
    (victim / "manifest.json").write_text(SECRET)
    victim.chmod(0o700)
    return victim


def give(*paths: Path, to: int = ATTACKER) -> None:
    """Folders and all below them."""
    for top in paths:
        for path in (*top.rglob("*"), top):
            os.chown(path, to, to, follow_symlinks=False)


@contextmanager
def attacking(*arguments: str | Path) -> Iterator[list[str]]:
    """The attacker at work; what he says is in the list afterwards."""
    process = subprocess.Popen(
        ["/usr/bin/python3", "-I", "-S", str(_SCRIPT), *map(str, arguments)],
        stdout=subprocess.PIPE,
        user=ATTACKER,
        group=ATTACKER,
        extra_groups=[],
    )
    said: list[str] = []
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield said
    finally:
        process.kill()
        said += process.stdout.read().decode().splitlines()
        process.stdout.close()
        process.wait()


def modes(folder: Path) -> dict[str, tuple[str, int]]:
    """Mode and owner of everything below a folder."""
    return {
        str(path.relative_to(folder)): (
            oct(stat.S_IMODE(path.lstat().st_mode)),
            path.lstat().st_uid,
        )
        for path in folder.rglob("*")
    }


def reads(user: int, path: Path) -> bool:
    """Whether that user can read something, as the kernel sees it."""
    command = ["/bin/cat", str(path)] if path.is_file() else ["/bin/ls", str(path)]
    return run_as(user, command).code == 0
