"""What the stories about commands and the real service are told with."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scheduler.control import SOCKET_NAME
from scheduler.state import State, load_state, state_file
from tests.commands.terminal import Terminal
from tests.engine.stories import App
from tests.scheduler.real import PROGRAM, Real, environment, make_big, owe, service_of, wait_until

AWAITING, PUBLISHED = "next backup", "published in"
BROKEN = b"<Preferences4D><Backup>"


@contextmanager
def serving(terminal: Terminal, *apps: App) -> Iterator[Real]:
    """The real service on these databases, ready to be asked."""
    terminal.serve(*apps)
    with service_of(terminal.service_file, terminal.state) as real:
        wait_until((terminal.state / SOCKET_NAME).is_socket, "there is no socket")
        yield real


@contextmanager
def client(terminal: Terminal, *words: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """A command in a process of its own."""
    places = ["--service-file", str(terminal.service_file), "--state-folder", str(terminal.state)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*PROGRAM, *places, *map(str, words)],
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def _size(file: Path) -> int:
    """0 for a temporary file that is gone again."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def is_saving(app: App) -> bool:
    """Whether more than a frame lies on the disk."""
    written = [_size(file) for file in app.destination.glob(".backup4d-staging*/*")]
    return max(written, default=0) > 2 << 20


def wait_for_saving(app: App) -> None:
    wait_until(lambda: is_saving(app), "the run never began to write")


def make_small(app: App) -> None:
    """A run that is on reads the file again, and is soon done."""
    app.data_file.write_bytes(b"a small one")


def due_now(terminal: Terminal, *apps: App) -> None:
    """Large databases whose backup is due when the service starts."""
    for app in apps:
        make_big(app)
        owe(app, terminal.state)


def entries(app: App, title: str) -> list[str]:
    return [text for text in app.journal().split("\n\n") if f"*** {title}" in text]


def settings_file(app: App) -> Path:
    return app.package / "Settings" / "backup.4DSettings"


@contextmanager
def nobody() -> Iterator[None]:
    yield


def user_name() -> str:
    return subprocess.check_output(["id", "-un"], text=True).strip()


def load_state_of(terminal: Terminal, app: App) -> State:
    state = load_state(state_file(terminal.state, app.data_file))
    assert state is not None
    return state
