"""The library that makes calls to the disk go wrong: made by a C compiler, seen through a board of shared memory.

It works in processes started with `LD_PRELOAD`, and there only in children that were armed.
"""

import ctypes
import errno
import json
import mmap
import os
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cache
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).with_name("faults.c")
_FOLDERS, _ROOM, _CALLS = 4, 512, 16384
_SECONDS = 60


class Mode(IntEnum):
    """What becomes of the calls met."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    TORN = 3
    ERROR = 4
    SHORT = 5


class Kind(IntFlag):
    """Which calls are counted and can be met."""

    DATA = 1
    MAKE = 2
    SYNC = 4
    NAME = 8
    REMOVE = 16
    META = 32
    CUT = 64
    READ = 128
    CLOSE = 256


CHANGES = Kind.DATA | Kind.MAKE | Kind.SYNC | Kind.NAME | Kind.REMOVE | Kind.META | Kind.CUT
NEEDS_ROOM = Kind.DATA | Kind.MAKE | Kind.SYNC | Kind.NAME


class _Call(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("name", ctypes.c_char * 20),
        ("path", ctypes.c_char * _ROOM),
    )


class _Board(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_int),
        ("mode", ctypes.c_int),
        ("first", ctypes.c_int),
        ("last", ctypes.c_int),
        ("error", ctypes.c_int),
        ("kinds", ctypes.c_int),
        ("torn_bytes", ctypes.c_int),
        ("folders", (ctypes.c_char * _ROOM) * _FOLDERS),
        ("lies", ctypes.c_char * _ROOM),
        ("calls", _Call * _CALLS),
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was met."""

    kind: Kind
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Which calls go wrong, and how: those from `first` to `last` of these kinds, counted from 1."""

    mode: Mode = Mode.COUNT
    first: int = 0
    last: int = 0
    kinds: Kind = CHANGES
    error: int = errno.EIO
    torn_bytes: int = 0
    lies: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: by SIGKILL or not, what it said, and the calls it made."""

    killed: bool
    said: dict[str, Any]
    calls: tuple[Call, ...]


Act = Callable[[], dict[str, Any]]


def compiler() -> str | None:
    """A C compiler, where there is one."""
    return shutil.which("cc") or shutil.which("gcc")


def compile_library(folder: Path) -> Path:
    """The library, for `LD_PRELOAD`."""
    target = folder / "faults.so"
    command: list[str | Path] = [
        str(compiler()),
        "-O1",
        "-shared",
        "-fPIC",
        "-o",
        target,
        _SOURCE,
        "-ldl",
    ]
    subprocess.run(command, check=True, timeout=60)
    return target


@cache
def _board() -> _Board:
    return _Board.from_buffer(mmap.mmap(-1, ctypes.sizeof(_Board)))


def in_child(act: Act, folders: Sequence[Path], fault: Fault) -> Ended:
    """Let a child of this process act with this fault on the calls below these folders."""
    board = _set_up(folders, fault)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _live(act, board, reader, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    killed = code == -signal.SIGKILL
    if code == -signal.SIGALRM:
        text = json.dumps({"traceback": f"it hung for {_SECONDS} seconds"}).encode()
    elif code != 0 and not killed:
        raise AssertionError(f"the child ended with {code}: {text.decode()}")
    calls = tuple(_call(board.calls[at]) for at in range(min(board.count, _CALLS)))
    return Ended(killed, json.loads(text) if text else {}, calls)


def _set_up(folders: Sequence[Path], fault: Fault) -> _Board:
    board = _board()
    ctypes.memset(ctypes.addressof(board), 0, _Board.calls.offset)
    for at, folder in enumerate(folders):
        board.folders[at].value = os.fsencode(folder)
    board.mode, board.first, board.last = fault.mode, fault.first, fault.last
    board.error, board.kinds, board.torn_bytes = fault.error, fault.kinds, fault.torn_bytes
    board.lies = fault.lies.encode()
    return board


def _live(act: Act, board: _Board, reader: int, writer: int) -> None:
    """The whole life of the child; what it raises is a finding, said with its traceback."""
    os.close(reader)
    signal.alarm(_SECONDS)
    library_of = ctypes.CDLL(None)
    library_of.faults_arm(ctypes.byref(board))
    try:
        said = act()
    except BaseException:  # noqa: BLE001 - nothing may leave the child but through the pipe
        said = {"traceback": "\n".join(traceback.format_exc().splitlines()[-9:])}
    library_of.faults_arm(None)
    os.write(writer, json.dumps(said).encode())
    os._exit(0)


def _call(row: _Call) -> Call:
    return Call(Kind(row.kind), row.name.decode(), os.fsdecode(row.path))
