"""Applications on a machine, and the service installed for them as the README says."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.engine.stories import COMPRESSION, App, make_app, verified
from tests.fakes import StoryClock
from tests.scheduler.real import clock_in
from tests.scheduler.served_stories import AFTER_FAILURE, FREQUENCY, HOUR
from tests.systemd.machine import Machine

LATER = 1800
_FEW_LETTERS = bytes(97 + byte % 16 for byte in range(256))


@dataclass(frozen=True, slots=True)
class Database:
    """A small application on a machine: `package` and `sets_folder` as the machine sees them."""

    host: Machine
    package: Path
    sets_folder: Path
    owner: str

    @property
    def outside(self) -> App:
        """The same as seen from here; its settings name the machine's folder."""
        return App(self.host.path(self.package), self.sets_folder, StoryClock())

    def due_in(self, seconds: int, **more: str) -> None:
        """Edit the settings: a slot so many seconds away."""
        wishes = {FREQUENCY: "Daily", HOUR: clock_in(seconds), AFTER_FAILURE: "00:00:02"}
        wishes |= {COMPRESSION: "Compact", **more}
        self.outside.configure(wishes)

    def grow(self) -> None:
        """A data file that takes seconds to save: it compresses, and is compressed as small as possible."""
        part = os.urandom(8 << 20).translate(_FEW_LETTERS)
        with self.outside.data_file.open("wb") as stream:
            for number in range(6):
                stream.write(part[number:] + part[:number])

    def sets(self) -> list[str]:
        folder = self.host.path(self.sets_folder)
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")

    def hidden(self) -> list[str]:
        folder = self.host.path(self.sets_folder)
        return [p.name for p in folder.iterdir() if p.is_dir() and p.name[0] == "."]

    def is_good(self, name: str) -> bool:
        """Whether a set is what was written, in this release's judgement from outside."""
        return verified(self.host.path(self.sets_folder / name)).good

    def journal(self) -> str:
        return self.outside.journal()


def database(
    host: Machine, name: str = "Invoices", *, owner: str = "fourd", inside: bool = False
) -> Database:
    """An application of 4D's with its backup folder beside it, or inside, and a slot half an hour away."""
    home = host.path("/srv/4d")
    home.mkdir(exist_ok=True)
    seen = make_app(home / f".{name}")
    package = home / name
    seen.package.rename(package)
    place = Path("/srv/4d", name)
    sets_folder = place / "Sets" if inside else Path("/srv/backups", owner)
    host.does("mkdir", "-p", sets_folder)
    it = Database(host, place, sets_folder, owner)
    it.due_in(LATER)
    host.does("chown", "-R", f"{owner}:{owner}", place, sets_folder)
    return it


def next_steps(printed: str) -> list[str]:
    """The commands that install-service ends with."""
    _, _, steps = printed.partition("what to type next:\n")
    return re.findall(r"^  (.+)$", steps, re.MULTILINE)


def install(host: Machine, *words: str | Path) -> str:
    """Install, and type what it says comes next, but for the question how it does; what it printed."""
    done = host.backup4d("install-service", *words)
    assert done.code == 0, done.out + done.err
    for step in next_steps(done.out):
        if "status" not in shlex.split(step):
            host.sh(step)
    return done.out
