"""What goes wrong in a soak: each trick has a beginning and, some hours of the moved clock later, an end."""

import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.control import SOCKET_NAME
from scheduler.state import state_file
from tests.engine.stories import COMPRESSION, KEEP
from tests.soak.people import People
from tests.soak.steps import fill, flip, frozen, put, sent, wait
from tests.soak.world import Home, Post, World, run_tool

_Trick = Callable[[int], bool]
_STORAGE = ("full", "read-only", "unmounted", "renamed away")


@dataclass
class On:
    """A trick that is on: it ends at this hour."""

    name: str
    until: int
    end: Callable[[], None]


@dataclass
class Tricks:
    """Draws tricks by lot and plays them; `counts` tells how often each."""

    world: World
    people: People
    chance: random.Random
    counts: dict[str, int] = field(default_factory=dict)
    on: list[On] = field(default_factory=list)
    states_broken: int = 0
    histories_broken: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)
    _bag: list[tuple[str, _Trick]] = field(default_factory=list)

    def play(self, hour: int) -> None:
        """One more trick, but never two on the same thing."""
        if not self._bag:
            # every kind comes once before any comes again
            self._bag = self._kinds()
            self.chance.shuffle(self._bag)
        name, trick = self._bag.pop()
        if trick(hour):
            self.counts[name] = self.counts.get(name, 0) + 1

    def _kinds(self) -> list[tuple[str, _Trick]]:
        return [
            ("kill -9 of the service", self._kill_service),
            ("kill -9 of the service", self._kill_service),
            ("SIGTERM of the service", self._end_service),
            ("SIGSTOP of a service", self._freeze_service),
            ("kill -9 of a run", self._kill_run),
            ("kill -9 of a run", self._kill_run),
            ("SIGSTOP of a run", self._freeze_run),
            ("SIGTERM of a run", self._end_run),
            ("full disk", self._full),
            ("read-only remount", self._read_only),
            ("volume unmounted", self._unmounted),
            ("destination renamed away", self._renamed),
            ("source missing", self._missing),
            ("source unreadable", self._unreadable),
            ("attachment missing", self._no_attachment),
            ("settings broken", self._broken_settings),
            ("settings edited", self._edited_settings),
            ("service file broken", self._broken_service_file),
            ("database left out of the service file", self._left_out),
            ("pause and resume", self._paused),
            ("stop", self._stopped),
            ("backups by hand", self._by_hand),
            ("garbage at the control socket", self._garbage),
            ("a set damaged", self._damaged_set),
            ("the history damaged", self._damaged_history),
            ("the state damaged", self._damaged_state),
        ]

    def end_due(self, hour: int) -> None:
        """End what has been on long enough."""
        for one in list(self.on):
            if one.until <= hour:
                self.on.remove(one)
                one.end()

    def end_all(self) -> None:
        self.end_due(1 << 60)

    def _later(self, name: str, hour: int, end: Callable[[], None]) -> bool:
        self.on.append(On(name, hour + self.chance.choice((1, 1, 1, 2, 3)), end))
        return True

    def _is_on(self, *names: str) -> bool:
        return any(one.name in names for one in self.on)

    def _home(self) -> Home | None:
        """A database to which nothing is done now."""
        calm = [home for home in self.world.homes if not home.troubles]
        return self.chance.choice(calm) if calm else None

    # --- processes

    def _rough(self) -> Post:
        return self.world.posts[1]

    def _kill_service(self, _hour: int) -> bool:
        post = self._rough()
        with self._gone(post):
            if self.chance.random() < 0.5:  # else the next service meets the dying runs of this one
                wait(lambda: not self._runs_left(post), 30)
        return True

    @contextmanager
    def _gone(self, post: Post) -> Iterator[None]:
        """It is killed, and started again after the block."""
        assert post.real is not None
        time.sleep(self.chance.uniform(0, 1.2))
        post.real.process.kill()
        post.real.process.wait(30)
        yield
        post.start()

    def _runs_left(self, post: Post) -> list[int]:
        mark = str(post.state_folder).encode()
        alive = []
        for pid in self.world.clock.watchers():
            with suppress(OSError):
                if mark in Path(f"/proc/{pid}/cmdline").read_bytes():
                    alive.append(pid)
        return alive

    def _end_service(self, _hour: int) -> bool:
        post = self._rough()
        assert post.real is not None
        wait(post.is_serving, 30)  # before it has said so, the signal ends it as any program
        time.sleep(self.chance.uniform(0, 1.2))
        code = post.real.stop(90)
        if code != 0:
            self.people.failures.append(f"SIGTERM of the service: exit {code}")
        post.start()
        return True

    def _freeze_service(self, _hour: int) -> bool:
        post = self.chance.choice(self.world.posts)
        return frozen(post.pid, self.chance.uniform(0.5, 4))

    def _some_run(self) -> int | None:
        post = self.chance.choice(self.world.posts)
        wait(post.runs, 3)
        time.sleep(self.chance.choice((0, self.chance.uniform(0, 0.5))))
        runs = post.runs()
        return self.chance.choice(runs) if runs else None

    def _kill_run(self, _hour: int) -> bool:
        return sent(self._some_run(), signal.SIGKILL)

    def _end_run(self, _hour: int) -> bool:
        return sent(self._some_run(), signal.SIGTERM)

    def _freeze_run(self, _hour: int) -> bool:
        pid = self._some_run()
        return pid is not None and frozen(pid, self.chance.uniform(0.5, 5))

    # --- storage

    def _volume(self) -> str | None:
        if not self.world.has_mounts:
            return None
        free = [
            name for name in ("A", "B") if not self._is_on(*(f"{what} {name}" for what in _STORAGE))
        ]
        return self.chance.choice(free) if free else None

    def _on_volume(self, trouble: str, volume: str, hour: int, undo: Callable[[], None]) -> bool:
        homes = [home for home in self.world.homes if home.volume == volume]
        name = f"{trouble} {volume}"
        for home in homes:
            home.begin(name)

        def end() -> None:
            undo()
            for home in homes:
                home.end(name)

        return self._later(name, hour, end)

    def _full(self, hour: int) -> bool:
        volume = self._volume()
        if volume is None:
            return False
        ballast = self.world.root / "vol" / volume / "ballast"
        fill(ballast, self.chance.choice((0, 0, 4096, 300_000)))
        return self._on_volume("full", volume, hour, lambda: ballast.unlink(missing_ok=True))

    def _read_only(self, hour: int) -> bool:
        volume = self._volume()
        if volume is None:
            return False
        place = self.world.root / "vol" / volume
        try:
            run_tool("mount", "-o", "remount,bind,ro", place)
        except OSError:  # a file is open for writing
            return False
        undo = lambda: run_tool("mount", "-o", "remount,bind,rw", place)  # noqa: E731 - one line
        return self._on_volume("read-only", volume, hour, undo)

    def _unmounted(self, hour: int) -> bool:
        volume = self._volume()
        if volume is None:
            return False
        place, store = self.world.root / "vol" / volume, self.world.root / "store" / volume
        run_tool("umount", "-l", place)
        undo = lambda: run_tool("mount", "--bind", store, place)  # noqa: E731 - one line
        return self._on_volume("unmounted", volume, hour, undo)

    def _renamed(self, hour: int) -> bool:
        home = self._home()
        if home is None or any(one.name.endswith(f" {home.volume}") for one in self.on):
            return False
        place = home.app.destination
        away = place.with_name(f"{place.name} away")
        home.begin("renamed away")
        place.rename(away)

        def end() -> None:
            """A run may have made a new one: whoever brings the old one back puts the new sets into it."""
            beside = place.with_name(f"{place.name} new")
            if place.exists():
                place.rename(beside)
            away.rename(place)
            for folder in beside.glob("data[[]*[]]"):
                folder.rename(place / folder.name)
            shutil.rmtree(beside, ignore_errors=True)
            home.end("renamed away")

        return self._later(f"renamed away {home.volume}", hour, end)

    # --- sources

    def _missing(self, hour: int) -> bool:
        return self._moved("Data/data.4DD", "source missing", hour)

    def _no_attachment(self, hour: int) -> bool:
        return self._moved("Attached", "attachment missing", hour)

    def _moved(self, name: str, trouble: str, hour: int) -> bool:
        home = self._home()
        if home is None:
            return False
        file = home.app.package / name
        away = self.world.root / f"away {home.name}"
        home.begin(trouble)
        file.rename(away)

        def end() -> None:
            away.rename(file)
            home.end(trouble)

        return self._later(trouble, hour, end)

    def _unreadable(self, hour: int) -> bool:
        home = self._home()
        if home is None or (os.geteuid() == 0 and not self.world.as_user):
            return False
        file = home.app.package / self.chance.choice(
            ("Data/data.4DD", "Attached", "Data/data.journal")
        )
        mode = file.stat().st_mode & 0o777
        home.begin("source unreadable")
        file.chmod(0)

        def end() -> None:
            file.chmod(mode)
            home.end("source unreadable")

        return self._later("source unreadable", hour, end)

    # --- settings and service file

    def _broken_settings(self, hour: int) -> bool:
        home = self._home()
        if home is None:
            return False
        file = home.app.package / "Settings" / "backup.4DSettings"
        home.begin("settings broken")
        file.write_bytes(self.chance.choice((b"", b"<Prefer", self.chance.randbytes(300))))

        def end() -> None:
            home.configure()
            home.end("settings broken")

        return self._later("settings broken", hour, end)

    def _edited_settings(self, _hour: int) -> bool:
        home = self._home()
        if home is None:
            return False
        keep = str(self.chance.randint(1, 5))
        rate = self.chance.choice(("None", "Fast", "Compact"))
        home.configure({KEEP: keep, COMPRESSION: rate})
        home.rounds += 1
        return True

    def _broken_service_file(self, hour: int) -> bool:
        post = self.chance.choice(self.world.posts)
        if self._is_on("service file of steady", "service file of rough"):
            return False
        for home in post.homes:
            home.begin("service file")
        post.service_file.write_bytes(self.chance.choice((b"", b"<Backup4DService><Nonsense/>")))
        return self._later(f"service file of {post.name}", hour, lambda: self._restored_file(post))

    def _restored_file(self, post: Post) -> None:
        post.write_service_file()
        for home in post.homes:
            home.end("service file")

    def _left_out(self, hour: int) -> bool:
        post = self.chance.choice(self.world.posts)
        if self._is_on("service file of steady", "service file of rough"):
            return False
        for home in post.homes:
            home.begin("service file")
        post.write_service_file(self.chance.choice(post.homes))
        return self._later(f"service file of {post.name}", hour, lambda: self._restored_file(post))

    # --- people

    def _paused(self, hour: int) -> bool:
        home = self._home()
        if home is None:
            return False
        self.people.type("pause", home)
        return self._later("paused", hour, lambda: self.people.type("resume", home))

    def _stopped(self, _hour: int) -> bool:
        self.people.type("stop", self.chance.choice(self.world.homes))
        return True

    def _by_hand(self, _hour: int) -> bool:
        for home in self.chance.sample(self.world.homes, 2):
            self.people.type("backup", home)
        return True

    def _garbage(self, hour: int) -> bool:
        """Noise, half a request, a hundred people who say nothing."""
        place = self.chance.choice(self.world.posts).state_folder / SOCKET_NAME
        lines = (b"\0" * 70_000, b'{"ask": "stop"', b'{"ask": 5}\n', b"[]\n", b'{"ask":"status"}\n')
        for _ in range(self.chance.choice((1, 5, 100))):
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.settimeout(1)
            with suppress(OSError):
                one.connect(str(place))
                one.send(self.chance.choice((*lines, self.chance.randbytes(200))))
            self._sockets.append(one)
        return self._later("garbage", hour, self._close_sockets)

    def _close_sockets(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    # --- damage

    def _damaged_set(self, hour: int) -> bool:
        home = self._home()
        sets = [] if home is None else home.sets()
        if home is None or not sets:
            return False
        folder = self.chance.choice(sets)
        try:
            file = max(folder.iterdir(), key=lambda one: one.stat().st_size)
            at = self.chance.randrange(file.stat().st_size)
            before = flip(file, at)
        except (OSError, ValueError):  # rotation was quicker
            return False
        home.damaged[folder] = f"byte {at} of {file.name}"
        home.begin("set damaged")

        def end() -> None:
            with suppress(OSError):
                put(file, at, before)
            home.damaged.pop(folder, None)
            home.end("set damaged")

        return self._later("set damaged", hour, end)

    def _damaged_history(self, hour: int) -> bool:
        home = self._home()
        history = None if home is None else home.app.destination / "backupHistory.json"
        if home is None or history is None or not history.exists():
            return False
        home.begin("history damaged")
        with suppress(OSError):
            content = history.read_bytes()
            history.write_bytes(self.chance.choice((b"", content[: len(content) // 2], b"[1]")))
            self.histories_broken += 1
        return self._later("history damaged", hour, lambda: home.end("history damaged"))

    def _damaged_state(self, _hour: int) -> bool:
        """Between two lives of the service. The sets must be there to be asked what was served."""
        post = self._rough()
        homes = [home for home in post.homes if not home.troubles and home.sets()]
        if not homes:
            return False
        home = self.chance.choice(homes)
        with self._gone(post):
            file = state_file(post.state_folder, home.app.data_file)
            content = file.read_bytes()
            file.write_bytes(self.chance.choice((b"", content[: len(content) // 2], b"{}")))
            self.states_broken += 1
        home.rounds += 1
        return True
