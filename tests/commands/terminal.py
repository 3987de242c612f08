"""A person at a terminal: types a command, reads what it prints, looks at its exit code."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.lock import holding
from scheduler.cli import main
from scheduler.instance import SERVICE_LOCK
from tests.engine.stories import App, make_app

DAILY = {"Scheduler/Frequency": "Daily", "Scheduler/Daily/Hour": "02:30:00"}


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def all(self) -> str:
        return self.out + self.err


class Terminal:
    """Commands in this process, with a state folder and a service file of their own."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[], Any]
    ) -> None:
        self.state = folder / "state"
        self.service_file = folder / "service.xml"
        self.service_file.write_text("<Backup4DService><TimeZone>UTC</TimeZone></Backup4DService>")
        self._monkeypatch = monkeypatch
        self._read = read

    def serve(self, *apps: App) -> None:
        """List databases in the service file."""
        rows = "".join(f"<Database><Package>{app.package}</Package></Database>" for app in apps)
        self.service_file.write_text(
            "<Backup4DService><TimeZone>UTC</TimeZone>"
            f"<Databases>{rows}</Databases></Backup4DService>"
        )

    @contextmanager
    def service_running(self) -> Iterator[None]:
        """As if the service ran with this state folder."""
        self.state.mkdir(exist_ok=True)
        with holding(self.state / SERVICE_LOCK, "the service", "2026-01-10T12:00:00+00:00"):
            yield

    def types(self, *words: str | Path) -> Printed:
        """One command, with the machine's own paths in place of the system's."""
        places = ["--service-file", str(self.service_file), "--state-folder", str(self.state)]
        return self.types_bare(*places, *words)

    def types_bare(self, *words: str | Path) -> Printed:
        """One command as it is."""
        self._monkeypatch.setattr("sys.argv", ["backup4d", *map(str, words)])
        self._read()
        with _signals_kept(), pytest.raises(SystemExit) as left:
            main()
        captured = self._read()
        code = left.value.code
        assert isinstance(code, int)
        return Printed(code, captured.out, captured.err)


@contextmanager
def _signals_kept() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def application(folder: Path, **how: Any) -> App:
    """A small application with a nightly backup."""
    return make_app(folder, DAILY, **how)


def damage(folder: Path) -> None:
    """One byte of the archive is another one."""
    (archive,) = folder.glob("*.tar.zst")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.chmod(0o600)
    archive.write_bytes(content)
