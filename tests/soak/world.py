"""The machine of a soak: databases of many kinds, volumes that can fail, two services, one clock that is moved."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.engine.stories import (
    COMPRESSION,
    DESTINATION,
    ERASE_BEFORE,
    KEEP,
    ONLY_IF_CHANGED,
    SEGMENT,
    App,
    make_app,
    settings_xml,
)
from tests.scheduler.real import PROGRAM, Real, environment, is_alive, saved_state
from tests.scheduler.served_stories import AFTER_FAILURE, ATTEMPTS, FREQUENCY, HOUR, LIMITED
from tests.scheduler.wallclock import WallClock
from tests.soak.sources import Sources

BEGIN = datetime(2026, 3, 10, 10, 5, tzinfo=UTC)
HOURS = timedelta(hours=1)
_SERVING = b"INFO serving "
IN_NAMESPACE = "BACKUP4D_SOAK_NAMESPACE"
# root without its powers is a user like any other: what may not be read is not read
_POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
_VOLUME_BYTES = 40 << 20
_HOURLY = {AFTER_FAILURE: "00:00:02", FREQUENCY: "Hourly", "Scheduler/Hourly/Every": "1"}
_NOON = {AFTER_FAILURE: "00:00:02", FREQUENCY: "Daily", "Scheduler/Daily/Every": "1"}
# on the row "package": a folder beside the application; A and B are small volumes
_KINDS: tuple[tuple[str, str, int, dict[str, str]], ...] = (
    ("plain", "package", 60_000, {**_HOURLY, KEEP: "3", COMPRESSION: "Fast"}),
    ("segments", "A", 2_600_000, {**_HOURLY, KEEP: "2", COMPRESSION: "Compact", SEGMENT: "1"}),
    ("erase", "A", 500_000, {**_HOURLY, KEEP: "1", COMPRESSION: "None", ERASE_BEFORE: "True"}),
    ("lazy", "B", 60_000, {**_HOURLY, KEEP: "5", ONLY_IF_CHANGED: "True"}),
    ("hooked", "B", 200_000, {**_HOURLY, KEEP: "4"}),
    ("limited", "A", 60_000, {**_HOURLY, KEEP: "2", LIMITED: "True", ATTEMPTS: "2"}),
    ("daily", "package", 60_000, {**_NOON, HOUR: "12:00:00", KEEP: "5"}),
    ("big", "package", 24_000_000, {**_HOURLY, KEEP: "2", COMPRESSION: "Compact"}),
)
_STEADY = ("plain", "segments", "erase", "lazy")
_HOOK = """\
#!/bin/sh
if [ "$BACKUP4D_EVENT" = guard ]; then echo ready; cat > /dev/null; fi
exit 0
"""


@dataclass
class Home:
    """One database, and what was done to it; `troubles` are the tricks that are on now, `rounds` counts all."""

    name: str
    app: App
    sources: Sources
    settings: dict[str, str]
    volume: str
    troubles: set[str] = field(default_factory=set)
    rounds: int = 0
    damaged: dict[Path, str] = field(default_factory=dict)

    def begin(self, trouble: str) -> None:
        self.troubles.add(trouble)
        self.rounds += 1

    def end(self, trouble: str) -> None:
        self.troubles.discard(trouble)
        self.rounds += 1

    def configure(self, changes: Mapping[str, str] | None = None) -> None:
        """Replace the settings file as an editor does."""
        self.settings |= changes or {}
        values = {DESTINATION: f"{self.app.destination}/", **self.settings}
        text = settings_xml(values, ("./Data/data.4DIndx", "./Attached"))
        file = self.app.package / "Settings" / "backup.4DSettings"
        file.with_name("edited").write_bytes(text)
        file.with_name("edited").replace(file)

    def sets(self) -> list[Path]:
        """The sets one can see now, by number; none while the folder is away."""
        with suppress(OSError):
            return sorted(self.app.destination.glob("data[[]*[]]"))
        return []


@dataclass
class Post:
    """A service and its databases; it is started again and again."""

    name: str
    world: "World"
    homes: list[Home]
    real: Real | None = None
    starts: int = 0
    _said_before: int = 0

    @property
    def state_folder(self) -> Path:
        return self.world.root / f"state-{self.name}"

    @property
    def service_file(self) -> Path:
        return self.world.root / f"{self.name}.xml"

    @property
    def words(self) -> Path:
        return self.world.root / f"{self.name}.log"

    def options(self) -> list[str]:
        return ["--state-folder", str(self.state_folder), "--service-file", str(self.service_file)]

    def start(self) -> None:
        with self.words.open("ab") as stream:
            self._said_before = stream.tell()
            process = subprocess.Popen(
                [*self.world.as_user, *PROGRAM, *self.options(), "run"],
                stdin=subprocess.DEVNULL,
                stderr=stream,
                env=self.world.environment(),
            )
        self.real = Real(process, self.words)
        self.starts += 1

    def look(self) -> None:
        """Make it look now. A process that is not a service yet would end by this signal: it looks anyway."""
        if self.real is not None and self.is_serving():
            self.real.process.send_signal(signal.SIGHUP)

    def is_serving(self) -> bool:
        """Whether it has come so far since its last start that it hears signals."""
        return _SERVING in self.words.read_bytes()[self._said_before :]

    def ended(self) -> str | None:
        """How it ended by itself, None while it lives."""
        assert self.real is not None
        code = self.real.process.poll()
        return None if code is None else f"exit {code}: {self.real.said()[-3000:]}"

    @property
    def pid(self) -> int:
        assert self.real is not None
        return self.real.process.pid

    def runs(self) -> list[int]:
        return [] if self.real is None else self.real.children()

    def is_quiet(self) -> bool:
        """No run is on for any database, as far as the states tell."""
        for home in self.homes:
            try:
                if saved_state(self.state_folder, home.app)["running"] is not None:
                    return False
            except (OSError, ValueError, KeyError):  # damaged, and nobody has looked at it yet
                return False
        return True

    def write_service_file(self, leave_out: Home | None = None) -> None:
        """The databases, but for one, with drills, scrubs and hooks."""
        rows = "".join(
            f"<Database><Package>{home.app.package}</Package>{self._hooks(home)}</Database>"
            for home in self.homes
            if home is not leave_out
        )
        scratch = f"<Drill><EveryDays>1</EveryDays><Scratch>{self.world.scratch}</Scratch></Drill>"
        text = f"<TimeZone>UTC</TimeZone><Databases>{rows}</Databases>{scratch}"
        beside = self.service_file.with_suffix(".new")
        beside.write_text(
            f"<Backup4DService>{text}<Scrub><AfterDays>1</AfterDays></Scrub></Backup4DService>"
        )
        beside.replace(self.service_file)

    def _hooks(self, home: Home) -> str:
        if home.name != "hooked":
            return ""
        program = self.world.root / "hook"
        kinds = ("Startup", "Guard", "Shutdown")
        return (
            "<Hooks>"
            + "".join(f"<{kind}><Program>{program}</Program></{kind}>" for kind in kinds)
            + "</Hooks>"
        )


class World:
    """Everything a soak needs, below one folder; nothing of it is left after `remove`."""

    def __init__(self, chance: random.Random) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="backup4d-soak-"))
        self.root.chmod(0o755)
        self.chance = chance
        self.clock = WallClock(self.root / "clock", BEGIN)
        # in a mount namespace of our own, volumes can fail
        self.has_mounts = os.environ.get(IN_NAMESPACE) == "1"
        self.as_user = _without_powers()
        self.scratch, self.temporary = self._folder("scratch"), self._folder("tmp")
        self._volumes()
        hook = self.root / "hook"
        hook.write_text(_HOOK)
        hook.chmod(0o755)
        self.homes = [self._home(*kind) for kind in _KINDS]
        steady = [home for home in self.homes if home.name in _STEADY]
        rough = [home for home in self.homes if home.name not in _STEADY]
        self.posts = [Post("steady", self, steady), Post("rough", self, rough)]
        for post in self.posts:
            self._folder(f"state-{post.name}")
            post.write_service_file()

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _volumes(self) -> None:
        for name in ("A", "B"):
            store = self._folder(f"store/{name}")
            place = self._folder(f"vol/{name}")
            if self.has_mounts:
                run_tool("mount", "-t", "tmpfs", "-o", f"size={_VOLUME_BYTES}", "tmpfs", store)
                run_tool("mount", "--bind", store, place)

    def _home(self, name: str, volume: str, size: int, settings: dict[str, str]) -> Home:
        folder = self._folder(f"apps/{name}")
        app = make_app(folder, data=b"")
        if volume != "package":
            app.destination.rmdir()
            app = replace(app, destination=self._folder(f"vol/{volume}/{name}"))
        sources = Sources(app.package, random.Random(self.chance.random()), size)
        home = Home(name, app, sources, dict(settings), volume)
        home.configure()
        return home

    def environment(self) -> dict[str, str]:
        # warnings as in use: the keeper of a hook leaves its pipes to the end of its process
        more = {
            "PYTHONFAULTHANDLER": "1",
            "PYTHONWARNINGS": "ignore",
            "TMPDIR": str(self.temporary),
        }
        return environment(**self.clock.variables(), **more)

    def post_of(self, home: Home) -> Post:
        return next(post for post in self.posts if home in post.homes)

    def zombies(self) -> list[int]:
        """Dead children that a service has not asked for."""
        return [pid for post in self.posts for pid in post.runs() if not is_alive(pid)]

    def remove(self) -> None:
        """End what is left, unmount, remove."""
        self.clock.clear()
        if self.has_mounts:
            for place in (*self.root.glob("vol/*"), *self.root.glob("store/*")):
                subprocess.run(
                    ["umount", "-l", str(place)], capture_output=True, timeout=30, check=False
                )
        shutil.rmtree(self.root, ignore_errors=True)


def run_tool(*words: str | Path) -> None:
    """A tool of the system, which must succeed."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, timeout=60, check=False
    )
    if done.returncode:
        raise OSError(f"{words}: {done.stderr.decode(errors='replace')}")


def _without_powers() -> list[str]:
    """What starts a process of root's without its powers; nothing where we are an ordinary user, or it cannot be."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    look = [*_POWERLESS, sys.executable, "-P", "-c", "import scheduler.cli"]
    done = subprocess.run(look, capture_output=True, timeout=60, check=False, env=environment())
    return _POWERLESS if done.returncode == 0 else []
