"""The service's control socket: one request on each connection, answered in lines of JSON.

The permissions of the socket and its folder are the access control. Threads here only carry words; the
service's own thread answers.
"""

import contextlib
import json
import logging
import os
import pwd
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

_log = logging.getLogger(__name__)

PROTOCOL = 1
SOCKET_NAME = "control.sock"
_REQUEST_BYTES = 1 << 16
_PATIENCE_SECONDS = 5
_ALIVE_SECONDS = 1
_MOST_CONNECTIONS = 16


@dataclass(slots=True)
class Asked:
    """One request, and who asked; `follow` is called now and then for news, None when there are none."""

    row: dict[str, Any]
    who: str
    follow: Callable[[], dict[str, Any]] | None = None
    answers: "queue.SimpleQueue[dict[str, Any]]" = field(default_factory=queue.SimpleQueue)

    def answer(self, row: dict[str, Any]) -> None:
        """Say it; the connection ends with the first row that has `last`."""
        self.answers.put(row)


class Control:
    """Listens until `stop`; `asked` is called from other threads."""

    def __init__(self, file: Path, asked: Callable[[Asked], None]) -> None:
        self._asked = asked
        self._room = threading.Semaphore(_MOST_CONNECTIONS)
        self._socket = _listen(file)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def stop(self) -> None:
        """No more requests."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self._room.acquire(blocking=False):
                threading.Thread(
                    target=self._serve, args=(connection,), name="asked", daemon=True
                ).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            # a client that went away, or says nothing, harms nobody
            with contextlib.suppress(OSError), connection:
                connection.settimeout(_PATIENCE_SECONDS)
                self._talk(connection)
        finally:
            self._room.release()

    def _talk(self, connection: socket.socket) -> None:
        row = _read_request(connection)
        if row is None:
            _say(connection, _refusal("the request was not understood"))
            return
        asked = Asked(row, _peer(connection))
        self._asked(asked)
        for answer in _answers(asked):
            _say(connection, answer)


def _answers(asked: Asked) -> Iterator[dict[str, Any]]:
    while True:
        try:
            answer = asked.answers.get(timeout=_ALIVE_SECONDS)
        except queue.Empty:
            answer = {"alive": True} if asked.follow is None else asked.follow()
        yield answer
        if answer.get("last"):
            return


def _listen(file: Path) -> socket.socket:
    """A socket that user and group may write to; one left by a dead service is replaced. Raises OSError."""
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short_name(file) as name:
            before = os.umask(0o117)
            try:
                listener.bind(name)
            finally:
                os.umask(before)
        listener.listen(_MOST_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _short_name(file: Path) -> Iterator[str]:
    """A socket's path has room for 107 bytes; through the folder's descriptor every path is short."""
    folder = os.open(file.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{file.name}"
    finally:
        os.close(folder)


def _read_request(connection: socket.socket) -> dict[str, Any] | None:
    data = b""
    while not data.endswith(b"\n") and len(data) < _REQUEST_BYTES:
        part = connection.recv(_REQUEST_BYTES)
        if not part:
            break
        data += part
    with contextlib.suppress(ValueError, RecursionError):
        row = json.loads(data)
        if isinstance(row, dict) and row.get("protocol") == PROTOCOL:
            return row
    return None


def _peer(connection: socket.socket) -> str:
    """The user at the other end, as the kernel knows him."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", packed)
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user number {uid}"


def _say(connection: socket.socket, row: dict[str, Any]) -> None:
    connection.sendall(json.dumps(row).encode("ascii") + b"\n")


def _refusal(why: str) -> dict[str, Any]:
    return {"last": True, "error": why, "code": 0, "exit": 1, "hint": ""}


# --- the other end --------------------------------------------------------------------------------


class NoAnswerError(Exception):
    """No service answers at this socket; the message says why."""


def ask(file: Path, row: dict[str, Any], *, patience: float = 30.0) -> Iterator[dict[str, Any]]:
    """Ask the service at the socket, and yield its answers. Raises NoAnswerError."""
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection,
            _short_name(file) as name,
        ):
            connection.settimeout(patience)
            connection.connect(name)
            _say(connection, {"protocol": PROTOCOL, **row})
            with connection.makefile("rb") as lines:
                yield from _read_answers(lines)
    except OSError as error:
        raise NoAnswerError(f"the service at {file} does not answer: {error}") from error


def _read_answers(lines: BinaryIO) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise NoAnswerError("the service's answer was cut short") from error
        yield answer
        if answer.get("last"):
            return
    raise NoAnswerError("the service ended before its answer did")
