"""Targets: the control socket, from both of its ends."""

import json
import socket
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from engine.host import HostClock
from scheduler.caller import ServiceRefusalError, ServiceSilentError, call
from scheduler.control import PROTOCOL, Control
from scheduler.desk import Desk
from scheduler.recall import Host
from scheduler.runs import Runs
from settings.paths import PathMap
from tests.fuzz.target import Target, scratch
from tests.scheduler.stories import PARIS

_PATIENCE_SECONDS = 5


# --- a hostile client -----------------------------------------------------------------------------


@cache
def _service() -> Path:
    """A service that serves nothing, with its socket."""
    folder = scratch("control")
    runs = Runs(Host(folder, PARIS, PathMap()), HostClock(), lambda *_: None)
    desk = Desk(runs, HostClock(), list, lambda *_: None)
    file = folder / "control.sock"
    Control(file, desk.serve)
    return file


def answer_client(data: bytes) -> None:
    """Every request has an answer, the last line of which says so; none finds a mistake of the program."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PATIENCE_SECONDS)
        client.connect(str(_service()))
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: client.recv(1 << 16), b""))
        except (BrokenPipeError, ConnectionResetError):
            return  # it sent more than a request may have
    rows = [json.loads(line) for line in said.splitlines()]
    assert rows[-1]["last"] is True
    assert "mistake in backup4d" not in str(rows[-1].get("error"))


def _requests() -> list[bytes]:
    about = {"package": "/srv/app", "data_file": "/srv/app/Data/data.4DD"}
    asks: list[dict[str, object]] = [
        {"ask": "status"},
        {"ask": "reload"},
        {"ask": "stop", **about},
        {"ask": "backup", "accept_destination": True, **about},
        {"ask": "pause", "until": "2026-03-01T12:00:00+00:00", **about},
        {"ask": "resume", **about},
    ]
    return [json.dumps({"protocol": PROTOCOL, **ask}).encode() + b"\n" for ask in asks]


# --- a hostile server -----------------------------------------------------------------------------


@cache
def _listener() -> tuple[Path, socket.socket]:
    file = scratch("server") / "control.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(file))
    listener.listen()
    return file, listener


def _serve_once(listener: socket.socket, data: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        try:
            connection.recv(1 << 16)
            connection.sendall(data)
        except OSError:
            return


def ask_server(data: bytes) -> None:
    """Whatever the other end says, it is an answer, a refusal, or none."""
    file, listener = _listener()
    server = threading.Thread(target=_serve_once, args=(listener, data), daemon=True)
    server.start()
    with suppress(ServiceRefusalError, ServiceSilentError):
        for row in call(file, "status", patience=_PATIENCE_SECONDS):
            assert isinstance(row, dict)
    server.join(_PATIENCE_SECONDS)
    assert not server.is_alive()


def _answers() -> list[bytes]:
    rows: list[dict[str, object]] = [
        {"alive": True},
        {"phase": "archiving", "done": 5, "total": 10},
        {"accepted": True},
        {"last": True, "databases": [], "zone": "UTC", "path_map": [], "problem": None},
    ]
    refusal = {"last": True, "error": "no", "code": 1409, "exit": 1, "hint": "see"}
    return [
        b"".join(json.dumps(row).encode() + b"\n" for row in rows),
        json.dumps(refusal).encode() + b"\n",
    ]


TARGETS = (
    Target("socket-server", answer_client, _requests, (b'"protocol": 1', b'"ask"')),
    Target("socket-client", ask_server, _answers, (b'"last": true', b'"error"')),
)
