"""The service's control socket: one request on each connection, answered in lines of JSON.

The permissions of the socket and its folder are the access control. Threads here only carry words; the
service's own thread answers.
"""

import contextlib
import errno
import json
import logging
import os
import pwd
import queue
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from engine.host import HostClock
from engine.host import pause as let_pass

_log = logging.getLogger(__name__)

PROTOCOL = 1
SOCKET_NAME = "control.sock"
_REQUEST_BYTES = 1 << 16
_ANSWER_BYTES = 64 << 20  # of a status with ten thousand databases, many times over
_PATIENCE_SECONDS = 5
_ALIVE_SECONDS = 1
_MOST_CONNECTIONS = 64
_MOST_WAITING = 128


@dataclass(slots=True)
class Asked:
    """One request, and who asked; `follow` is called now and then for news, None when there are none.

    `is_gone`: he waits no longer, so nothing must be done in his name any more.
    """

    row: dict[str, Any]
    who: str
    is_gone: bool = False
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
        self._over = threading.Event()
        self._file = file
        self._socket = _listen(file)
        self._identity = _identity(file)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def is_there(self) -> bool:
        """Whether people still find the socket: its folder may have been emptied."""
        try:
            return _identity(self._file) == self._identity
        except OSError:
            return False

    def stop(self) -> None:
        """No more requests."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()
        if self.is_there():
            with contextlib.suppress(OSError):
                self._file.unlink()

    def _accept(self) -> None:
        is_told = False
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if self._over.is_set():
                    return
                if not is_told:
                    _log.error("nobody can ask this service anything now: %s", error.strerror)
                is_told = True
                # no descriptors left: some are given back, sooner or later
                let_pass(_ALIVE_SECONDS)
                continue
            is_told = False
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        if not self._room.acquire(blocking=False):
            _turn_away(connection)
            return
        thread = threading.Thread(target=self._serve, args=(connection,), name="asked", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads for this process
            self._room.release()
            _turn_away(connection)

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
        try:
            for answer in _answers(asked):
                _say(connection, answer)
        except OSError:
            asked.is_gone = True
            raise


def _turn_away(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        connection.setblocking(False)
        _say(connection, _refusal("too many ask this service at once; try again"))


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
    _make_way(file)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short_name(file) as name:
            before = os.umask(0o117)
            try:
                listener.bind(name)
            finally:
                os.umask(before)
        listener.listen(_MOST_WAITING)
    except OSError:
        listener.close()
        raise
    return listener


def _make_way(file: Path) -> None:
    """Remove the socket of a dead service, and nothing else. Raises OSError."""
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "something that is no socket has this name", str(file))
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe,
        _short_name(file) as name,
    ):
        probe.settimeout(_ALIVE_SECONDS)
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            file.unlink()
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens, and hangs
    raise OSError(errno.EADDRINUSE, "another service listens there", str(file))


def _identity(file: Path) -> tuple[int, int]:
    found = file.lstat()
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _short_name(file: Path) -> Iterator[str]:
    """A socket's path has room for 107 bytes; through the folder's descriptor every path is short."""
    folder = os.open(file.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{file.name}"
    finally:
        os.close(folder)


def _read_request(connection: socket.socket) -> dict[str, Any] | None:
    """The request; None for what is none. Raises OSError, also when it takes too long as a whole."""
    data = b""
    clock = HostClock()
    end = clock.monotonic() + _PATIENCE_SECONDS
    while not data.endswith(b"\n") and len(data) < _REQUEST_BYTES:
        left = end - clock.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(_REQUEST_BYTES)
        if not part:
            break
        data += part
    connection.settimeout(_PATIENCE_SECONDS)
    with contextlib.suppress(ValueError, RecursionError):
        row = json.loads(data)
        if isinstance(row, dict) and row.get("protocol") == PROTOCOL:
            return row
    return None


def _peer(connection: socket.socket) -> str:
    """The user at the other end, as the kernel knows him."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", packed)
    return user_words(uid)


def user_words(uid: int) -> str:
    """A user as the journal names him."""
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
    """No service answers at this socket; the message says why. `hangs`: there is one, and it does not come to it."""

    def __init__(self, why: str, *, hangs: bool = False) -> None:
        super().__init__(why)
        self.hangs = hangs


def ask(file: Path, row: dict[str, Any], *, patience: float = 30.0) -> Iterator[dict[str, Any]]:
    """Ask the service at the socket, and yield its answers.

    Raises NoAnswerError, also when it has nothing to say for longer than `patience` seconds.
    """
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection,
            _short_name(file) as name,
        ):
            connection.settimeout(patience)
            _connect(connection, name, patience)
            with contextlib.suppress(BrokenPipeError):  # turned away: the answer is there already
                _say(connection, {"protocol": PROTOCOL, **row})
            with connection.makefile("rb") as lines:
                yield from _read_answers(lines, patience)
    except OSError as error:
        words = f"the service at {file} does not answer: {error.strerror or error}"
        hangs = isinstance(error, TimeoutError | BlockingIOError)
        raise NoAnswerError(words, hangs=hangs) from error


def _connect(connection: socket.socket, name: str, patience: float) -> None:
    """A local socket whose queue is full says so at once instead of letting us wait. Raises OSError."""
    clock = HostClock()
    end = clock.monotonic() + patience
    while True:
        try:
            connection.connect(name)
        except BlockingIOError:
            if clock.monotonic() > end:
                raise
            let_pass(0.05)
        else:
            return


def _read_answers(lines: BinaryIO, patience: float) -> Iterator[dict[str, Any]]:
    silent_seconds = 0
    while line := lines.readline(_ANSWER_BYTES):
        answer = _answer_in(line)
        silent_seconds = silent_seconds + _ALIVE_SECONDS if "alive" in answer else 0
        if silent_seconds > patience:
            words = f"the service is there, but has not come to it for {silent_seconds} s"
            raise NoAnswerError(words, hangs=True)
        yield answer
        if answer.get("last"):
            return
    raise NoAnswerError("the service ended before its answer did")


def _answer_in(line: bytes) -> dict[str, Any]:
    """Raises NoAnswerError for what no service of this program says."""
    if not line.endswith(b"\n"):
        raise NoAnswerError("the service's answer was cut short")
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NoAnswerError("the service's answer was not understood") from error
    if not isinstance(answer, dict):
        raise NoAnswerError("the service's answer was not understood")
    return answer
